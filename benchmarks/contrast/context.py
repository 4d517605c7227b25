"""From a batch's embeddings to a sampler's context, with every known positive masked."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.contrast.world import Stored
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.data._types import Ints
from nsbench.benchmarks.objectives._embedded import compared
from nsbench.samplers import SimilarityContext, append_synthetic


class Known:
    """Knowledge of the T texts of training data: equal ones, positive pairs, equal meanings."""

    def __init__(self, data: TrainingData, device: torch.device) -> None:
        group = data.group
        self.group = torch.from_numpy(group).to(device)  # (T,)
        self.meaning = None
        if data.meaning is not None:
            self.meaning = torch.from_numpy(np.asarray(data.meaning, np.int64)).to(device)
        self._groups = int(group.max(initial=0)) + 1
        self._pairs = self._keys(group[data.known]).to(device)
        self._hidden = None
        if data.hidden is not None:
            self._hidden = self._keys(group[data.hidden]).to(device)

    def _keys(self, pairs: Ints) -> Tensor:
        """One number for each pair of different groups, in both orders, ascending."""
        a, b = pairs[pairs[:, 0] != pairs[:, 1]].T
        keys = np.concatenate([a * self._groups + b, b * self._groups + a])
        return torch.from_numpy(np.unique(keys))

    def twins(self, left: Tensor, right: Tensor) -> Tensor:
        """``(B, N)`` True where text ``left[i]`` equals ``right[j]`` after normalisation."""
        return self.group[left][:, None] == self.group[right][None, :]

    def pairs(self, left: Tensor, right: Tensor) -> Tensor:
        """``(B, N)`` True where the two texts are a known positive pair of the data."""
        return self._among(self._pairs, left, right)

    def _among(self, pairs: Tensor, left: Tensor, right: Tensor) -> Tensor:
        if pairs.numel() == 0:
            return torch.zeros(len(left), len(right), dtype=torch.bool, device=left.device)
        keys = self.group[left][:, None] * self._groups + self.group[right][None, :]
        place = torch.searchsorted(pairs, keys).clamp(max=pairs.numel() - 1)
        return pairs[place] == keys

    def truth(self, left: Tensor, right: Tensor) -> Tensor | None:
        """``(B, N)`` True where both are known to mean the same; ``None`` if nothing is known."""
        hidden = None if self._hidden is None else self._among(self._hidden, left, right)
        if self.meaning is None:
            return hidden
        mine = self.meaning[left][:, None]
        same = (mine == self.meaning[right][None, :]) & (mine >= 0)
        return same if hidden is None else same | hidden


@dataclass(frozen=True, eq=False)
class Contrast:
    """A batch laid out as anchors against columns.

    Attributes:
        anchors: ``(B, d)`` live normalised anchor embeddings.
        columns: ``(N, d)`` normalised candidate embeddings, live where they were just encoded.
        anchor_texts: ``(B,)`` text of each anchor.
        positive_texts: ``(B,)`` text of its positive.
        column_texts: ``(N,)`` text of each column, 0 where invalid.
        valid: ``(N,)`` bool, False for empty places.
        positive: ``(B,)`` column of each anchor's positive.
        anchor_rows: ``(B,)`` row of the batch each anchor came from.
        owner: ``(N,)`` row of the batch that a column was given to, or mined for, as a negative;
            -1 for none.
        private: ``(N,)`` bool, True for columns that only their owner may choose.
        of_positive: ``(N,)`` bool, True for columns that are compared with an anchor's positive
            in the anchor's place; ``None`` for none.
        barred: ``(B, N)`` bool, True for pairs that are not contrasted; ``None`` for none.
        again: ``(B, N)`` bool, True for pairs that may be chosen although they are known
            positives; ``None`` for none.
    """

    anchors: Tensor
    columns: Tensor
    anchor_texts: Tensor
    positive_texts: Tensor
    column_texts: Tensor
    valid: Tensor
    positive: Tensor
    anchor_rows: Tensor
    owner: Tensor
    private: Tensor
    of_positive: Tensor | None = None
    barred: Tensor | None = None
    again: Tensor | None = None

    def similarity(self) -> Tensor:
        """``(B, N)`` live cosine of every anchor, or its positive, with every column."""
        return compared(self.anchors, self.columns, self.positives, self.of_positive)

    @property
    def positives(self) -> Tensor | None:
        """``(B, d)`` live embeddings of the positives, where columns are compared with them."""
        return None if self.of_positive is None else self.columns[self.positive]

    @property
    def own_negative(self) -> Tensor:
        """``(B, N)`` bool, True where the column was given to, or mined for, the anchor's row."""
        return self.anchor_rows[:, None] == self.owner[None, :]


