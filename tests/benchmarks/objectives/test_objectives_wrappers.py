"""`spread_out`, `matryoshka` and `learned`: any objective, and something more."""

from typing import Any

import pytest
import torch
from made_losses import embedded, every, expect_agreement, expect_same_gradient, raws
from made_training import training, unbroken
from torch import Tensor, nn

from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.objectives._embedded import Embedded, losses_of
from nsbench.benchmarks.testing.objectives import gradient
from nsbench.samplers.testing import make_context, unit


def total(name: str, raw: list[Tensor], **given: Any) -> Tensor:
    return losses_of(objectives.make(name, **given), *embedded(raw)).mean()


@pytest.mark.parametrize("over", ["mean", "sum"])
@pytest.mark.parametrize(("first", "second"), [(1.0, 1.0), (0.0, 2.0), (3.0, 0.0)])
def test_agreement_spread_out_with_global_orthogonal_regularization(
    over: str, first: float, second: float
) -> None:
    losses = pytest.importorskip("sentence_transformers").sentence_transformer.losses
    ranking = losses.MultipleNegativesRankingLoss(None, scale=20.0)
    apart = losses.GlobalOrthogonalRegularizationLoss(
        None, mean_weight=first, second_moment_weight=second, aggregation=over
    )
    for seed in range(3):
        raw = raws(dimensions=4, seed=seed)
        mine = total("spread_out", raw, first=first, second=second, over=over)
        theirs = ranking.compute_loss_from_embeddings(raw, torch.tensor(0))
        theirs = theirs + sum(apart.compute_loss_from_embeddings(raw).values())
        expect_agreement(mine, theirs, raw)


@pytest.mark.parametrize("hinge", ["relu", "none"])
def test_spread_out_equals_nested_loops(hinge: str) -> None:
    made = objectives.make("spread_out", first=0.7, second=1.3, hinge=hinge)
    view = unit(5, 6, generator=torch.Generator().manual_seed(2))
    pairs = [float(view[i] @ view[j]) for i in range(5) for j in range(5) if i != j]
    first = (sum(pairs) / len(pairs)) ** 2
    second = sum(p * p for p in pairs) / len(pairs) - 1 / 6
    wanted = 0.7 * first + 1.3 * (max(second, 0) if hinge == "relu" else second)
    assert float(made.penalty(view)) == pytest.approx(wanted, abs=1e-6)
    assert float(made.penalty(view[:1])) == 0


@pytest.mark.parametrize("dimension", [16, 128])
def test_law_gor_points_spread_at_random_have_second_moment_one_over_d(dimension: int) -> None:
    view = unit(2000, dimension, generator=torch.Generator().manual_seed(1))
    made = objectives.make("spread_out", first=0.0, second=1.0, hinge="none")
    # The mean of n (n - 1) / 2 squares, of standard deviation sqrt(2) / d each.
    assert abs(float(made.penalty(view))) < 5 * 2**0.5 / dimension / 1400
    crowd = nn.functional.normalize(view + 2 * view[:1], dim=1)
    assert float(made.penalty(crowd)) > 10 * abs(float(made.penalty(view)))


