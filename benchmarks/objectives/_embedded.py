"""A batch as embeddings, for objectives to which similarities are not enough."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.samplers import Objective, Selection, SimilarityContext


@dataclass(frozen=True, eq=False)
class Embedded:
    """A batch's embeddings, live where they were just encoded.

    Attributes:
        anchors: ``(B, d)`` normalised.
        columns: ``(N, d)`` normalised.
        views: View 1 and view 2 of the batch's texts, ``(R, d)`` each, normalised.
        live: ``(B, N + S)`` cosine of anchor and candidate, as the objective is given it.
        made: ``(B, S, d)`` candidates that the sampler made, detached; ``None`` for none.
        positives: ``(B, d)`` normalised positives, where some columns are compared with them.
        of_positive: ``(N,)`` bool, True for those columns; ``None`` for none.
    """

    anchors: Tensor
    columns: Tensor
    views: tuple[Tensor, Tensor]
    live: Tensor
    made: Tensor | None = None
    positives: Tensor | None = None
    of_positive: Tensor | None = None

    @property
    def dimension(self) -> int:
        """D."""
        return self.anchors.shape[1]

    def truncated(self, dimension: int) -> "Embedded":
        """The same batch with the first numbers of every embedding, normalised again."""

        def cut(value: Tensor) -> Tensor:
            return functional.normalize(value[..., :dimension], dim=-1)

        short = replace(
            self,
            anchors=cut(self.anchors),
            columns=cut(self.columns),
            views=(cut(self.views[0]), cut(self.views[1])),
            made=None if self.made is None else cut(self.made),
            positives=None if self.positives is None else cut(self.positives),
        )
        return replace(short, live=short.similarity())

    def similarity(self) -> Tensor:
        """``(B, N + S)`` cosine of every anchor with its candidates."""
        out = compared(self.anchors, self.columns, self.positives, self.of_positive)
        if self.made is None:
            return out
        return torch.cat([out, torch.einsum("bd,bsd->bs", self.anchors, self.made)], dim=1)


def compared(
    anchors: Tensor, columns: Tensor, positives: Tensor | None, of_positive: Tensor | None
) -> Tensor:
    """``(B, N)`` cosine of anchors with columns, or of their positives, where a column is so."""
    out = anchors @ columns.T
    if positives is None or of_positive is None:
        return out
    return torch.where(of_positive[None, :], positives @ columns.T, out)


def losses_of(
    objective: Objective, embedded: Embedded, context: SimilarityContext, selection: Selection
) -> Tensor:
    """``(B,)`` losses, from the embeddings where the objective asks for them."""
    asks = getattr(objective, "on_embeddings", None)
    if asks is None:
        return objective(embedded.live, context, selection)
    out: Tensor = asks(embedded, context, selection)
    return out
