"""Laws of what is written and read again, for values that hypothesis makes up."""

import string
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.records import (
    CellPaths,
    ResultsFolder,
    RunRecord,
    Score,
    read_record,
    scores_csv,
    write_record,
)
from nsbench.benchmarks.records.cell import Choice
from nsbench.benchmarks.records.merging import merge
from nsbench.benchmarks.records.packing import pack, unpack
from nsbench.samplers import parse_choice

NAMES = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.booleans() | NUMBERS | TEXTS
PLAIN = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
)
quickly = settings(max_examples=40)


@quickly
@given(st.dictionaries(NAMES, PLAIN, max_size=4))
def test_toml_says_what_was_written(data: dict[str, Any]) -> None:
    assert tomllib.loads(tomli_w.dumps(data)) == data


@quickly
@given(NAMES, st.dictionaries(NAMES, st.integers() | st.booleans() | NAMES, max_size=3))
def test_a_choice_is_read_from_what_it_prints(name: str, params: dict[str, Any]) -> None:
    shown = ",".join(f"{k}={v!r}" for k, v in params.items())
    assert parse_choice(f"{name}[{shown}]") == (name, params)
    assert str(Choice(name, params)).partition("(")[0] == name


CELLS = st.dictionaries(NAMES.map("x_{}".format), PLAIN, max_size=3)  # no axis, which has a shape
KEYS = st.text("0123456789abcdef", min_size=12, max_size=12)
RECORDS = st.builds(
    RunRecord,
    key=KEYS,
    cell=CELLS,
    status=st.sampled_from(["done", "failed", "skipped"]),
    reason=TEXTS,
    traceback=st.just(""),
    seconds=st.dictionaries(NAMES, st.floats(0, 1e6), max_size=2),
    cost=st.dictionaries(NAMES, NUMBERS, max_size=2),
    alarms=st.lists(st.fixed_dictionaries({"name": NAMES, "text": TEXTS}), max_size=2),
)


@quickly
@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record: RunRecord) -> None:
    with TemporaryDirectory() as folder:
        write_record(CellPaths(Path(folder)), record)
        assert read_record(CellPaths(Path(folder))) == record


@quickly
@given(st.dictionaries(KEYS, CELLS, max_size=4), CELLS)
def test_a_matrix_is_read_as_it_was_written(cells: dict[str, Any], config: dict[str, Any]) -> None:
    rows = [{"key": key, "folder": f"x-{key}", "cell": cell} for key, cell in cells.items()]
    with TemporaryDirectory() as root:
        folder = ResultsFolder(Path(root))
        folder.write_matrix("name", config, rows)
        found = folder.read_matrix()
    assert found["cells"] == rows
    assert found["config"] == config


def ended(root: Path, records: list[RunRecord]) -> ResultsFolder:
    """Write a results folder that plans these cells and has ended them."""
    folder = ResultsFolder(root)
    folder.runs.mkdir(parents=True)
    cells = [{"key": r.key, "cell": r.cell} for r in records]
    folder.matrix.write_text(pretty_json({"name": "x", "config": {}, "cells": cells}), "utf-8")
    for record in records:
        paths = folder.cell("x", record.key)
        paths.folder.mkdir()
        if record.status == "done":
            paths.scores.write_text(scores_csv([Score("t", "s", "u", "m", 0.5, 2, True)]))
        write_record(paths, record)
    return folder


SOME = st.lists(RECORDS, max_size=3, unique_by=lambda record: record.key)


@settings(max_examples=15)
@given(SOME, SOME)
def test_merging_gives_the_union_of_plans_and_of_records(
    one: list[RunRecord], two: list[RunRecord]
) -> None:
    with TemporaryDirectory() as place:
        first, second = ended(Path(place, "one"), one), ended(Path(place, "two"), two)
        merge([first.root, second.root], Path(place, "out"))
        out = ResultsFolder(Path(place, "out"))
        keys = {r.key for r in (*one, *two)}
        assert {c["key"] for c in out.read_matrix()["cells"]} == keys
        assert {r.key for _, r in out.records()[0]} == keys


@settings(max_examples=15)
@given(SOME.filter(bool))
def test_unpacking_gives_what_was_packed(records: list[RunRecord]) -> None:
    with TemporaryDirectory() as place:
        folder = ended(Path(place, "one"), records)
        pack(folder.root, Path(place, "packed"))
        assert unpack(Path(place, "packed"), Path(place, "again")) == len(records)
        again = ResultsFolder(Path(place, "again"))
        assert again.matrix.read_bytes() == folder.matrix.read_bytes()
        for before, after in zip(folder.folders(), again.folders(), strict=True):
            assert after.record.read_bytes() == before.record.read_bytes()
            assert after.scores.exists() == before.scores.exists()