class Given(nn.Module):
    """A model whose features are its embeddings."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def get_embedding_dimension(self) -> int:
        return self.dimension

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sentence_embedding": features["x"]}


def test_agreement_matryoshka_with_sentence_transformers() -> None:
    losses = pytest.importorskip("sentence_transformers").sentence_transformer.losses
    model = Given(8)
    theirs = losses.MatryoshkaLoss(
        model,
        losses.MultipleNegativesRankingLoss(model, scale=20.0),
        matryoshka_dims=[8, 4, 2],
        matryoshka_weights=[1, 0.5, 2],
    )
    for seed in range(3):
        raw = raws(seed=seed)
        mine = total("matryoshka", raw, dimensions=(4, 2), weights=(0.5, 2.0))
        expect_agreement(mine, theirs([{"x": v} for v in raw], torch.tensor(0)), raw)


def test_matryoshka_adds_up_lengths_and_carries_what_the_sampler_made() -> None:
    raw = raws()
    whole, context, selection = embedded(raw)
    made = unit(6, 2, 8, generator=torch.Generator().manual_seed(5))
    wide = Embedded(whole.anchors, whole.columns, whole.views, whole.live, made)
    live = torch.cat([whole.live, torch.einsum("bd,bsd->bs", whole.anchors, made)], dim=1)
    torch.testing.assert_close(wide.similarity(), live)
    short = wide.truncated(3)
    for i in range(6):
        a = nn.functional.normalize(whole.anchors[i, :3], dim=0)
        b = nn.functional.normalize(made[i, 1, :3], dim=0)
        torch.testing.assert_close(short.live[i, 7], a @ b)
    plain = objectives.make("info_nce")
    wanted = sum(losses_of(plain, e, context, selection) for e in (whole, whole.truncated(3)))
    got = losses_of(objectives.make("matryoshka", dimensions=(3,)), whole, context, selection)
    torch.testing.assert_close(got, wanted)


def test_matryoshka_refuses_lengths_that_are_none_before_the_first_step() -> None:
    with pytest.raises(ValueError, match=r"dimensions has 16, but the encoder's .* have 16"):
        training("tiny", "in_batch", objective=objectives.make("matryoshka", dimensions=(16, 8)))
    inner = "matryoshka[dimensions=[99]]"
    with pytest.raises(ValueError, match="dimensions has 99"):
        training("tiny", "in_batch", objective=objectives.make("spread_out", inner=inner))
    with pytest.raises(ValueError, match="weights has 1 numbers, but dimensions has 2"):
        objectives.make("matryoshka", dimensions=(4, 2), weights=(1.0,))


@pytest.mark.parametrize("name", ["spread_out", "learned"])
@pytest.mark.parametrize("inner", ["info_nce[temperature=0.2]", "nt_xent"])
def test_a_wrapper_says_of_itself_what_its_inner_objective_says(name: str, inner: str) -> None:
    made: Any = objectives.make(name, inner=inner)
    alone: Any = made.wrapped
    for attribute in ("views", "balanced", "temperature"):
        assert getattr(made, attribute) == getattr(alone, attribute)
    context = make_context(6, 30, needs=())
    expect_same_gradient(made, alone, context, every(context))
    assert not hasattr(made, "diagnostics")
    assert hasattr(objectives.make("spread_out", inner="triplet"), "diagnostics")
    with pytest.raises(ValueError, match=f"{name}: inner: no objective is called 'info_mce'"):
        objectives.make(name, inner="info_mce")
    with pytest.raises(ValueError, match=f"{name}: inner: .* names a guide"):
        objectives.make(name, inner="listwise_kd[guide=static]")


def test_learned_numbers_start_where_the_inner_objective_stands_and_get_its_gradient() -> None:
    made: Any = objectives.make("learned", inner="sigmoid[temperature=0.2,bias=-3.0]")
    assert set(made.learned) == {"temperature", "bias"}
    values = {n: torch.tensor(v, requires_grad=True) for n, v in made.learned.items()}
    context = make_context(6, 30, needs=())
    selection = every(context)
    loss = made.bind(values)(context.similarity, context, selection)
    alone = objectives.make("sigmoid", temperature=0.2, bias=-3.0)
    torch.testing.assert_close(loss, alone(context.similarity, context, selection))
    loss.sum().backward()
    step = 1e-3
    for name in values:
        ends = []
        for sign in (1, -1):
            moved = {n: torch.tensor(v, dtype=torch.float64) for n, v in made.learned.items()}
            moved[name] += sign * step
            bound = made.bind(moved)
            ends.append(bound(context.similarity, context, selection).double().sum())
        slope = float(ends[0] - ends[1]) / (2 * step)
        assert float(values[name].grad) == pytest.approx(slope, rel=1e-2)
    with pytest.raises(ValueError, match="inner is 'rince', which has nothing to learn"):
        objectives.make("learned", inner="rince")


@pytest.mark.parametrize(
    "objective",
    [
        objectives.make("learned", inner="sigmoid"),
        objectives.make("spread_out", inner="learned[inner=info_nce]"),
        objectives.make("matryoshka", dimensions=(8, 4)),
    ],
    ids=lambda o: type(o).__name__,
)
def test_a_resumed_training_equals_an_unbroken_one(objective: Any) -> None:
    whole = unbroken(lambda: training("tiny", "in_batch", objective=objective), after=5)
    for name, value in whole.make_step.numbers.values.items():
        assert float(value.detach()) != pytest.approx(objective.learned[name]), "it was not learned"
        table = whole.measures.trained(whole.cost).difficulty
        assert (table["quantity"] == f"learned_{name}").sum() >= 4


def test_the_penalty_reaches_the_encoder() -> None:
    ends = []
    for weight in (0.0, 50.0):
        made = objectives.make("spread_out", first=weight, second=weight)
        under = training("tiny", "in_batch", objective=made)
        under.finish()
        ends.append(torch.cat([p.detach().flatten() for p in under.world.encoder.parameters()]))
    assert not torch.equal(*ends)
    plain = training("tiny", "in_batch")
    plain.finish()
    weights = torch.cat([p.detach().flatten() for p in plain.world.encoder.parameters()])
    assert torch.equal(ends[0], weights)
    assert gradient(objectives.make("spread_out"), *embedded(raws())[1:]).abs().sum() > 0
