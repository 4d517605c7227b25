"""A results folder packed and unpacked says the same, and a packed file cannot name a path."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from running import Build, Run

from nsbench.benchmarks.records import (
    RecordError,
    ResultsFolder,
    RunRecord,
    Score,
    scores_csv,
    write_record,
)
from nsbench.benchmarks.records.merging import merge
from nsbench.benchmarks.records.negatives import PACKED_ANCHORS, PACKED_NEGATIVES
from nsbench.benchmarks.records.packed_tables import QUANTILES, rounded
from nsbench.benchmarks.records.packing import JOURNALS, STUDY, is_packed, pack, unpack


@pytest.fixture
def ran(small: Build, run_matrix: Run) -> ResultsFolder:
    folder, _ = run_matrix(small(samplers=["in_batch", "hard"], no_training=True))
    return folder


def contents(folder: ResultsFolder) -> dict[str, bytes]:
    return {
        f"{paths.folder.name}/{name}": (paths.folder / name).read_bytes()
        for paths in folder.folders()
        for name in ("record.json", "scores.csv")
    }


def test_records_and_scores_come_back_byte_for_byte(ran: ResultsFolder, tmp_path: Path) -> None:
    ran.matrix.write_text('{\n "cells": [],\n "name": "small"\n}\n')
    files, bad = pack(ran.root, tmp_path / "packed")
    assert bad == []
    assert is_packed(tmp_path / "packed")
    assert unpack(tmp_path / "packed", tmp_path / "again") == 3
    again = ResultsFolder(tmp_path / "again")
    assert contents(again) == contents(ran)
    assert again.matrix.read_text() == ran.matrix.read_text()
    for before, after in zip(ran.folders(), again.folders(), strict=True):
        assert before.difficulty.exists() == after.difficulty.exists()
        if not before.difficulty.exists():
            continue  # the untrained encoder
        one, two = (pd.read_parquet(p.difficulty) for p in (before, after))
        assert two[["step", "quantity"]].equals(one[["step", "quantity"]])
        np.testing.assert_allclose(two["mean"], one["mean"], rtol=1e-4)
    assert sum(f.stat().st_size for f in files) < 60_000


def test_the_same_folder_gives_the_same_files_and_packing_twice_loses_nothing(
    ran: ResultsFolder, tmp_path: Path
) -> None:
    pack(ran.root, tmp_path / "a")
    pack(ran.root, tmp_path / "b")
    unpack(tmp_path / "a", tmp_path / "root")
    pack(tmp_path / "root", tmp_path / "c")
    for name in ("records", "scores", "difficulty", "histograms", "negatives"):
        a, b, c = ((tmp_path / x / f"{name}.parquet").read_bytes() for x in "abc")
        assert a == b
        assert a == c


def test_a_traceback_keeps_no_folder_of_the_machine_it_failed_on(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "root")
    paths = folder.cell("hard", "0" * 12)
    paths.folder.mkdir(parents=True)
    text = 'File "/x/secret/nsbench/samplers/hard.py", line 3\nFile "/x/site-packages/t.py"'
    write_record(paths, RunRecord("0" * 12, {"seed": 1}, "failed", traceback=text))
    pack(folder.root, tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "again")
    ((_, record),) = ResultsFolder(tmp_path / "again").records()[0]
    assert asdict(record)["traceback"] == (
        'File "nsbench/samplers/hard.py", line 3\nFile "site-packages/t.py"'
    )


def test_an_unreadable_file_is_named_and_the_rest_is_packed(
    ran: ResultsFolder, tmp_path: Path
) -> None:
    broken = next(p for p in ran.folders() if "hard" in p.folder.name)
    broken.difficulty.write_bytes(b"PAR1 and then nothing")
    _, bad = pack(ran.root, tmp_path / "packed")
    assert len(bad) == 1
    assert broken.folder.name in bad[0]
    assert unpack(tmp_path / "packed", tmp_path / "again") == 3


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "..", ""])
def test_a_packed_name_never_becomes_a_path(ran: ResultsFolder, tmp_path: Path, name: str) -> None:
    pack(ran.root, tmp_path / "packed")
    table = pd.read_parquet(tmp_path / "packed" / "records.parquet")
    table.loc[0, "folder"] = name
    table.to_parquet(tmp_path / "packed" / "records.parquet")
    with pytest.raises(RecordError, match=r"cannot be the name|without a record"):
        unpack(tmp_path / "packed", tmp_path / "again")
    assert not (tmp_path / "evil").exists()


def test_an_unpacking_that_was_killed_is_done_again(ran: ResultsFolder, tmp_path: Path) -> None:
    packed, whole, killed = tmp_path / "packed", tmp_path / "whole", tmp_path / "killed"
    ran.matrix.write_text('{\n "cells": [],\n "name": "small"\n}\n')
    pack(ran.root, packed)
    unpack(packed, whole)
    (killed / ".unpack.0123.tmp" / "runs").mkdir(parents=True)  # while the cells were written
    shutil.copy(whole / "matrix.json", killed)  # and then between its two renames
    assert unpack(packed, killed) == 3
    assert not list(killed.glob(".*"))
    assert contents(ResultsFolder(killed)) == contents(ResultsFolder(whole))
    assert unpack(packed, killed) == 3  # killed before it said so


def test_tasks_named_like_numbers_come_back_as_texts(ran: ResultsFolder, tmp_path: Path) -> None:
    (paths, record), *_ = ran.records()[0]
    rows = [Score(name, "test", "s", "m", 0.5, 2, True) for name in ("01", "1", "1e1")]
    paths.scores.write_text(scores_csv(rows))
    write_record(paths, replace(record, files={}))
    pack(ran.root, tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "again")
    again = ResultsFolder(tmp_path / "again")
    assert contents(again)[f"{paths.folder.name}/scores.csv"] == paths.scores.read_bytes()
    found = merge([ran.root, again.root], tmp_path / "out")
    assert (found.conflicts, found.same) == ((), 3)


@pytest.mark.parametrize(
    ("there", "linked"),
    [
        (".", True),
        ("runs", True),
        ("runs/hard-0123456789ab/record.json", False),
        ("matrix.json", False),
        (".unpack.0123.tmp", True),
    ],
)
def test_nothing_is_unpacked_through_a_link_or_over_what_is_there(
    ran: ResultsFolder, tmp_path: Path, there: str, linked: bool
) -> None:
    pack(ran.root, tmp_path / "packed")
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("mine")
    place = root / there
    place.parent.mkdir(parents=True, exist_ok=True)
    if linked:
        place.symlink_to(elsewhere)
    else:
        place.write_text("{}")
    before = sorted((str(p), p.is_file() and p.read_bytes()) for p in root.rglob("*"))
    with pytest.raises(RecordError, match=r"is a link|is not empty"):
        unpack(tmp_path / "packed", root)
    assert sorted((str(p), p.is_file() and p.read_bytes()) for p in root.rglob("*")) == before
    assert [p.name for p in elsewhere.iterdir()] == ["mine.txt"]


def test_missing_and_foreign_files_are_refused_by_name(ran: ResultsFolder, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no finished cell"):
        pack(tmp_path, tmp_path / "packed")
    with pytest.raises(RecordError, match=r"records\.parquet"):
        unpack(tmp_path / "absent", tmp_path / "again")
    pack(ran.root, tmp_path / "packed")
    shutil.copy(tmp_path / "packed" / "records.parquet", tmp_path / "packed" / "scores.parquet")
    with pytest.raises(RecordError, match="lacks the columns task"):
        unpack(tmp_path / "packed", tmp_path / "again")


def test_rounding_keeps_significant_digits_and_what_is_not_finite() -> None:
    values = np.array([123456.0, 0.000123456, -9.99999e-7, 0.0, np.nan, np.inf])
    expected = np.array([123500.0, 0.0001235, -1e-6, 0.0, np.nan, np.inf], dtype=np.float32)
    np.testing.assert_array_equal(rounded(values, 4), expected)


def test_histograms_can_be_left_out_and_an_older_packed_table_of_them_goes(
    ran: ResultsFolder, tmp_path: Path
) -> None:
    pack(ran.root, tmp_path / "packed")
    with_histograms, _ = pack(ran.root, tmp_path / "packed")
    without, bad = pack(ran.root, tmp_path / "packed", distributions=False)
    assert bad == []
    assert {p.name for p in {*with_histograms} - {*without}} == {"histograms.parquet"}
    assert not (tmp_path / "packed" / "histograms.parquet").exists()
    assert unpack(tmp_path / "packed", tmp_path / "again") == 3
    assert not list((tmp_path / "again").rglob("histograms.parquet"))
    assert list((tmp_path / "again").rglob("difficulty.parquet"))


def test_quantiles_can_be_left_out_of_a_pack_and_of_one_made_of_it(
    ran: ResultsFolder, tmp_path: Path
) -> None:
    files, _ = pack(ran.root, tmp_path / "whole")
    fewer, bad = pack(ran.root, tmp_path / "thin", distributions=False)
    assert bad == []
    assert [p for p in files if p.name not in {q.name for q in fewer}] == [
        tmp_path / "whole" / "histograms.parquet"
    ]
    whole, thin = (
        pd.read_parquet(tmp_path / folder / "difficulty.parquet") for folder in ("whole", "thin")
    )
    assert {*whole} - {*thin} == {*QUANTILES}
    assert thin.equals(whole[[*thin]])
    unpack(tmp_path / "thin", tmp_path / "again")
    pack(tmp_path / "again", tmp_path / "twice")
    one, two = ((tmp_path / x / "difficulty.parquet").read_bytes() for x in ("thin", "twice"))
    assert one == two


def test_a_pack_of_cells_with_and_without_quantiles_keeps_those_there_are(
    ran: ResultsFolder, tmp_path: Path
) -> None:
    hard = next(p for p in ran.folders() if "hard" in p.folder.name)
    pd.read_parquet(hard.difficulty).drop(columns=[*QUANTILES]).to_parquet(hard.difficulty)
    record = next(r for p, r in ran.records()[0] if p.folder == hard.folder)
    write_record(hard, replace(record, files={}))
    pack(ran.root, tmp_path / "packed")
    table = pd.read_parquet(tmp_path / "packed" / "difficulty.parquet")
    known = table.groupby("folder")["q50"].count()
    assert known[hard.folder.name] == 0
    assert known.max() > 0
    assert unpack(tmp_path / "packed", tmp_path / "again") == 3


@pytest.mark.parametrize("older", [False, True])
def test_the_files_of_a_study_come_back_byte_for_byte(
    ran: ResultsFolder, tmp_path: Path, *, older: bool
) -> None:
    study = {name: f'{{"of": "{name}", "é": 1}}\n' * 3 for name in (*STUDY, *JOURNALS)}
    for name, text in study.items():
        (ran.root / name).write_text(text, encoding="utf-8")
        if older:  # which kept journals as they are
            (tmp_path / "packed").mkdir(exist_ok=True)
            (tmp_path / "packed" / name).write_text(text, encoding="utf-8")
    files, _ = pack(ran.root, tmp_path / "packed")
    assert {p.name for p in files} >= {*STUDY, "journals.parquet"}
    assert not any((tmp_path / "packed" / name).exists() for name in JOURNALS)
    if older:
        (tmp_path / "packed" / "journals.parquet").unlink()
        for name in JOURNALS:
            (tmp_path / "packed" / name).write_text(study[name], encoding="utf-8")
    unpack(tmp_path / "packed", tmp_path / "again")
    assert {n: (tmp_path / "again" / n).read_text(encoding="utf-8") for n in study} == study


def test_a_packed_journal_never_becomes_a_path(ran: ResultsFolder, tmp_path: Path) -> None:
    pack(ran.root, tmp_path / "packed")
    table = pa.table({"file": ["../evil"], "text": ["x"]})
    pq.write_table(table, tmp_path / "packed" / "journals.parquet")
    with pytest.raises(RecordError, match=r"'\.\./evil' is no file of a study"):
        unpack(tmp_path / "packed", tmp_path / "again")


def test_negatives_of_one_seed_are_packed_with_their_texts_or_without(
    small: Build, run_matrix: Run, tmp_path: Path
) -> None:
    folder, _ = run_matrix(small(samplers=["in_batch"], seeds=[2, 1]))
    pack(folder.root, tmp_path / "packed")
    pack(folder.root, tmp_path / "bare", texts=False)
    unpack(tmp_path / "packed", tmp_path / "again")
    unpack(tmp_path / "bare", tmp_path / "ids")
    (paths,) = (p for p in ResultsFolder(tmp_path / "again").folders() if p.negatives.exists())
    assert not paths.choices.exists()
    table = pd.read_parquet(paths.negatives)
    (cell,) = (p for p in folder.folders() if p.folder.name == paths.folder.name)
    choices, texts = pd.read_parquet(cell.choices), pd.read_parquet(cell.texts)
    known = dict(zip(texts["text"], texts["content"], strict=True))
    assert (table["candidate_text"] == table["candidate"].map(known)).all()
    assert (table["anchor_text"] == table["anchor"].map(known)).all()
    assert set(table["place"]) == set(range(PACKED_ANCHORS))
    assert choices["place"].max() >= PACKED_ANCHORS
    for (step, place), part in table.groupby(["step", "place"]):
        own = choices[(choices["step"] == step) & (choices["place"] == place)]
        assert len(part) == PACKED_NEGATIVES < len(own)
        assert set(part["chosen"]) == {len(own)}
        assert list(part["weight"]) == pytest.approx(
            sorted(own["weight"], reverse=True)[: len(part)], rel=1e-3
        )
    other = pd.read_parquet(tmp_path / "ids" / "runs" / paths.folder.name / "negatives.parquet")
    assert set(other["candidate_text"]) | set(other["anchor_text"]) == {""}
    assert other["candidate"].equals(table["candidate"])
