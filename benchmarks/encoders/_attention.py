"""Attention under bfloat16 on a CPU: computed in float32, where torch is faster.

The backward pass of torch's bfloat16 attention on a CPU takes more than ten times that of its
float32 one (torch 2.13); casting the three inputs and the output costs next to nothing.
"""

from typing import Any

import torch
from torch import Tensor

NAME = "sdpa_float32_on_cpu"


def use_float32_on_cpu(model: Any) -> None:
    """Let a model that runs torch's attention run it in float32 on a CPU.

    Args:
        model: A ``PreTrainedModel``; one with another attention is left as it is.
    """
    if getattr(model.config, "_attn_implementation", None) != "sdpa":
        return
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Transformers' own call of torch's attention, in float32 where it is slow below that.

    Args:
        module: The attention layer.
        query: ``(B, heads, L, d)``.
        key: Likewise.
        value: Likewise.
        attention_mask: ``(B, 1, L, L)`` or ``None``.
        more: Scaling, dropout and the like, passed on.

    Returns:
        ``(B, L, heads, d)`` in the type of ``query``, and no weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    kind = query.dtype
    if query.device.type != "cpu" or kind == torch.float32:
        plain: Tensor = sdpa_attention_forward(module, query, key, value, attention_mask, **more)[0]
        return plain, None
    with torch.autocast("cpu", enabled=False):
        out, _ = sdpa_attention_forward(
            module, query.float(), key.float(), value.float(), _widened(attention_mask), **more
        )
    return out.to(kind), None


def _widened(mask: Tensor | None) -> Tensor | None:
    return mask if mask is None or mask.dtype == torch.bool else mask.float()