def owners(
    batch: int, given: int, mined: int, *, share: str, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Return owner and privacy of further columns: given negatives by row, then mined by row.

    Args:
        batch: B rows.
        given: Given negatives per row.
        mined: Mined candidates per row.
        share: ``own`` if mined columns are private, ``batch`` if all anchors may choose them.
        device: Where they are wanted; the CPU without one.
    """
    rows = torch.arange(batch, device=device)
    owner = torch.cat([rows.repeat_interleave(given), rows.repeat_interleave(mined)])
    return owner, torch.arange(len(owner), device=device) >= (
        batch * given if share == "own" else len(owner)
    )


@dataclass(frozen=True, eq=False)
class Further:
    """Live columns in addition to the views of a batch.

    Attributes:
        embeddings: ``(E, d)`` normalised.
        texts: ``(E,)`` text of each, -1 for an empty place.
        owner: ``(E,)`` see `Contrast`; ``None`` if no row owns any.
        private: ``(E,)`` bool, see `Contrast`; ``None`` if none is.
    """

    embeddings: Tensor
    texts: Tensor
    owner: Tensor | None = None
    private: Tensor | None = None


def lay_out(
    view1: Tensor,
    view2: Tensor,
    texts1: Tensor,
    texts2: Tensor,
    *,
    both: bool,
    further: Further | None = None,
    stored: Stored | None = None,
    batch_negatives: bool = True,
) -> Contrast:
    """Lay a batch out as anchors and columns.

    Args:
        view1: ``(B, d)`` normalised embeddings of the anchors.
        view2: ``(B, d)`` normalised embeddings of their positives.
        texts1: ``(B,)`` texts of view 1.
        texts2: ``(B,)`` texts of view 2.
        both: All 2B views as anchors against all others, instead of view 1 against view 2.
        further: Further live columns.
        stored: Columns a pool kept from before.
        batch_negatives: Whether the batch's own columns may be chosen.
    """
    size, device = view1.shape[0], view1.device
    place = torch.arange(size, device=device)
    if both:
        anchors, positive = torch.cat([view1, view2]), torch.cat([place + size, place])
        columns, texts = [anchors], [torch.cat([texts1, texts2])]
        anchor_texts, positive_texts = texts[0], torch.cat([texts2, texts1])
    else:
        anchors, positive = view1, place
        columns, texts = [view2], [texts2]
        anchor_texts, positive_texts = texts1, texts2
    valid = [torch.full_like(texts[0], batch_negatives, dtype=torch.bool)]
    before = len(texts[0])
    if further is not None:
        columns.append(further.embeddings)
        texts.append(further.texts.clamp(min=0))
        valid.append(further.texts >= 0)
    if stored is not None:
        columns.append(stored.embeddings.to(view1.dtype))
        texts.append(stored.texts.clamp(min=0))
        valid.append(stored.valid)
    owner = torch.full((sum(map(len, valid)),), -1, dtype=torch.int64, device=device)
    private = torch.zeros_like(owner, dtype=torch.bool)
    if further is not None and further.owner is not None:
        owner[before : before + len(further.owner)] = further.owner
    if further is not None and further.private is not None:
        private[before : before + len(further.private)] = further.private
    return Contrast(
        anchors=anchors,
        columns=torch.cat(columns),
        anchor_texts=anchor_texts,
        positive_texts=positive_texts,
        column_texts=torch.cat(texts),
        valid=torch.cat(valid),
        positive=positive,
        anchor_rows=place.repeat(2) if both else place,
        owner=owner,
        private=private,
    )


@dataclass(frozen=True, eq=False)
class Masked:
    """``(B, N)`` masks of eligible candidates and of those ruled out, by reason."""

    negative: Tensor
    duplicate: Tensor
    known: Tensor


def mask_candidates(contrast: Contrast, known: Known, *, positive_copies: bool = False) -> Masked:
    """Rule out the anchor, its positive, other known positives and texts equal to any of them.

    With ``positive_copies``, texts equal to the positive may be chosen all the same.
    """
    own = torch.zeros(
        len(contrast.anchors), len(contrast.columns), dtype=torch.bool, device=contrast.valid.device
    ).scatter_(1, contrast.positive[:, None], True)
    duplicate = known.twins(contrast.anchor_texts, contrast.column_texts)
    copies = known.twins(contrast.positive_texts, contrast.column_texts)
    pair = known.pairs(contrast.anchor_texts, contrast.column_texts)
    if contrast.of_positive is not None:
        other = known.pairs(contrast.positive_texts, contrast.column_texts)
        pair = torch.where(contrast.of_positive[None, :], other, pair)
    pair = pair & ~duplicate & ~copies
    if not positive_copies:
        duplicate = duplicate | copies
    there = contrast.valid & (~contrast.private | contrast.own_negative)  # (B, N)
    if contrast.barred is not None:
        there = there & ~contrast.barred
    if contrast.again is not None:
        duplicate, pair = duplicate & ~contrast.again, pair & ~contrast.again
    return Masked(
        negative=there & ~own & ~duplicate & ~pair,
        duplicate=there & ~own & duplicate,
        known=there & ~own & pair,
    )


def extend(
    context: SimilarityContext, live: Tensor, anchors: Tensor, made: Tensor
) -> tuple[SimilarityContext, Tensor]:
    """Append synthetic candidates as columns, marked as such; no gradient flows into them.

    Args:
        context: The context so far, N columns, with the extra ``anchors``.
        live: ``(B, N)`` live similarity.
        anchors: ``(B, d)`` live anchors.
        made: ``(B, S, d)`` embeddings of each anchor's own synthetic candidates.

    Returns:
        Context and live similarity with N + S columns.
    """
    made = functional.normalize(made.detach(), dim=-1)
    new = torch.einsum("bd,bsd->bs", anchors, made)
    return append_synthetic(context, made), torch.cat([live, new], dim=1)
