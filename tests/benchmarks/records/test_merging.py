"""Merging results folders: nothing finished is lost, and what does not agree is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nsbench.benchmarks.records import (
    CellPaths,
    RecordError,
    ResultsFolder,
    RunRecord,
    Score,
    scores_csv,
    write_record,
)
from nsbench.benchmarks.records.merging import merge

Make = Callable[..., ResultsFolder]


def write(folder: ResultsFolder, key: str, status: Any = "done", value: float = 0.5) -> CellPaths:
    paths = folder.cell("hard", key)
    paths.folder.mkdir(parents=True)
    if status == "done":
        row = Score("STS12", "test", "default", "cosine_spearman", value, 10, True)
        paths.scores.write_text(scores_csv([row]))
    record = RunRecord(key, {"seed": 1}, status, weights="w", finished=str(folder.root))
    write_record(paths, record)
    return paths


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A folder that plans cells and has ended some of them."""

    def build(name: str, planned: tuple[str, ...] = (), **ended: tuple[str, float]) -> Any:
        folder = ResultsFolder(tmp_path / name)
        folder.runs.mkdir(parents=True)
        cells = [{"key": k, "cell": {}} for k in planned]
        folder.matrix.write_text(json.dumps({"name": name, "config": {}, "cells": cells}))
        for key, (status, value) in ended.items():
            write(folder, key, status, value)
        return folder

    return build


def values(root: Path) -> dict[str, str]:
    out = {}
    for paths, record in ResultsFolder(root).records()[0]:
        text = paths.scores.read_text() if paths.scores.exists() else ""
        out[record.key] = f"{record.status} {text.splitlines()[1].split(',')[4] if text else ''}"
    return out


def test_cells_of_both_are_there_and_the_matrix_lists_all(make: Make, tmp_path: Path) -> None:
    one = make("one", ("a", "b", "c"), a=("done", 0.1), b=("done", 0.2))
    two = make("two", ("b", "d"), b=("done", 0.2), d=("skipped", 0.0))
    found = merge([one.root, two.root], tmp_path / "out")
    assert (found.copied, found.same, found.conflicts, found.left_out) == (3, 1, (), ())
    assert values(tmp_path / "out") == {"a": "done 0.1", "b": "done 0.2", "d": "skipped "}
    matrix = json.loads((tmp_path / "out" / "matrix.json").read_text())
    assert [c["key"] for c in matrix["cells"]] == ["a", "b", "c", "d"]
    again = merge([one.root, two.root], tmp_path / "out")
    assert (again.copied, again.same) == (0, 3)


def test_a_finished_cell_wins_over_a_failed_one_in_any_order(make: Make, tmp_path: Path) -> None:
    failed, done = make("one", a=("failed", 0.0)), make("two", a=("done", 0.3))
    for name, order in (("x", [failed, done]), ("y", [done, failed])):
        assert merge([f.root for f in order], tmp_path / name).conflicts == ()
        assert values(tmp_path / name) == {"a": "done 0.3"}


def test_a_conflict_names_the_cell_both_places_and_what_differs(make: Make, tmp_path: Path) -> None:
    one, two = make("one", a=("done", 0.1)), make("two", a=("done", 0.2))
    (line,) = merge([one.root, two.root], tmp_path / "out").conflicts
    assert line.startswith("cell a differs in scores between")
    assert str(tmp_path / "out") in line
    assert str(two.root) in line
    assert values(tmp_path / "out") == {"a": "done 0.1"}
    paths, record = two.records()[0][0]
    write_record(paths, RunRecord(record.key, {"seed": 1}, "done", weights="other"))
    shutil.copy(one.records()[0][0][0].scores, paths.scores)
    (line,) = merge([one.root, two.root], tmp_path / "other").conflicts
    assert "differs in weights between" in line


def test_when_and_where_a_cell_ran_is_no_conflict(make: Make, tmp_path: Path) -> None:
    one, two = make("one", a=("done", 0.1)), make("two", a=("done", 0.1))
    assert merge([one.root, two.root], tmp_path / "out").same == 1  # `finished` differs


