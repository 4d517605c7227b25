"""Facts about texts that the engine finds by number, found here by hashes and tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Features = Mapping[str, Any]
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


def text_tokens(features: Features, wrapping: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
    """``(B, L)`` ids and mask of the texts alone: no padding, no prompt, nothing around them.

    Args:
        features: A tokenised column.
        wrapping: Ids of the tokens that the tokenizer puts around texts.
    """
    if "nsbench_words" in features:
        ids, mask = features["nsbench_words"], features["nsbench_words_mask"].bool()
    else:
        ids, mask = token_rows(features)
        if "prompt_length" in features and "offsets" not in features:
            asked = features["prompt_length"]
            prompt = int(asked.flatten()[0]) if isinstance(asked, Tensor) else int(asked)
            mask = mask & (mask.cumsum(dim=1) > prompt)
    if len(wrapping):
        mask = mask & ~torch.isin(ids, torch.tensor(list(wrapping), device=ids.device))
    return ids, mask


def token_hash(features: Features, wrapping: Sequence[int] = ()) -> Tensor:
    """``(B,)`` int64 hash of the texts' tokens and their order, see `text_tokens`."""
    ids, mask = text_tokens(features, wrapping)
    place = mask.cumsum(dim=1)  # from the first token of the text, on either side of the padding
    mixed = (ids.long() + 1) * _SPREAD + place * _STEP
    for shift in (29, 32):
        mixed = (mixed ^ (mixed >> shift)) * _SPREAD
    return (mixed * mask).sum(dim=1)


class BatchKnown:
    """Equal texts and known pairs of one batch; answers like the engine's `Known`.

    Texts are numbered in the order of the columns: all anchors, all positives, then negatives.

    Args:
        hashes: ``(T,)`` hashes of the batch's texts.
        batch: B: text ``i`` and text ``B + i`` are a pair.
        pairs: ``(P,)`` keys of pairs known from elsewhere, sorted, see `pair_keys`.
    """

    meaning = None

    def __init__(self, hashes: Tensor, batch: int, pairs: Tensor | None = None) -> None:
        self.hashes = hashes
        left, right = hashes[:batch], hashes[batch : 2 * batch]
        self._own, self._pairs = pair_keys(left, right), pairs

    def twins(self, left: Tensor, right: Tensor) -> Tensor:
        """``(B, N)`` True where text ``left[i]`` equals ``right[j]``."""
        return self.hashes[left][:, None] == self.hashes[right][None, :]

    def pairs(self, left: Tensor, right: Tensor) -> Tensor:
        """``(B, N)`` True where the two texts are a known pair."""
        keys = _keys(self.hashes[left][:, None], self.hashes[right][None, :])
        found = torch.isin(keys, self._own)
        if self._pairs is None or not len(self._pairs):
            return found
        place = torch.searchsorted(self._pairs, keys).clamp(max=len(self._pairs) - 1)
        return found | (self._pairs[place] == keys)


def _keys(left: Tensor, right: Tensor) -> Tensor:
    return (left * _SPREAD) ^ (right * _STEP + 1)


def pair_keys(left: Tensor, right: Tensor) -> Tensor:
    """``(2P,)`` keys of pairs of hashes, in both directions; a text is no pair of itself."""
    apart = left != right
    left, right = torch.where(apart, left, 0), torch.where(apart, right, 0)
    return torch.cat([_keys(left, right), _keys(right, left)])


class BatchTokens:
    """Tokens of one batch, for extras that compare words; like the engine's `TokenTable`.

    Args:
        columns: ``(B, L)`` ids and mask of each column, see `text_tokens`.
    """

    def __init__(self, columns: Sequence[tuple[Tensor, Tensor]]) -> None:
        width = max(ids.shape[1] for ids, _ in columns)
        pad = torch.nn.functional.pad
        self.ids = torch.cat([pad(ids, (0, width - ids.shape[1])) for ids, _ in columns])
        self._mask = torch.cat([pad(mask, (0, width - mask.shape[1])) for _, mask in columns])

    @property
    def vocabulary(self) -> int:
        """One more than the largest id."""
        return int(self.ids.max()) + 1

    def rows(self, index: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """``(n, length)`` ids and mask of the texts ``index``."""
        return self.ids[index, :length], self._mask[index, :length]
