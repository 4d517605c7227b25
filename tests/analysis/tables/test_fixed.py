import numpy as np
import pandas as pd
import pytest
from made_results import make_cell, write_cell

from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.fixed import AS_THEY_ARE
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.runs import external

QUERIES = 200


def evaluated(folder, name, values=None):
    """A model's evaluation on one test, with scores by query or without."""
    cell = make_cell(name, "none", 0)
    cell |= {"encoder": {"name": AS_THEY_ARE, "params": {}}, "budget": {"steps": 0}}
    cell["labels"]["encoder"] = AS_THEY_ARE
    score = 0.5 if values is None else float(np.mean(values))
    paths = write_cell(folder, cell, scores={"scifact": score})
    if values is not None:
        table = {"task": "scifact", "split": "test", "subset": "default", "value": values}
        table |= {"query": [f"q{i}" for i in range(len(values))], "metric": "cosine_spearman"}
        pd.DataFrame(table).to_parquet(paths.queries)


def test_a_fixed_model_has_an_interval_over_its_queries(tmp_path):
    folder = ResultsFolder(tmp_path)
    draw = np.random.default_rng(5)
    values = draw.beta(1.0, 1.0, QUERIES)
    evaluated(folder, "good", values)
    evaluated(folder, "plain")
    board = make_leaderboard(load_results(tmp_path), baseline="good")
    rows = board.rows.set_index("sampler")
    good = rows.loc["good"]
    error = 100 * values.std() / np.sqrt(QUERIES)
    assert good["mean"] == pytest.approx(100 * values.mean())
    # The standard error of a quantile of 2,000 draws is some 4 % of the half width.
    assert good["ci_high"] - good["mean"] == pytest.approx(1.96 * error, rel=0.15)
    assert good["mean"] - good["ci_low"] == pytest.approx(1.96 * error, rel=0.15)
    assert np.isnan(rows.loc["plain", "ci_low"])
    (pool,) = board.pools
    said = "\n".join(pool.notes)
    assert "the interval is over test items of good" in said
    assert "no interval, for one evaluation has no seeds" in said
    assert said.rstrip().endswith("plain") or "): plain" in said
    again = make_leaderboard(load_results(tmp_path), baseline="good").rows
    pd.testing.assert_frame_equal(board.rows, again)


def test_the_name_is_the_one_that_evaluations_are_recorded_under():
    source = external.__file__
    with open(source, encoding="utf-8") as file:  # noqa: PTH123
        assert f'"{AS_THEY_ARE}"' in file.read()
