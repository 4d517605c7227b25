"""What is compared with what: the same steps or the same encoder passes; all pairs or sub-sets."""

import numpy as np
import pytest
from made_results import change_record, make_cell, write_cell

from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.pools import pools
from nsbench.benchmarks.records import MEAN_METRIC, ResultsFolder, Score, scores_csv


def run(folder, sampler, steps, passes, score, seed=0):
    """A finished cell whose record counts ``passes`` encoder passes in all, 10 of them to mine."""
    cell = make_cell(sampler, "none", seed)
    cell["budget"] = {"steps": steps, "batch_size": 8}
    paths = write_cell(folder, cell, scores={"STS12": score + 0.001 * seed})
    cost = {"steps": steps, "passes_anchor": passes - 10, "passes_mining": 10}
    change_record(paths, cost=cost)


@pytest.fixture
def budgets(tmp_path):
    """in_batch and random reach 400 passes; mined spends twice as many a step."""
    folder = ResultsFolder(tmp_path / "results")
    for seed in range(2):
        for steps in (10, 20, 40):
            run(folder, "in_batch", steps, 10 * steps, 0.5 + steps / 1000, seed)
            run(folder, "mined", steps, 20 * steps, 0.55 + steps / 1000, seed)
        run(folder, "random", 41, 410, 0.45, seed)
        run(folder, "hard", 30, 700, 0.9, seed)
    return load_results(folder.root)


def test_steps_make_a_pool_each_and_encodes_make_one(budgets):
    titles = [p.title for p in pools(budgets)]
    assert len(titles) == 5  # 10, 20, 30, 40 and 41 steps
    (pool,) = pools(budgets, match="encodes")
    assert pool.title.endswith("unsupervised, about 400 encoder passes")


def test_of_each_method_the_budget_with_the_same_passes_is_compared(budgets):
    (pool,) = pools(budgets, match="encodes")
    by_name = {m["sampler"]: pool.scores[i, :, 0] for i, m in enumerate(pool.methods)}
    # in_batch and mined can both spend 400: 40 steps of one, 20 of the other; random 410.
    np.testing.assert_allclose(by_name["in_batch"], [0.540, 0.541])
    np.testing.assert_allclose(by_name["mined"], [0.570, 0.571])
    np.testing.assert_allclose(by_name["random"], [0.450, 0.451])
    assert "hard" not in by_name
    assert any("hard x none is left out" in n and "75% above the 400" in n for n in pool.notes)


def test_the_leaderboard_of_equal_passes_says_so(budgets):
    board = make_leaderboard(budgets, every=pools(budgets, match="encodes"))
    rows = board.rows.set_index("sampler")
    assert rows.loc["mined", "difference"] == pytest.approx(3.0)
    assert rows.loc["mined", "encodes"] == 400
    assert "hard" not in rows.index
    assert any("hard x none is left out" in n for n in board.pools[0].notes)


def test_records_without_passes_are_no_match(tmp_path):
    folder = ResultsFolder(tmp_path / "results")
    paths = write_cell(folder, make_cell())
    change_record(paths, cost={})
    (pool,) = pools(load_results(folder.root), match="encodes")
    assert pool.methods == ()
    assert pool.notes == ("no cell counts its encoder passes",)


def with_parts(folder, sampler, all_pairs, by_part):
    paths = write_cell(folder, make_cell(sampler), scores={"STS12": all_pairs, "SICK-R": 0.5})
    rows = [
        Score("STS12", "test", "default", "cosine_spearman", all_pairs, 9, True),
        Score("STS12", "test", "default", MEAN_METRIC, by_part, 9, False),
        Score("SICK-R", "test", "default", "cosine_spearman", 0.5, 9, True),
    ]
    paths.scores.write_text(scores_csv(rows))


