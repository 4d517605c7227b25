"""Any Hugging Face encoder or sentence-transformers folder, whole or its lower layers.

Source: sentence embeddings by pooling a transformer, Reimers and Gurevych 2019, Sentence-BERT,
section 3. https://arxiv.org/abs/1908.10084
"""

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.device import is_fake
from nsbench.benchmarks.encoders import Encoder, _sources, masked_mean, register
from nsbench.benchmarks.encoders._attention import end_to_end, use_cpu_attention
from nsbench.benchmarks.encoders._linear import laid_out
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


class TransformerEncoder(Encoder):
    """A transformer whose embedding-layer output can be scaled and shifted, then pooled.

    Args:
        model: A ``PreTrainedModel`` with an ``embeddings`` module.
        tokenizer: Its fast tokenizer.
        pooling: ``mean`` of the last layer's tokens, ``cls`` its first token, ``last2_mean`` the
            mean over tokens of the average of the last two layers (ConSERT's evaluation).
        max_length: Longest text in tokens.
        dropout: Dropout rate of views that do not set their own.
        head: Applied to what is pooled while the encoder is in training mode, and to nothing that
            is scored, exported or mined.
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
    ):
        super().__init__()
        embeddings = getattr(model, "embeddings", None)
        if not isinstance(embeddings, nn.Module):
            raise ValueError(
                f"{type(model).__name__} has no `embeddings` module, in whose output augmentations "
                "act; encoders of the BERT, RoBERTa, MPNet, DistilBERT, ELECTRA and ModernBERT "
                "families have one"
            )
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # an untrained head that pooling by hand never reads
        self.model = model
        self.tokenizer = tokenizer
        self.pooling = pooling
        self.head = head
        self.max_length = max_length
        self.dropout = dropout
        self.dimension = int(model.config.hidden_size)
        self.width = int(getattr(model.config, "embedding_size", 0) or self.dimension)
        self.has_positions = "position_ids" in inspect.signature(model.forward).parameters
        padding = getattr(embeddings, "padding_idx", None)
        self._first_position = 0 if padding is None else int(padding) + 1
        table = getattr(embeddings, "position_embeddings", None)
        if isinstance(table, nn.Embedding):  # RoBERTa's first positions are never a token's
            self.max_length = min(max_length, table.num_embeddings - self._first_position)
        kind = str(getattr(model.config, "model_type", ""))
        attends = use_cpu_attention(model)
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
        pooled = self._unpadded(view) if waits and self.end_to_end else self._padded(view)
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
        if pooling == "cls":
            return states[:, 0]
        if pooling == "last2_mean":
            states = (states + out.hidden_states[-2]) / 2
        return masked_mean(states, view.averaged)


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
        pooling: ``auto`` (what the folder says, else mean), ``mean``, ``cls`` or ``last2_mean``.
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
        from transformers import AutoConfig

        folder = _sources.locate(self.source, self.revision or None)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        there = int(getattr(config, "num_hidden_layers", 0))
        if self.layers > there:
            raise ValueError(f"transformer: layers = {self.layers}, but {self.source} has {there}")
        if self.pooling == "last2_mean" and min(there, self.layers % (there + 1)) < 1:
            raise ValueError("transformer: last2_mean needs at least one layer")

    def fingerprint(self) -> str:
        return _sources.fingerprint(_sources.locate(self.source, self.revision or None))

    def build(self, corpus: Sequence[str], seed: int) -> TransformerEncoder:
        from transformers import AutoConfig, AutoModel, AutoTokenizer

        folder = _sources.locate(self.source, self.revision or None)
        saved = _sources.saved_settings(folder)
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if self.layers >= 0:
            config.num_hidden_layers = self.layers
        with quietly():
            model = AutoModel.from_pretrained(
                folder,
                config=config,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        longest = int(getattr(config, "max_position_embeddings", 512) or 512)
        return TransformerEncoder(
            model,
            tokenizer,
            pooling=(saved.pooling or "mean") if self.pooling == "auto" else self.pooling,
            max_length=self.max_length or min(saved.max_length or 512, longest, 512),
            dropout=self.dropout,
            head=_mlp(model.config, seed) if self.head == "mlp" else None,
        )


def _mlp(config: Any, seed: int) -> nn.Module:
    """A linear layer, initialised as the model's own are, and tanh.

    Source: Gao et al. 2021, SimCSE, as released (``mlp_only_train``).
    https://aclanthology.org/2021.emnlp-main.552
    """
    layer = nn.Linear(config.hidden_size, config.hidden_size)
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