@pytest.mark.parametrize("first", ["good", "odd"])
@pytest.mark.parametrize("into", ["new", "first"])
def test_a_record_of_another_key_than_its_folder_replaces_nothing(
    make: Make, tmp_path: Path, first: str, into: str
) -> None:
    good, odd = make("good", a=("done", 0.1)), make("odd", b=("done", 0.2))
    paths = odd.cell("hard", "b")
    write_record(paths, RunRecord("a", {"seed": 1}, "done", weights="other"))
    roots = [good.root, odd.root] if first == "good" else [odd.root, good.root]
    out = tmp_path / "out" if into == "new" else roots[0]
    found = merge(roots, out)
    assert any("hard-b" in x and "names the key 'a'" in x for x in found.left_out), found.left_out
    assert (found.conflicts, found.copied) == ((), 0 if out == good.root else 1)
    kept = [p for p, r in ResultsFolder(out).records()[0] if r.key == p.folder.name[-1]]
    assert [p.scores.read_text() for p in kept] == [good.cell("hard", "a").scores.read_text()]


def test_two_matrices_keep_the_cells_and_the_encoders_of_both(make: Make, tmp_path: Path) -> None:
    roots = []
    for name, encoder, keys in (("one", "static", "ab"), ("two", "tiny", "bc")):
        folder = make(name)
        cells = [
            {"key": key, "folder": f"x-{key}", "cell": {"encoder": {"name": encoder}, "seed": seed}}
            for seed, key in enumerate(keys)
        ]
        folder.write_matrix(name, {"encoders": [encoder]}, cells)
        roots.append(folder.root)
    write(ResultsFolder(roots[0]), "a")  # b and c are not started
    found = merge(roots, tmp_path / "out")
    matrix = ResultsFolder(tmp_path / "out").read_matrix()
    encoders = {row["key"]: row["cell"]["encoder"]["name"] for row in matrix["cells"]}
    assert encoders == {"a": "static", "b": "static", "c": "tiny"}
    assert any("asks for another matrix; its cells are added" in x for x in found.left_out)
    (conflict,) = found.conflicts
    assert conflict.startswith("cell b is planned with other settings in ")


def test_a_folder_of_the_old_schema_merges_with_one_of_today(make: Make, tmp_path: Path) -> None:
    old, new = make("old", ("a",), a=("done", 0.1)), make("new")
    new.write_matrix("new", {}, [{"key": "b", "folder": "hard-b", "cell": {"seed": 2}}])
    for name, roots in (("x", [old.root, new.root]), ("y", [new.root, old.root])):
        merge(roots, tmp_path / name)
        matrix = ResultsFolder(tmp_path / name).read_matrix()
        assert {row["key"]: row["cell"] for row in matrix["cells"]} == {"a": {}, "b": {"seed": 2}}
        assert values(tmp_path / name) == {"a": "done 0.1"}


def test_what_has_no_end_or_cannot_be_read_is_named_and_not_copied(
    make: Make, tmp_path: Path
) -> None:
    one = make("one", a=("done", 0.1), b=("done", 0.2), c=("done", 0.3))
    one.cell("hard", "b").record.unlink()
    one.cell("hard", "b").cell.write_text("{}")
    one.cell("hard", "b").claim.write_text("{}")
    one.cell("hard", "c").record.write_text('{"key": "c')
    found = merge([one.root], tmp_path / "out")
    assert len(found.left_out) == 2
    assert "hard-b" in found.left_out[0]
    assert "hard-c" in found.left_out[1]
    assert values(tmp_path / "out") == {"a": "done 0.1"}
    assert not list((tmp_path / "out").rglob("claim.json"))


def test_other_files_are_merged_and_links_are_not_followed(make: Make, tmp_path: Path) -> None:
    one, two = make("one", a=("done", 0.1)), make("two", b=("done", 0.2))
    for folder, name in ((one, "x.json"), (two, "y.json")):
        (folder.root / "leakage").mkdir()
        (folder.root / "leakage" / name).write_text("{}")
    (tmp_path / "secret").write_text("s")
    (two.root / "leakage" / "z.json").symlink_to(tmp_path / "secret")
    merge([one.root, two.root], tmp_path / "out")
    found = sorted(p.name for p in (tmp_path / "out" / "leakage").iterdir())
    assert found == ["x.json", "y.json"]


def test_a_folder_that_holds_no_results_stops_the_merge_before_it_starts(
    make: Make, tmp_path: Path
) -> None:
    one = make("one", a=("done", 0.1))
    with pytest.raises(RecordError, match="is not a results folder"):
        merge([one.root, tmp_path / "absent"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
