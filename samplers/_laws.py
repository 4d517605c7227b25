"""The laws of the sampler contract, each a function of one sampler."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from nsbench.samplers import (
    EXTRAS,
    Sampler,
    Selection,
    SimilarityContext,
    append_synthetic,
    samplers,
    scheduled,
)
from nsbench.samplers._contexts import (
    context_of,
    make_context,
    permute_columns,
    permute_rows,
    text_context,
    unit,
)
from nsbench.samplers._contract import (
    Change,
    Contract,
    ContractError,
    expect,
    expect_chance,
    expect_declared,
    expect_frozen,
    expect_no_waiting,
    expect_repeatable,
    expect_untouched,
    refuses_illegal_parameters,
    seeded,
)

SEEDS = range(3)
SAMPLERS: Contract[Sampler] = Contract(samplers)
"""The contract of samplers."""


def needs_of(component: object) -> frozenset[str]:
    """Extras of the context that a sampler or objective reads."""
    return frozenset(getattr(component, "needs", ()))


def answer(sampler: Sampler, context: SimilarityContext) -> tuple[SimilarityContext, Selection]:
    """The context with the candidates that a sampler makes, and what it chooses from it."""
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
    return context.replace(generator=seeded(seed))


def same(a: Selection, b: Selection) -> bool:
    """Return whether two selections are equal; weights of what is not chosen do not count."""
    return (
        _equal(a.mask, b.mask)
        and _equal(a.attract, b.attract)
        and _equal(_weights(a), _weights(b), rtol=1e-5, atol=1e-6)
    )


def _weights(picked: Selection) -> Tensor | None:
    return None if picked.log_weight is None else picked.log_weight.masked_fill(~picked.mask, 0)


def _equal(a: Tensor | None, b: Tensor | None, *, rtol: float = 0.0, atol: float = 0.0) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and torch.allclose(a, b, rtol=rtol, atol=atol)


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


def expect_sound(seen: SimilarityContext, picked: Selection) -> None:
    """Expect a well-formed answer, finite where it chose, of eligible candidates only."""
    expect_well_formed(seen, picked)
    if picked.log_weight is not None:
        kept = picked.log_weight.masked_fill(~picked.mask, 0)
        expect(torch.isfinite(kept).all(), "a chosen negative's log_weight is not finite")
    expect(not (picked.mask & ~seen.negative_mask).any(), "chose what it may not choose")


@SAMPLERS.law
def declares_itself(sampler: Sampler) -> None:
    """``needs``, ``pool``, ``objective`` and the flags are of the right kind."""
    unknown = needs_of(sampler) - set(EXTRAS)
    expect(not unknown, f"needs {sorted(unknown)}, known are {', '.join(EXTRAS)}")
    for axis in ("objective", "pool"):
        pairing = getattr(sampler, axis, "")
        name = pairing[0] if isinstance(pairing, tuple) and len(pairing) == 2 else pairing
        expect(isinstance(name, str), f"{axis} must be a name or (name, parameters): {pairing!r}")
    expect_declared(sampler, "stochastic", "may_empty", "requires_given")


@SAMPLERS.law
def answers_with_right_shapes(sampler: Sampler) -> None:
    """``mask`` is bool and ``(B, N)`` or ``(M, B, N)``; the others share shape and device."""
    for context in contexts(sampler):
        expect_well_formed(*answer(sampler, context))


@SAMPLERS.law
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


@SAMPLERS.law
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


@SAMPLERS.law
def leaves_input_untouched(sampler: Sampler) -> None:
    """No tensor of the context is written to."""
    for context in contexts(sampler):
        expect_untouched(partial(answer, sampler, context), context)


@SAMPLERS.law
def repeats_itself(sampler: Sampler) -> None:
    """The same generator state gives the same answer, and no other randomness is touched."""
    for context in contexts(sampler):

        def ask(draw: torch.Generator, context: SimilarityContext = context) -> Selection:
            return answer(sampler, context.replace(generator=draw))[1]

        expect_repeatable(ask, same)


@SAMPLERS.law
def varies_with_the_generator(sampler: Sampler) -> None:
    """Another state gives another answer if it claims chance, and the same if it does not."""
    context = make_context(8, 64, needs=needs_of(sampler), seed=1)
    seen, first = answer(sampler, refresh(context, 0))
    changed = False
    for seed in range(1, 6):
        others, other = answer(sampler, refresh(context, seed))
        equal = torch.equal(seen.similarity, others.similarity) and same(first, other)
        changed = changed or not equal
    expect_chance(sampler, varied=changed)


@SAMPLERS.law
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
        turned = plain.at((..., across)), plain.at((..., down, slice(None)))
        expect(same(turned[0], by_column), "candidates in another order were chosen differently")
        expect(same(turned[1], by_row), "anchors in another order chose differently")


@SAMPLERS.law
def keeps_one_per_row(sampler: Sampler) -> None:
    """Every row with a candidate keeps one, unless the class says ``may_empty``."""
    if getattr(sampler, "may_empty", False):
        return
    for context in (*contexts(sampler), make_context(2, 3, needs=needs_of(sampler), seed=4)):
        seen, picked = answer(sampler, context)
        lost = seen.negative_mask.any(dim=1) & ~picked.mask.any(dim=-1)
        expect(not lost.any(), "a row with candidates was left without a negative")


@SAMPLERS.law
def survives_tiny_batches(sampler: Sampler) -> None:
    """One anchor, one candidate, nothing to choose from: an answer, of the right shape."""
    needs = needs_of(sampler)
    for batch, columns in ((1, 1), (1, 2), (2, 2), (1, 40)):
        for ineligible in (0.0, 1.0):
            context = make_context(batch, columns, needs=needs, ineligible=ineligible)
            seen, picked = answer(sampler, context)
            expect_sound(seen, picked)


@SAMPLERS.law
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
        expect_sound(seen, picked)


@SAMPLERS.law
def survives_half_precision(sampler: Sampler) -> None:
    """Similarities in float16 and bfloat16 give finite weights and keep to the rules."""
    for dtype in (torch.float16, torch.bfloat16):
        for context in contexts(sampler):

            def cast(tensor: Tensor, dtype: torch.dtype = dtype) -> Tensor:
                return tensor.to(dtype) if tensor.is_floating_point() else tensor

            seen, picked = answer(sampler, context.map(cast))
            expect_sound(seen, picked)


@SAMPLERS.law
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
    expect_frozen(sampler)


@SAMPLERS.law
def never_waits_for_the_device(sampler: Sampler) -> None:
    """No number leaves the device, no shape depends on data, nothing is made on another device."""
    for context in (make_context(needs=needs_of(sampler)), make_context(5, layout="both")):
        kept = context.replace(**dict.fromkeys(set(EXTRAS) - needs_of(sampler)))

        def act(fake: Change, device: str, kept: SimilarityContext = kept) -> None:
            generator = kept.generator if device == "cpu" else None
            seen, picked = answer(sampler, kept.map(fake).replace(generator=generator))
            if hasattr(sampler, "diagnostics"):
                sampler.diagnostics(seen)
            expect_well_formed(seen, picked)

        expect_no_waiting(act)


@SAMPLERS.law
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


SAMPLERS.law(refuses_illegal_parameters)


@SAMPLERS.law
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
