"""What users hand in, mutated at random: an answer or one sentence, never a traceback.

Quick in the suite. With ``NSBENCH_FUZZ_SECONDS=60``, as `make fuzz` and CI call it, every test
goes on for so many seconds with new inputs; a failure prints the input.
"""

import copy
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tomli_w
import typer
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from made_data import changed, places
from made_results import make_cell, write_cell
from running import planned_of
from typer.testing import CliRunner

from nsbench.analysis.read.load import load_results
from nsbench.benchmarks.cli.mine import mine
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.matrix.config import load_config
from nsbench.benchmarks.matrix.selecting import AXES, only
from nsbench.benchmarks.mining.settings import MineSettings
from nsbench.benchmarks.records import ResultsFolder, read_record
from nsbench.benchmarks.records.merging import merge
from nsbench.benchmarks.records.status import StatusReader

SECONDS = float(os.environ.get("NSBENCH_FUZZ_SECONDS", "0"))
ANSWERS = (ValueError, OSError, ModuleNotFoundError)
"""What the command line prints as one sentence; see `nsbench.benchmarks.cli.main.run_app`."""
ODD = st.one_of(
    st.sampled_from([None, True, -1, 0, 1, 3, 1.5, float("nan"), float("inf"), 10**30, "", "x"]),
    st.sampled_from([[], [[]], {}, {"name": 5}, {"a": {}}, "a\x00b", "\x1b[2J", "../x", "[", "=1"]),
    st.text(max_size=8),
)
PLACES = st.integers(0, 10_000)


def fuzz(strategy: st.SearchStrategy[Any], check: Callable[[Any], None], quick: int) -> None:
    """Check inputs: a few, or for as long as `SECONDS` says."""
    end, number = time.monotonic() + SECONDS, 0
    while number == 0 or time.monotonic() < end:

        def one(made: Any) -> None:
            check(made)

        plain = settings(
            max_examples=quick,
            suppress_health_check=list(HealthCheck),
        )
        plain(seed(number)(given(strategy)(one)))()
        number += 1


def answered(call: Callable[[], Any]) -> Any:
    """Call; a refusal has to be one sentence."""
    try:
        return call()
    except ANSWERS as error:
        text = str(error)
        assert text.strip()
        assert "\n" not in text.strip(), text
        assert "Traceback" not in text
        return None


def mutated(value: Any, changes: list[tuple[int, Any]]) -> Any:
    """Plain data with something else in a few places."""
    for place, new in changes:
        _, *everywhere = places(value)
        if not everywhere:
            break
        value = changed(value, everywhere[place % len(everywhere)], copy.deepcopy(new))
    return value


CHANGES = st.lists(st.tuples(PLACES, ODD), min_size=1, max_size=3)
MATRIX: dict[str, Any] = {
    "schema": 1,
    "name": "m",
    "samplers": [
        "in_batch",
        {"name": "hard", "k": [2, 4]},
        {"name": "topic", "then": "hard[k=2]"},
    ],
    "augmentations": ["none", {"name": "token_cutoff", "rate": 0.1}],
    "objectives": ["info_nce"],
    "encoders": [{"name": "static", "dimension": 8}],
    "data": [{"name": "planted", "rows": 40}],
    "seeds": [1, 2],
    "budget": {"steps": 2, "batch_size": 8, "learning_rate": 0.1, "max_length": 16},
    "evaluation": {"tasks": ["own"], "dev": "", "pooling": ""},
    "difficulty": {"every": 1},
    "run": {"device": "cpu", "threads": 1},
}


def test_a_matrix_is_expanded_or_refused_in_one_sentence() -> None:
    assert len(planned_of(MATRIX)) > 8

    def check(changes: list[tuple[int, Any]]) -> None:
        answered(lambda: planned_of(mutated(MATRIX, changes)))

    fuzz(CHANGES, check, 25)


