"""Boards side by side: verdicts as stored, and a statistic tried where it was not chosen."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nsbench.analysis.tables.boards import VERDICT_COLUMNS, prediction_table, texts, verdict_table
from nsbench.analysis.tables.transfer import transfer_table
from nsbench.analysis.tables.views import view_table
from nsbench.benchmarks.records import RecordError

METHODS = 8


def made_of(folders: list[Path]) -> dict[str, str]:
    return texts(verdict_table(folders), prediction_table(folders))


def board(folder: Path, signs: dict[str, float], seed: int) -> Path:
    """A published board whose statistics follow the score up to a sign, or not at all (0)."""
    rng = np.random.default_rng(seed)
    score = np.arange(METHODS, dtype=float)
    labels = {
        "sampler": [f"s{i}" for i in range(METHODS)],
        **dict.fromkeys(("augmentation", "objective", "candidates", "encoder", "data"), "x"),
    }
    early = {n: sign * score if sign else rng.permutation(score) for n, sign in signs.items()}
    tables = folder / "tables"
    tables.mkdir(parents=True)
    both = [
        pd.DataFrame({"setting": kind, **labels, "score": score, **early})
        for kind in ("default", "tuned")
    ]
    pd.concat(both).to_csv(tables / "early.csv", index=False)
    blank = dict.fromkeys(VERDICT_COLUMNS[1:], "")
    verdicts = {"tuned_verdict": "worse", "tuned_difference": score, "tuned_mean": score}
    row = blank | {"family": "sts", "n_tasks": 7, "tuned_n_missing": 0} | labels | verdicts
    pd.DataFrame(row).to_csv(tables / "tuned.csv", index=False)
    return folder


def test_a_statistic_is_chosen_elsewhere_with_its_sign_and_tried_where_it_was_not(
    tmp_path: Path,
) -> None:
    one = board(tmp_path / "one", {"good": -1, "noise": 0, "turned": 1}, 0)
    two = board(tmp_path / "two", {"good": -1, "noise": 0, "turned": 1}, 1)
    three = board(tmp_path / "three", {"good": -1, "noise": 0, "turned": -1}, 2)
    table = prediction_table([one, two, three])
    assert len(table) == 6  # three boards, two settings
    for row in table.to_dict("records"):
        assert row["n_methods"] == METHODS
        if row["held_out"] == "three":  # both rank the other two perfectly
            assert row["statistic"] in ("good", "turned")
        else:
            assert (row["statistic"], row["sign"]) == ("good", -1.0)
            assert row["rho"] == pytest.approx(0.999)
            assert row["rho_low"] < row["rho"] <= row["rho_high"]
        assert abs(row["rho_in_hindsight"]) == pytest.approx(0.999)


def test_augmentations_of_a_board_are_groups_and_a_method_in_several_counts_once(
    tmp_path: Path,
) -> None:
    signs = {"good": 1.0, "noise": 0}
    one, two = (board(tmp_path / name, signs, i) for i, name in enumerate(("one", "two")))
    path = two / "tables" / "early.csv"
    table = pd.read_csv(path)
    shifted = table.assign(augmentation="y", score=table["score"] + 100)
    few = table.groupby("setting").head(3).assign(augmentation="z")  # too few to rank
    pd.concat([table, shifted, few]).to_csv(path, index=False)
    found = prediction_table([one, two]).set_index(["setting", "held_out"])
    row = found.loc[("tuned", "two")]
    assert (row["statistic"], row["n_groups"], row["n_methods"]) == ("good", 2, METHODS)
    assert row["rho"] == pytest.approx(0.999)  # within each, not over both
    own = found.loc[("tuned", "one")]
    assert tuple(row[["rho_low", "rho_high"]]) == tuple(own[["rho_low", "rho_high"]])


def test_a_group_weighs_by_its_methods(tmp_path: Path) -> None:
    one, two = (board(tmp_path / name, {"good": 1}, i) for i, name in enumerate(("one", "two")))
    path = two / "tables" / "early.csv"
    table = pd.read_csv(path)
    turned = table.groupby("setting").head(6).assign(augmentation="y")
    pd.concat([table, turned.assign(good=-turned["good"])]).to_csv(path, index=False)
    found = prediction_table([one, two]).set_index(["setting", "held_out"])
    z = np.arctanh(0.999) * (5 - 3) / (5 + 3)
    assert found.loc[("tuned", "two"), "rho"] == pytest.approx(np.tanh(z))


def test_a_statistic_that_turns_its_sign_is_said_to_fail(tmp_path: Path) -> None:
    one = board(tmp_path / "one", {"turned": 1, "noise": 0}, 0)
    two = board(tmp_path / "two", {"turned": -1, "noise": 0}, 1)
    table = prediction_table([one, two]).set_index(["setting", "held_out"])
    assert table.loc[("tuned", "two"), "statistic"] == "turned"
    assert table.loc[("tuned", "two"), "rho"] == pytest.approx(-0.999)


def test_the_summary_holds_each_method_of_each_board_and_its_verdict(tmp_path: Path) -> None:
    folders = [board(tmp_path / name, {"good": 1}, i) for i, name in enumerate(("one", "two"))]
    table = verdict_table(folders)
    assert len(table) == 2 * METHODS
    assert set(table["board"]) == {"one", "two"}
    made = made_of(folders)
    assert set(made) == {"boards.csv", "boards.md", "difficulty.csv", "transfer.csv", "views.csv"}
    assert "| s3 | x | x | worse +3.00 | worse +3.00 |" in made["boards.md"]


def test_one_table_holds_the_first_family_of_every_board(tmp_path: Path) -> None:
    folders = [board(tmp_path / name, {"good": 1}, i) for i, name in enumerate(("one", "two"))]
    path = folders[1] / "tables" / "tuned.csv"
    first = pd.read_csv(path).assign(family="pairs")
    first.loc[0, ["sampler", "tuned_verdict"]] = ["in_batch", "baseline"]
    first.loc[1, "augmentation"] = "other"
    second = first.assign(family="sts", tuned_verdict="better")
    pd.concat([first, second]).to_csv(path, index=False)
    made = made_of(folders)["boards.md"].split("## All boards")[1].split("## ")[0]
    assert "one: sts, two: pairs." in made
    assert "| s3 | x | worse +3.00 | worse +3.00 |" in made  # of one's sts and two's pairs
    assert "| s1 | x | worse +1.00 |  |" in made  # another augmentation than two's baseline
    assert "better" not in made


def test_a_method_that_did_not_run_is_listed_and_one_that_was_skipped_is_shown(
    tmp_path: Path,
) -> None:
    one = board(tmp_path / "one", {"good": 1}, 0)
    path = one / "tables" / "tuned.csv"
    table = pd.read_csv(path)
    table.loc[[2, 3, 4], ["tuned_verdict", "tuned_difference"]] = ["no verdict", np.nan]
    table.loc[[2, 3], "tuned_mean"] = np.nan
    table.loc[2, "tuned_n_missing"] = 5
    table.to_csv(path, index=False)
    made = made_of([one])["boards.md"]
    assert "| s3 | x | x | skipped |" in made
    assert "| s4 | x | x | no verdict 4.00 |" in made
    assert "Listed and not run (1): s2 x x x x." in made


def test_a_folder_that_is_no_board_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no published board: it has no tables/tuned\.csv"):
        verdict_table([tmp_path])
    bad = board(tmp_path / "bad", {"good": 1}, 0)
    (bad / "tables" / "tuned.csv").write_text("family,sampler\nsts,in_batch\n")
    with pytest.raises(RecordError, match="lacks the columns encoder"):
        verdict_table([bad])


def test_groups_of_a_board_are_named_by_what_differs(tmp_path: Path) -> None:
    one = board(tmp_path / "one", {"good": 1}, 0)
    path = one / "tables" / "tuned.csv"
    table = pd.read_csv(path)
    data = ["hub(path=a/b, rows=2)", "hub(path=a/b, rows=2, views=graded)", "file(path=c.csv)"]
    table["data"] = [data[i % 3] for i in range(len(table))]
    table.to_csv(path, index=False)
    made = made_of([one])["boards.md"]
    assert "| one, hub(views=default) | one, hub(views=graded) | one, file(path=c.csv) |" in made


def rows(place: str, points: dict[str, float], base: str = "in_batch") -> pd.DataFrame:
    """Rows of `leading` of one place; the baseline's own difference is empty, as in tuned.csv."""
    return pd.DataFrame(
        {
            "place": place,
            "sampler": list(points),
            "objective": "info_nce",
            "tuned_difference": [np.nan if s == base else v for s, v in points.items()],
            "tuned_difference_low": [v - 1 for v in points.values()],
            "tuned_difference_high": [v + 1 for v in points.values()],
            "tuned_verdict": ["baseline" if s == base else "worse" for s in points],
        }
    )


