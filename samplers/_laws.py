"""The laws of the sampler contract, each a function of one sampler."""

from collections.abc import Callable
from dataclasses import is_dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from nsbench.samplers import EXTRAS, Sampler, scheduled
from nsbench.samplers._contexts import (
    context_of,
    make_context,
    permute_columns,
    permute_rows,
    text_context,
    unit,
)
from nsbench.samplers._contract import (
    SEEDS,
    ContractError,
    NoBooleanIndex,
    answer,
    cast,
    contexts,
    expect,
    expect_finite,
    expect_refusals,
    expect_well_formed,
    indexed,
    needs_of,
    pretended,
    refresh,
    same,
    tensors,
)

Check = Callable[[Sampler], None]
_FLOATS = (torch.float16, torch.bfloat16)


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
        expect_well_formed(*answer(sampler, context))


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
            same(indexed(plain, (..., across)), by_column),
            "candidates in another order were chosen differently",
        )
        expect(
            same(indexed(plain, (..., down, slice(None))), by_row),
            "anchors in another order chose differently",
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
            expect_well_formed(seen, picked)
            expect_finite(picked)
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
        expect_well_formed(seen, picked)
        expect_finite(picked)
        expect(not (picked.mask & ~seen.negative_mask).any(), "chose what it may not choose")


def survives_half_precision(sampler: Sampler) -> None:
    """Similarities in float16 and bfloat16 give finite weights and keep to the rules."""
    for dtype in _FLOATS:
        for context in contexts(sampler):
            half = context.map(cast(dtype))
            seen, picked = answer(sampler, half)
            expect_well_formed(seen, picked)
            expect_finite(picked)
            expect(not (picked.mask & ~seen.negative_mask).any(), f"chose a barred one in {dtype}")


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
                fake = kept.map(pretended(device) if device != "cpu" else mode.from_tensor)
                if device != "cpu":
                    fake = fake.replace(generator=None)
                try:
                    with NoBooleanIndex():  # type: ignore[no-untyped-call]  # torch's own
                        seen, picked = answer(sampler, fake)
                        if hasattr(sampler, "diagnostics"):
                            sampler.diagnostics(seen)
                except ContractError:
                    raise
                except Exception as error:
                    raise ContractError(
                        f"waits for the device or mixes devices ({device}): "
                        f"{type(error).__name__}: {error}"
                    ) from error
                expect_well_formed(seen, picked)


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
