"""Scores of embeddings cut to their first numbers, as of a model that gives no more."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from running import Build, Run, planned_of

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encode_texts
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.evaluation.evaluate import evaluate
from nsbench.benchmarks.evaluation.first_dimensions import dimension_scores, remembered
from nsbench.benchmarks.records.cell import make
from nsbench.benchmarks.runs.cell_run import trained_encoder


def test_a_cell_scores_its_first_numbers(small: Build, run_matrix: Run) -> None:
    raw = small(
        objectives=[{"name": "matryoshka", "dimensions": [4, 8]}],
        evaluation={"tasks": ["own"], "dimensions": [4, 8]},
    )
    folder, (record,) = run_matrix(raw)
    assert record.status == "done", record.traceback
    (planned,) = planned_of(raw)
    encoder = trained_encoder(planned.cell)
    tests = make(datasets, planned.cell.data).tests()
    table = pd.read_csv(next(folder.root.rglob("scores.csv")))
    found = table[table["task"] == "first_dimensions"].set_index(["subset", "metric"])["value"]
    assert not table.loc[table["task"] == "first_dimensions", "main"].any()
    assert len(found) == 2 * len(tests)
    for k in (4, 8):

        def encode(texts: Sequence[str], k: int = k) -> Any:
            return encode_texts(encoder, texts)[:, :k]

        model = EvaluatedModel("nsbench/x", "abc", k, encode)
        for score in evaluate(model, own_tests=tests, geometry=False).scores:
            if score.main:
                assert found[score.task, f"first_{k}"] == pytest.approx(score.value, abs=1e-9)
    whole, cut = (
        table[table["main"]].set_index("task")["value"],
        found.xs("first_8", level="metric"),
    )
    assert (cut != whole[cut.index]).any()


def test_texts_are_encoded_once_for_all_lengths() -> None:
    tests, asked = datasets.make("planted", rows=50).tests(), []

    def encode(texts: Sequence[str]) -> Any:
        asked.extend(texts)
        return [[float(len(t)), float(t.count("a")), 1.0] for t in texts]

    model = remembered(EvaluatedModel("nsbench/x", "abc", 3, encode))
    evaluate(model, own_tests=tests, geometry=False)
    before = len(asked)
    scores = dimension_scores(
        model, (1, 2), lambda cut: evaluate(cut, own_tests=tests, geometry=False).scores
    )
    assert {s.metric for s in scores} == {"first_1", "first_2"}
    assert len(asked) == before


def test_lengths_are_in_the_key_and_too_long_ones_are_skipped(
    small: Build, run_matrix: Run
) -> None:
    plain, cut = (
        planned_of(small(evaluation={"tasks": ["own"], **given}))[0].cell
        for given in ({}, {"dimensions": [4]})
    )
    assert plain.key != cut.key
    assert "dimensions" not in plain.plain()["evaluation"]
    raw = small(evaluation={"tasks": ["own"], "dimensions": [16]})
    _, (record,) = run_matrix(raw)
    assert record.status == "skipped"
    assert "dimensions has 16, but the encoder's embeddings have 16 numbers" in record.reason
