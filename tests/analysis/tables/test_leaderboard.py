import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import (
    TASKS,
    change_record,
    make_cell,
    true_score,
    write_cell,
    write_matrix,
    write_results,
)

from nsbench.analysis.figures.pictures import gather, pictures
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.leaderboard import OURS, make_leaderboard, task_column, words
from nsbench.analysis.tables.pools import pools
from nsbench.analysis.tables.text import latex_text, markdown_text
from nsbench.analysis.tables.write import (
    markdown_document,
    markdown_table,
    shown,
    write_leaderboard,
)
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.records import ResultsFolder


def row_of(table, sampler, augmentation):
    found = table[(table["sampler"] == sampler) & (table["augmentation"] == augmentation)]
    assert len(found) == 1
    return found.iloc[0]


def by_hand(sampler, augmentation, seeds):
    """Mean over tasks in points, one per seed."""
    cells = [make_cell(sampler, augmentation, s) for s in seeds]
    return np.array([100 * np.mean([true_score(c, t) for t in TASKS]) for c in cells])


def test_rows_hold_means_and_paired_differences(build):
    board = make_leaderboard(load_results(build(seeds=4)))
    row = row_of(board.rows, "hard", "feature_cutoff")
    hard = by_hand("hard", "feature_cutoff", range(4))
    baseline = by_hand("in_batch", "feature_cutoff", range(4))
    assert row["mean"] == pytest.approx(hard.mean())
    assert row["std"] == pytest.approx(hard.std(ddof=1))
    assert row["difference"] == pytest.approx((hard - baseline).mean())
    assert row[["n_seeds", "n_tasks", "n_failed"]].tolist() == [4, 3, 0]
    assert row["rank"] in (1, 2)  # of two augmentations
    assert row["ci_low"] < row["mean"] < row["ci_high"]
    assert row["encodes"] == 320
    assert row_of(board.rows, "in_batch", "none")[["difference", "p_adjusted"]].isna().all()


def test_columns_are_the_promised_ones(standard):
    columns = list(make_leaderboard(standard).rows.columns)
    promised = (
        *("rank", "rank_lo", "rank_hi", "group", "sampler", "augmentation", "objective"),
        *("encoder", "data", "n_seeds", "n_tasks", "mean", "std", "ci_low", "ci_high", "iqm"),
        *("difference", "difference_low", "difference_high", "p_adjusted"),
        *("verdict", "more_seeds", "alarms", "mean_ranked", "n_failed", "n_missing"),
    )
    assert columns[: len(promised)] == list(promised)
    assert columns.index("STS12") < columns.index("encodes")


def test_axes_that_vary_get_a_column(tmp_path):
    folder = ResultsFolder(tmp_path)
    for seed in range(2):
        cell = make_cell("in_batch", "none", seed)
        write_cell(folder, cell)
        other = make_cell("in_batch", "none", seed)
        other["budget"] = {"steps": 20, "batch_size": 8, "learning_rate": 0.1}
        write_cell(folder, other)
        third = make_cell("in_batch", "none", seed)
        third["budget"] = {"steps": 40, "batch_size": 8}
        write_cell(folder, third)
    board = make_leaderboard(load_results(tmp_path))
    assert {"steps", "budget"} <= set(board.rows.columns)
    assert len(board.rows) == 3
    assert len(board.pools) == 2  # other budgets are not ranked against each other
    assert sorted(board.rows["rank"].dropna()) == [1, 1, 1]  # equal scores tie


def test_missing_failed_and_skipped_cells_are_counted(build):
    root = build(seeds=4, leave_out=lambda c: c["sampler"]["name"] == "hard" and c["seed"] < 2)
    folder = ResultsFolder(root)
    write_cell(folder, make_cell("hard", "none", 0), status="failed")
    write_cell(folder, make_cell("hard", "feature_cutoff", 0), status="skipped")
    board = make_leaderboard(load_results(root))
    row = row_of(board.rows, "hard", "none")
    assert row[["n_seeds", "n_failed", "n_missing", "n_skipped"]].tolist() == [2, 1, 1, 0]
    row = row_of(board.rows, "hard", "feature_cutoff")
    assert row[["n_seeds", "n_failed", "n_missing", "n_skipped"]].tolist() == [2, 0, 1, 1]
    paired = by_hand("hard", "none", (2, 3)) - by_hand("in_batch", "none", (2, 3))
    assert row_of(board.rows, "hard", "none")["difference"] == pytest.approx(paired.mean())


