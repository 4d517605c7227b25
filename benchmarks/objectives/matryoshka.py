"""Any contrast, also with the first numbers of every embedding alone.

Source: Kusupati et al. 2022, Matryoshka Representation Learning. https://arxiv.org/abs/2205.13147
The sampler chooses once, by the whole embeddings; every length contrasts with that choice.
"""

from typing import Annotated, ClassVar

from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._embedded import Embedded, losses_of
from nsbench.benchmarks.objectives._inner import Wraps, inner_objective
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("matryoshka")
class Matryoshka(Wraps):
    """The sum of an objective at full length and at each of some shorter lengths.

    Args:
        inner: The objective, ``name`` or ``name[parameter=value,...]``.
        dimensions: Shorter lengths, each below the encoder's dimension; a list.
        weights: Weight of each of them, in [0, 100]; empty for 1 each. The full length has 1.
    """

    inner: Annotated[str, inner_objective] = "info_nce"
    dimensions: Annotated[tuple[int, ...], Interval("[1, inf)")] = (32, 16, 8)
    weights: Annotated[tuple[float, ...], Interval("[0, 100]")] = ()
    test_configs: ClassVar = ({"dimensions": (4,), "weights": (0.5,), "inner": "triplet"},)

    def __post_init__(self) -> None:
        if not self.dimensions or len(set(self.dimensions)) < len(self.dimensions):
            raise ValueError(
                f"matryoshka: dimensions must name some lengths, each once, got {self.dimensions}"
            )
        if self.weights and len(self.weights) != len(self.dimensions):
            raise ValueError(
                f"matryoshka: weights has {len(self.weights)} numbers, but dimensions has "
                f"{len(self.dimensions)}; give one for each, or none"
            )

    def check_dimension(self, dimension: int) -> None:
        """Raise ``ValueError`` unless every length is shorter than the embeddings."""
        if max(self.dimensions) >= dimension:
            raise ValueError(
                f"matryoshka: dimensions has {max(self.dimensions)}, but the encoder's embeddings "
                f"have {dimension}; every length must be shorter"
            )
        super().check_dimension(dimension)

    def on_embeddings(
        self, embedded: Embedded, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        """``(B,)`` weighted sum over the lengths."""
        loss = losses_of(self.wrapped, embedded, context, selection)
        weights = self.weights or (1.0,) * len(self.dimensions)
        for length, weight in zip(self.dimensions, weights, strict=True):
            short = embedded.truncated(length)
            seen = context.replace(similarity=short.live.detach())
            loss = loss + weight * losses_of(self.wrapped, short, seen, selection)
        return loss