def test_the_mean_over_subsets_replaces_the_score_of_the_tasks_that_have_it(tmp_path):
    folder = ResultsFolder(tmp_path / "results")
    with_parts(folder, "in_batch", 0.6, 0.4)
    with_parts(folder, "hard", 0.5, 0.7)
    results = load_results(folder.root)
    assert make_leaderboard(results).rows["sampler"].tolist() == ["in_batch", "hard"]
    board = make_leaderboard(results, every=pools(results, aggregate="mean"))
    assert board.rows["sampler"].tolist() == ["hard", "in_batch"]
    assert board.rows["mean"].tolist() == pytest.approx([60.0, 45.0])
    assert board.rows["STS12"].tolist() == pytest.approx([70.0, 40.0])


def test_a_cell_without_subsets_gets_no_mean_beside_those_that_have_them(tmp_path):
    folder = ResultsFolder(tmp_path / "results")
    with_parts(folder, "in_batch", 0.6, 0.4)
    write_cell(folder, make_cell("hard"), scores={"STS12": 0.5, "SICK-R": 0.5})
    results = load_results(folder.root)
    rows = make_leaderboard(results, every=pools(results, aggregate="mean")).rows
    assert rows.set_index("sampler")["mean"].isna().to_dict() == {"in_batch": False, "hard": True}


def test_options_that_cannot_be_met_are_refused(budgets):
    with pytest.raises(ValueError, match="no score is a cosine_spearman_mean"):
        pools(budgets, aggregate="mean")
    with pytest.raises(ValueError, match="match is 'passes'; known: steps, encodes"):
        pools(budgets, match="passes")
    with pytest.raises(ValueError, match="aggregate is 'wmean'; known: all, mean"):
        pools(budgets, aggregate="wmean")


@pytest.mark.parametrize(("weights", "seeds"), [("abc", 3), ("random", 1)])
def test_fixed_weights_evaluated_once_count_at_every_seed(tmp_path, weights, seeds):
    folder = ResultsFolder(tmp_path / "results")
    for seed in range(3):
        write_cell(folder, make_cell("in_batch", "none", seed), scores={"STS12": 0.6})
    once = make_cell("no_training", "none", 1) | {"inputs": {"encoder": weights}}
    write_cell(folder, once, scores={"STS12": 0.5})
    board = make_leaderboard(load_results(folder.root), baseline="no_training")
    rows = board.rows.set_index("sampler")
    assert rows.loc["no_training", "n_seeds"] == seeds
    assert rows.loc["in_batch", "difference"] == pytest.approx(10)


def test_seconds_of_another_cpu_are_left_out_and_said(tmp_path):
    folder = ResultsFolder(tmp_path / "results")
    known = {"seconds": {"train": 2.0, "total": 3.0}, "cost": {"passes_anchor": 5}}
    stored = {}
    for sampler in ("in_batch", "hard", "random"):
        for seed in range(2):
            paths = write_cell(folder, make_cell(sampler, "none", seed), scores={"STS12": 0.5})
            change_record(paths, environment={}, **known)
            stored[sampler, seed] = paths
    board = make_leaderboard(load_results(folder.root))
    assert not any("seconds" in n for n in board.pools[0].notes)
    change_record(stored["hard", 1], environment={"cpu": "AVX2"}, seconds={"train": 9.0})
    board = make_leaderboard(load_results(folder.root))
    assert (board.rows["seconds_train"] == 2.0).all()  # of the other seed
    (note,) = (n for n in board.pools[0].notes if "seconds" in n)
    assert note == (
        "the seconds of 1 of 6 cells are left out: they ran on a CPU with other instructions "
        "(AVX2) than most (not recorded)"
    )
    change_record(stored["hard", 0], environment={"cpu": "AVX2"}, seconds={"train": 9.0})
    rows = make_leaderboard(load_results(folder.root)).rows.set_index("sampler")
    assert np.isnan(rows["seconds_train"]["hard"])
    assert rows["seconds_train"]["random"] == 2.0
    assert (rows["encodes"] == 5).all()
