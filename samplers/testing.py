"""The contract every sampler meets, as functions that plugin authors run too.

    from nsbench.samplers.testing import check_sampler

    def test_contract():
        check_sampler(MySampler(margin=0.1))

Each law is one function of a sampler in `CHECKS`, so that pytest can run them one by one. A broken
law raises `ContractError`, an ``AssertionError`` that says what was seen.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from nsbench.samplers import (
    EXTRAS,
    Entry,
    Registry,
    Sampler,
    Selection,
    SimilarityContext,
    append_synthetic,
    make,
    scheduled,
)
from nsbench.samplers._contexts import (
    Rule,
    by_loops,
    chosen,
    context_of,
    make_context,
    of_views,
    one_row,
    permute_columns,
    permute_rows,
    text_context,
    two_views,
    unit,
)

Check = Callable[[Sampler], None]
SEEDS = range(3)
_FLOATS = (torch.float16, torch.bfloat16)


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


# --- the laws -----------------------------------------------------------------------------------


def declares_itself(sampler: Sampler) -> None:
    """``needs``, ``pool``, ``objective`` and the flags are of the right kind."""
    unknown = needs_of(sampler) - set(EXTRAS)
    expect(not unknown, f"needs {sorted(unknown)}, known are {', '.join(EXTRAS)}")
    for flag in ("stochastic", "may_empty"):
        value = getattr(sampler, flag, False)
        expect(isinstance(value, bool), f"{flag} must be True or False, not {value!r}")
    for axis in ("objective", "pool"):
        pairing = getattr(sampler, axis, "")
        name = pairing[0] if isinstance(pairing, tuple) and len(pairing) == 2 else pairing
        expect(isinstance(name, str), f"{axis} must be a name or (name, parameters): {pairing!r}")
    expect((type(sampler).__doc__ or "").strip(), "the class has no docstring")


def chooses_only_eligible(sampler: Sampler) -> None:
    """No negative, and nothing attracted, is the anchor, a positive or otherwise barred."""
    for context in contexts(sampler):
        seen, picked = answer(sampler, context)
        barred = ~seen.negative_mask
        expect(not (picked.mask & barred).any(), "chose a candidate that may not be chosen")
        own = torch.zeros_like(barred).scatter(1, seen.positive[:, None], True)
        expect(not (picked.mask & own).any(), "chose the anchor's own positive")
        if picked.attract is not None:
            expect(not (picked.attract & barred).any(), "attracts what may not be chosen")
            expect(not (picked.attract & picked.mask).any(), "attracts one of its negatives")


def never_chooses_a_twin(sampler: Sampler) -> None:
    """No negative's text equals the anchor's, its positive's or another known positive's."""
    for seed in SEEDS:
        context, forbidden = text_context(needs=needs_of(sampler), seed=seed)
        seen, picked = answer(sampler, context)
        extra = seen.similarity.shape[1] - forbidden.shape[1]
        forbidden = torch.nn.functional.pad(forbidden, (0, extra))
        expect(not (picked.mask & forbidden).any(), "chose a text equal to a known positive")
        if picked.attract is not None:
            expect(not (picked.attract & forbidden).any(), "attracts a known positive twice")


def answers_with_right_shapes(sampler: Sampler) -> None:
    """``mask`` is bool and ``(B, N)`` or ``(M, B, N)``; the others share shape and device."""
    for context in contexts(sampler):
        _expect_well_formed(*answer(sampler, context))


def _expect_well_formed(context: SimilarityContext, picked: Selection) -> None:
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


def leaves_input_untouched(sampler: Sampler) -> None:
    """No tensor of the context is written to."""
    for context in contexts(sampler):
        before = {name: (t.clone(), t._version) for name, t in tensors(context).items()}
        answer(sampler, context)
        for name, value in tensors(context).items():
            kept, version = before[name]
            expect(value._version == version, f"wrote to context.{name}")
            expect(torch.equal(value, kept), f"changed context.{name}")


def repeats_itself(sampler: Sampler) -> None:
    """The same generator state gives the same answer, and no other randomness is touched."""
    for context in contexts(sampler):
        outside = torch.get_rng_state()
        first = answer(sampler, refresh(context, 5))[1]
        again = answer(sampler, refresh(context, 5))[1]
        expect(same(first, again), "answered differently from the same generator state")
        expect(
            torch.equal(outside, torch.get_rng_state()),
            "drew from torch's global generator, not from context.generator",
        )


def varies_with_the_generator(sampler: Sampler) -> None:
    """Another state gives another answer if it claims chance, and the same if it does not."""
    context = make_context(8, 64, needs=needs_of(sampler), seed=1)
    seen, first = answer(sampler, refresh(context, 0))
    changed = False
    for seed in range(1, 6):
        others, other = answer(sampler, refresh(context, seed))
        equal = torch.equal(seen.similarity, others.similarity) and same(first, other)
        changed = changed or not equal
    claims = getattr(sampler, "stochastic", False)
    expect(changed or not claims, "says it is stochastic, but answers the same every time")
    expect(claims or not changed, "answers by chance; say so with `stochastic = True`")


def follows_its_candidates(sampler: Sampler) -> None:
    """Reordering anchors or candidates reorders the answer of a sampler without chance."""
    if getattr(sampler, "stochastic", False) or hasattr(sampler, "synthesize"):
        return
    for context in contexts(sampler):
        draw = torch.Generator().manual_seed(3)
        batch, columns = context.similarity.shape
        across = torch.randperm(columns, generator=draw)
        down = torch.randperm(batch, generator=draw)
        plain = sampler(context)
        by_column = sampler(permute_columns(context, across))
        by_row = sampler(permute_rows(context, down))
        expect(
            same(_indexed(plain, (..., across)), by_column),
            "candidates in another order were chosen differently",
        )
        expect(
            same(_indexed(plain, (..., down, slice(None))), by_row),
            "anchors in another order chose differently",
        )


def _indexed(picked: Selection, index: tuple[Any, ...]) -> Selection:
    return Selection(
        mask=picked.mask[index],
        log_weight=None if picked.log_weight is None else picked.log_weight[index],
        attract=None if picked.attract is None else picked.attract[index],
    )


def keeps_one_per_row(sampler: Sampler) -> None:
    """Every row with a candidate keeps one, unless the class says ``may_empty``."""
    if getattr(sampler, "may_empty", False):
        return
    for context in (*contexts(sampler), make_context(2, 3, needs=needs_of(sampler), seed=4)):
        seen, picked = answer(sampler, context)
        lost = seen.negative_mask.any(dim=1) & ~picked.mask.any(dim=-1)
        expect(not lost.any(), "a row with candidates was left without a negative")


def survives_tiny_batches(sampler: Sampler) -> None:
    """One anchor, one candidate, nothing to choose from: an answer, of the right shape."""
    needs = needs_of(sampler)
    for batch, columns in ((1, 1), (1, 2), (2, 2), (1, 40)):
        for ineligible in (0.0, 1.0):
            context = make_context(batch, columns, needs=needs, ineligible=ineligible)
            seen, picked = answer(sampler, context)
            _expect_well_formed(seen, picked)
            _expect_finite(picked)
            expect(not (picked.mask & ~seen.negative_mask).any(), "chose what it may not choose")


def survives_equal_similarities(sampler: Sampler) -> None:
    """All candidates alike, at any level: a finite answer that keeps to the rules."""
    needs = needs_of(sampler)
    draw = torch.Generator().manual_seed(0)
    point = unit(8, generator=draw)
    for candidate in (point, -point, unit(8, generator=draw)):
        allowed = ~torch.eye(4, 10, dtype=torch.bool)
        context = context_of(
            point.expand(4, 8), candidate.expand(10, 8), torch.arange(4), allowed, needs=needs
        )
        seen, picked = answer(sampler, context)
        _expect_well_formed(seen, picked)
        _expect_finite(picked)
        expect(not (picked.mask & ~seen.negative_mask).any(), "chose what it may not choose")


def survives_half_precision(sampler: Sampler) -> None:
    """Similarities in float16 and bfloat16 give finite weights and keep to the rules."""
    for dtype in _FLOATS:
        for context in contexts(sampler):
            half = context.map(_cast(dtype))
            seen, picked = answer(sampler, half)
            _expect_well_formed(seen, picked)
            _expect_finite(picked)
            expect(not (picked.mask & ~seen.negative_mask).any(), f"chose a barred one in {dtype}")


def _cast(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    return lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor


def _expect_finite(picked: Selection) -> None:
    if picked.log_weight is not None:
        kept = picked.log_weight.masked_fill(~picked.mask, 0)
        expect(torch.isfinite(kept).all(), "a chosen negative's log_weight is not finite")


def keeps_no_state(sampler: Sampler) -> None:
    """An answer depends on nothing that was asked before; parameters are frozen."""
    one, two, *_ = contexts(sampler)
    before = repr(sampler), dict(vars(sampler)) if hasattr(sampler, "__dict__") else {}
    first = answer(sampler, refresh(one, 5))[1]
    for seed in range(3):
        answer(sampler, refresh(two, seed))
    again = answer(sampler, refresh(one, 5))[1]
    expect(same(first, again), "the same question got another answer later on")
    after = repr(sampler), dict(vars(sampler)) if hasattr(sampler, "__dict__") else {}
    expect(before[0] == after[0] and before[1].keys() == after[1].keys(), "it changed itself")
    expect(
        all(before[1][name] is after[1][name] for name in before[1]), "it changed a field of itself"
    )
    if is_dataclass(sampler):
        frozen = sampler.__dataclass_params__.frozen
        expect(frozen, "the dataclass must be frozen: @dataclass(frozen=True)")


def never_waits_for_the_device(sampler: Sampler) -> None:
    """No number leaves the device, no shape depends on data, nothing is made on another device.

    Run under fake tensors, which raise on any such thing, on the CPU and on another device.
    """
    for context in (make_context(needs=needs_of(sampler)), make_context(5, layout="both")):
        kept = context.replace(**dict.fromkeys(set(EXTRAS) - needs_of(sampler)))
        for device in ("cpu", "meta"):
            with FakeTensorMode() as mode:
                # Fake tensors have shape, dtype and device only, so any device can be pretended.
                fake = kept.map(_pretended(device) if device != "cpu" else mode.from_tensor)
                if device != "cpu":
                    fake = fake.replace(generator=None)
                try:
                    with NoBooleanIndex():  # type: ignore[no-untyped-call]  # torch's own
                        seen, picked = answer(sampler, fake)
                except ContractError:
                    raise
                except Exception as error:
                    raise ContractError(
                        f"waits for the device or mixes devices ({device}): "
                        f"{type(error).__name__}: {error}"
                    ) from error
                _expect_well_formed(seen, picked)


def _pretended(device: str) -> Callable[[Tensor], Tensor]:
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


def reads_only_what_it_needs(sampler: Sampler) -> None:
    """Extras it does not name change nothing; each one it names is missed by name."""
    needs = needs_of(sampler)
    lean, rich = make_context(needs=needs, seed=2), make_context(needs=EXTRAS, seed=2)
    one, two = answer(sampler, refresh(lean, 1))[1], answer(sampler, refresh(rich, 1))[1]
    expect(same(one, two), "an extra that `needs` does not name changed the answer")
    for name in sorted(needs):
        try:
            answer(sampler, lean.replace(**{name: None}))
        except ValueError as error:
            expect(name in str(error), f"the error does not name context.{name}: {error}")
        else:
            raise ContractError(f"needs names {name!r}, but a context without it was accepted")


def refuses_illegal_parameters(sampler: Sampler) -> None:
    """Every number refuses NaN, words and absurd sizes; every word refuses nonsense."""
    expect_refusals(sampler)


def expect_refusals(component: object) -> None:
    """Feed every parameter of a frozen dataclass illegal values, and expect a clear refusal."""
    if not is_dataclass(component) or isinstance(component, type):
        return
    for item in fields(component):
        if not item.init:
            continue
        for bad in _illegal(getattr(component, item.name)):
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


def accepts_scheduled_parameters(sampler: Sampler) -> None:
    """Each parameter in ``schedulable`` works as a 0-dim tensor just as it does as a number."""
    for name in getattr(sampler, "schedulable", ()):
        value = torch.tensor(float(getattr(sampler, name)))
        moved = scheduled(sampler, name, value)
        for context in contexts(sampler):
            plain = answer(sampler, refresh(context, 5))[1]
            same_again = answer(moved, refresh(context, 5))[1]
            expect(same(plain, same_again), f"{name} as a tensor gives another answer")
        with FakeTensorMode() as mode:
            fake = make_context(needs=needs_of(sampler)).map(mode.from_tensor)
            try:
                answer(scheduled(sampler, name, mode.from_tensor(value)), fake)
            except Exception as error:
                raise ContractError(f"{name} as a tensor: {error}") from error


CHECKS: tuple[Check, ...] = (
    declares_itself,
    answers_with_right_shapes,
    chooses_only_eligible,
    never_chooses_a_twin,
    leaves_input_untouched,
    repeats_itself,
    varies_with_the_generator,
    follows_its_candidates,
    keeps_one_per_row,
    survives_tiny_batches,
    survives_equal_similarities,
    survives_half_precision,
    keeps_no_state,
    never_waits_for_the_device,
    reads_only_what_it_needs,
    refuses_illegal_parameters,
    accepts_scheduled_parameters,
)


def configurations(registry: Registry[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Name and parameters of every case of a registry: the defaults, then ``test_configs``."""
    out: list[tuple[str, dict[str, Any]]] = []
    for entry in registry:
        out += [(entry.name, given) for given in configurations_of(entry)]
    return out


