"""`band_margin`: a band below the positive for own negatives, or for attracted candidates."""

import math

import pytest
import torch
from made_losses import Row, every, expect_agreement, expect_loops, info_nce, loss_of
from made_training import method, trained

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.testing.objectives import gradient
from nsbench.samplers import Selection, SimilarityContext
from nsbench.samplers.testing import make_context, of_views, one_row, two_views

TEMPERATURE = 0.05


def band(gaps: list[float], alpha: float, beta: float) -> float:
    costs = [max(0.0, g + alpha) + max(0.0, -g - beta) for g in gaps]
    return sum(costs) / len(costs) if costs else 0.0


@pytest.mark.parametrize("contrast", ["leave", "keep"])
@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.3), (0.0, 0.0), (-0.2, 0.5)])
def test_band_margin_over_own_negatives_equals_nested_loops(
    contrast: str, alpha: float, beta: float
) -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        own = [bool(context.require("own_negative")[row.number, j]) for j in row.columns]
        gaps = [s - row.s_pos for (s, _), o in zip(row.negatives, own, strict=True) if o]
        rest = [n for n, o in zip(row.negatives, own, strict=True) if not o or contrast == "keep"]
        left = Row(row.s_pos, row.positives, rest, row.columns, row.number)
        plain = info_nce(left, TEMPERATURE) if rest else 0.0
        return plain + 2.0 * band(gaps, alpha, beta)

    made = objectives.make("band_margin", alpha=alpha, beta=beta, weight=2.0, contrast=contrast)
    expect_loops(made, formula)


def test_band_margin_over_attracted_ones_equals_nested_loops() -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        gaps = [s - row.s_pos for s in row.positives[1:]]
        alone = Row(row.s_pos, [row.s_pos], row.negatives, row.columns, row.number)
        return info_nce(alone, TEMPERATURE) + 0.5 * band(gaps, 0.1, 0.3)

    expect_loops(objectives.make("band_margin", over="attracted", weight=0.5), formula)


def test_law_nothing_is_pushed_within_the_band() -> None:
    made = objectives.make("band_margin", weight=1.0, inner="triplet[margin=0.05]")
    for s, sign in ((0.75, 1), (0.6, 0), (0.3, -1)):
        context = one_row([0.8, s, -0.9]).replace(own_negative=torch.tensor([[False, True, False]]))
        slope = gradient(made, context, every(context))
        assert slope[0, 1] == sign
        assert slope[0, 2] == 0


def test_agreement_with_the_loss_of_sncse_for_one_soft_negative_a_row() -> None:
    one, two = two_views(6)
    soft = torch.nn.functional.normalize(one + 0.8 * two.roll(1, 0), dim=1)
    raw = [v.clone().requires_grad_() for v in (one, two, soft)]
    z1, z2, z3 = (torch.nn.functional.normalize(v, dim=1) for v in raw)
    gap = (z1 * z3).sum(dim=1) - (z1 * z2).sum(dim=1)
    theirs = torch.nn.functional.cross_entropy(z1 @ z2.T / 0.05, torch.arange(6))
    theirs = theirs + 1e-3 * (torch.relu(gap + 0.1) + torch.relu(-gap - 0.3)).mean()
    columns = torch.cat([z2, z3])
    context = of_views(z1.detach(), z2.detach())
    similarity = z1 @ columns.T
    own = torch.cat([torch.zeros(6, 6), torch.eye(6)], dim=1).bool()
    allowed = torch.cat([~torch.eye(6).bool(), own[:, 6:]], dim=1)
    context = context.replace(
        similarity=similarity.detach(), negative_mask=allowed, own_negative=own
    )
    mine = objectives.make("band_margin")(similarity, context, Selection(mask=allowed)).mean()
    expect_agreement(mine, theirs, raw, 1e-6)


def test_law_weight_zero_without_such_candidates_is_the_inner_objective() -> None:
    context = make_context(6, 30, needs={"own_negative"})
    none = context.replace(own_negative=torch.zeros_like(context.negative_mask))
    assert torch.equal(loss_of("band_margin", none, weight=1.0), loss_of("info_nce", context))


def test_negations_stay_in_the_band_through_a_training() -> None:
    data = datasets.make("negated", data={"name": "planted", "rows": 120})()
    found = {}
    for weight in (0.0, 10.0):
        encoder = encoders.make("static", dimension=16).build(data.texts, 0)
        made = objectives.make("band_margin", weight=weight)
        out = trained(encoder, data, method(objective=made, steps=60, learning_rate=0.02))
        table = out.difficulty[out.difficulty["quantity"] == "margin"]
        found[weight] = out.training["loss"].iloc[-10:].mean()
        assert math.isfinite(found[weight])
        assert len(table)
    assert found[0.0] != found[10.0]


def test_band_margin_refuses_an_empty_band() -> None:
    with pytest.raises(ValueError, match=r"beta is 0\.1, below alpha, 0\.2"):
        objectives.make("band_margin", alpha=0.2, beta=0.1)
