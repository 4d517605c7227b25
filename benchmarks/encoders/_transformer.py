"""A transformer with its pooling: passes of padded texts, and of texts laid end to end.

Source: sentence embeddings by pooling a transformer, Reimers and Gurevych 2019, Sentence-BERT,
section 3. https://arxiv.org/abs/1908.10084
"""

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.device import is_fake
from nsbench.benchmarks.encoders import Encoder, _architecture
from nsbench.benchmarks.encoders._attention import (
    Runs,
    end_to_end,
    of_runs,
    runs,
    use_cpu_attention,
    widen_attention,
)
from nsbench.benchmarks.encoders._linear import laid_out, multiplied
from nsbench.benchmarks.encoders._lookup import Spare, kept_gradient
from nsbench.benchmarks.encoders._pooling import pool
from nsbench.benchmarks.encoders._sources import SourceError
from nsbench.benchmarks.encoders.products import rounded_products

CPU_BATCH_TOKENS = 4096
"""Larger batches were encoded more slowly on two cores."""
WITHOUT_PADDING = ("mean", "cls", "last2_mean")
"""Poolings that are computed on texts laid end to end."""


class TransformerEncoder(Encoder):
    """A transformer whose embedding-layer output can be scaled and shifted, then pooled.

    Args:
        model: A ``PreTrainedModel``.
        tokenizer: Its fast tokenizer.
        pooling: ``mean`` of the last layer's tokens, ``cls`` its first token, ``last2_mean`` the
            mean over tokens of the average of the last two layers (ConSERT's evaluation); also the
            modes of `_pooling.pool`.
        max_length: Longest text in tokens.
        dropout: Dropout rate of views that do not set their own.
        head: Applied to what is pooled while the encoder is in training mode, and to nothing that
            is scored, exported or mined.
        dense: Linear layers on top of what is pooled, part of the encoder.

    Attributes:
        packed: Tokens of the longest text that may lie end to end with others on a CPU; 0 if all
            are padded.

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
        bare = isinstance(embeddings, nn.Embedding)  # positions come in later, from 0 on
        self._first_position = 0 if padding is None or bare else int(padding) + 1
        table = getattr(embeddings, "position_embeddings", None)
        if isinstance(table, nn.Embedding):  # RoBERTa's first positions are never a token's
            self.max_length = min(max_length, table.num_embeddings - self._first_position)
        if bare and getattr(model.config, "use_cache", False):
            model.config.use_cache = False  # of keys and values, for a text that is written on
        widen_attention(model)
        packs = use_cpu_attention(model) and self.has_positions
        self.packed = _architecture.longest_packed(model) if packs else 0
        self._rotary = self.packed > 0 and bare
        self._causal = any(getattr(m, "is_causal", False) for m in model.modules())
        self._narrow = next(model.parameters()).dtype == torch.bfloat16
        self._view: TokenView | None = None
        self._spare = Spare()
        embeddings.register_forward_hook(self._augment)
        self._dropouts = [m for m in model.modules() if isinstance(m, nn.Dropout)]
        self._rates = _architecture.dropout_rates(model)
        self._bare = bare
        self._again, self._rate = False, 0.0

    @property
    def end_to_end(self) -> bool:
        """True if texts of any length may lie end to end."""
        return self.packed == _architecture.UNLIMITED

    def _augment(self, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        view = self._view
        if view is None:
            return output
        if view.scale is not None:
            output = output * view.scale.to(output.dtype)
        if view.shift is not None:
            output = output + view.shift.to(output.dtype)
        return output

    def _states(self, states: Tensor) -> Tensor:
        """States in float32 where the weights are narrow: means over tokens are summed there."""
        return states.float() if self._narrow else states

    @contextmanager
    def _under(self, view: TokenView) -> Iterator[None]:
        self._drop(self.dropout if view.dropout is None else view.dropout)
        self._view = view
        table = self.model.get_input_embeddings()
        try:
            with self._products(), multiplied(self.model), kept_gradient(table, self._spare):
                yield
        finally:
            self._view = None

    @property
    def drops(self) -> bool:
        """True if a rate of dropout changes anything."""
        return bool(self._dropouts or (self._bare and self._rates))

    def compute_again(self) -> None:
        """Keep no states of layers for the backward pass, which computes them again.

        Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
        https://arxiv.org/abs/1604.06174

        Raises:
            SourceError: If the model cannot.
        """
        model, given = self.model, {"use_reentrant": False, "context_fn": self._as_now}
        model.config.use_cache = False
        try:
            if hasattr(model, "activation_checkpointing_enable"):
                model.activation_checkpointing_enable(given)
            else:
                model.gradient_checkpointing_enable(given)
        except ValueError as error:
            raise SourceError(f"checkpointing: {_architecture.said(error)}") from None
        self._again = True

    def _as_now(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """Contexts of a layer's first pass, and of its second in the backward pass."""
        return nullcontext(), self._once_more(self._rate, runs())

    @contextmanager
    def _once_more(self, rate: float, texts: Runs | None) -> Iterator[None]:
        self._drop(rate)
        with of_runs(texts), rounded_products(self._device), multiplied(self.model):
            yield

    def _products(self) -> AbstractContextManager[Any]:
        """Products of weights in bfloat16; `autocast` sees to those of weights in float32."""
        return rounded_products(self._device) if self._narrow else nullcontext()

    @property
    def _device(self) -> torch.device:
        found: torch.device = next(self.model.parameters()).device
        return found

    def _drop(self, rate: float) -> None:
        self._rate = rate
        for layer in self._dropouts:
            layer.p = rate
        for module, name, own in self._rates:
            if self._bare:
                setattr(module, name, rate)
            elif self._again:  # layers are in training mode at rate 0, too
                setattr(module, name, own if rate > 0 else 0.0)
        self.model.train(rate > 0 or (self._again and torch.is_grad_enabled()))

    @property
    def batch_tokens(self) -> int:
        on_cpu = self._device.type == "cpu"
        return CPU_BATCH_TOKENS if on_cpu else super().batch_tokens

    def scoring(self) -> AbstractContextManager[None]:
        return laid_out(self.model)

    def forward(self, view: TokenView) -> Tensor:
        """``(B, d)`` pooled embeddings of a view.

        On a CPU texts lie end to end without padding, where the model can; a device must not be
        waited for, so there they are padded to one length.
        """
        waits = view.ids.device.type == "cpu" and not is_fake(view.ids) and not view.fixed
        fits = WITHOUT_PADDING + (("lasttoken",) if self._rotary else ())
        flat = waits and self.packed > 0 and (view.pooling or self.pooling) in fits
        flat = flat and (self.end_to_end or int(view.lengths.max()) <= self.packed)
        pooled = self._unpadded(view) if flat else self._padded(view)
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
                inputs_embeds=self.model.get_input_embeddings()(view.ids[real][None]),
                position_ids=view.positions[real][None] + self._first_position,
                output_hidden_states=pooling == "last2_mean",
                **({"attention_mask": torch.zeros(1, 1, 1, 1)} if self._rotary else {}),
            )
        states = self._states(out.last_hidden_state[0])
        if pooling in ("cls", "lasttoken"):
            ends = lengths.cumsum(0)
            one: Tensor = states[ends - (lengths if pooling == "cls" else 1)]
            return one[back]
        if pooling == "last2_mean":
            states = (states + self._states(out.hidden_states[-2][0])) / 2
        kept = view.averaged
        text = torch.arange(len(lengths)).repeat_interleave(lengths)
        weight = kept[real].to(states.dtype)
        total = states.new_zeros(len(lengths), states.shape[1])
        total = total.index_add(0, text, states * weight[:, None])
        mean: Tensor = total / kept.sum(dim=1, keepdim=True).clamp(min=1)
        return mean[back]

    def _mask(self, view: TokenView) -> Any:
        """The mask of a padded view; where a device must not be waited for, as attention reads it.

        Of a mask ``(B, L)`` the library reads whether all is real.
        """
        never_waits = view.fixed or view.ids.device.type != "cpu"
        if not never_waits or not (self.end_to_end or self._rotary):
            return view.mask.long()
        length = view.ids.shape[1]
        mask = view.mask[:, None, None, :].expand(-1, 1, length, -1)
        if not self._rotary:
            return mask
        place = torch.arange(length, device=mask.device)
        before = place[:, None] - place[None, :]  # (L, L)
        mask = mask & (before >= 0) if self._causal else mask
        if length <= self.packed:
            return mask
        band = mask & (before.abs() < self.packed)
        kinds = getattr(self.model.config, "layer_types", None)
        return {"full_attention": mask, "sliding_attention": band} if kinds else band

    def _padded(self, view: TokenView) -> Tensor:
        """``(B, d)`` pooled embeddings, from texts padded to one length."""
        pooling, more = view.pooling or self.pooling, dict[str, Tensor]()
        if self.has_positions:
            more["position_ids"] = view.positions + self._first_position
        with self._under(view):
            out = self.model(
                input_ids=view.ids,
                attention_mask=self._mask(view),
                output_hidden_states=pooling == "last2_mean",
                **more,
            )
        states = self._states(out.last_hidden_state)
        if pooling == "last2_mean":
            states, pooling = (states + self._states(out.hidden_states[-2])) / 2, "mean"
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
