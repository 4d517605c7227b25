import math

import pytest
import torch
from made_losses import Row, every, expect_loops, info_nce, loss_of

from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import Selection, SimilarityContext
from nsbench.samplers.testing import make_context


@pytest.mark.parametrize(("batch", "own"), [(1.0, 1.0), (0.5, 0.5), (0.0, 1.0)])
def test_split_equals_nested_loops(batch: float, own: float) -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        mine = context.require("own_negative")
        parts = []
        for weight, counts in (
            (batch, lambda j: not bool(mine[:, j].any())),
            (own, lambda j: bool(mine[row.number, j])),
        ):
            kept = [n for n, j in zip(row.negatives, row.columns, strict=True) if counts(j)]
            part = Row(row.s_pos, row.positives, kept, [], row.number)
            parts.append(weight * info_nce(part, 0.1) if kept else 0.0)
        return sum(parts)

    made = objectives.make("split", temperature=0.1, batch_weight=batch, own_weight=own)
    expect_loops(made, formula)


def test_law_split_without_own_negatives_is_info_nce() -> None:
    context = make_context(6, 30)
    context = context.replace(own_negative=torch.zeros_like(context.negative_mask))
    plain = loss_of("info_nce", context, temperature=0.1)
    torch.testing.assert_close(loss_of("split", context, temperature=0.1), plain)


def test_law_one_joint_softmax_costs_at_least_the_larger_part() -> None:
    for seed in range(4):
        context = make_context(6, 30, seed=seed)
        own = context.require("own_negative")
        reached = own | ~own.any(dim=0, keepdim=True)
        selection = Selection(mask=context.negative_mask & reached)
        whole = loss_of("info_nce", context, selection, temperature=0.1)
        for weights in ({"own_weight": 0.0}, {"batch_weight": 0.0}):
            part = loss_of("split", context, selection, temperature=0.1, **weights)
            assert (whole >= part - 1e-6).all()


def test_debiased_rows_equals_nested_loops_and_debiased_where_all_rows_are_alike() -> None:
    t = 0.5

    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        truth = context.require("truth")
        count = sum(w for _, w in row.negatives)
        pairs = zip(row.negatives, row.columns, strict=True)
        false = sum(w for (_, w), j in pairs if bool(truth[row.number, j]))
        prior = min(false / count, 0.5)
        pos = math.exp(row.s_pos / t)
        estimate = (row.total(lambda s: s / t) - prior * count * pos) / (1 - prior)
        estimate = max(estimate, count * math.exp(-1 / t))
        return -math.log(pos / (pos + estimate))

    made = objectives.make("debiased_rows", temperature=t)
    expect_loops(made, formula, attract=False, tolerance=1e-4)
    context = make_context(6, 21, ineligible=0.0)
    truth = torch.zeros_like(context.negative_mask)
    for i in range(6):  # two of each row's twenty
        truth[i, context.negative_mask[i].nonzero()[:2, 0]] = True
    context = context.replace(truth=truth)
    rows = made(context.similarity, context, every(context))
    torch.testing.assert_close(rows, loss_of("debiased", context, temperature=t, prior=0.1))


def test_law_debiased_rows_without_false_negatives_is_nt_xent() -> None:
    context = make_context(6, 30)
    context = context.replace(truth=torch.zeros_like(context.negative_mask))
    plain = loss_of("nt_xent", context, temperature=0.1)
    torch.testing.assert_close(loss_of("debiased_rows", context, temperature=0.1), plain)
