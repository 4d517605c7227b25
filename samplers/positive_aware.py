"""Hard negatives that are clearly less similar than the positive.

Source: Moreira et al. 2024, NV-Retriever: Improving text embedding models with effective
hard-negative mining (TopK-MarginPos and TopK-PercPos).
https://arxiv.org/abs/2407.15831 The percentage is read as a distance from the positive's
similarity, s_pos - margin * |s_pos|, which does not loosen when that is negative. There a separate
teacher judges mined passages; ``judge="guide"`` is that, ``self`` needs no second model.
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register


@register("positive_aware")
class PositiveAware:
    """Keep the k hardest candidates that stay below the positive by a margin.

    A row in which no candidate does keeps none.

    Args:
        filter: ``percent``: s <= s_pos - margin * |s_pos|; ``margin``: s <= s_pos - margin.
        margin: Share of the positive's similarity, or cosine units, in [0, 2].
        k: Negatives per anchor, >= 1.
        judge: Model whose similarities decide and rank: ``self`` or a ``guide``.
        guide: Encoder that judges: a folder, a hub name or a registered encoder such as
            ``static[source=...]``; empty for the cell's own encoder before training.
    """

    filter: Annotated[str, Choice("percent", "margin")] = "percent"
    margin: Annotated[float, Interval("[0, 2]")] = 0.05
    k: Annotated[int, Interval("[1, inf)")] = 10
    judge: Annotated[str, Choice("self", "guide")] = "self"
    guide: str = ""
    free_text: ClassVar[frozenset[str]] = frozenset({"guide"})
    may_empty: ClassVar[bool] = True
    schedulable: ClassVar[frozenset[str]] = frozenset({"margin"})
    test_configs: ClassVar = ({"filter": "margin"}, {"judge": "guide", "k": 3})

    @property
    def needs(self) -> frozenset[str]:
        """``guide_similarity``, if a guide judges."""
        return frozenset({"guide_similarity"} if self.judge == "guide" else ())

    def __call__(self, context: SimilarityContext) -> Selection:
        score = context.similarity
        if self.judge == "guide":
            score = context.require("guide_similarity")
        s_pos = score.gather(1, context.positive[:, None])  # (B, 1)
        room = self.margin * s_pos.abs() if self.filter == "percent" else self.margin
        safe = context.negative_mask & (score <= s_pos - room)  # (B, N)
        among = context.replace(negative_mask=safe)
        return Selection(mask=safe & (among.ranks(score) < self.k))
