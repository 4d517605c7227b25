"""What the laws share: how a sampler is asked, how answers are compared, how a breach is told."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nsbench.samplers import Sampler, Selection, SimilarityContext, append_synthetic
from nsbench.samplers._contexts import make_context

SEEDS = range(3)


class ContractError(AssertionError):
    """A sampler or objective broke a law of its contract."""


def expect(condition: object, message: str) -> None:
    """Raise `ContractError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ContractError(message)


def needs_of(sampler: Sampler) -> frozenset[str]:
    """The extras a sampler reads."""
    return frozenset(getattr(sampler, "needs", ()))


def answer(sampler: Sampler, context: SimilarityContext) -> tuple[SimilarityContext, Selection]:
    """What the engine does with a sampler: append what it makes, then let it choose."""
    synthesize = getattr(sampler, "synthesize", None)
    if synthesize is not None:
        context = append_synthetic(context, synthesize(context))
    return context, sampler(context)


def contexts(sampler: Sampler) -> Iterator[SimilarityContext]:
    """Contexts of either layout, with only the extras the sampler asks for."""
    needs = needs_of(sampler)
    for seed in SEEDS:
        yield make_context(needs=needs, seed=seed)
        yield make_context(5, layout="both", needs=needs, seed=seed)
    yield make_context(3, 200, needs=needs, seed=7)
    wide = make_context(4, 12, needs=needs, seed=8)
    bare = wide.negative_mask.clone()
    bare[-1] = False
    yield wide.replace(negative_mask=bare)


def refresh(context: SimilarityContext, seed: int) -> SimilarityContext:
    """The same context with its generator in the state that ``seed`` sets."""
    return context.replace(generator=torch.Generator().manual_seed(seed))


def tensors(context: SimilarityContext) -> dict[str, Tensor]:
    """The tensor fields of a context by name."""
    values = ((f.name, getattr(context, f.name)) for f in fields(context))
    return {name: value for name, value in values if isinstance(value, Tensor)}


def same(a: Selection, b: Selection) -> bool:
    """Whether two selections say the same; weights of what is not chosen do not count."""
    if a.mask.shape != b.mask.shape or not torch.equal(a.mask, b.mask):
        return False
    if (a.log_weight is None) != (b.log_weight is None):
        return False
    if (a.attract is None) != (b.attract is None):
        return False
    if a.attract is not None and b.attract is not None and not torch.equal(a.attract, b.attract):
        return False
    if a.log_weight is None or b.log_weight is None:
        return True
    one, two = (w.masked_fill(~a.mask, 0) for w in (a.log_weight, b.log_weight))
    return torch.allclose(one, two, rtol=1e-5, atol=1e-6)


def expect_well_formed(context: SimilarityContext, picked: Selection) -> None:
    """Expect bool masks and floating weights of the context's shape and device."""
    shape, device = context.similarity.shape, context.similarity.device
    mask = picked.mask
    expect(mask.dtype == torch.bool, f"mask is {mask.dtype}, not bool")
    expect(
        mask.dim() in (2, 3) and mask.shape[-2:] == shape,
        f"mask is {tuple(mask.shape)}, the context {tuple(shape)}",
    )
    expect(mask.device == device, f"mask is on {mask.device}, the context on {device}")
    if picked.attract is not None:
        expect(picked.attract.dtype == torch.bool, f"attract is {picked.attract.dtype}, not bool")
        expect(picked.attract.shape == mask.shape, "attract and mask differ in shape")
        expect(picked.attract.device == device, f"attract is on {picked.attract.device}")
    if picked.log_weight is not None:
        weight = picked.log_weight
        expect(weight.is_floating_point(), f"log_weight is {weight.dtype}")
        expect(weight.shape == mask.shape, "log_weight and mask differ in shape")
        expect(weight.device == device, f"log_weight is on {weight.device}")
        expect(not weight.requires_grad, "log_weight carries a gradient")


def indexed(picked: Selection, index: tuple[Any, ...]) -> Selection:
    """A selection with every tensor indexed alike."""
    return Selection(
        mask=picked.mask[index],
        log_weight=None if picked.log_weight is None else picked.log_weight[index],
        attract=None if picked.attract is None else picked.attract[index],
    )


def cast(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """A change of floating type, for `SimilarityContext.map`."""
    return lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor


def expect_finite(picked: Selection) -> None:
    """Expect a finite log weight for everything that was chosen."""
    if picked.log_weight is not None:
        kept = picked.log_weight.masked_fill(~picked.mask, 0)
        expect(torch.isfinite(kept).all(), "a chosen negative's log_weight is not finite")


def pretended(device: str) -> Callable[[Tensor], Tensor]:
    """A stand-in on another device, for `SimilarityContext.map` under fake tensors."""
    return lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype, device=device)


class NoBooleanIndex(TorchDispatchMode):
    """Raises on ``t[mask] = x``, which waits for the device though fake tensors allow it."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Look at one operation, then run it."""
        if func.overloadpacket in (torch.ops.aten.index_put_, torch.ops.aten.index_put):
            for index in args[1]:
                is_mask = index is not None and index.dtype == torch.bool
                expect(not is_mask, "t[mask] = x waits for the device; use torch.where")
        return func(*args, **(kwargs or {}))


def expect_refusals(component: object) -> None:
    """Feed every parameter of a frozen dataclass illegal values, and expect a clear refusal.

    Parameters that the class lists in ``free_text`` may be any string, such as a model's name.
    """
    if not is_dataclass(component) or isinstance(component, type):
        return
    for item in fields(component):
        if not item.init:
            continue
        free = item.name in getattr(component, "free_text", ())
        for bad in (-1,) if free else _illegal(getattr(component, item.name)):
            try:
                replace(component, **{item.name: bad})
            except ValueError as error:
                text = str(error)
                expect(item.name in text, f"the error does not name {item.name}: {text}")
            else:
                raise ContractError(f"{item.name}={bad!r} was accepted")


def _illegal(value: object) -> Iterable[object]:
    if isinstance(value, bool):
        return ("nonsense",)
    if isinstance(value, int):
        return (-(10**9), 2.5, float("nan"), "nonsense")
    if isinstance(value, float):
        return (float("nan"), float("inf"), -1e9, "nonsense")
    if isinstance(value, str | tuple):
        return ("no such thing", -1)
    return ()
