"""Facts about texts that the engine finds by number, found here by tokens."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

Features = Mapping[str, Tensor]
_SPREAD = -7046029254386353131  # odd, as in Knuth's multiplicative hashing; products wrap around
_STEP = 6364136223846793005


def token_rows(features: Features) -> tuple[Tensor, Tensor]:
    """``(B, L)`` ids and mask of a tokenised column, padded or flat with offsets."""
    ids = features["input_ids"]
    if "offsets" not in features:
        mask = features.get("attention_mask")
        return ids, torch.ones_like(ids).bool() if mask is None else mask.bool()
    starts = features["offsets"]
    ends = torch.cat([starts[1:], starts.new_tensor([len(ids)])])
    width = max(1, int((ends - starts).max())) if len(starts) else 1
    place = starts[:, None] + torch.arange(width, device=ids.device)
    mask = place < ends[:, None]
    if not len(ids):
        return torch.zeros_like(place), mask
    return ids[place.clamp(max=len(ids) - 1)].masked_fill(~mask, 0), mask


def token_hash(features: Features) -> Tensor:
    """``(B,)`` int64 hash of the tokens of every text and their order; equal tokens, equal hash."""
    ids, mask = token_rows(features)
    place = torch.arange(1, ids.shape[1] + 1, device=ids.device)
    mixed = (ids.long() + 1) * _SPREAD + place * _STEP
    for shift in (29, 32):
        mixed = (mixed ^ (mixed >> shift)) * _SPREAD
    return (mixed * mask).sum(dim=1)


class BatchKnown:
    """Equal texts and known pairs of one batch; answers like the engine's `Known`.

    Texts are numbered in the order of the columns: all anchors, all positives, then negatives.

    Args:
        hashes: ``(T,)`` token hashes of the batch's texts.
        batch: B: text ``i`` and text ``B + i`` are a pair.
        pairs: ``(P,)`` sorted keys of pairs known from elsewhere, see `pair_keys`.
    """

    meaning = None

    def __init__(self, hashes: Tensor, batch: int, pairs: Tensor | None = None) -> None:
        self.hashes = hashes
        left, right = hashes[:batch], hashes[batch : 2 * batch]
        keys = pair_keys(left, right)
        self._pairs = keys if pairs is None else torch.cat([keys, pairs.to(keys.device)])

    def twins(self, left: Tensor, right: Tensor) -> Tensor:
        """``(B, N)`` True where text ``left[i]`` has the tokens of ``right[j]``."""
        return self.hashes[left][:, None] == self.hashes[right][None, :]

    def pairs(self, left: Tensor, right: Tensor) -> Tensor:
        """``(B, N)`` True where the two texts are a known pair."""
        return torch.isin(
            _keys(self.hashes[left][:, None], self.hashes[right][None, :]), self._pairs
        )


def _keys(left: Tensor, right: Tensor) -> Tensor:
    return (left * _SPREAD) ^ (right * _STEP + 1)


def pair_keys(left: Tensor, right: Tensor) -> Tensor:
    """``(2P,)`` keys of pairs of token hashes, in both directions; a text is no pair of itself."""
    apart = left != right
    left, right = torch.where(apart, left, 0), torch.where(apart, right, 0)
    return torch.cat([_keys(left, right), _keys(right, left)])


class BatchTokens:
    """Tokens of one batch, for extras that compare words; like the engine's `TokenTable`."""

    def __init__(self, columns: Iterable[Features]) -> None:
        rows = [token_rows(features) for features in columns]
        width = max(ids.shape[1] for ids, _ in rows)
        pad = torch.nn.functional.pad
        self.ids = torch.cat([pad(ids, (0, width - ids.shape[1])) for ids, _ in rows])
        self._mask = torch.cat([pad(mask, (0, width - mask.shape[1])) for _, mask in rows])

    @property
    def vocabulary(self) -> int:
        """One more than the largest id."""
        return int(self.ids.max()) + 1

    def rows(self, index: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """``(n, length)`` ids and mask of the texts ``index``."""
        return self.ids[index, :length], self._mask[index, :length]
