"""Records and matrices of another shape, damaged or odd: named and left out, all others ranked."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import changed, places
from made_results import make_cell, write_cell

from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.alarms import alarm_table
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.write import write_leaderboard
from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.matrix.estimate import measured_cells
from nsbench.benchmarks.records import RecordError, ResultsFolder, read_json, read_record
from nsbench.benchmarks.records.merging import merge
from nsbench.benchmarks.records.packing import pack, unpack
from nsbench.benchmarks.records.status import StatusReader
from nsbench.benchmarks.runs.garbage import find_waste, forget_failed

SCORES = {"STS12": 0.5, "01": 0.25}
ODD = st.sampled_from(
    [None, True, 0, -1, 1.5, 10**30, "x", "", [], ["x"], [1], [[]], {}, {"a": 1}, {"name": 5}, [{}]]
)


def folder_of(root: Path, seeds: int = 3) -> ResultsFolder:
    """A results folder of some finished cells, of which the second is the odd one."""
    folder = ResultsFolder(root)
    cells = [make_cell("in_batch", "none", seed) for seed in range(seeds)]
    for cell in cells:
        write_cell(folder, cell, scores=SCORES, digests=True)
    rows = [
        {"key": read_record(p).key, "folder": p.folder.name, "cell": read_record(p).cell}
        for p in folder.folders()
    ]
    folder.write_matrix("odd", {"seeds": [0]}, rows)
    return folder


def read_everywhere(folder: ResultsFolder, place: Path) -> list[str]:
    """Let every reader of a folder read it; return what was left out."""
    results = load_results(folder.root)
    board = make_leaderboard(results)
    write_leaderboard(results, board, place / "board")
    alarm_table(results)
    state = StatusReader(folder).read()
    list(find_waste(folder))
    measured_cells(folder)
    forget_failed(folder)
    found = merge([folder.root], place / "merged")
    pack(folder.root, place / "packed")
    unpack(place / "packed", place / "again")
    assert state["counts"]["done"] >= 2
    assert (results.cells["status"] == "done").sum() >= 2
    assert found.copied >= 2
    return [*results.left_out, *state["unreadable"], *found.left_out]


@settings(max_examples=20)
@given(st.randoms(use_true_random=False), ODD)
def test_a_record_with_any_part_of_another_type_breaks_no_reader(
    rng: random.Random, odd: Any
) -> None:
    with TemporaryDirectory() as place:
        folder = folder_of(Path(place, "one"))
        paths = list(folder.folders())[1]
        raw = {k: v for k, v in read_json(paths.record).items() if k != "digest"}
        raw["alarms"] = [{"name": "a", "text": "b", "value": 1.0, "limit": 1.0}]
        at = rng.choice(list(places(raw)))
        paths.record.write_text(pretty_json(changed(raw, at, odd)))
        read_everywhere(folder, Path(place))


@settings(max_examples=15)
@given(st.randoms(use_true_random=False), ODD)
def test_a_matrix_with_any_part_of_another_type_breaks_no_reader(
    rng: random.Random, odd: Any
) -> None:
    with TemporaryDirectory() as place:
        folder = folder_of(Path(place, "one"))
        raw = read_json(folder.matrix)
        at = rng.choice(list(places(raw)))
        folder.matrix.write_text(pretty_json(changed(raw, at, odd)))
        read_everywhere(folder, Path(place))


FIELDS: dict[str, Any] = {
    **{"cost": [], "seconds": [], "alarms": 5, "environment": 1.5, "leakage": [3]},
    **{"data": None, "evaluation": "x", "reason": 5, "traceback": [], "weights": {}},
    **{"finished": 3, "files": [], "cell": []},
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_another_type_is_named_with_its_file(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path / "one")
    paths = list(folder.folders())[1]
    raw = {k: v for k, v in read_json(paths.record).items() if k != "digest"}
    paths.record.write_text(json.dumps(raw | {name: FIELDS[name]}))
    lines = read_everywhere(folder, tmp_path)
    assert sum(f"{paths.record} is not a record: {name} must be" in line for line in lines) == 3


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["record.json", "scores.csv", "difficulty.parquet"])
def test_a_flipped_bit_is_never_believed(tmp_path: Path, name: str) -> None:
    from nsbench.analysis.read.difficulty import load_difficulty

    folder = folder_of(tmp_path / "one")
    path = list(folder.folders())[1].folder / name
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(60):
        path.write_bytes(whole)
        flip(path, rng)
        results = load_results(folder.root)
        _, bad = load_difficulty(results)
        said = [*results.left_out, *bad, *results.cells["info"]]
        assert any(name in line for line in said), path.read_bytes()


def test_swapped_files_of_two_cells_are_named(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "one")
    for seed in range(2):
        cell = make_cell("in_batch", "none", seed)
        write_cell(folder, cell, scores={"STS12": 0.5 + seed / 4}, digests=True)
    one, two = (p.scores for p in folder.folders())
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    results = load_results(folder.root)
    assert list(results.cells["status"]) == ["failed", "failed"]
    assert all("is not the file that its record names" in i for i in results.cells["info"])
    assert merge([folder.root], tmp_path / "out").copied == 0


@pytest.mark.parametrize("name", ["records", "scores", "difficulty"])
def test_a_flipped_bit_of_a_packed_file_is_refused(tmp_path: Path, name: str) -> None:
    pack(folder_of(tmp_path / "one").root, tmp_path / "packed")
    path = tmp_path / "packed" / f"{name}.parquet"
    whole, rng = path.read_bytes(), random.Random(1)
    silent, said = 0, list[str]()
    for number in range(60):
        path.write_bytes(whole)
        flip(path, rng)
        try:
            unpack(tmp_path / "packed", tmp_path / f"out{number}")
            silent += 1  # a bit of the mark itself: the content is as it was
        except RecordError as error:
            said.append(str(error))
            assert not (tmp_path / f"out{number}").exists()
    assert silent <= 6
    assert all(path.name in line for line in said)


KINDS: dict[str, Callable[[Path], None]] = {
    "a FIFO": os.mkfifo,
    "a directory": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["record.json", "claim.json", "cell.json", "scores.csv"])
def test_what_is_no_file_is_passed_by_and_named(tmp_path: Path, kind: str, name: str) -> None:
    folder = folder_of(tmp_path / "one", seeds=4)
    paths = list(folder.folders())[1]
    if name in ("claim.json", "cell.json"):
        paths.record.unlink()
    (paths.folder / name).unlink(missing_ok=True)
    KINDS[kind](paths.folder / name)
    lines = read_everywhere(folder, tmp_path)
    if name == "record.json":
        assert any(str(paths.record) in line for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_a_matrix_that_is_no_file_is_named(tmp_path: Path, kind: str) -> None:
    folder = folder_of(tmp_path / "one")
    folder.matrix.unlink()
    KINDS[kind](folder.matrix)
    assert any("matrix.json" in line for line in read_everywhere(folder, tmp_path))


def test_a_name_that_is_no_utf_8_is_passed_by_and_documents_are_written(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "one")
    odd = os.fsencode(folder.runs) + b"/hard\xff-0123456789ab"
    os.mkdir(odd)  # noqa: PTH102 - bytes
    with open(odd + b"/record.json", "wb") as file:  # noqa: PTH123
        file.write(next(iter(folder.folders())).record.read_bytes())
    assert any("hard\\udcff" in line for line in read_everywhere(folder, tmp_path))
