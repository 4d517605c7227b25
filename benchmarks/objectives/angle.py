"""Graded pairs by their order, of the cosine and of the angle between complex halves.

Source: Li and Li 2024, AnglE-optimized Text Embeddings. https://arxiv.org/abs/2309.12871 An
embedding's halves are real and imaginary part of a complex vector. The product of one with the
other's conjugate has the cosine as its real part, and a sine as its imaginary one, which still has
a gradient where the cosine is flat. The loss of their sum is that of sentence-transformers'
``AnglELoss``. AnglE adds it to the loss of the cosine, here ``inner``.
"""

from typing import Annotated, ClassVar

from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.objectives import register
from nsbench.benchmarks.objectives._embedded import Embedded, losses_of
from nsbench.benchmarks.objectives._inner import Wraps, inner_objective
from nsbench.benchmarks.objectives._ranks import wrong_order
from nsbench.samplers import Interval, Selection, SimilarityContext


@register("angle")
class AnglE(Wraps):
    """inner_weight * inner + weight * the loss of `cosent` on angles in the cosines' place.

    For data with ``views = "graded"``.

    Args:
        inner: The objective of the cosines, ``name`` or ``name[parameter=value,...]``.
        inner_weight: Its weight, in [0, 1000]; 0 for the angle alone.
        weight: Of the angles, in [0, 1000].
        scale: Multiplies differences of angles, in (0, 1000].
    """

    inner: Annotated[str, inner_objective] = "cosent"
    inner_weight: Annotated[float, Interval("[0, 1000]")] = 1.0
    weight: Annotated[float, Interval("[0, 1000]")] = 1.0
    scale: Annotated[float, Interval("(0, 1000]")] = 20.0
    test_configs: ClassVar = ({"inner": "info_nce", "inner_weight": 0.5},)

    @property
    def needs(self) -> frozenset[str]:
        """As the inner objective, and the grades."""
        return frozenset({"grade"} | set(getattr(self.wrapped, "needs", ())))

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        """The inner loss; the angles need embeddings."""
        context.require("grade")
        out: Tensor = self.inner_weight * self.wrapped(similarity, context, selection)
        return out

    def on_embeddings(
        self, embedded: Embedded, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        """Both losses."""
        inner = self.inner_weight * losses_of(self.wrapped, embedded, context, selection)
        angle = angle_between(embedded.anchors, embedded.columns[context.positive])
        grade = context.require("grade")
        return inner + self.weight * wrong_order(angle, grade, selection, self.scale)


def angle_between(one: Tensor, two: Tensor) -> Tensor:
    """``(B,)`` |real + imaginary part| of the complex product of one with two's conjugate.

    Args:
        one: ``(B, d)`` normalised; where d is odd, a 0 is appended.
        two: ``(B, d)`` normalised.
    """
    odd = one.shape[1] % 2
    (a, b), (c, d) = (functional.pad(v.float(), (0, odd)).chunk(2, dim=1) for v in (one, two))
    return (a * c + b * d + b * c - a * d).sum(dim=1).abs()
