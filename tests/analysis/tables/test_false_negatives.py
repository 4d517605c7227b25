"""The false-negative table counts candidates, not batches, and gives the score, too."""

from pathlib import Path

import pytest
from made_results import make_cell, write_cell, write_difficulty

from nsbench.analysis.read.difficulty import load_difficulty
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.false_negatives import (
    false_negative_table,
    markdown,
    write_false_negatives,
)
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.benchmarks.records import ResultsFolder


def folder(root: Path, with_truth: bool = True) -> ResultsFolder:
    """Two steps: 10 removed of which 4 false, then 30 removed of which 6 false; 20 false in all."""
    out = ResultsFolder(root)
    for sampler in ("in_batch", "hard"):
        for seed in (0, 1):
            paths = write_cell(out, make_cell(sampler, seed=seed))
            table = {0: {"margin": (0.1, 100.0)}, 10: {"margin": (0.1, 100.0)}}
            for step, removed, precision, recall in ((0, 10, 0.4, 0.4), (10, 30, 0.2, 0.6)):
                if with_truth:
                    table[step] |= {
                        "removed": (removed / 100, 100),
                        "removed_precision": (precision, removed),
                        "removed_recall": (recall, 10),
                        "false_negative_candidates": (0.1, 100),
                        "false_negative": (0.06, 100 - removed),
                    }
            write_difficulty(paths, table)
    return out


def test_precision_and_recall_are_counted_over_candidates(tmp_path: Path) -> None:
    results = load_results(folder(tmp_path).root)
    table = false_negative_table(load_difficulty(results)[0], make_leaderboard(results))
    row = table[table["sampler"] == "hard"].iloc[0]
    assert row["removed_share"] == pytest.approx(40 / 200)
    assert row["removed_precision"] == pytest.approx((4 + 6) / 40)
    assert row["removed_recall"] == pytest.approx((4 + 6) / 20)
    assert row["n_seeds"] == 2
    assert row["difference"] == pytest.approx(3.0, abs=1.5)
    assert "25.0 %" in markdown(table)


def test_nothing_is_written_where_no_truth_is_known(tmp_path: Path) -> None:
    results = load_results(folder(tmp_path, with_truth=False).root)
    board = make_leaderboard(results)
    assert false_negative_table(load_difficulty(results)[0], board).empty
    assert write_false_negatives(results, board, tmp_path, load_difficulty(results)[0]) == []


def test_table_is_the_same_twice(tmp_path: Path) -> None:
    results = load_results(folder(tmp_path).root)
    board = make_leaderboard(results)
    first = [
        p.read_bytes()
        for p in write_false_negatives(results, board, tmp_path, load_difficulty(results)[0])
    ]
    assert first == [
        p.read_bytes()
        for p in write_false_negatives(results, board, tmp_path, load_difficulty(results)[0])
    ]
    assert len(first) == 2