def test_boards_that_rank_alike_correlate_and_the_winner_of_one_is_tried_on_the_other() -> None:
    here = {"in_batch": 0.0, "a": 3.0, "b": 2.0, "c": 1.0, "d": -1.0, "e": -2.0, "no_training": 99}
    alike = {name: 2 * value for name, value in here.items()} | {"f": 50.0}
    turned = {name: -value for name, value in here.items()}
    table = transfer_table(
        pd.concat([rows("one", here), rows("two", alike), rows("three", turned)])
    ).set_index(["board", "other"])
    assert len(table) == 6
    assert set(table["n_methods"]) == {6}  # f is on one of them, and no_training takes no step
    same, against = table.loc[("one", "two")], table.loc[("one", "three")]
    assert same["rho"] == pytest.approx(1)
    assert tuple(same[["sampler", "difference", "other_difference"]]) == ("a", 3.0, 6.0)
    assert tuple(same[["other_low", "other_high", "lost"]]) == (5.0, 7.0, 0.0)
    assert against["rho"] == pytest.approx(-1)
    assert against["rho_low"] < against["rho_high"] < 0
    assert (against["other_difference"], against["lost"]) == (-3.0, 5.0)  # e is +2 there


def test_boards_that_share_few_methods_are_not_compared() -> None:
    few = dict(zip(("in_batch", "a", "b", "c", "d"), range(5), strict=True))
    assert transfer_table(pd.concat([rows("one", few), rows("two", few)])).empty
    many = few | {"e": 5, "f": np.nan}  # f was skipped
    found = transfer_table(pd.concat([rows("one", many), rows("two", many)]))
    assert list(found["n_methods"]) == [6, 6]


