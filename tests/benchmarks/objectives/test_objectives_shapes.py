"""`rince`, `focal_info_nce`, `temperature_free`, `sigmoid`: other shapes than the softmax's."""

import math

import pytest
import torch
from made_losses import Row, case, every, expect_loops, info_nce, loss_of
from torch.nn import functional

from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.testing.objectives import gradient
from nsbench.samplers import Selection, SimilarityContext
from nsbench.samplers.testing import one_row


@pytest.mark.parametrize(("q", "lam", "t"), [(0.1, 0.01, 0.1), (0.6, 0.5, 0.2), (1.0, 1.0, 0.5)])
def test_rince_equals_nested_loops(q: float, lam: float, t: float) -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        total = row.total(lambda s: s / t) + sum(math.exp(p / t) for p in row.positives)
        pulled = sum(math.exp(q * p / t) for p in row.positives) / len(row.positives)
        return (-pulled + (lam * total) ** q) / q

    expect_loops(objectives.make("rince", q=q, lam=lam, temperature=t), formula, tolerance=1e-4)


def test_law_rince_towards_zero_is_info_nce() -> None:
    context, _ = case()
    plain = loss_of("info_nce", context, temperature=0.1)
    small = loss_of("rince", context, q=1e-4)
    torch.testing.assert_close(small, plain + math.log(0.01), rtol=2e-3, atol=4e-3)


def test_law_rince_at_one_is_the_plain_sum_of_the_negatives() -> None:
    context, selection = case()
    wanted = (torch.exp(context.similarity / 0.5) * selection.mask).sum(dim=1)
    loss = loss_of("rince", context, q=1.0, lam=1.0, temperature=0.5)
    torch.testing.assert_close(loss, wanted)


def test_law_rince_gives_in_to_a_hopeless_positive_where_info_nce_does_not() -> None:
    row = one_row([-0.9, 0.9, 0.8, 0.7])
    pull = {
        name: -float(gradient(made, row, every(row))[0, 0])
        for name, made in (
            ("info_nce", objectives.make("info_nce", temperature=0.5)),
            ("rince", objectives.make("rince", q=1.0, lam=0.01, temperature=0.5)),
        )
    }
    assert 0 < pull["rince"] < 0.2 * pull["info_nce"]


def test_rince_refuses_a_power_that_overflows() -> None:
    with pytest.raises(ValueError, match=r"q / temperature is 100 .* at most 60"):
        objectives.make("rince", q=1.0, temperature=0.01)


def test_focal_info_nce_equals_nested_loops() -> None:
    t, m = 0.1, 0.3

    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        total = row.total(lambda s: s * (s + m) / t)
        total += sum(math.exp(p * p / t) for p in row.positives)
        return math.log(total) - sum(p * p / t for p in row.positives) / len(row.positives)

    expect_loops(objectives.make("focal_info_nce", temperature=t, m=m), formula)


def test_law_focal_info_nce_pushes_negatives_below_half_the_offset_up() -> None:
    made = objectives.make("focal_info_nce")
    for s_pos in (-0.2, 0.4):
        row = one_row([s_pos, -0.5, -0.2, -0.151, -0.149, 0.1, 0.5])
        slope = gradient(made, row, every(row))[0]
        sign = slope[1:].sign().tolist()
        assert sign == [-1, -1, -1, 1, 1, 1]  # descent moves against it
        assert (slope[0] > 0) == (s_pos < 0)


def test_focal_info_nce_counts_what_moves_backward() -> None:
    row = one_row([-0.2, -0.5, 0.1, 0.5])
    made = objectives.make("focal_info_nce")
    found = made.diagnostics(row.similarity, row, every(row))
    torch.testing.assert_close(found["backward"], torch.tensor(0.5))


def test_law_temperature_free_logits_are_log_odds() -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        def odds(s: float) -> float:
            return math.log((1 + s) / (1 - s))

        odd = Row(odds(row.s_pos), [odds(p) for p in row.positives], [], [], 0)
        negatives = [(odds(s), w) for s, w in row.negatives]
        return info_nce(Row(odd.s_pos, odd.positives, negatives, [], 0), 1.0)

    expect_loops(objectives.make("temperature_free"), formula, tolerance=1e-4)


def test_law_temperature_free_is_finite_where_the_logit_is_not() -> None:
    row = one_row([1.0, 1.0, -1.0])
    assert torch.isfinite(loss_of("temperature_free", row)).all()
    assert torch.isfinite(gradient(objectives.make("temperature_free"), row, every(row))).all()


@pytest.mark.parametrize(("t", "bias"), [(0.1, -10.0), (0.2, 1.0)])
def test_sigmoid_equals_nested_loops(t: float, bias: float) -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        def softplus(x: float) -> float:
            return max(x, 0) + math.log1p(math.exp(-abs(x)))

        pulled = sum(softplus(-(p / t + bias)) for p in row.positives)
        return pulled + sum(w * softplus(s / t + bias) for s, w in row.negatives)

    expect_loops(objectives.make("sigmoid", temperature=t, bias=bias), formula)


def test_law_sigmoid_is_softplus_over_all_less_the_diagonal() -> None:
    draw = torch.Generator().manual_seed(3)
    similarity = 2 * torch.rand(6, 6, generator=draw) - 1
    off = ~(torch.eye(6) > 0)
    context = SimilarityContext(similarity, torch.arange(6), off)
    loss = loss_of("sigmoid", context)
    logits = 10 * similarity - 10
    wanted = functional.softplus(logits).sum(dim=1) - logits.diagonal()
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-5)
    labels = 2 * torch.eye(6) - 1  # the published form
    torch.testing.assert_close(loss.sum(), -functional.logsigmoid(labels * logits).sum())


def test_law_sigmoid_pushes_a_negative_whatever_the_others_are() -> None:
    context, selection = case()
    made = objectives.make("sigmoid")
    whole = gradient(made, context, selection)
    alone = torch.zeros_like(selection.mask)
    alone[:, 3] = selection.mask[:, 3]
    single = gradient(made, context, Selection(mask=alone))
    torch.testing.assert_close(whole[:, 3] * alone[:, 3], single[:, 3] * alone[:, 3])
    softmax = objectives.make("info_nce", temperature=0.1)
    assert not torch.allclose(
        gradient(softmax, context, selection)[:, 3] * alone[:, 3],
        gradient(softmax, context, Selection(mask=alone))[:, 3] * alone[:, 3],
    )
