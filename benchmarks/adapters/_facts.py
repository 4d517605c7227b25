"""Facts about the texts of one batch: their identity, their tokens, the guide's embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.adapters import _identity
from nsbench.benchmarks.adapters._batch import pair_keys, text_tokens, token_hash
from nsbench.benchmarks.adapters._gather import gather_rows


@dataclass(frozen=True, eq=False)
class Facts:
    """Facts about the texts of a batch, one entry a column.

    Attributes:
        hashes: ``(B,)`` each, equal for equal texts.
        by_text: Whether hashes are those of texts, and not of tokens.
        words: ``(B, L)`` ids and mask each, where a sampler compares words.
        guide: ``(B, g)`` normalised embeddings each, where a sampler reads a guide.
    """

    hashes: Sequence[Tensor]
    by_text: bool
    words: Sequence[tuple[Tensor, Tensor]] = ()
    guide: Sequence[Tensor] = ()

    def gathered(self) -> "Facts":
        """Return the facts of all processes' rows, in the order of the processes."""
        agreed = gather_rows(torch.tensor([self.by_text], device=self.hashes[0].device))
        if bool(agreed.any()) != bool(agreed.all()):
            raise ValueError("some processes know the texts of the batch and others its tokens")
        return Facts(
            [gather_rows(h) for h in self.hashes],
            self.by_text,
            [(gather_rows(ids), gather_rows(mask)) for ids, mask in self.words],
            [gather_rows(z) for z in self.guide],
        )


class KnownPairs:
    """Pairs of the training set, by texts and, for features without them, by tokens.

    Raises:
        ValueError: If they do not pair up, or hold something else than texts.
    """

    def __init__(self, pairs: tuple[Sequence[str], Sequence[str]]) -> None:
        if len(pairs) != 2:
            raise ValueError(f"pairs are (anchors, positives), got {len(pairs)} columns")
        self.sides = [list(side) for side in pairs]
        if len(self.sides[0]) != len(self.sides[1]):
            raise ValueError(
                f"pairs hold {len(self.sides[0])} anchors and {len(self.sides[1])} positives"
            )
        for name, side in zip(("anchor", "positive"), self.sides, strict=True):
            wrong = next((i for i, text in enumerate(side) if not isinstance(text, str)), None)
            if wrong is not None:
                raise ValueError(f"pairs: {name} {wrong} is {side[wrong]!r}, not a text")
        self._keys: dict[bool, Tensor] = {}

    def keys(self, model: Any, device: torch.device, *, by_text: bool) -> Tensor:
        """``(2P,)`` sorted keys, see `pair_keys`."""
        found = self._keys.get(by_text)
        if found is None:
            hashed = [
                _identity.text_hashes(s) if by_text else _by_tokens(model, s) for s in self.sides
            ]
            found = pair_keys(hashed[0], hashed[1]).unique()
        self._keys[by_text] = found.to(device)
        return self._keys[by_text]


def _by_tokens(model: Any, texts: Sequence[str]) -> Tensor:
    plain, wrapping = _identity.unwrapped(model), _identity.wrapping_tokens(model)
    blocks = [texts[i : i + 512] for i in range(0, len(texts), 512)]
    found = [token_hash(plain.preprocess(b), wrapping) for b in blocks]
    return torch.cat(found).cpu() if found else torch.zeros(0, dtype=torch.int64)


def facts_of(columns: _identity.Columns, model: Any, *, words: bool, guide: Any = None) -> Facts:
    """Read the facts of a batch from its features, tokens and the guide's as asked for.

    Raises:
        ValueError: If features have neither texts nor tokens, or none that the guide can read.
    """
    by_text = all(_identity.IDS in f for f in columns)
    known = by_text or all("input_ids" in f for f in columns)
    if not known or (words and not all("input_ids" in f for f in columns)):
        kinds = sorted({str(name) for f in columns for name in f})
        raise ValueError(
            f"this loss compares texts, and the features hold none: they are {', '.join(kinds)}"
        )
    wrapping = _identity.wrapping_tokens(model)
    for f in columns:  # once: a pooling without the prompt changes the mask in place
        if words and _identity.WORDS not in f:
            f[_identity.WORDS], f[_identity.WORDS_MASK] = text_tokens(f, wrapping)
        if not by_text and _identity.TOKENS not in f:
            f[_identity.TOKENS] = token_hash(f, wrapping)
    return Facts(
        [f[_identity.IDS if by_text else _identity.TOKENS] for f in columns],
        by_text,
        [text_tokens(f, wrapping) for f in columns] if words else (),
        () if guide is None else _by_guide(guide, model, columns),
    )


def _by_guide(guide: Any, model: Any, columns: _identity.Columns) -> list[Tensor]:
    """``(B, g)`` normalised embeddings of each column, by the guide's tokenizer and prompts."""
    guide.eval()
    if all(_identity.TEXTS in f for f in columns):
        texts = [text for f in columns for text in f[_identity.TEXTS]]
        sizes = [len(f[_identity.TEXTS]) for f in columns]
        device = columns[0][_identity.IDS].device
        if any(n != len(f[_identity.IDS]) for n, f in zip(sizes, columns, strict=True)):
            raise ValueError(
                "the batch was cut after its texts were read, as dispatch_batches does: the guide "
                "cannot read it; set dispatch_batches = false in accelerator_config"
            )
        with torch.autocast(device.type, enabled=False), torch.no_grad():
            found = guide.encode(texts, convert_to_tensor=True, show_progress_bar=False)
        return list(functional.normalize(found.clone().float(), dim=-1).to(device).split(sizes))
    if not _identity.same_tokenizer(guide, model):
        raise ValueError(
            "the guide has another tokenizer, and these features hold no texts to tokenise for "
            "it: make them after the loss, by the trainer or by model.preprocess"
        )
    out = []
    with torch.no_grad():
        for f in columns:
            with _identity.hidden(f):
                made = guide({name: value for name, value in f.items() if name in _TOKENISED})
            out.append(functional.normalize(made["sentence_embedding"].float(), dim=-1))
    return out


_TOKENISED = ("input_ids", "attention_mask", "token_type_ids", "offsets", "prompt_length", "task")
