"""A frozen guide model names the false negatives: candidates closer to it than the positive.

Source: Solatorio 2024, GISTEmbed: Guided In-sample Selection of Training Negatives.
https://arxiv.org/abs/2402.16829 Strictly more similar, as in the released code and in
sentence-transformers; the relative margin in the form that is safe for negative similarities.
Pair it with ``nt_xent`` for candidates from the anchors' own view as well. With
``curated="exempt"`` an anchor's own hard negatives are spared, as in the filter of Morris and Rush
2024, Contextual Document Embeddings (CDE). https://arxiv.org/abs/2410.02525
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register


@register("guided")
class Guided:
    """Drop the candidates whose guide similarity exceeds that of the positive.

    When both views are the same text the guide's positive is 1 and nothing exceeds it: use a
    margin above 0 there. A row whose candidates all exceed it keeps none.

    Args:
        margin: Distance below the positive's guide similarity at which dropping begins, in [0, 2].
        margin_kind: ``absolute``: above g_pos - margin; ``relative``: above g_pos - margin *
            |g_pos|.
        guide: Encoder that judges: a folder, a hub name or a registered encoder such as
            ``static[source=...]``; empty for the cell's own encoder before training.
        curated: ``mask``: the rule holds for all candidates; ``exempt``: an anchor's own given or
            mined negatives are never dropped.
    """

    margin: Annotated[float, Interval("[0, 2]")] = 0.0
    margin_kind: Annotated[str, Choice("absolute", "relative")] = "absolute"
    guide: str = ""
    curated: Annotated[str, Choice("mask", "exempt")] = "mask"
    younger: ClassVar[frozenset[str]] = frozenset({"curated"})
    free_text: ClassVar[frozenset[str]] = frozenset({"guide"})
    may_empty: ClassVar[bool] = True
    schedulable: ClassVar[frozenset[str]] = frozenset({"margin"})
    test_configs: ClassVar = (
        {"margin": 0.3},
        {"margin": 0.1, "margin_kind": "relative"},
        {"margin": 0.3, "curated": "exempt"},
    )

    @property
    def needs(self) -> frozenset[str]:
        """The guide's similarities, and which negatives are spared."""
        spared = {"own_negative"} if self.curated == "exempt" else set()
        return frozenset({"guide_similarity"} | spared)

    def __call__(self, context: SimilarityContext) -> Selection:
        guide = context.require("guide_similarity")  # (B, N)
        g_pos = guide.gather(1, context.positive[:, None])  # (B, 1)
        room = self.margin * g_pos.abs() if self.margin_kind == "relative" else self.margin
        dropped = guide > g_pos - room  # (B, N)
        if self.curated == "exempt":
            dropped = dropped & ~context.require("own_negative")
        return Selection(mask=context.negative_mask & ~dropped)