def configurations_of(entry: Entry[Any]) -> list[dict[str, Any]]:
    """The parameter sets one registered class is checked with."""
    return [{}, *(dict(given) for given in entry.attribute("test_configs", ()))]


def check_sampler(sampler: Sampler | str, /, **parameters: Any) -> None:
    """Run every law over one sampler.

    Args:
        sampler: An instance, or the name of a registered one.
        parameters: Of the named one; without any, its ``test_configs`` are checked as well.

    Raises:
        ContractError: On the first broken law, naming sampler and law.
    """
    cases = [sampler] if not isinstance(sampler, str) else _named(sampler, parameters)
    for case in cases:
        for check in CHECKS:
            try:
                check(case)
            except Exception as error:
                what = "" if isinstance(error, ContractError) else f"{type(error).__name__}: "
                text = f"{case!r} breaks {check.__name__}: {what}{error}"
                raise ContractError(text) from error


def _named(name: str, parameters: dict[str, Any]) -> list[Sampler]:
    from nsbench.samplers import samplers

    if parameters:
        return [make(name, **parameters)]
    return [make(name, **given) for given in configurations_of(samplers.entry(name))]


def expect_oracle(sampler: Sampler, rule: Rule) -> None:
    """Compare a sampler's choice with a rule in nested loops, on a dozen candidates.

    Raises:
        ContractError: Where they differ.
    """
    for seed in range(8):
        context = make_context(
            5, 12, needs=needs_of(sampler), seed=seed, ineligible=0.1 * (seed % 4)
        )
        fast, slow = chosen(sampler(context).mask), by_loops(context, rule)
        expect(fast == slow, f"chose {fast}, the loops {slow}")


__all__ = [
    "CHECKS",
    "Check",
    "ContractError",
    "NoBooleanIndex",
    "Rule",
    "answer",
    "by_loops",
    "check_sampler",
    "chosen",
    "configurations",
    "configurations_of",
    "context_of",
    "contexts",
    "expect",
    "expect_oracle",
    "expect_refusals",
    "make_context",
    "needs_of",
    "of_views",
    "one_row",
    "permute_columns",
    "permute_rows",
    "same",
    "text_context",
    "two_views",
    "unit",
]
