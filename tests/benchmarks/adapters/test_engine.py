"""The loss adapter takes the engine's step: every sampler with every objective."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from made_data import doubled
from made_training import method, opened

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import Encoder, encoders
from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.training.optimizer import Optimizer
from nsbench.benchmarks.training.step import Batch, Step, Stepped
from nsbench.samplers import make, parse_choice, samplers

pytest.importorskip("sentence_transformers")

from nsbench.benchmarks.adapters.sentence_transformers import (
    NegativeSamplingLoss,
    ProgressCallback,
)

SEED = 3
GIVEN = {"text_dedup": "text_dedup[threshold=0.3]", "hard": "hard[k=4]"}
"""Parameters with which a sampler does something on few texts."""


class Guide(torch.nn.Module):
    """A stand-in while it is only asked which samplers the loss takes."""


def taken() -> list[str]:
    """Every registered sampler that the loss takes; the others see labels, clusters, a pool."""
    found = []
    for name in sorted(samplers.names()):
        choice = GIVEN.get(name, name)
        if getattr(make(name), "trains", True) is False:
            continue
        if getattr(make(name), "batcher", "shuffled") != "shuffled":
            continue  # it decides which rows meet, which is the trainer's work here
        try:
            NegativeSamplingLoss(None, choice, guide=Guide())
        except ValueError as error:
            if "does not see" in str(error) or "only a cell has" in str(error):
                continue
            raise
        found.append(choice)
    return found


SAMPLERS = [*taken(), "fn_cancel[mode=attraction]", "mixed[hardest=8,pairs=4,with_anchor=0]"]
CHOSEN = {
    "debiased_rows": "debiased_rows[judge=guide]",
    "matryoshka": "matryoshka[dimensions=[8,4]]",
}


def unseen(name: str) -> bool:
    """Whether an objective needs what only a cell has."""
    needs = getattr(objectives.make(name), "needs", frozenset())
    return bool({"grade", "memory"} & needs)


OBJECTIVES = [CHOSEN.get(name, name) for name in sorted(objectives.names()) if not unseen(name)]


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return doubled(12)


@pytest.fixture(scope="module")
def encoder(data: TrainingData) -> Encoder:
    return encoders.make("static", dimension=16).build(data.texts, seed=1)


def engine(
    data: TrainingData, encoder: Encoder, sampler: Any, objective: Any, monkeypatch: Any
) -> tuple[np.ndarray[Any, Any], Stepped, torch.Tensor]:
    """Rows, result and gradient of the engine's first step; no weight is moved."""
    seen: dict[str, Any] = {}
    step = Step.__call__

    def stepped(self: Step, batch: Batch) -> Stepped:
        seen["rows"], seen["stepped"] = batch.rows.numpy().copy(), step(self, batch)
        return seen["stepped"]

    def watched(self: Optimizer, factor: torch.Tensor) -> torch.Tensor:
        grads = [p.grad for p in self.parameters if p.grad is not None]
        seen["gradient"] = torch.cat(
            [(g.to_dense() if g.is_sparse else g).flatten().clone() for g in grads]
        )
        return torch.zeros(())

    encoder.zero_grad(set_to_none=True)  # the real step would have done so
    monkeypatch.setattr(Step, "__call__", stepped)
    monkeypatch.setattr(Optimizer, "step", watched)
    made = method(
        sampler,
        objective=objective,
        directions=str(getattr(objective, "views", "one")),
        steps=1,
        batch_size=data.rows,
        precision="fp32",
        max_length=128,
    )
    with torch.random.fork_rng():
        opened(encoder, data, made, every=1, seed=SEED).finish()
    return seen["rows"], seen["stepped"], seen["gradient"]