def test_no_mean_over_unequal_task_sets(build):
    root = build(seeds=2, leave_out=lambda c: c["sampler"]["name"] == "random")
    folder = ResultsFolder(root)
    for seed in range(2):
        write_cell(folder, make_cell("random", "none", seed), tasks=TASKS[:2])
        write_cell(
            folder,
            make_cell("random", "feature_cutoff", seed),
            scores={"STS12": float("nan"), "STS13": 0.5, "planted-sts": 0.5},
        )
    board = make_leaderboard(load_results(root))
    for augmentation, n_tasks in (("none", 2), ("feature_cutoff", 2)):
        row = row_of(board.rows, "random", augmentation)
        assert np.isnan(row["mean"])
        assert pd.isna(row["rank"])
        assert (row["n_tasks"], row["n_failed"]) == (n_tasks, 2)
    assert row_of(board.rows, "random", "none")["STS13"] > 0
    assert any("random x none" in note for note in board.pools[0].notes)
    assert row_of(board.rows, "hard", "none")["n_tasks"] == 3


def test_marginal_uses_complete_blocks_only_and_says_so(build):
    root = build(
        leave_out=lambda c: (
            c["sampler"]["name"] == "hard" and c["labels"]["augmentation"] == "feature_cutoff"
        )
    )
    board = make_leaderboard(load_results(root))
    hard = board.samplers.set_index("sampler").loc["hard"]
    assert hard["augmentation"] == "mean of 1"
    assert hard["mean"] == pytest.approx(by_hand("hard", "none", range(3)).mean())
    in_batch = board.samplers.set_index("sampler").loc["in_batch"]
    assert in_batch["mean"] == pytest.approx(by_hand("in_batch", "none", range(3)).mean())
    assert any("leaves out feature_cutoff" in n and "hard" in n for n in board.pools[0].notes)


def test_where_no_augmentation_has_every_method_the_most_common_one_counts(build):
    lacking = {"hard": "feature_cutoff", "random": "none"}
    root = build(
        leave_out=lambda c: lacking.get(c["sampler"]["name"]) == c["labels"]["augmentation"]
    )
    board = make_leaderboard(load_results(root))
    rows = board.samplers.set_index("sampler")
    kept = "none" if np.isnan(rows.loc["random", "mean"]) else "feature_cutoff"
    there = "hard" if kept == "none" else "random"
    assert rows.loc[there, "mean"] == pytest.approx(by_hand(there, kept, range(3)).mean())
    assert rows.loc["in_batch", "mean"] == pytest.approx(by_hand("in_batch", kept, range(3)).mean())
    assert rows.loc[there, "verdict"] in ("better", "worse", "equivalent", "undecided")
    assert any(
        f"no augmentation has every method: means are those of {kept}" in n
        for n in board.pools[0].notes
    )


def test_marginal_is_the_mean_of_both_augmentations(standard):
    board = make_leaderboard(standard)
    both = by_hand("hard", "none", range(3)) + by_hand("hard", "feature_cutoff", range(3))
    row = board.samplers.set_index("sampler").loc["hard"]
    assert row["mean"] == pytest.approx(both.mean() / 2)
    untrained = board.samplers.set_index("sampler").loc["no_training"]
    assert untrained["mean"] == pytest.approx(by_hand("no_training", "none", range(3)).mean())


def test_an_untrained_baseline_is_compared_with_every_augmentation(standard):
    board = make_leaderboard(standard, baseline="no_training")
    row = row_of(board.rows, "hard", "feature_cutoff")
    difference = by_hand("hard", "feature_cutoff", range(3)) - by_hand(
        "no_training", "none", range(3)
    )
    assert row["difference"] == pytest.approx(difference.mean())


def test_a_misspelt_baseline_is_answered_with_the_nearest(standard):
    with pytest.raises(ValueError, match="Did you mean 'in_batch'"):
        make_leaderboard(standard, baseline="inbatch")


