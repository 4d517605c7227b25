"""Attention on a CPU: over texts laid end to end without padding, in float32.

Padded to the longest text of a batch, most of a transformer's work would be wasted. Only attention
mixes tokens: with texts laid end to end, all other layers see one long row, and attention takes
texts of equal length together.

The backward pass of torch's bfloat16 attention on a CPU takes more than ten times that of its
float32 one (torch 2.13); casting the three inputs and the output costs next to nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.encoders.products import is_number

NAME = "sdpa_on_cpu"
SHORT = 64
"""Tokens of the longest text whose attention, without gradient, is two products and a softmax.

Torch's own kernel for a CPU is made for long texts and takes longer there on several threads; its
backward pass does not.
"""

Runs = tuple[tuple[int, int], ...]
"""Number and length of texts next to each other that are equally long, in the order of a row."""
_runs: ContextVar[Runs | None] = ContextVar("runs", default=None)


def runs() -> Runs | None:
    """Texts that lie end to end here, ``None`` outside of `end_to_end`."""
    return _runs.get()


@contextmanager
def of_runs(value: Runs | None) -> Iterator[None]:
    """Within, what `runs` gave elsewhere."""
    token = _runs.set(value)
    try:
        yield
    finally:
        _runs.reset(token)


@contextmanager
def end_to_end(lengths: Sequence[int]) -> Iterator[None]:
    """Within, a model prepared by `use_cpu_attention` sees one row of texts laid end to end.

    Args:
        lengths: Tokens of each text, >= 1, in the order in which they lie; texts of one length
            next to each other are computed together.
    """
    found: list[tuple[int, int]] = []
    for length in lengths:
        if found and found[-1][1] == length:
            found[-1] = (found[-1][0] + 1, length)
        else:
            found.append((1, length))
    with of_runs(tuple(found)):
        yield


def use_cpu_attention(model: Any) -> bool:
    """Let a model that runs torch's attention run `attend` instead.

    Args:
        model: A ``PreTrainedModel``; one with another attention is left as it is.

    Returns:
        Whether it does now.
    """
    if getattr(model.config, "_attn_implementation", None) != "sdpa":
        return False
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    return True


def widen_attention(model: Any) -> None:
    """Let the first DeBERTa attend in float32 where autocast asks for bfloat16.

    It fills scores of padding with the least number of float32, which bfloat16 does not hold
    (transformers 5). Other models are left as they are, and so is one of weights in bfloat16.

    Args:
        model: A ``PreTrainedModel``.
    """
    if model.config.model_type != "deberta":
        return
    from transformers.models.deberta.modeling_deberta import DisentangledSelfAttention

    class WideAttention(DisentangledSelfAttention):  # type: ignore[misc]
        def forward(self, states: Tensor, *args: Any, **more: Any) -> Any:
            if self.in_proj.weight.dtype != torch.float32:
                return super().forward(states, *args, **more)
            with torch.autocast(states.device.type, enabled=False):
                named = {name: _wide(given) for name, given in more.items()}
                return super().forward(_wide(states), *map(_wide, args), **named)

    for part in model.modules():
        if type(part) is DisentangledSelfAttention:
            part.__class__ = WideAttention


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Transformers' own call of torch's attention, or texts end to end, in float32 on a CPU.

    Args:
        module: The attention layer; within `end_to_end` its ``is_causal`` decides if a token sees
            the later ones of its text.
        query: ``(B, heads, L, d)``; ``(1, heads, T, d)`` within `end_to_end`.
        key: Likewise, of as many heads or a whole fraction of them.
        value: Likewise.
        attention_mask: ``(B, 1, L, L)`` or ``None``; not read within `end_to_end`.
        more: Scaling, dropout, T5's positions and the like, passed on.

    Returns:
        ``(B, L, heads, d)`` in the type that autocast asks for, or of ``query``; and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if query.device.type != "cpu":
        plain: Tensor = sdpa_attention_forward(module, query, key, value, attention_mask, **more)[0]
        return plain, None
    # Rotations leave queries and keys in float32 where values are narrow.
    cast = torch.is_autocast_enabled("cpu")
    kind = torch.get_autocast_dtype("cpu") if cast else query.dtype
    with torch.autocast("cpu", enabled=False):
        narrow = kind in (torch.bfloat16, torch.float16)
        wide = [x.float() if narrow else x for x in (query, key, value)]
        texts = runs()
        if texts is None:
            if narrow:
                attention_mask = _wide(attention_mask)
                more = {name: _wide(given) for name, given in more.items()}
            out, _ = sdpa_attention_forward(module, *wide, attention_mask, **more)
        else:
            groups = wide[0].shape[1] // wide[1].shape[1]  # heads that share keys and values
            wide[1:] = [x.repeat_interleave(groups, dim=1) if groups > 1 else x for x in wide[1:]]
            out = _by_length(
                wide,
                texts,
                more.get("scaling"),
                float(more.get("dropout", 0.0)),
                causal=bool(getattr(module, "is_causal", False)),
            )
    return out.to(kind), None


def _wide(given: Any) -> Any:
    """Numbers in float32; a mask of true and false, and what is no tensor, as it is."""
    return given.float() if is_number(given) else given


def _by_length(
    tensors: Sequence[Tensor],
    texts: Runs,
    scaling: float | None,
    dropout: float,
    *,
    causal: bool = False,
) -> Tensor:
    """``(1, T, heads, d)`` attention within each text, from three ``(1, heads, T, d)``."""
    flat = [x[0].transpose(0, 1) for x in tensors]  # (T, heads, d)
    sizes = [n * length for n, length in texts]
    done = []
    for (n, length), *parts in zip(texts, *(x.split(sizes) for x in flat), strict=True):
        q, k, v = (p.unflatten(0, (n, length)).transpose(1, 2) for p in parts)
        if length <= SHORT and not causal and not dropout and not torch.is_grad_enabled():
            scale = q.shape[-1] ** -0.5 if scaling is None else scaling
            out = (q * scale @ k.mT).softmax(dim=-1) @ v
        else:
            out = functional.scaled_dot_product_attention(
                q, k, v, dropout_p=dropout, is_causal=causal, scale=scaling
            )
        done.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(done)[None]
