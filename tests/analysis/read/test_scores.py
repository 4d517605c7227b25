"""Scores of many cells: read in little room, written whole, whatever stands in them."""

import csv
import dataclasses
import io

import numpy as np
import pandas as pd
import pytest

from nsbench.analysis.read.columns import IDENTITY
from nsbench.analysis.read.leakage import LEAKS
from nsbench.analysis.read.scores import ScoreReader, score_table
from nsbench.analysis.tables.scores import csv_pieces, write_scores
from nsbench.benchmarks.records import SCORE_COLUMNS, CellPaths, RecordError, Score, scores_csv

PLAIN = [
    Score("STS12", "test", "default", "cosine_spearman", 0.5, 10, True),
    Score("geometry", "test", "x", "uniformity", float("nan"), 4, False),
]
ODD = [*PLAIN, Score('a "b", c', "test", "line\nbreak", "accuracy", -1e-5, 3, True)]


def put(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "scores.csv").write_text(text)
    return CellPaths(folder)


@pytest.mark.parametrize("scores", [PLAIN, ODD, []])
def test_scores_come_back_as_a_csv_reader_sees_them(tmp_path, scores):
    paths = put(tmp_path / "cell", scores_csv(scores))
    found = [list(map(str, row)) for row in ScoreReader().read(paths)]
    assert found == list(csv.reader(io.StringIO(paths.scores.read_text(), newline="")))[1:]


def test_cells_that_are_scored_alike_share_a_layout(tmp_path):
    reader = ScoreReader()
    other = [PLAIN[0].__class__(**vars(s) | {"value": 0.25}) for s in PLAIN]
    one = reader.read(put(tmp_path / "one", scores_csv(PLAIN)))
    two = reader.read(put(tmp_path / "two", scores_csv(other)))
    three = reader.read(put(tmp_path / "three", scores_csv(ODD)))
    assert one.layout is two.layout
    assert one.layout is not three.layout
    table = score_table([one, two, three], ["x", "y", "z"])
    assert table["key"].tolist() == ["x"] * 2 + ["y"] * 2 + ["z"] * 3
    assert table["value"].tolist()[2:4] == [0.25, 0.25]
    assert table["n_examples"].tolist()[-3:] == [s.n_examples for s in sorted(ODD, key=str)]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("cosine_spearman", "a,b"),  # a field too many
        lambda text: text.replace(",0.5,", ","),  # one too few
        lambda text: text.replace("0.5", "half"),
        lambda text: text.replace("10", "ten"),
        lambda text: text[:-1],
        lambda text: text.replace("value", "score"),
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path, change):
    paths = put(tmp_path / "cell", change(scores_csv(PLAIN)))
    with pytest.raises(RecordError, match=r"scores\.csv"):
        ScoreReader().read(paths)


@pytest.mark.parametrize("value", ["0.25", "1e-05", "-3.5e+20", "1", "inf", "nan", "-0.0", "01.5"])
def test_a_value_is_read_as_python_reads_it(tmp_path, value):
    text = scores_csv([PLAIN[0]] * 3).replace("0.5", value, 1)
    found = ScoreReader().read(put(tmp_path / "cell", text)).values
    assert str(found.tolist()) == str([float(value), 0.5, 0.5])


@pytest.mark.parametrize("value", ["true", "null", "[1]", "1.5\0,0.5", "0.5,0.5", '"', "0.5\r"])
def test_no_value_is_made_of_what_is_none(tmp_path, value):
    text = scores_csv([PLAIN[0]] * 3).replace("0.5", value, 1)
    with pytest.raises(RecordError, match=r"scores\.csv"):
        ScoreReader().read(put(tmp_path / "cell", text))


def test_many_doubles_come_back_to_the_last_bit(tmp_path):
    draws = np.random.default_rng(0)
    values = draws.normal(size=2000) * 10.0 ** draws.integers(-300, 300, size=2000)
    reader = ScoreReader()
    for part in values.reshape(20, 100):
        scores = [dataclasses.replace(PLAIN[0], value=v) for v in part.tolist()]
        assert reader.read(put(tmp_path / "c", scores_csv(scores))).values.tolist() == part.tolist()


def test_many_scores_become_two_tables_that_join_to_the_one(standard, tmp_path):
    results = standard
    whole = results.scores.astype({"key": "str"}).merge(results.cells, on="key", how="left")
    rest = [c for c in results.cells.columns if c not in (*IDENTITY, *LEAKS)]
    text = whole[[*IDENTITY, *SCORE_COLUMNS, *rest]].to_csv(index=False, lineterminator="\n")
    assert "".join(csv_pieces(results)) == text
    out = tmp_path / "out"
    out.mkdir()
    assert write_scores(results, out) == [out / "scores.csv"]
    written = write_scores(results, out, most=len(results.scores) - 1)
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in written)
    scores, cells = (pd.read_parquet(path) for path in written)
    assert scores["value"].tolist() == results.scores["value"].tolist()
    both = scores.astype({"key": str}).merge(cells, on="key", validate="many_to_one")
    assert both["sampler"].tolist() == whole["sampler"].tolist()
