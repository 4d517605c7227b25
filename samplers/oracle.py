"""False negatives known from labels: the bound for every method that has to guess them.

Source: the ``oracle`` mode of the code of Balmaseda et al. 2025, Discovering Global False
Negatives On the Fly (GloFND). https://arxiv.org/abs/2502.20612
"""

from typing import Annotated, ClassVar

from nsbench.samplers import Choice, Selection, SimilarityContext, register


@register("oracle")
class Oracle:
    """Drop, or attract, exactly the candidates that mean the same as the anchor.

    Needs data that knows: planted meaning, labels or qrels. A row of true positives only keeps
    none.

    Args:
        mode: ``elimination``: false negatives are dropped; ``attraction``: they become positives.
    """

    mode: Annotated[str, Choice("elimination", "attraction")] = "elimination"
    needs: ClassVar[frozenset[str]] = frozenset({"truth"})
    may_empty: ClassVar[bool] = True
    test_configs: ClassVar = ({"mode": "attraction"},)

    def __call__(self, context: SimilarityContext) -> Selection:
        false = context.negative_mask & context.require("truth")
        kept = context.negative_mask & ~false
        if self.mode == "elimination":
            return Selection(mask=kept)
        return Selection(mask=kept, attract=false)