def test_one_seed_gives_a_leaderboard_without_verdicts(build):
    board = make_leaderboard(load_results(build(seeds=1)))
    assert board.rows["p_adjusted"].isna().all()
    assert set(board.rows["group"]) == {""}
    assert board.rows["rank_hi"].isna().all()
    assert set(board.rows["verdict"]) == {"baseline", "no verdict"}
    assert "fewer than 3 seeds in common there is no interval" in words(board.pools[0])
    assert "**" not in markdown_table(board.rows, board.tasks)


def test_two_cells_for_one_seed_are_named(tmp_path):
    folder = ResultsFolder(tmp_path)
    one, two = make_cell(), make_cell()
    two["recipe"] = 2
    write_cell(folder, one)
    write_cell(folder, two)
    write_matrix(folder, [two])
    (pool,) = pools(load_results(tmp_path))
    assert len(pool.notes) == 1
    assert f"{content_key(two)} is used" in pool.notes[0]  # the planned one


def test_dev_split_does_not_count_where_there_is_a_test_split(tmp_path):
    folder = ResultsFolder(tmp_path)
    paths = write_cell(folder, make_cell(), scores={"STS12": 0.5})
    with paths.scores.open("a") as handle:
        handle.write("STS12,dev,default,cosine_spearman,0.9,10,True\n")
    board = make_leaderboard(load_results(tmp_path))
    assert board.rows["mean"].tolist() == [50.0]


def test_files_are_the_same_bytes_twice_and_read_back(standard, tmp_path):
    texts = []
    for name in ("one", "two"):
        files = write_leaderboard(standard, make_leaderboard(standard), tmp_path / name)
        texts.append([f.read_bytes() for f in files])
    assert texts[0] == texts[1]
    board = pd.read_csv(tmp_path / "one" / "leaderboard.csv")
    assert len(board) == 7
    assert len(pd.read_csv(tmp_path / "one" / "scores.csv")) == len(standard.scores)


def test_text_is_escaped(standard):
    assert latex_text(r"a_b & 50% \x {y}") == r"a\_b \& 50\% \textbackslash{}x \{y\}"
    assert markdown_text("a|b\n<script>*") == r"a\|b \<script\>\*"
    text = markdown_document(make_leaderboard(standard))
    assert "100 times the stored score" in text
    assert "in\\_batch" in text


def test_empty_folder_gives_an_empty_leaderboard(tmp_path):
    (tmp_path / "runs").mkdir()
    board = make_leaderboard(load_results(tmp_path))
    assert board.rows.empty
    assert "# Leaderboard" in markdown_document(board)


def test_borda_counts_beaten_methods_task_by_task(tmp_path):
    folder = ResultsFolder(tmp_path)
    given = {"in_batch": (0.5, 0.5), "random": (0.5, 0.4), "hard": (0.9, 0.3)}
    for name, (one, two) in given.items():
        for seed in range(2):
            write_cell(folder, make_cell(name, "none", seed), scores={"STS12": one, "STS13": two})
    write_cell(folder, make_cell("easiest"), scores={"STS12": 0.99, "STS13": float("nan")})
    rows = make_leaderboard(load_results(tmp_path)).rows.set_index("sampler")
    # STS12: hard beats two, the others tie; STS13: in_batch beats two, random one. easiest has no
    # mean: it is given no points, and beats nobody.
    assert rows["borda"].dropna().to_dict() == {"in_batch": 2.5, "random": 1.5, "hard": 2.0}
    assert rows["rank_borda"].dropna().to_dict() == {"in_batch": 1, "random": 3, "hard": 2}
    assert rows.loc["hard", "rank"] == 1  # by the mean