def pairs() -> Iterator[Any]:
    """Every sampler with every objective; the quick ones have each sampler and objective twice.

    All others are slow. A sampler meets other objectives than its neighbours in the alphabet, and
    ``in_batch`` and ``info_nce``, whose code the others share, meet all.
    """
    for i, sampler in enumerate(SAMPLERS):
        for j, objective in enumerate(OBJECTIVES):
            plain = sampler == "in_batch" or objective == "info_nce"
            turn = (j - i) % len(OBJECTIVES) in (0, len(OBJECTIVES) // 2)
            marks = [] if plain or turn else [pytest.mark.slow]
            yield pytest.param(sampler, objective, marks=marks)


def test_the_quick_pairs_have_every_sampler_and_objective_twice() -> None:
    quick = [p.values for p in pairs() if not p.marks]
    for place, names in enumerate((SAMPLERS, OBJECTIVES)):
        met = [values[place] for values in quick]
        assert all(met.count(name) >= 2 for name in names)


def test_an_objective_of_what_only_a_cell_has_is_refused(encoder: Encoder) -> None:
    model = to_sentence_transformer(encoder)
    refused = [n for n in objectives.names() if unseen(n)]
    assert len(refused) >= 3
    for name in refused:
        with pytest.raises(ValueError, match="a loss of sentence-transformers does not see"):
            NegativeSamplingLoss(model, "in_batch", name)


@pytest.mark.parametrize(("sampler", "objective"), [*pairs()])
def test_loss_and_gradient_are_the_engines(
    sampler: str,
    objective: str,
    data: TrainingData,
    encoder: Encoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, params = parse_choice(sampler)
    estimator, numbers = parse_choice(objective)
    rows, stepped, gradient = engine(
        data, encoder, make(name, **params), objectives.make(estimator, **numbers), monkeypatch
    )
    model = to_sentence_transformer(encoder)
    guide = to_sentence_transformer(encoder)  # the engine's own, before it was trained
    loss = NegativeSamplingLoss(model, sampler, objective, seed=SEED, guide=guide)
    places = [data.anchor, data.positive, *data.negatives.T]
    texts = [[data.texts[i] for i in place[rows]] for place in places]
    total = loss([model.preprocess(column) for column in texts])
    total.backward()
    moved = [next(model.parameters()), *loss.numbers.parameters()]
    assert float(total.detach()) == pytest.approx(float(stepped.total), abs=1e-5)
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in moved]
    if objective != "margin_mse":  # at its goal: the guide is the model before the first step
        assert gradient.abs().max() > 0
    joined = torch.cat([part.flatten() for part in found])
    torch.testing.assert_close(joined, gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "objective", ["learned", "learned[inner=sigmoid]", "matryoshka[dimensions=[8,4]]", "spread_out"]
)
def test_caching_keeps_scaled_gradients(
    objective: str, data: TrainingData, encoder: Encoder
) -> None:
    texts = [[data.texts[i] for i in place] for place in (data.anchor, data.positive)]
    found = []
    for size in (0, 5):
        model = to_sentence_transformer(encoder)
        loss = NegativeSamplingLoss(model, "in_batch", objective, mini_batch_size=size)
        for _ in range(2):  # as accumulated gradients
            (loss([model.preprocess(column) for column in texts]) / 2).backward()
        found.append({name: p.grad for name, p in loss.named_parameters()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(found[1][name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("size", [0, 5])
def test_a_trainers_autocast_changes_embeddings_but_no_similarity(
    size: int, data: TrainingData, encoder: Encoder
) -> None:
    texts = [[data.texts[i] for i in place] for place in (data.anchor, data.positive)]
    found = []
    for narrow in (False, True):  # a table of tokens has no product that autocast would narrow
        model = to_sentence_transformer(encoder)
        loss = NegativeSamplingLoss(model, "hard[k=4]", mini_batch_size=size)
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            total = loss([model.preprocess(column) for column in texts])
        total.backward()
        found.append((total.detach(), next(model.parameters()).grad))
    assert found[1][0].dtype == torch.float32
    torch.testing.assert_close(found[1], found[0], atol=0, rtol=0)


def test_checkpoints_hold_learned_numbers(encoder: Encoder) -> None:
    one, two = (
        NegativeSamplingLoss(to_sentence_transformer(encoder), "in_batch", "learned")
        for _ in range(2)
    )
    with torch.no_grad():
        next(one.numbers.parameters()).fill_(-1.7)
    ProgressCallback(two).resume(ProgressCallback(one).kept())
    assert torch.equal(next(two.numbers.parameters()), next(one.numbers.parameters()))


def test_what_a_loss_cannot_see_is_refused(encoder: Encoder) -> None:
    model = to_sentence_transformer(encoder)
    with pytest.raises(ValueError, match="does not see"):
        NegativeSamplingLoss(model, "in_batch", "debiased_rows")
    with pytest.raises(ValueError, match="must be shorter"):
        NegativeSamplingLoss(model, "in_batch", "matryoshka")


def test_most_samplers_are_taken() -> None:
    assert len(SAMPLERS) >= 20
    assert {"guided", "mixed", "text_dedup[threshold=0.3]", "curriculum"} <= set(SAMPLERS)
