"""Base of all encoders: tokens of a corpus, the pooled forward pass, encoding, hashing."""

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.encoders.progress import embedded
from nsbench.samplers._cache import Cache


class Encoder(nn.Module):
    """An encoder in memory: tokenizer, weights and pooling.

    Attributes:
        tokenizer: A Hugging Face fast tokenizer.
        width: Width of the embedding layer, where augmentations act.
        dimension: d of the pooled embedding.
        max_length: Longest text in tokens, special ones included.
        has_positions: Whether position ids reach the embedding layer.
        special_tokens: Whether texts are wrapped in the tokenizer's special tokens.
        dropout: Dropout rate of views that do not set one.
        sums_tokens: Whether an embedding is a sum of token embeddings times the view's scale, which
            then may be of uint8 on a CPU. The class of its settings says the same.
        sparse: Names of parameters ``(V, d)`` whose gradients are sparse over rows: an optimizer
            moves only the rows that a batch names.
        prompts: Put before texts by name, see `_prompts.prompt_for`; the encoder alone never does.
        lengths: Longest text in tokens by role, see `_prompts.length_for`; likewise.
    """

    tokenizer: Any
    width: int
    dimension: int
    max_length: int
    has_positions: bool
    special_tokens: bool = True
    dropout: float = 0.0
    sums_tokens: bool = False
    sparse: tuple[str, ...] = ()
    prompts: Mapping[str, str] = MappingProxyType({})
    lengths: Mapping[str, int] = MappingProxyType({})

    @property
    def batch_tokens(self) -> int:
        """Padded tokens of a batch in `encode_texts`."""
        return 8192

    def scoring(self) -> AbstractContextManager[None]:
        """A context for passes without gradient between which no weight changes."""
        return nullcontext()

    @abstractmethod
    def forward(self, view: TokenView) -> Tensor:
        """``(B, dimension)`` pooled embeddings, not normalised."""

    def plain_view(self, ids: Tensor, mask: Tensor) -> TokenView:
        """The view of texts as they are, from ``(B, L)`` ids and mask."""
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        head, tail = self.specials
        return TokenView(
            ids=ids,
            mask=mask,
            positions=positions,
            width=self.width,
            head=head,
            tail=tail,
            limit=self.max_length,
        )

    @cached_property
    def specials(self) -> tuple[int, int]:
        """Special tokens that the tokenizer puts before and after a text."""
        if not self.special_tokens:
            return 0, 0
        bare = self.tokenizer("a", add_special_tokens=False)["input_ids"]
        wrapped = self.tokenizer("a", add_special_tokens=True)["input_ids"]
        extra = len(wrapped) - len(bare)
        places = (i for i in range(extra + 1) if wrapped[i : i + len(bare)] == bare)
        head = next(places, extra // 2)
        return head, extra - head


class EncoderSpec(Protocol):
    """Recipe of an encoder: a frozen dataclass whose fields are the cell's parameters.

    When rounding of its forward pass changes, a class says ``arithmetic = 2``, then 3: its cells
    get new keys, and those of other encoders keep theirs.
    """

    def check(self) -> None:
        """Raise one clear error if `build` could not succeed here; cheap, before training."""
        ...

    def fingerprint(self) -> str:
        """Hash of the weights and tokenizer it starts from, or ``"random"``."""
        ...

    def build(self, corpus: Sequence[str], seed: int) -> Encoder:
        """Make the encoder.

        Args:
            corpus: Training texts; an encoder without a vocabulary builds one from them.
            seed: Seed of any random weights.
        """
        ...


@dataclass(frozen=True, eq=False)
class TokenTable:
    """Tokens of T texts, made once and kept on the device.

    Attributes:
        ids: ``(T, L)`` int64, padded at the end.
        lengths: ``(T,)`` int64 on the host: real tokens of each text, at least 1.
        device_lengths: The same on the device.
        truncated: Texts that were longer than L.
        vocabulary: One more than the largest id.
        prompt: Tokens of the prompt that every text begins with, special ones not counted.
    """

    ids: Tensor
    lengths: NDArray[np.int64]
    device_lengths: Tensor
    truncated: int
    vocabulary: int
    prompt: int = 0

    def rows(self, index: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """``(B, length)`` ids and mask of the texts ``index``."""
        ids = self.ids[index, :length]
        place = torch.arange(length, device=ids.device)
        return ids, place < self.device_lengths[index][:, None]

    @property
    def tokens(self) -> int:
        """Real tokens of all texts."""
        return int(self.lengths.sum())


_tokenized: Cache[tuple[list[list[int]], int]] = Cache(
    f"{__name__}.cut", 200_000, weight=lambda found: len(found[0])
)
"""Token ids of corpora, with at most so many texts together."""
_tables: "Cache[TokenTable]" = Cache(f"{__name__}.token_table", 4)


def tokenize(encoder: Encoder, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of every text, truncated to ``max_length``; never empty. See `cut`."""
    return cut(encoder, texts, max_length)[0]


def cut(encoder: Encoder, texts: Sequence[str], max_length: int) -> tuple[list[list[int]], int]:
    """Token ids of every text, and the number of texts that were longer than ``max_length``.

    The last corpora are kept, by the content of tokenizer and texts, so that the cells of a
    matrix tokenise its training and evaluation texts once. Do not change the lists.
    """
    backend = encoder.tokenizer.backend_tokenizer
    backend.no_padding()
    side = getattr(encoder.tokenizer, "truncation_side", "right")
    backend.enable_truncation(max_length=min(max_length, encoder.max_length), direction=side)
    digest = hashlib.sha256(backend.to_str().encode())
    digest.update(f"{encoder.special_tokens}:{len(texts)}".encode())
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode("utf-8", "surrogatepass"))
    key = digest.hexdigest()
    known = _tokenized.get(key)
    if known is not None:
        return known
    unknown = encoder.tokenizer.unk_token_id or 0
    found = backend.encode_batch_fast(list(texts), add_special_tokens=encoder.special_tokens)
    ids = [encoding.ids or [unknown] for encoding in found]
    longer = sum(bool(encoding.overflowing) for encoding in found)
    return _tokenized.put(key, (ids, longer))


def token_table(
    encoder: Encoder,
    texts: Sequence[str],
    max_length: int,
    device: torch.device,
    *,
    key: str = "",
    prompt: str = "",
) -> TokenTable:
    """Tokenise a corpus once.

    Args:
        encoder: Whose tokenizer is used.
        texts: T texts.
        max_length: Longest row in tokens.
        device: Where the ids are to live.
        key: Identifies tokenizer, texts and length; all cells of a process share tables of equal
            keys. Empty for a separate table.
        prompt: Put before every text.
    """
    key = key and f"{key} {max_length} {prompt}"
    known = _tables.get((key, str(device))) if key else None
    if known is not None:
        return known
    ids, longer = cut(encoder, [prompt + t for t in texts] if prompt else texts, max_length)
    before = encoder.tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else ()
    lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
    width = int(lengths.max(initial=1))
    padded = np.full((len(ids), width), encoder.tokenizer.pad_token_id or 0, dtype=np.int64)
    padded[np.arange(width) < lengths[:, None]] = np.fromiter(
        chain.from_iterable(ids), dtype=np.int64, count=int(lengths.sum())
    )
    table = TokenTable(
        ids=torch.from_numpy(padded).to(device),
        lengths=lengths,
        device_lengths=torch.from_numpy(lengths).to(device),
        truncated=longer,
        vocabulary=int(padded.max(initial=0)) + 1,
        prompt=len(before),
    )
    return _tables.put((key, str(device)), table) if key else table


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """``(B, d)`` mean of the real tokens' states ``(B, L, d)`` under a mask ``(B, L)``."""
    weight = mask.to(states.dtype)[:, :, None]
    return (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def encode_texts(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    max_length: int | None = None,
    batch_tokens: int | None = None,
    pooling: str = "",
    unpooled: Tensor | None = None,
) -> NDArray[np.float32]:
    """Embed texts with the current encoder, dropout off.

    Args:
        encoder: The encoder.
        texts: n texts in any order.
        max_length: Longest text in tokens, default the encoder's own.
        batch_tokens: Padded tokens of one batch, default the encoder's own; bounds the memory.
        pooling: See `TokenView.pooling`.
        unpooled: See `TokenView.unpooled`.

    Returns:
        ``(n, d)`` float32, not normalised, in the order of ``texts``.
    """
    device = next(encoder.parameters()).device
    ids = tokenize(encoder, texts, max_length or encoder.max_length)
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    pad = encoder.tokenizer.pad_token_id or 0
    most = batch_tokens or encoder.batch_tokens
    out = np.empty((len(ids), encoder.dimension), dtype=np.float32)
    was_training = encoder.training
    encoder.eval()
    start = 0
    with torch.inference_mode(), encoder.scoring():
        while start < len(order):
            stop = start + 1
            while (
                stop < len(order)
                and (stop + 1 - start) * len(ids[order[stop]]) <= most
                and stop - start < 1024
            ):
                stop += 1
            chosen = order[start:stop]
            width = len(ids[chosen[-1]])
            block = np.full((len(chosen), width), pad, dtype=np.int64)
            for row, i in enumerate(chosen):
                block[row, : len(ids[i])] = ids[i]
            lengths = torch.tensor([len(ids[i]) for i in chosen], device=device)
            view = encoder.plain_view(
                torch.from_numpy(block).to(device),
                torch.arange(width, device=device) < lengths[:, None],
            ).replace(dropout=0.0, pooling=pooling, unpooled=unpooled)
            out[chosen] = encoder(view).float().cpu().numpy()
            start = stop
            embedded(stop, len(order))
    encoder.train(was_training)
    return out


def trained_state(encoder: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers of an encoder by name, without the weights that do not train."""
    fixed = _fixed(encoder)
    return {name: value for name, value in encoder.state_dict().items() if name not in fixed}


def load_trained(encoder: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put a `trained_state` back.

    Raises:
        RuntimeError: If it lacks a weight that trains, or has another.
    """
    whole = {n: v for n, v in encoder.state_dict().items() if n in _fixed(encoder)}
    encoder.load_state_dict(whole | dict(state))


def _fixed(encoder: nn.Module) -> set[str]:
    weights = encoder.named_parameters(remove_duplicate=False)
    return {name for name, weight in weights if not weight.requires_grad}


def hash_weights(state: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over names, shapes and bytes of the weights, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state, key=lambda item: item[0]):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{value.dtype}:{tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