def test_a_damaged_matrix_file_is_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    whole = tomli_w.dumps(MATRIX).encode()

    def check(made: tuple[int, bytes]) -> None:
        place, data = made
        place %= len(whole)
        path = tmp_path / "m.toml"
        path.write_bytes(whole[:place] + data + whole[place + len(data) :])
        answered(lambda: load_config(str(path)))

    fuzz(st.tuples(PLACES, st.binary(max_size=4)), check, 50)


TEXTS = st.one_of(
    st.text(max_size=6), st.sampled_from(["a cat", "two dogs", '12" of', "a\tb", "\ud83d"])
)
CELLS = st.one_of(TEXTS, ODD, st.lists(TEXTS, max_size=3), st.integers(-2, 3))
COLUMNS = st.sampled_from(
    [
        *("anchor", "positive", "negative", "negatives", "negative_1", "label", "labels", "score"),
        *("query", "pos", "neg", "positive_passages", "premise", "hypothesis", "gold_label"),
        *("sentence1", "sentence2", "sent0", "sent1", "hard_neg", "text", "x", "scores"),
    ]
)
ROWS = st.lists(st.dictionaries(COLUMNS, CELLS, max_size=5), max_size=4)
FILES = st.tuples(
    ROWS,
    st.sampled_from(["jsonl", "json", "csv", "tsv", "txt", "jsonl.gz", "parquet"]),
    st.one_of(st.none(), st.tuples(PLACES, st.binary(min_size=1, max_size=3))),
    st.dictionaries(
        st.sampled_from(
            ["bad_rows", "ragged", "quotes", "delimiter", "header", "encoding", "limit"]
        ),
        st.sampled_from(["skip", "error", "allow", "none", "tab", False, "utf-16", "latin-1", 2]),
        max_size=2,
    ),
)


def written(rows: list[dict[str, Any]], ending: str) -> bytes:
    """The rows as a file of a kind, as well as that kind can hold them."""
    if ending in ("csv", "tsv", "txt"):
        mark = {"csv": ",", "tsv": "\t", "txt": " "}[ending]
        lines = [mark.join(map(str, rows[0]))] if rows and ending != "txt" else []
        lines += [mark.join(map(str, row.values())) for row in rows]
        return "\n".join(lines).encode("utf-8", "surrogatepass")
    if ending == "parquet":
        import pandas as pd

        plain = [
            {k: str(v).encode("ascii", "replace").decode() for k, v in r.items()} for r in rows
        ]
        return bytes(pd.DataFrame(plain).to_parquet())
    data = json.dumps(rows) if ending == "json" else "\n".join(map(json.dumps, rows))
    if ending == "jsonl.gz":
        import gzip

        return gzip.compress(data.encode())
    return data.encode()


def test_data_are_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    def check(made: tuple[list[Any], str, tuple[int, bytes] | None, dict[str, Any]]) -> None:
        rows, ending, change, options = made
        data = written(rows, ending)
        if change is not None and data:
            place = change[0] % len(data)
            data = data[:place] + change[1] + data[place + len(change[1]) :]
        path = tmp_path / f"x.{ending}"
        path.write_bytes(data)
        read = answered(lambda: datasets.make("file", path=str(path), **options)())
        assert read is None or read.rows > 0

    fuzz(FILES, check, 60)


def results(root: Path, seeds: range) -> ResultsFolder:
    """A results folder of finished cells."""
    folder, rows = ResultsFolder(root), []
    for number in seeds:
        write_cell(folder, make_cell("in_batch", "none", number), scores={"01": 0.5}, digests=True)
    for paths in folder.folders():
        record = read_record(paths)
        rows.append({"key": record.key, "folder": paths.folder.name, "cell": record.cell})
    folder.write_matrix("m", {}, rows)
    return folder


