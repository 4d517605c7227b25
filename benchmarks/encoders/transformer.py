"""Any Hugging Face encoder or sentence-transformers folder, whole or its lower layers.

Source: sentence embeddings by pooling a transformer, Reimers and Gurevych 2019, Sentence-BERT,
section 3. https://arxiv.org/abs/1908.10084
"""

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.device import is_fake
from nsbench.benchmarks.encoders import Encoder, _architecture, _folder, _identity, register
from nsbench.benchmarks.encoders._attention import end_to_end, use_cpu_attention
from nsbench.benchmarks.encoders._linear import laid_out
from nsbench.benchmarks.encoders._pooling import dense_layers, pool
from nsbench.benchmarks.encoders._sources import locate
from nsbench.samplers import in_range, one_of

ARITHMETIC = 3
"""2: texts end to end on a CPU, without padding. 3: without gradient there, linear layers by oneDNN
and attention of short texts as products."""
CPU_BATCH_TOKENS = 4096
"""Larger batches were encoded more slowly on two cores."""
END_TO_END = ("bert", "camembert", "electra", "roberta", "xlm-roberta")
"""Families that mix tokens in attention alone, each token with all others."""
HEADS = ("none", "mlp")
POOLINGS = ("auto", "mean", "cls", "last2_mean")
WITHOUT_PADDING = ("mean", "cls", "last2_mean")
"""Poolings that are computed on texts laid end to end."""