def test_a_damaged_folder_ranks_what_is_whole_and_names_the_rest(build):
    folder = ResultsFolder(build(seeds=4))
    by_cell = {}
    for paths in folder.folders():
        cell = json.loads(paths.cell.read_text())
        label = cell["sampler"]["name"], cell["labels"]["augmentation"], cell["seed"]
        by_cell[label] = paths
    by_cell["hard", "none", 0].record.write_text('{"key": "half wri')
    by_cell["hard", "none", 1].scores.write_text("task,split\nSTS12,te")
    by_cell["hard", "feature_cutoff", 2].record.unlink()
    (folder.runs / "holiday.jpg").write_bytes(b"\xff\xd8")
    shutil.rmtree(by_cell["random", "none", 3].folder)
    failed = make_cell("random", "feature_cutoff", 1)
    shutil.rmtree(by_cell["random", "feature_cutoff", 1].folder)
    write_cell(folder, failed, status="failed")

    board = make_leaderboard(load_results(folder.root))
    row = row_of(board.rows, "hard", "none")
    left = by_hand("hard", "none", [2, 3])
    assert row["mean"] == pytest.approx(left.mean())
    assert row["difference"] == pytest.approx((left - by_hand("in_batch", "none", [2, 3])).mean())
    counts = {
        (s, a): row_of(board.rows, s, a)[["n_seeds", "n_failed", "n_missing"]].tolist()
        for s in ("hard", "random", "in_batch")
        for a in ("none", "feature_cutoff")
    }
    assert counts == {
        ("hard", "none"): [2, 1, 1],
        ("hard", "feature_cutoff"): [3, 0, 1],
        ("random", "none"): [3, 0, 1],
        ("random", "feature_cutoff"): [3, 1, 0],
        ("in_batch", "none"): [4, 0, 0],
        ("in_batch", "feature_cutoff"): [4, 0, 0],
    }
    text = markdown_document(board)
    assert "holiday.jpg" in text
    assert "record.json" in text


def test_tasks_may_be_called_like_any_column_of_ours(tmp_path):
    first = make_leaderboard(load_results(write_results(tmp_path / "plain")))
    taken = {*OURS, *first.rows.columns, *first.samplers.columns, *shown(first.rows, ())[0]}
    taken |= set(load_results(tmp_path / "plain").cells.columns) | {"task:mean", "mean", "0"}
    folder = ResultsFolder(tmp_path / "named")
    values = {name: 0.3 + i / 1000 for i, name in enumerate(sorted(taken))}
    for seed in range(2):
        for name, more in (("in_batch", 0.0), ("hard", 0.05)):
            scores = {task: value + more for task, value in values.items()}
            write_cell(folder, make_cell(name, "none", seed), scores=scores)
    results = load_results(folder.root)
    board = make_leaderboard(results)
    assert len(set(board.tasks)) == len(values)
    files = write_leaderboard(results, board, tmp_path / "out")
    assert all(f.is_file() for f in files)
    read = pd.read_csv(tmp_path / "out" / "leaderboard.csv").set_index("sampler")
    for task, value in values.items():
        assert read.loc["in_batch", task_column(task)] == pytest.approx(100 * value), task
    assert read.loc["hard", "difference"] == pytest.approx(5)
    assert read.loc["hard", "n_tasks"] == len(values)
    text, _ = shown(board.rows, board.tasks)
    assert not text.columns.duplicated().any()
    assert list(text["seeds"]) == ["2", "2"]
    material, _ = gather(results, board)
    assert len(list(pictures(material)))


@given(st.lists(st.text(max_size=12), min_size=1, max_size=8, unique=True))
def test_two_tasks_never_share_a_column(names):
    columns = [task_column(name) for name in names]
    assert len(set(columns)) == len(names)
    assert not set(columns) & OURS


def test_a_task_without_any_score_is_named(tmp_path):
    folder = ResultsFolder(tmp_path)
    for name in ("in_batch", "hard"):
        cell = write_cell(folder, make_cell(name), scores={"a": 0.5, "b": 0.5, "c": float("nan")})
        with cell.scores.open("a") as handle:
            handle.write("b,test,fra,cosine_spearman,nan,10,True\n")
    board = make_leaderboard(load_results(tmp_path))
    (note,) = [n for n in board.pools[0].notes if "finite score" in n]
    assert "on b (test, fra), c: left out of every mean" in note
    assert note in markdown_document(board).replace("\\", "")


def test_a_task_that_mteb_scores_on_several_splits_counts_them_all(tmp_path):
    folder = ResultsFolder(tmp_path)
    paths = write_cell(folder, make_cell(), scores={"Poem": 0.4, "STS12": 0.5})
    with paths.scores.open("a") as handle:
        handle.write("Poem,validation,default,accuracy,0.2,10,True\n")
        handle.write("STS12,dev,default,cosine_spearman,0.9,10,True\n")
    change_record(paths, evaluation={"splits": {"Poem": ["test", "validation"]}})
    board = make_leaderboard(load_results(tmp_path))
    assert board.rows[["Poem", "STS12"]].iloc[0].tolist() == pytest.approx([30.0, 50.0])