def spoil(root: Path, changes: list[tuple[int, Any]]) -> None:
    """Change, cut, empty or remove a few files of a folder."""
    for place, new in changes:
        files = sorted(p for p in root.rglob("*") if p.is_file())
        path = files[place % len(files)]
        data, raw = path.read_bytes(), None
        with suppress(ValueError):  # spoilt before
            raw = json.loads(data) if path.suffix == ".json" else None
        if raw is not None and not isinstance(new, str):
            path.write_text(json.dumps(mutated(raw, [(place // 7, new)])))
        elif new == "":
            path.unlink()
        else:
            cut = place % (len(data) + 1)
            path.write_bytes(data[:cut] + str(new).encode("utf-8", "replace") + data[cut + 1 :])


SPOILT = st.lists(st.tuples(PLACES, ODD), min_size=1, max_size=3)


def test_a_spoilt_results_folder_is_read_or_refused_in_one_sentence() -> None:
    def check(changes: list[tuple[int, Any]]) -> None:
        with TemporaryDirectory() as place:
            folder = results(Path(place, "one"), range(3))
            spoil(folder.root, [(p, "?" if n == "" else n) for p, n in changes])
            answered(lambda: load_results([folder.root]))
            answered(lambda: StatusReader(folder).read())
            for line in folder.records()[1]:
                assert "\n" not in line

    fuzz(SPOILT, check, 12)


def test_a_merge_with_a_spoilt_folder_keeps_what_is_whole() -> None:
    def check(changes: list[tuple[int, Any]]) -> None:
        with TemporaryDirectory() as place:
            whole, other = (
                results(Path(place, "a"), range(2)),
                results(Path(place, "b"), range(1, 4)),
            )
            spoil(other.root, changes)
            out = Path(place, "out")
            before = {p.folder.name: p.scores.read_bytes() for p in whole.folders()}
            merge([whole.root], out)
            found = answered(lambda: merge([whole.root, other.root], out))
            after = {p.folder.name: p.scores.read_bytes() for p in ResultsFolder(out).folders()}
            assert {name: after.get(name) for name in before} == before
            for line in (*found.conflicts, *found.left_out) if found else ():
                assert "\n" not in line

    fuzz(SPOILT, check, 12)


def test_only_chooses_cells_or_is_refused_in_one_sentence() -> None:
    planned = planned_of(MATRIX)
    pieces = st.sampled_from(
        [*AXES, "=", "*", "?", "[", "]", "!", "hard", "(k=2)", " x ", "1", ","]
    )
    pattern = st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=5).map("".join)

    def check(patterns: list[str]) -> None:
        found = answered(lambda: only(planned, patterns))
        assert found is None or all(p in planned for p in found)

    fuzz(st.lists(pattern, max_size=2), check, 100)


OPTIONS = sorted(set(MineSettings.model_fields) - {"source", "devices"})


def test_mining_settings_are_used_or_refused_in_one_sentence(tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    rows = [{"anchor": f"cat {i} sat", "positive": f"the cat {i} sleeps"} for i in range(12)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    values = st.sampled_from(
        [
            *("0", "-1", "1", "3", "0.5", "nan", "inf", "1e30", "", "x", "top", "random", "fewer"),
            *("drop", "pad_random", "german", "none", "hard[k=2]", "band[", "in_batch", "lowest"),
        ]
    )
    app = typer.Typer()
    app.command()(mine)

    def check(options: dict[str, str]) -> None:
        with TemporaryDirectory() as place:
            words = [str(data), "--out", str(Path(place, "out")), "--source", "bm25"]
            for name, value in options.items():
                words += [f"--{name.replace('_', '-')}", value]
            done = CliRunner().invoke(app, words)
        error = done.exception
        if error is None or isinstance(error, SystemExit):
            assert done.exit_code in (0, 2), done.output
        else:
            assert isinstance(error, ANSWERS), (words, repr(error))
            assert "\n" not in str(error).strip(), str(error)

    fuzz(st.dictionaries(st.sampled_from(OPTIONS), values, max_size=4), check, 25)