class TransformerEncoder(Encoder):
    """A transformer whose embedding-layer output can be scaled and shifted, then pooled.

    Args:
        model: A ``PreTrainedModel`` with an ``embeddings`` module.
        tokenizer: Its fast tokenizer.
        pooling: ``mean`` of the last layer's tokens, ``cls`` its first token, ``last2_mean`` the
            mean over tokens of the average of the last two layers (ConSERT's evaluation); also the
            modes of `_pooling.pool`.
        max_length: Longest text in tokens.
        dropout: Dropout rate of views that do not set their own.
        head: Applied to what is pooled while the encoder is in training mode, and to nothing that
            is scored, exported or mined.
        dense: Linear layers on top of what is pooled, part of the encoder.

    Raises:
        SourceError: If the model has no module in whose output augmentations could act.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        pooling: str,
        max_length: int,
        dropout: float,
        head: nn.Module | None = None,
        dense: nn.Sequential | None = None,
    ):
        super().__init__()
        embeddings = _architecture.embedding_layer(model)
        if getattr(model, "pooler", None) is not None:
            model.pooler = _NoPooler()  # an untrained head that pooling by hand never reads
        self.model = model
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.head = head
        self.dense = dense
        self.max_length = max_length
        self.dropout = dropout
        wide = int(model.config.hidden_size) * len(pooling.split("+"))
        self.dimension = wide if dense is None else int(dense[-2].out_features)  # type: ignore[arg-type]
        self.width = _architecture.embedding_width(model)
        self.has_positions = "position_ids" in inspect.signature(model.forward).parameters
        padding = getattr(embeddings, "padding_idx", None)
        self._first_position = 0 if padding is None else int(padding) + 1
        table = getattr(embeddings, "position_embeddings", None)
        if isinstance(table, nn.Embedding):  # RoBERTa's first positions are never a token's
            self.max_length = min(max_length, table.num_embeddings - self._first_position)
        kind = str(getattr(model.config, "model_type", ""))
        attends = use_cpu_attention(model) and _architecture.attends_to_all(model)
        self.end_to_end = attends and self.has_positions and kind in END_TO_END
        self._view: TokenView | None = None
        embeddings.register_forward_hook(self._augment)
        self._dropouts = [m for m in model.modules() if isinstance(m, nn.Dropout)]

    def _augment(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        view = self._view
        if view is None:
            return output
        if view.scale is not None:
            output = output * view.scale.to(output.dtype)
        if view.shift is not None:
            output = output + view.shift.to(output.dtype)
        return output

    @contextmanager
    def _under(self, view: TokenView) -> Iterator[None]:
        rate = self.dropout if view.dropout is None else view.dropout
        for layer in self._dropouts:
            layer.p = rate
        self.model.train(rate > 0)
        self._view = view
        try:
            yield
        finally:
            self._view = None

    @property
    def batch_tokens(self) -> int:
        on_cpu = next(self.model.parameters()).device.type == "cpu"
        return CPU_BATCH_TOKENS if on_cpu else super().batch_tokens

    def scoring(self) -> AbstractContextManager[None]:
        return laid_out(self.model)

    def forward(self, view: TokenView) -> Tensor:
        """``(B, d)`` pooled embeddings of a view.

        On a CPU texts lie end to end without padding, where the model can; a device must not be
        waited for, so there they are padded to one length.
        """
        waits = view.ids.device.type == "cpu" and not is_fake(view.ids) and not view.fixed
        flat = self.end_to_end and (view.pooling or self.pooling) in WITHOUT_PADDING
        pooled = self._unpadded(view) if waits and flat else self._padded(view)
        if self.dense is not None:
            pooled = self.dense(pooled)
        if self.head is None or not self.training:
            return pooled
        projected: Tensor = self.head(pooled)
        return projected

    def _unpadded(self, view: TokenView) -> Tensor:
        """``(B, d)`` pooled embeddings, from texts laid end to end, shorter ones first."""
        pooling, lengths = view.pooling or self.pooling, view.lengths
        order = lengths.argsort(stable=True)
        back = order.argsort()
        view, lengths = view.take(order, int(lengths.max())), lengths[order]
        real = view.mask
        sizes = lengths.tolist()
        scale, shift = (_flat(v, real) for v in (view.scale, view.shift))
        with self._under(view.replace(scale=scale, shift=shift)), end_to_end(sizes):
            out = self.model(
                inputs_embeds=self.model.get_input_embeddings()(view.ids[real])[None],
                position_ids=view.positions[real][None] + self._first_position,
                output_hidden_states=pooling == "last2_mean",
            )
        if pooling == "cls":
            first: Tensor = out.last_hidden_state[0, lengths.cumsum(0) - lengths]
            return first[back]
        states = out.last_hidden_state[0]
        if pooling == "last2_mean":
            states = (states + out.hidden_states[-2][0]) / 2
        kept = view.averaged
        text = torch.arange(len(lengths)).repeat_interleave(lengths)
        weight = kept[real].to(states.dtype)
        total = states.new_zeros(len(lengths), states.shape[1])
        total = total.index_add(0, text, states * weight[:, None])
        mean: Tensor = total / kept.sum(dim=1, keepdim=True).clamp(min=1)
        return mean[back]

    def _padded(self, view: TokenView) -> Tensor:
        """``(B, d)`` pooled embeddings, from texts padded to one length."""
        pooling, more = view.pooling or self.pooling, dict[str, Tensor]()
        if self.has_positions:
            more["position_ids"] = view.positions + self._first_position
        mask = view.mask.long()
        never_waits = view.fixed or view.ids.device.type != "cpu"
        if never_waits and self.end_to_end:  # the library reads a mask (B, L) to see if all is real
            mask = view.mask[:, None, None, :].expand(-1, 1, mask.shape[1], -1)
        with self._under(view):
            out = self.model(
                input_ids=view.ids,
                attention_mask=mask,
                output_hidden_states=pooling == "last2_mean",
                **more,
            )
        states: Tensor = out.last_hidden_state
        if pooling == "last2_mean":
            states, pooling = (states + out.hidden_states[-2]) / 2, "mean"
        return pool(pooling, states, view)


class _NoPooler(nn.Module):
    """Takes the place of a pooler: some models call theirs without asking if there is one."""

    def forward(self, states: Tensor) -> Tensor:
        """The states as they are."""
        return states


def _flat(value: Tensor | None, real: Tensor) -> Tensor | None:
    """``(1, T, w)`` of what is broadcastable to ``(B, L, w)``, at the real tokens ``(B, L)``."""
    if value is None:
        return None
    return value.expand(*real.shape, value.shape[-1])[real][None]


@register("transformer")
@dataclass(frozen=True)
class Transformer:
    """A Hugging Face encoder or sentence-transformers folder, by name or path.

    Args:
        source: Folder or hub name.
        pooling: ``auto`` (what the folder says, any mode of sentence-transformers, else mean),
            ``mean``, ``cls`` or ``last2_mean``.
        layers: Lower layers kept, >= 0; -1 for all.
        max_length: Longest text in tokens; 0 for the model's own, at most 512.
        dropout: Dropout rate left on in every training view that does not set its own, [0, 1).
        revision: Hub revision; empty for the main branch.
        head: ``mlp`` for SimCSE's linear layer and tanh above the pooled embedding, which the
            contrastive loss, the candidates and the difficulty statistics see, and which is left
            off when the encoder is scored; ``none``.
    """

    source: str
    pooling: str = "auto"
    layers: int = -1
    max_length: int = 0
    dropout: float = 0.0
    revision: str = ""
    head: str = "none"

    arithmetic: ClassVar[int] = ARITHMETIC

    def __post_init__(self) -> None:
        one_of("transformer", "pooling", self.pooling, POOLINGS)
        one_of("transformer", "head", self.head, HEADS)
        in_range("transformer", "layers", self.layers, -1, 1000)
        in_range("transformer", "max_length", self.max_length, 0, 100_000)
        in_range("transformer", "dropout", self.dropout, 0, 1, open_high=True)

    def check(self) -> None:
        """Make the encoder without its weights: what it refuses, no cell will try."""
        _checked(self, self.fingerprint())

    def fingerprint(self) -> str:
        return _identity.identity(self._place())

    def build(self, corpus: Sequence[str], seed: int) -> TransformerEncoder:
        return self._made(seed, "cpu")

    def own_pooling(self) -> str:
        """The pooling that an encoder of these parameters has, such as ``cls+mean``."""
        if self.pooling != "auto":
            return self.pooling
        return _folder.read_folder(self._place()).pooling or "mean"

    def sees_positions(self) -> bool:
        """Return True if position ids change what the model computes."""
        return _sees_positions(self, self.fingerprint())

    def _place(self) -> Path:
        return locate(self.source, self.revision or None)

    def _made(self, seed: int, device: str) -> TransformerEncoder:
        folder = _folder.read_folder(self._place())
        config = _architecture.read_config(folder, self.layers)
        pooling = (folder.pooling or "mean") if self.pooling == "auto" else self.pooling
        if pooling == "last2_mean" and config.num_hidden_layers < 1:
            raise ValueError("transformer: last2_mean needs at least one layer")
        with quietly():
            model = _architecture.load_body(folder, config, device=device)
        tokenizer = _architecture.read_tokenizer(folder.body)
        if folder.lower_case:
            _architecture.lower_cased(tokenizer)
        longest = int(getattr(config, "max_position_embeddings", 512) or 512)
        wide = int(config.hidden_size) * len(pooling.split("+"))
        dense = dense_layers(folder.dense, wide, device=device)
        encoder = TransformerEncoder(
            model,
            tokenizer,
            pooling=pooling,
            max_length=self.max_length or min(folder.max_length or 512, _positive(longest), 512),
            dropout=self.dropout,
            dense=dense,
        )
        if self.head == "mlp" and device != "meta":
            encoder.head = _mlp(config, encoder.dimension, seed)
        return encoder


def _positive(length: int) -> int:
    return length if length > 0 else 512  # -1 stands for "no limit"


@lru_cache(maxsize=64)
def _checked(spec: Transformer, fingerprint: str) -> None:
    """Check a spec once for each content of its folder."""
    spec._made(0, "meta")


@lru_cache(maxsize=64)
def _sees_positions(spec: Transformer, fingerprint: str) -> bool:
    """Compare states under two orders of the positions, of a random model of one layer.

    An architecture without positions, or one that knows only the distances between tokens in a
    row, gives the same states for all orders of the ids.
    """
    from transformers import AutoModel

    folder = _folder.read_folder(spec._place())
    config = _architecture.read_config(folder, spec.layers)
    if config.num_hidden_layers > 1 and not getattr(config, "layer_types", None):
        config.num_hidden_layers = 1
    with quietly(), torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModel.from_config(config, trust_remote_code=False).float()
        if "position_ids" not in inspect.signature(model.forward).parameters:
            return False
        encoder = TransformerEncoder(model, None, pooling="max", max_length=8, dropout=0.0)
        ids = torch.arange(4)[None] % int(config.vocab_size)
        order, mask = torch.arange(4)[None], torch.ones((1, 4), dtype=torch.bool)
        plain = TokenView(ids=ids, mask=mask, positions=order, width=encoder.width)
        shuffled = plain.replace(positions=order[:, [2, 0, 3, 1]])
        return not torch.equal(encoder._padded(plain), encoder._padded(shuffled))


def _mlp(config: Any, width: int, seed: int) -> nn.Module:
    """A linear layer, initialised as the model's own are, and tanh.

    Source: Gao et al. 2021, SimCSE, as released (``mlp_only_train``).
    https://aclanthology.org/2021.emnlp-main.552
    """
    layer = nn.Linear(width, width)
    generator = torch.Generator().manual_seed(seed)
    spread = float(getattr(config, "initializer_range", 0.02))
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * spread)
        layer.bias.zero_()
    return nn.Sequential(layer, nn.Tanh())


@contextmanager
def quietly() -> Iterator[None]:
    """Silence transformers' notes on weights of the layers that were cut off on purpose."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            with warnings.catch_warnings():  # huggingface_hub's own bars may be off by its variable
                warnings.simplefilter("ignore")
                logging.enable_progress_bar()
