"""The scan of training text is carried from the records into tables, words and report."""

import numpy as np
import pytest
from made_results import change_record, scores_of

from nsbench.analysis.read.leakage import leakage_table, leakage_words
from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.page import write_report
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.write import markdown_document, write_leaderboard
from nsbench.benchmarks.records import ResultsFolder, read_record

SCAN = {
    "STS12": {"texts": 9, "exact": 1.0, "pairs": 1.0, "long_texts": 4, "ngram": 1.0},
    "STS13": {"texts": 7, "exact": 0.25, "pairs": 0.0, "long_texts": 4, "ngram": 0.5},
    "planted-sts": {"texts": 5, "exact": 0.0, "pairs": None, "long_texts": 4, "ngram": 0.125},
}


@pytest.fixture
def scanned(build):
    """A folder in which every trained cell has been scanned; STS12 was read on purpose."""
    root = build()
    for paths in ResultsFolder(root).folders():
        if read_record(paths).cell["sampler"]["name"] != "no_training":
            scan = {task: row | {"transductive": task == "STS12"} for task, row in SCAN.items()}
            change_record(paths, leakage=scan)
    return load_results(root)


def test_each_score_has_the_overlap_of_its_task(scanned):
    scores = scores_of(scanned)
    hard = scores[(scores["sampler"] == "hard") & (scores["seed"] == 0)]
    by_task = hard.drop_duplicates("task").set_index("task")
    assert by_task["leak_exact"].to_dict() == pytest.approx(
        {
            "STS12": 1.0,
            "STS13": 0.25,
            "planted-sts": 0.0,
            "geometry": np.nan,
            "frequent_tokens": np.nan,
            "first_dimensions": np.nan,
        },
        nan_ok=True,
    )
    assert by_task.loc[["STS12", "STS13"], "transductive"].tolist() == [True, False]
    untrained = scores[scores["sampler"] == "no_training"]
    assert untrained["leak_exact"].isna().all()


def test_leaderboard_shows_the_largest_overlap_of_a_method(scanned):
    rows = make_leaderboard(scanned).rows.set_index("sampler")
    assert rows.loc["hard", "leak_exact"].tolist() == [1.0, 1.0]
    assert rows.loc["hard", "leak_ngram"].tolist() == [1.0, 1.0]
    assert rows.loc["hard", "transductive"].tolist() == [True, True]
    assert rows.loc["no_training", ["leak_exact", "transductive"]].isna().all()


def test_the_table_counts_cells_and_the_words_tell_purpose_from_accident(scanned, tmp_path):
    table = leakage_table(scanned.loaded)
    assert table["task"].tolist() == ["STS12", "STS13", "planted-sts"]
    assert set(table["cells"]) == {18}  # 3 samplers x 2 augmentations x 3 seeds
    transductive, leaked, runs = leakage_words(table)
    assert transductive.startswith("Transductive: the training text of planted(rows=100) holds")
    assert "STS12 (100.0%)" in transductive
    assert "STS13" not in transductive
    assert "STS13 (25.0%)" in leaked
    assert "planted-sts (12.5%)" in runs
    board = make_leaderboard(scanned)
    assert "Transductive: " in markdown_document(board)
    write_leaderboard(scanned, board, tmp_path)
    assert (tmp_path / "leakage.csv").read_text().count("\n") == 4
    page = write_report(scanned, tmp_path).read_text()
    assert "Transductive: the training text" in page
    assert '<td class="number">25.0 %</td>' in page


def test_records_without_a_scan_give_no_columns(standard):
    board = make_leaderboard(standard)
    assert "leak_exact" not in scores_of(standard)
    assert "leak_exact" not in board.rows
    assert board.leakage.empty
    assert leakage_words(board.leakage) == []
