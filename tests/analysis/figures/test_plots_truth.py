"""Dialled against measured false negatives, and same meanings by rank: tables and pictures."""

import io

import pandas as pd
import pytest
from made_results import change_record, make_cell, table_of, write_cell, write_difficulty

from nsbench.analysis.figures.pictures import gather, pictures, render
from nsbench.analysis.read.difficulty import load_difficulty
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.false_negatives import rate_table, write_false_negatives
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.benchmarks.records import ResultsFolder

RATES = {0.05: 0.05, 0.2: 0.1999}  # dialled, and exact in the data


@pytest.fixture
def results(tmp_path):
    """Random measures the rate give or take its seed, hard three times as much."""
    folder = ResultsFolder(tmp_path / "r")
    for dialled, exact in RATES.items():
        for sampler, times in (("random", 1), ("hard", 3), ("in_batch", 0.1)):
            for seed in (0, 1, 2):
                cell = make_cell(sampler, seed=seed)
                cell["data"]["params"]["false_negative_rate"] = dialled
                cell["labels"]["data"] = f"planted(false_negative_rate={dialled})"
                paths = write_cell(folder, cell)
                change_record(paths, data={"false_negative_rate": exact})
                rate = times * exact + (seed - 1) * 0.002
                first = {"false_negative": (rate + 0.01, 100), "same_meaning_0_1": (1, 9)}
                late = {
                    "false_negative": (rate - 0.01, 100),
                    "same_meaning_0_1": (0.6, 30),
                    "same_meaning_1_5": (0.2, 100),
                    "same_meaning_0_0.1": (float("nan"), 0),
                    "same_meaning_5_100": (0.01 * (seed + 1), 900),
                }
                write_difficulty(paths, {0: first, 16: late, 20: late})
    return load_results(folder.root)


def test_measured_is_counted_and_judged_by_its_interval(results):
    material = gather(results)[0]
    table = rate_table(material.pools, material.difficulty)
    row = table.set_index(["dialled", "sampler"])
    random = row.loc[(0.05, "random")]
    # Steps 0, 16 and 20 weigh alike: 0.01 - 0.01 - 0.01, a third.
    assert random["measured"] == pytest.approx(0.05 - 0.01 / 3)
    half = 4.302653 * 0.002 / 3**0.5  # t with 2 degrees of freedom
    assert random["high"] - random["measured"] == pytest.approx(half, rel=1e-4)
    assert random["verdict"] == "as dialled"
    assert row.loc[(0.1999, "hard"), "verdict"] == "above"
    assert row.loc[(0.1999, "in_batch"), "verdict"] == "below"
    assert (table["n_seeds"] == 3).all()


def test_the_table_is_written_with_the_other(results, tmp_path):
    board = make_leaderboard(results)
    # The other table needs the rate among all candidates too.
    assert write_false_negatives(results, board, tmp_path, load_difficulty(results)[0]) == []
    for cell in results.loaded:
        table = pd.read_parquet(cell.paths.difficulty)
        like = table[table["quantity"] == "false_negative"]
        more = [like.assign(quantity=name) for name in ("false_negative_candidates", "removed")]
        pd.concat([table, *more]).to_parquet(cell.paths.difficulty)
    again = load_results(results.roots)
    written = write_false_negatives(again, board, tmp_path, load_difficulty(again)[0])
    assert "false_negative_rates.csv" in {p.name for p in written}
    text = (tmp_path / "tables" / "false_negatives.md").read_text()
    assert "| 20.0 % | 59.6 % \\[59.1, 60.1\\] | 3 | above |" in text


def test_one_picture_over_all_rates(results):
    table, svg = table_of(gather(results)[0], "false_negative_rates")
    assert "uniform choice" in svg
    assert table["dialled"].nunique() == 2


def test_same_meanings_are_counted_over_the_last_quarter(results):
    found = list(pictures(gather(results)[0], ["same_meaning"]))
    assert len(found) == 2  # one per pool
    table = pd.read_csv(io.StringIO(found[0][2]))
    part = table[table["sampler"] == "hard"].set_index(["low", "high"])
    assert part.loc[(0, 1), "mean"] == pytest.approx(0.6)  # without the first step
    assert part.loc[(5, 100), ["min", "max"]].tolist() == pytest.approx([0.01, 0.03])
    assert (0, 0.1) not in part.index
    assert "same meaning" in render(*found[0][::2], "svg").decode().lower()


def test_records_without_a_rate_draw_nothing(standard_material):
    assert rate_table(standard_material.pools, standard_material.difficulty).empty
    assert list(pictures(standard_material, ["false_negative_rates", "same_meaning"])) == []
