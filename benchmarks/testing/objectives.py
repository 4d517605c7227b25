"""The contract of objectives, for plugin authors and for this package's own tests.

    from nsbench.benchmarks.testing.objectives import check_objective

    def test_contract():
        check_objective(MyLoss(temperature=0.1))

A broken law raises `nsbench.samplers.testing.ContractError`.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import Objective, objectives
from nsbench.samplers import Selection, SimilarityContext
from nsbench.samplers._contexts import make_context, permute_columns, permute_rows
from nsbench.samplers._contract import (
    Change,
    Contract,
    expect,
    expect_declared,
    expect_no_waiting,
    expect_untouched,
    refuses_illegal_parameters,
    with_tensors,
)
from nsbench.samplers._laws import needs_of

OBJECTIVES: Contract[Objective] = Contract(objectives)
"""The contract of objectives."""
Case = tuple[SimilarityContext, Selection]


def layout_of(objective: Objective) -> str:
    """The layout an objective estimates on, ``one`` or ``both``."""
    return str(getattr(objective, "views", "one"))


def objective_cases(objective: Objective) -> Iterator[Case]:
    """Contexts with selections: all, some, weighted, attracting; each with a row without any."""
    for seed in range(3):
        needs, layout = needs_of(objective), layout_of(objective)
        context = make_context(5, 14, needs=needs, seed=seed, layout=layout)
        draw = torch.Generator().manual_seed(seed)
        lot = torch.rand(context.similarity.shape, generator=draw)
        allowed = context.negative_mask.clone()
        allowed[-1] = False
        some = allowed & (lot < 0.6)
        weight = torch.randn(lot.shape, generator=draw)
        yield context, Selection(mask=allowed)
        yield context, Selection(mask=some)
        yield context, Selection(mask=some, log_weight=weight)
        near = context.negative_mask & (lot > 0.85)
        yield context, Selection(mask=some & ~near, attract=near)


def gradient(objective: Objective, context: SimilarityContext, selection: Selection) -> Tensor:
    """``(B, N)`` gradient of the summed loss with respect to the similarities."""
    live = context.similarity.clone().requires_grad_()
    objective(live, context, selection).sum().backward()
    return torch.zeros_like(live) if live.grad is None else live.grad


def _loss(objective: Objective, context: SimilarityContext, selection: Selection) -> Tensor:
    return objective(context.similarity, context, selection)


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5)


@OBJECTIVES.law
def says_which_views(objective: Objective) -> None:
    """``views`` is ``one`` or ``both`` and ``balanced`` a truth value."""
    views = layout_of(objective)
    expect(views in ("one", "both"), f"views must be 'one' or 'both', not {views!r}")
    expect_declared(objective, "balanced")


@OBJECTIVES.law
def gives_one_finite_loss_per_anchor(objective: Objective) -> None:
    """``(B,)`` finite floats, with a finite gradient, and the same when asked again."""
    for context, selection in objective_cases(objective):
        loss = _loss(objective, context, selection)
        expect(loss.shape == context.positive.shape, f"loss has shape {tuple(loss.shape)}")
        expect(torch.isfinite(loss).all(), "a loss is not finite")
        slope = gradient(objective, context, selection)
        expect(torch.isfinite(slope).all(), "a gradient is not finite")
        expect(torch.equal(loss, _loss(objective, context, selection)), "the second call differs")


@OBJECTIVES.law
def permuting_the_batch_permutes_the_losses(objective: Objective) -> None:
    """Anchors in another order: their losses in that order. Candidates in another: no change."""
    for context, selection in objective_cases(objective):
        draw = torch.Generator().manual_seed(9)
        down = torch.randperm(context.similarity.shape[0], generator=draw)
        across = torch.randperm(context.similarity.shape[1], generator=draw)
        loss = _loss(objective, context, selection)
        rows = _loss(objective, permute_rows(context, down), selection.at(down))
        turned = selection.at((slice(None), across))
        columns = _loss(objective, permute_columns(context, across), turned)
        expect(_close(rows, loss[down]), "anchors in another order have other losses")
        expect(_close(columns, loss), "the order of the candidates changed the loss")


@OBJECTIVES.law
def gives_nothing_for_an_empty_row(objective: Objective) -> None:
    """An anchor without a negative: loss 0, gradient 0, the others as if it were not there."""
    for context, selection in objective_cases(objective):
        empty = ~selection.mask.any(dim=1)
        loss, slope = _loss(objective, context, selection), gradient(objective, context, selection)
        expect((loss[empty] == 0).all(), "an anchor without negatives has a loss")
        expect((slope[empty] == 0).all(), "an anchor without negatives has a gradient")
    nothing = Selection(mask=torch.zeros_like(context.negative_mask))
    expect((_loss(objective, context, nothing) == 0).all(), "no negatives at all, yet a loss")
    expect((gradient(objective, context, nothing) == 0).all(), "no negatives, yet a gradient")


@OBJECTIVES.law
def masked_candidates_get_no_gradient(objective: Objective) -> None:
    """Exactly zero gradient for a candidate that is no positive, negative or attracted one."""
    for context, selection in objective_cases(objective):
        used = selection.mask.scatter(1, context.positive[:, None], True)
        if selection.attract is not None:
            used = used | selection.attract
        slope = gradient(objective, context, selection)
        expect((slope[~used] == 0).all(), "a masked candidate gets a gradient")


@OBJECTIVES.law
def balances_its_gradient(objective: Objective) -> None:
    """Push on the negatives equals pull on the positive: gradients sum to 0, if claimed."""
    if not getattr(objective, "balanced", False):
        return
    for context, selection in objective_cases(objective):
        slope = gradient(objective, context, selection)
        scale = slope.abs().sum(dim=1).clamp(min=1)
        expect((slope.sum(dim=1).abs() <= 1e-4 * scale).all(), "a row's gradient does not sum to 0")


@OBJECTIVES.law
def a_count_is_a_weight(objective: Objective) -> None:
    """A negative that occurs twice in the row equals one of log weight log 2."""
    for context, selection in objective_cases(objective):
        if selection.attract is not None:
            continue
        columns = context.similarity.shape[1]
        order = torch.cat([torch.arange(columns), torch.arange(columns)])
        weight, twice = selection.log_weight, selection.at((slice(None), order))
        wide = permute_columns(context, order).replace(positive=context.positive)
        base = torch.zeros_like(context.similarity) if weight is None else weight
        heavy = Selection(mask=selection.mask, log_weight=base + torch.log(torch.tensor(2.0)))
        one, two = _loss(objective, wide, twice), _loss(objective, context, heavy)
        expect(_close(one, two), "a doubled negative and one of weight 2 differ")


@OBJECTIVES.law
def survives_half_precision_gradients(objective: Objective) -> None:
    """float16 and bfloat16 similarities give finite losses and gradients."""
    for dtype in (torch.float16, torch.bfloat16):
        for context, selection in objective_cases(objective):
            half = context.replace(similarity=context.similarity.to(dtype))
            expect(torch.isfinite(_loss(objective, half, selection)).all(), f"{dtype}: loss")
            expect(torch.isfinite(gradient(objective, half, selection)).all(), f"{dtype}: gradient")


@OBJECTIVES.law
def survives_extremes(objective: Objective) -> None:
    """Similarities all 1, all -1, and positive worst of all: finite loss and gradient."""
    context, selection = next(objective_cases(objective))
    ones = torch.ones_like(context.similarity)
    worst = ones.scatter(1, context.positive[:, None], -1)
    for similarity in (ones, -ones, worst, -worst):
        extreme = context.replace(similarity=similarity)
        expect(torch.isfinite(_loss(objective, extreme, selection)).all(), "loss not finite")
        expect(torch.isfinite(gradient(objective, extreme, selection)).all(), "gradient not finite")


@OBJECTIVES.law
def leaves_its_input_untouched(objective: Objective) -> None:
    """Neither similarities nor the selection are written to."""
    for case in objective_cases(objective):
        expect_untouched(partial(_loss, objective, *case), *case)


@OBJECTIVES.law
def never_waits_for_the_device(objective: Objective) -> None:
    """Forward, backward and diagnostics run under fake tensors, which raise on any host sync."""
    diagnostics = getattr(objective, "diagnostics", None)
    for case in objective_cases(objective):

        def act(fake: Change, device: str, case: Case = case) -> None:
            context, picked = case[0].map(fake), with_tensors(case[1], fake)
            gradient(objective, context, picked)
            if diagnostics is not None:
                diagnostics(context.similarity, context, picked)

        expect_no_waiting(act)


@OBJECTIVES.law
def diagnoses_in_scalars(objective: Objective) -> None:
    """``diagnostics`` gives finite 0-dim shares in [0, 1]."""
    diagnostics = getattr(objective, "diagnostics", None)
    if diagnostics is None:
        return
    for context, selection in objective_cases(objective):
        nothing = Selection(mask=torch.zeros_like(selection.mask))
        for picked in (selection, nothing):
            for name, value in diagnostics(context.similarity, context, picked).items():
                expect(value.dim() == 0, f"{name} is not 0-dim")
                expect(bool(torch.isfinite(value)), f"{name} is not finite")
                expect(-1e-6 <= float(value) <= 1 + 1e-6, f"{name} is {float(value)}, no share")


OBJECTIVES.law(refuses_illegal_parameters)


check_objective = OBJECTIVES.check
"""Check every law on one objective."""
