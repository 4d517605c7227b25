"""Each alarm rings where it should, and nowhere else; the queue's in a queue that went stale."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from made_training import method, trained

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.difficulty.alarms import find_alarms
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.records import Score
from nsbench.benchmarks.records.cell import Budget, Cell, Choice, Evaluation
from nsbench.benchmarks.training.measures import Trained

QUIET = {
    "clamp_rate": 0.1,
    "hinge_active": 0.5,
    "empty_rows": 0.0,
    "identical_views": 0.1,
    "stored_recognised": 0.9,
    "noop_view1": 0.0,
    "noop_view2": 0.0,
    "candidate_similarity": 0.3,
    "probe_effective_rank": 40.0,
}


def a_cell(view1: str = "token_cutoff") -> Cell:
    return Cell(
        sampler=Choice("in_batch"),
        view1=(Choice(view1),),
        view2=(),
        objective=Choice("info_nce"),
        candidates=Choice("in_batch"),
        encoder=Choice("static"),
        data=Choice("planted"),
        budget=Budget(),
        evaluation=Evaluation(),
        difficulty_every=10,
        seed=1,
    )


def names(changed: dict[str, Any], cell: Cell | None = None, score: float = 0.5) -> list[str]:
    rows = [(0, q, v) for q, v in QUIET.items()]
    rows += [(100, q, changed.get(q, v)) for q, v in QUIET.items()]
    rows = [(s, q, changed.get(q, v) if q != "probe_effective_rank" else v) for s, q, v in rows]
    table = pd.DataFrame(rows, columns=["step", "quantity", "mean"])
    found = find_alarms(
        table, [Score("t", "test", "default", "m", score, 9, main=True)], cell or a_cell()
    )
    assert all(a["text"] and isinstance(a["value"], float) for a in found)
    return [a["name"] for a in found]


def test_nothing_rings_in_a_healthy_cell() -> None:
    assert names({}) == []


@pytest.mark.parametrize(
    ("quantity", "value", "alarm"),
    [
        ("clamp_rate", 0.6, "clamp"),
        ("hinge_active", 1.0, "hinge_always_active"),
        ("hinge_active", 0.0, "hinge_never_active"),
        ("empty_rows", 0.05, "empty_rows"),
        ("identical_views", 0.95, "identical_views"),
        ("noop_view1", 0.5, "noop_view1"),
        ("candidate_similarity", 0.97, "collapse"),
        ("probe_effective_rank", 19.0, "rank_collapse"),
        ("stored_recognised", 0.2, "random_queue"),
    ],
)
def test_each_rings_alone(quantity: str, value: float, alarm: str) -> None:
    assert names({quantity: value}) == [alarm]


def test_a_view_that_should_do_nothing_may_do_nothing() -> None:
    assert names({"noop_view1": 1.0}, a_cell("none")) == []


def test_an_undefined_score_rings() -> None:
    assert names({}, score=float("nan")) == ["undefined_score"]


def queue_run(momentum: float) -> Trained:
    data = datasets.make("planted", rows=200)()
    encoder = encoders.make("static", dimension=8).build(data.texts, 0)
    pool = candidates.make("queue", size=64, momentum=momentum)
    made = method(pool=pool, steps=40, batch_size=16, learning_rate=1.0, precision="fp32")
    return trained(encoder, data, made, every=10)


def test_a_queue_whose_keys_stood_still_looks_random_and_one_that_follows_does_not() -> None:
    score = [Score("t", "test", "default", "m", 0.5, 9, main=True)]
    stale, fresh = (
        {a["name"] for a in find_alarms(queue_run(m).difficulty, score, a_cell("none"))}
        for m in (1.0, 0.0)
    )
    assert "random_queue" in stale
    assert "random_queue" not in fresh


def with_course(cell: Cell, cost: dict[str, float] | None = None, **course: Any) -> list[str]:
    rows = [(s, q, v[i]) for q, v in course.items() for i, s in enumerate((0, 100))]
    table = pd.DataFrame(rows, columns=["step", "quantity", "mean"])
    return [a["name"] for a in find_alarms(table, [], cell, cost or {})]


def test_lost_trainings_ring() -> None:
    cell = a_cell()
    assert with_course(cell, loss=(2.0, 3.1)) == ["loss_rose"]
    assert with_course(cell, loss=(2.0, 2.9)) == []
    assert with_course(cell, probe_drift_from_start=(0.0, 0.0)) == ["untrained"]
    assert with_course(cell, probe_drift_from_start=(0.0, 0.01)) == []
    cut = {"truncated_texts": 5071.0, "texts": 5990.0}
    assert with_course(cell, cut, loss=(2.0, 1.0)) == ["truncation"]
    assert with_course(cell, cut | {"truncated_texts": 5.0}, loss=(2.0, 1.0)) == []
    fast = replace(cell, budget=Budget(learning_rate=100.0))
    assert with_course(fast, loss=(2.0, 1.0)) == ["learning_rate"]


def test_a_k_that_leaves_nothing_out_rings_and_only_that() -> None:
    nothing, some = (0.0, 0.0), (0.0, 3.0)
    for name, params in (
        ("hard", {"k": 500}),
        ("curriculum", {"inner": "hard", "parameter": "k"}),
        ("mixed", {"then": "random[k=500]"}),
    ):
        cell = replace(a_cell(), sampler=Choice(name, params))
        assert with_course(cell, left_count=nothing, candidate_count=(63, 63)) == ["k_too_large"]
        assert with_course(cell, left_count=some) == []
    for name, params in (("in_batch", {}), ("mined", {"k": 1, "keep": "all"})):
        cell = replace(a_cell(), sampler=Choice(name, params))
        assert with_course(cell, left_count=nothing) == []


def test_the_alarms_of_a_budget_ring_in_a_real_cell(small: Any, run_matrix: Any) -> None:
    raw = small(samplers=[{"name": "hard", "k": 500}])
    raw["budget"] |= {"learning_rate": 90.0, "max_length": 3}
    _, (record,) = run_matrix(raw)
    names = {a["name"] for a in record.alarms}
    assert {"learning_rate", "truncation", "k_too_large"} <= names
    assert record.difficulty_version == 2
