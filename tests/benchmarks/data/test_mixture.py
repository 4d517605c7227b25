"""Several data sets in one training."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_data import beir, put
from running import Build, Run

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.training.batches import one_source_batches


@pytest.fixture
def parts(tmp_path: Path) -> list[dict[str, Any]]:
    """Pairs, triplets and a retrieval folder, of which the first two share a text."""
    pairs = [{"anchor": f"question {i}", "positive": f"again {i}"} for i in range(40)]
    triplets = [
        {"anchor": f"premise {i}", "positive": f"so {i}", "negative": f"not {i}"} for i in range(20)
    ]
    triplets[0]["negative"] = "again 3"
    texts = ([f"{word} {i}" for i in range(30)] for word in ("document", "query"))
    lines = [f"q{i}\tc{i}\t1\n" for i in range(30)]
    folder = beir(tmp_path / "toy", *texts, train="".join(lines[:20]), test="".join(lines[20:]))
    return [
        {"name": "file", "path": str(put(tmp_path / "pairs.jsonl", pairs))},
        {"name": "file", "path": str(put(tmp_path / "triplets.jsonl", triplets))},
        {"name": "retrieval", "path": str(folder), "test": "test"},
    ]


def test_rows_of_all_parts_point_at_their_own_texts(parts: list[dict[str, Any]]) -> None:
    data = datasets.make("mixture", parts=parts)()
    alone = [
        datasets.make(p["name"], **{k: v for k, v in p.items() if k != "name"})() for p in parts
    ]
    assert data.rows == 80
    assert data.sources == ("pairs.jsonl", "triplets.jsonl", "toy")
    low = 0
    for number, part in enumerate(alone):
        for row in range(part.rows):
            mine = low + row
            for name in ("anchor", "positive"):
                ours, theirs = getattr(data, name)[mine], getattr(part, name)[row]
                assert data.texts[ours] == part.texts[theirs]
            given = [data.texts[i] for i in data.negatives[mine] if i >= 0]
            assert given == [part.texts[i] for i in part.negatives[row] if i >= 0]
            assert data.source[mine] == number
        low += part.rows
    assert len(data.texts) == sum(len(p.texts) for p in alone) - 1


def test_batches_are_of_one_source_and_follow_the_weights() -> None:
    source = np.repeat([0, 1], [40, 20])
    found = list(islice(one_source_batches(source, (3.0, 1.0), 8, 5), 400))
    assert all(len(np.unique(source[rows])) == 1 for rows in found)
    share = np.mean([source[rows][0] == 0 for rows in found])
    assert share == pytest.approx(0.75, abs=0.08)  # 3.7 standard errors
    first = [rows for rows in found if source[rows][0] == 0][:5]
    assert len(np.unique(np.concatenate(first))) == 40  # an epoch
    with pytest.raises(ValueError, match="batch_size is 32, but the data has only 20 rows"):
        next(one_source_batches(source, (1.0, 1.0), 32, 5))


def test_a_mixture_trains_and_keeps_statistics_of_each_part(
    parts: list[dict[str, Any]],
    small: Build,
    run_matrix: Run,
) -> None:
    data = [{"name": "mixture", "parts": parts, "weights": [1.0, 1.0, 2.0]}]
    budget = {"steps": 12, "batch_size": 16, "learning_rate": 0.05}
    folder, records = run_matrix(small(data=data, budget=budget, difficulty={"every": 1}))
    assert [r.status for r in records] == ["done"]
    cost = records[0].cost
    names = ("pairs.jsonl", "triplets.jsonl", "toy")
    assert sum(cost.get(f"rows_{name}", 0) for name in names) == 12 * 16
    ((paths, _),) = folder.records()[0]
    table = pd.read_parquet(paths.difficulty)
    losses = {n: table[table["quantity"] == f"loss@{n}"] for n in names}
    assert sum(map(len, losses.values())) == 12
    for name, part in losses.items():
        assert len(part) * 16 == cost.get(f"rows_{name}", 0)
    assert "toy-test" in paths.scores.read_text("utf-8")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"parts": ["planted"]}, "at least two data sets"),
        ({"parts": ["planted", "planted"], "weights": [1.0]}, "1 weights for 2 parts"),
        ({"parts": ["planted", "nothing"]}, "mixture: parts: "),
        ({"parts": ["planted", "planted"], "weights": [1.0, 0.0]}, "weights must be in"),
    ],
)
def test_refusals(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        datasets.make("mixture", **given)
