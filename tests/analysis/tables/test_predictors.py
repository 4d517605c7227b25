"""Does difficulty predict quality: correlations and intervals against what was planted."""

import numpy as np
import pandas as pd
import pytest
from made_results import make_cell, write_cell, write_difficulty

from nsbench.analysis.read.difficulty import load_difficulty
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.pools import pools
from nsbench.analysis.tables.predictors import (
    cell_scores,
    fisher_interval,
    late_values,
    predictor_table,
    write_predictors,
)
from nsbench.benchmarks.records import ResultsFolder


def test_only_the_last_quarter_counts():
    rows = [("a", step, "margin", float(step)) for step in (0, 10, 20, 30, 40)]
    table = pd.DataFrame(rows, columns=["key", "step", "quantity", "mean"])
    assert late_values(table).loc["a", "margin"] == pytest.approx(35)


def test_correlations_are_found_by_name(build):
    results = load_results(build(seeds=6))
    difficulty, _ = load_difficulty(results)
    pool = pools(results)[0]
    table = predictor_table(pool, late_values(difficulty)).set_index("quantity")
    # The fixture's chosen similarity rises with the effect that also lifts the score.
    assert table.loc["chosen_similarity", "rho"] > 0.5
    assert table.loc["chosen_percentile", "rho"] < -0.5
    assert table.loc["chosen_similarity", "n_samplers"] == 3
    assert table.loc["chosen_similarity", "n_cells"] == 36
    assert table.loc["chosen_similarity", "n_within"] == 36
    # Six seeds repeat the six methods; they are not 36 cases.
    row = table.loc["chosen_similarity"]
    assert row["n_methods"] == 6
    assert (row["low"], row["high"]) == pytest.approx(fisher_interval(row["rho"], 6), abs=1e-6)
    assert (table["low"] <= table["rho"]).all()
    assert (table["rho"] <= table["high"]).all()
    assert (cell_scores(pool) > 40).all()


def test_constant_statistics_are_left_out(standard_material):
    difficulty = standard_material.difficulty
    flat = difficulty.assign(mean=difficulty["mean"].where(difficulty["quantity"] != "margin", 1.0))
    found = predictor_table(standard_material.pools[0], late_values(flat))
    assert "margin" not in set(found["quantity"])


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth, hits = 0.5, 0
    pearson = 2 * np.sin(np.pi * truth / 6)
    for _ in range(400):
        x = rng.normal(size=40)
        y = pearson * x + np.sqrt(1 - pearson**2) * rng.normal(size=40)
        rho = np.corrcoef(x.argsort().argsort(), y.argsort().argsort())[0, 1]
        low, high = fisher_interval(rho, 40)
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.985


def test_tables_are_written(standard_material, tmp_path):
    pools, difficulty = standard_material.pools, standard_material.difficulty
    csv, text = write_predictors(pools, difficulty, tmp_path)
    assert list(pd.read_csv(csv)["quantity"])
    assert "chosen\\_similarity" in text.read_text()
    assert write_predictors([], difficulty, tmp_path) == []


@pytest.mark.parametrize(("quantity", "sign"), [("loss", -1), ("margin", 1)])
def test_a_loss_is_compared_within_one_objective(tmp_path, quantity, sign):
    """Within each objective it falls with the score; the objective of high losses scores higher."""
    folder = ResultsFolder(tmp_path)
    for high, name in enumerate(("info_nce", "triplet")):
        for seed in range(6):
            cell = make_cell("in_batch", "none", seed)
            cell["objective"] = {"name": name, "params": {}}
            cell["labels"] |= {"objective": name}
            paths = write_cell(folder, cell, scores={"STS12": 0.5 + 0.2 * high + 0.01 * seed})
            write_difficulty(paths, {20: {quantity: (5.0 * high - 0.1 * seed, 8)}})
    results = load_results(folder.root)
    table = predictor_table(pools(results)[0], late_values(load_difficulty(results)[0]))
    assert np.sign(table.set_index("quantity").loc[quantity, "rho"]) == sign
