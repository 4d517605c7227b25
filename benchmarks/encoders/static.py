"""A trainable token-embedding table, mean pooled: trains in seconds on a CPU.

Source: mean of word vectors as sentence embedding, Wieting et al. 2016, Towards Universal
Paraphrastic Sentence Embeddings. https://arxiv.org/abs/1511.08198
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.encoders import Encoder, _folder, _identity, _sources, register
from nsbench.benchmarks.encoders._architecture import read_tokenizer
from nsbench.benchmarks.encoders._kept import SumOfKept
from nsbench.benchmarks.encoders._prompts import check_lengths, check_prompts, fitting_lengths
from nsbench.benchmarks.encoders._settings import read_object
from nsbench.benchmarks.encoders._vocabulary import word_tokenizer
from nsbench.samplers import Interval
from nsbench.samplers._cache import cached


class StaticEncoder(Encoder):
    """Mean of token embeddings; no order, no positions. Gradients are sparse over the table."""

    has_positions = False
    special_tokens = False
    sparse = ("table",)
    sums_tokens = True
    named: Tensor

    def __init__(self, table: Tensor, tokenizer: object, *, max_length: int, dropout: float):
        super().__init__()
        self.table = nn.Parameter(table)
        self.register_buffer("named", torch.zeros(len(table)), persistent=False)
        self.tokenizer = tokenizer
        self.width = self.dimension = table.shape[1]
        self.max_length = max_length
        self.dropout = dropout

    def forward(self, view: TokenView) -> Tensor:
        """``(B, d)`` sum of the scaled embeddings of the real tokens over their number.

        Args:
            view: Any view. Where its scale acts on whole tokens or whole columns, the sum is one
                pass over the table's rows; single elements need the full ``(B, L, d)`` tensor.
        """
        rate = self.dropout if view.dropout is None else view.dropout
        if view.fixed and torch.is_grad_enabled():
            self._name(view)
        single = view.fixed or rate > 0 or view.shift is not None  # elements change one by one
        if single or view.scale is not None or view.unpooled is not None:
            view = view.whole()
        mask = view.averaged.to(self.table.dtype)  # (B, L)
        length = mask.sum(dim=1, keepdim=True).clamp(min=1)  # (B, 1)
        scale = view.scale
        whole = scale is None or scale.shape[-1] == 1 or scale.shape[-2] == 1
        if single or not whole:
            states = functional.embedding(view.ids, self.table, sparse=not view.fixed)  # (B, L, d)
            if scale is not None:
                states = states * scale
            if view.shift is not None:
                states = states + view.shift
            states = functional.dropout(states, rate, training=rate > 0)
            return torch.einsum("bld,bl->bd", states, mask) / length
        weights, columns = mask, None
        if scale is not None and scale.shape[-1] == 1:
            weights = mask * scale.expand(*mask.shape, 1).squeeze(-1)
        elif scale is not None:
            columns = scale.expand(mask.shape[0], 1, self.width).squeeze(1)  # (B, d)
        pooled = self._bag(view, weights)
        return (pooled if columns is None else pooled * columns) / length

    def _name(self, view: TokenView) -> None:
        """Tell the optimizer which rows the tokens of a view are; see `NamedRowAdam`."""
        real = view.mask.flatten().to(self.named.dtype)
        self.named.scatter_reduce_(0, view.ids.flatten(), real, "amax")
        self.table.named = self.named  # type: ignore[attr-defined]

    def _bag(self, view: TokenView, weights: Tensor) -> Tensor:
        """``(B, d)`` weighted sums of table rows.

        On a CPU padding is left out, which reads the lengths; a device must not be waited for,
        so there it goes along with weight 0.
        """
        if not view.readable:
            return functional.embedding_bag(
                view.ids, self.table, mode="sum", per_sample_weights=weights, sparse=True
            )
        lengths = view.lengths
        # Summed over a small table of the tokens at hand, whose gradient is small and dense:
        # a sparse one would hold a row for each token of the batch, not for each distinct one.
        distinct, place = view.ids[view.mask].unique(return_inverse=True)
        table = functional.embedding(distinct, self.table, sparse=True)
        if view.kept is not None:
            summed: Tensor = SumOfKept.apply(  # type: ignore[no-untyped-call]
                table, place, view.kept, lengths
            )
            return summed
        return functional.embedding_bag(
            place,
            table,
            offsets=lengths.cumsum(0) - lengths,
            mode="sum",
            per_sample_weights=weights[view.mask],
        )


@register("static")
class Static:
    """A token-embedding table, mean pooled, made from any encoder's table or at random.

    Args:
        source: Folder or hub name whose token table and tokenizer are taken; empty for a random
            table over the words of the training texts.
        dimension: Width of a random table, >= 2; a table from ``source`` keeps its own.
        max_length: Longest text in tokens, >= 1.
        dropout: Rate at which single embedding elements are dropped in every training view that
            does not set its own, in [0, 1).
        revision: Hub revision of ``source``; empty for the main branch.
        prompts: Put before texts by role, data set or task, as those of a transformer.
        lengths: Longest text in tokens by role, as those of a transformer; such a table is not
            exported, because sentence-transformers has one length for a table.
    """

    source: str = ""
    dimension: Annotated[int, Interval("[2, inf)")] = 128
    max_length: Annotated[int, Interval("[1, inf)")] = 256
    dropout: Annotated[float, Interval("[0, 1)")] = 0.0
    revision: str = ""
    prompts: Annotated[Mapping[str, str], check_prompts] = field(default_factory=dict, hash=False)
    lengths: Annotated[Mapping[str, int], check_lengths] = field(default_factory=dict, hash=False)
    younger: ClassVar[frozenset[str]] = frozenset({"prompts", "lengths"})
    has_positions: ClassVar[bool] = False
    special_tokens: ClassVar[bool] = False
    sums_tokens: ClassVar[bool] = True

    def __post_init__(self) -> None:
        fitting_lengths("static", self.lengths, self.max_length)

    def check(self) -> None:
        if self.source:
            place = table_folder(self._place())
            _table_file(place)
            if not _is_plain(place):
                _tokenizer(place, self.fingerprint())

    def fingerprint(self) -> str:
        return _identity.identity(self._place()) if self.source else "random"

    def own_dimension(self) -> int:
        """Return the length of its embeddings."""
        if not self.source:
            return self.dimension
        with _opened(table_folder(self._place())) as (weights, name):
            return int(weights.get_slice(name).get_shape()[1])

    def _place(self) -> Path:
        return _sources.locate(self.source, self.revision or None)

    def build(self, corpus: Sequence[str], seed: int) -> StaticEncoder:
        if not self.source:
            tokenizer = word_tokenizer(corpus, special_tokens=False)
            generator = torch.Generator().manual_seed(seed)
            table = torch.randn(len(tokenizer), self.dimension, generator=generator)
        else:
            place = table_folder(self._place())
            table, tokenizer = _token_table(place), _tokenizer(place, self.fingerprint())
        encoder = StaticEncoder(table, tokenizer, max_length=self.max_length, dropout=self.dropout)
        encoder.prompts, encoder.lengths = self.prompts, self.lengths
        return encoder


def table_folder(folder: Path) -> Path:
    """Folder of the first module, whose token table is taken.

    Raises:
        SourceError: If the folder asks for foreign code, or if it is a static model whose table is
            followed by something else than Normalize.
    """
    _folder.refuse_foreign(folder)
    modules = _folder.modules_of(folder)
    kinds = [kind for kind, _ in modules]
    if kinds[:1] == ["StaticEmbedding"]:
        _folder.refuse_other_kinds(folder)
        if kinds[1:] not in ([], ["Normalize"]):
            raise _sources.SourceError(
                f"{folder / 'modules.json'} lists {', '.join(kinds)}; legal for a static encoder: "
                "StaticEmbedding, then at most one Normalize"
            )
    return modules[0][1] if modules else folder


PLAIN = ("BertTokenizer", "BertTokenizerFast", "PreTrainedTokenizerFast")
"""Classes of which nothing has to be checked but that their files can be read."""


def _is_plain(folder: Path) -> bool:
    """True if a tokenizer is sure to be read; transformers, whose import takes long, is not asked.

    Where this is false `_tokenizer` says what is wrong, if anything is.
    """
    for name in ("config.json", "special_tokens_map.json"):
        read_object(folder / name)
    if read_object(folder / "tokenizer_config.json").get("tokenizer_class") not in PLAIN:
        return False
    path = folder / "tokenizer.json"
    return path.is_file() and _readable(path, _identity.digest_of(path))


@cached(16)
def _readable(path: Path, digest: str) -> bool:
    """Return True if a tokenizer's file of that content can be read; every cell's plan asks."""
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_file(str(path))
    except Exception:  # the library has no narrower one
        return False
    return True


@cached(4)
def _tokenizer(folder: Path, fingerprint: str) -> Any:
    """A saved encoder's tokenizer, read once; no setting of it is ever changed."""
    if (folder / "config.json").is_file() or not (folder / "tokenizer.json").is_file():
        return read_tokenizer(folder)
    from transformers import PreTrainedTokenizerFast

    names = ("unk_token", "pad_token", "cls_token", "sep_token")  # a table saved without them
    stated = read_object(folder / "tokenizer_config.json")
    known = {name: stated[name] for name in names if isinstance(stated.get(name), str)}
    try:
        return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **known)
    except Exception as error:  # any that the library raises for a file that a user named
        said = " ".join(str(error).split())
        raise _sources.SourceError(f"{folder / 'tokenizer.json'}: {said}") from None


TABLES = ("word_embeddings.weight", "embed_tokens.weight", "tok_embeddings.weight")
"""Endings of the names of token tables in stored weights."""


def _table_file(folder: Path) -> tuple[Path, str]:
    """File and name of the token table of a saved encoder."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as weights:
                for name in weights.keys():  # noqa: SIM118 - not a dict
                    if name.endswith(TABLES) or name == "embedding.weight":
                        return path, name
        except (SafetensorError, OSError) as error:
            raise _sources.SourceError(f"{path} cannot be read: {error}") from None
    raise _sources.SourceError(
        f"{folder} has no token-embedding table that ends in {', '.join(TABLES)}"
    )


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[Any, str]]:
    """The open file of the token table of a saved encoder, and the table's name in it."""
    from safetensors import safe_open

    path, name = _table_file(folder)
    with safe_open(path, framework="pt") as weights:
        yield weights, name


def _token_table(folder: Path) -> Tensor:
    """``(V, d)`` float32 token embeddings of a saved encoder, read without building it."""
    with _opened(folder) as (weights, name):
        table: Tensor = weights.get_tensor(name).float()
    return table