def view(name: str, points: dict[str, float], *, lead: bool, place: str = "one") -> pd.DataFrame:
    """Rows of one augmentation; of the study's baseline if it leads, else its own has a value."""
    table = rows(place, points)
    base = table["sampler"] == "in_batch"
    table.loc[base, "tuned_verdict"] = "baseline" if lead else "better"
    table.loc[base & (not lead), "tuned_difference"] = 9.0
    return table.assign(
        family="sts",
        augmentation=name,
        candidates="in_batch",
        baseline=[
            "in_batch x none x info_nce" if b else f"in_batch x {name} x info_nce" for b in base
        ],
    )


POINTS = {"in_batch": 0.0, "a": 3.0, "b": 2.0, "c": 1.0, "d": -1.0, "e": -2.0, "no_training": 99.0}


def test_augmentations_are_compared_each_under_its_own_baseline() -> None:
    none = view("none", POINTS, lead=True)
    half = view("dropout", {s: v / 2 for s, v in POINTS.items()}, lead=False)
    half.loc[half["sampler"] == "a", "tuned_verdict"] = "better"
    found = view_table(pd.concat([none, half])).set_index(["augmentation", "other"])
    assert len(found) == 2
    row = found.loc[("none", "dropout")]
    assert (row["n_methods"], row["n_opposite"]) == (6, 1)  # a is worse with no augmentation
    assert row["rho"] == pytest.approx(1)  # not 9 points for the whole batch with dropout
    assert tuple(row[["sampler", "difference", "other_difference", "lost"]]) == ("a", 3, 1.5, 0)
    assert found.loc[("dropout", "none"), "rho"] == row["rho"]
    worse = {s: -abs(v) for s, v in POINTS.items()}
    both = [view("none", worse, lead=True), view("dropout", worse, lead=False)]
    best = view_table(pd.concat(both)).set_index("augmentation").loc["none"]
    assert tuple(best[["sampler", "other_verdict", "other_difference"]]) == (
        "in_batch",
        "baseline",
        0,
    )
    assert pd.isna(best["other_low"])


def test_an_augmentation_without_its_own_baseline_is_left_out() -> None:
    none, alone = view("none", POINTS, lead=True), view("dropout", POINTS, lead=False)
    alone = alone[alone["sampler"] != "in_batch"].assign(baseline="in_batch x none x info_nce")
    assert view_table(pd.concat([none, alone])).empty
    elsewhere = view("dropout", POINTS, lead=False, place="two")
    assert view_table(pd.concat([none, elsewhere])).empty


def test_a_method_that_differs_in_its_candidates_is_no_baseline() -> None:
    none, other = view("none", POINTS, lead=True), view("dropout", POINTS, lead=False)
    corpus = other[other["sampler"] == "in_batch"].assign(
        candidates="corpus", baseline="in_batch x dropout x info_nce", tuned_difference=-5.0
    )
    both = pd.concat([none, none.assign(candidates="corpus")[:1].assign(tuned_difference=-4.0)])
    both.loc[both["candidates"] == "corpus", "tuned_verdict"] = "worse"
    found = view_table(pd.concat([both, other, corpus]))
    assert list(found["n_methods"]) == [7, 7]
    assert list(found["rho"]) == pytest.approx([1, 1])
