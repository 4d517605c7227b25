"""A tuning study's findings are the verdicts of its own table, wherever findings are shown."""

import re
from pathlib import Path

import pandas as pd
import pytest

from nsbench.analysis.read.load import Results, load_results
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.method_names import method_names
from nsbench.analysis.tables.tuned import tuned_table
from nsbench.analysis.tables.write import findings_of, markdown_document
from nsbench.benchmarks.records.packing import unpack

STORED = Path(__file__).parents[3] / "results"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Results:
    root = tmp_path_factory.mktemp("study") / "results"
    unpack(STORED / "board-classes-minilm" / "cells", root)
    return load_results(root)


def test_every_method_is_named_under_its_own_verdict(study: Results) -> None:
    board = make_leaderboard(study)
    (pool,) = board.pools
    said = findings_of(board, pool)
    table, _ = tuned_table(study)
    assert table["family"].nunique() == 3
    for family, part in table.groupby("family"):
        lines = [line for line in said if f"on {family} (" in line]
        told = " ".join(lines)
        names = dict(zip(part.index, method_names(part), strict=True))
        opens = {"better": "Better than it: ", "worse": "worse: ", "undecided": "undecided: "}
        for verdict in opens.keys() & set(part["tuned_verdict"]):
            own = part["tuned_verdict"] == verdict
            listed = re.split(r"; |\.(?: |$)", told.partition(opens[verdict])[2])[0]
            more = re.search(r" and (\d+) more", listed)
            points = re.findall(r" \(([+-]?\d+\.\d)\)", listed)
            assert len(points) + int(more[1] if more else 0) == own.sum()
            gaps = part.loc[own, "tuned_difference"].sort_values(ascending=verdict == "worse")
            assert [float(p) for p in points] == pytest.approx(list(gaps)[: len(points)], abs=0.051)
            for place in gaps.index[: len(points)]:
                assert re.search(rf"(^|, |and ){re.escape(names[place])} \(", listed)
        baseline = part.loc[part["tuned_verdict"] == "baseline", "tuned_mean"].item()
        assert f"{baseline:.1f} points" in lines[0]


@pytest.mark.parametrize(
    "path", sorted(STORED.glob("board-*/tables/tuned.csv")), ids=lambda path: path.parts[-3]
)
def test_a_score_is_listed_for_each_seed_that_has_one(path: Path) -> None:
    table = pd.read_csv(path, dtype={"tuned_scores": str})
    scores = table["tuned_scores"].fillna("").str.split()
    found = [sum(score != "nan" for score in row) for row in scores]
    assert found == table["tuned_n_seeds"].tolist()
    without = table["tuned_n_seeds"] == 0
    assert table.loc[without, "tuned_scores"].isna().all()


def test_a_baseline_of_other_data_is_named(tmp_path: Path) -> None:
    root = tmp_path / "results"
    unpack(STORED / "board-pairs" / "cells", root)
    board = make_leaderboard(load_results(root))
    pool = next(p for p in board.pools if "graded" in p.title)
    told = [line for line in findings_of(board, pool) if line.startswith("Tuned, on ")]
    assert len(told) == 3
    lent = "in_batch x none x info_nce on file(path=boards/pairs/train.jsonl)"
    assert all(f"tter than {lent}" in line for line in told)


def test_the_document_and_the_list_say_the_same(study: Results) -> None:
    board = make_leaderboard(study)
    document = markdown_document(board).replace("\\", "")
    for line in findings_of(board, board.pools[0]):
        assert line.replace("\\", "") in document


def test_a_method_without_a_step_that_is_skipped_is_counted_and_its_reason_said(
    tmp_path: Path,
) -> None:
    unpack(STORED / "board-pairs-minilm" / "cells", tmp_path / "out")
    results = load_results(tmp_path / "out")
    table, _ = tuned_table(results)
    reasons = table[table["sampler"] == "linear_projection"]["skip"]
    families, places = table["family"].nunique(), table["data"].nunique()
    assert len(reasons) == families * places > 0
    assert reasons.str.contains("maps a table of token embeddings").all()
    skipped = table[table["skip"] != ""].groupby("data").size() / families
    board = make_leaderboard(results)
    assert len(board.pools) == places
    found: list[set[int]] = []
    for pool in board.pools:
        told = [re.search(r"(\d+) methods? skipped", x) for x in findings_of(board, pool)]
        found.append({int(x[1]) for x in told if x})
        assert len([x for x in told if x]) == families
    assert sorted(found, key=sum) == [{n} for n in sorted(skipped.astype(int))]
