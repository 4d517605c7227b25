"""Folders of one study become one; what cannot be joined is named, and nothing is replaced."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_studies import small_study

from nsbench.benchmarks.records import RecordError, ResultsFolder
from nsbench.benchmarks.records.claims import claimed
from nsbench.benchmarks.records.merging import merge
from nsbench.benchmarks.records.study import difference
from nsbench.benchmarks.runs.tuning import Study


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def tuned(out: Path, *only: str) -> None:
    Study(*small_study(out.parent, trials=2), out, only=only).run()


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study in one go, and the same shared out over two folders; changed by no test."""
    folder = tmp_path_factory.mktemp("shared")
    tuned(folder / "whole")
    tuned(folder / "a", "in_batch")
    tuned(folder / "b", "hard", "given")
    return folder


def test_a_study_that_was_shared_out_chooses_as_one_in_one_go(halves: Path, tmp_path: Path) -> None:
    found = merge([halves / "a", halves / "b"], tmp_path / "out")
    assert found.conflicts == ()
    said: list[str] = []
    Study(*small_study(tmp_path, trials=2), tmp_path / "out", said.append).run()
    assert not [line for line in said if "trial 1" in line or ": done" in line]  # nothing ran
    for name in ("study.json", "tuning.json"):
        assert (tmp_path / "out" / name).read_bytes() == (halves / "whole" / name).read_bytes()
    merged, whole = (
        {(r["method"], r["number"]): r["value"] for r in rows(root / "trials.jsonl")}
        for root in (tmp_path / "out", halves / "whole")
    )
    assert merged == whole
    merged, whole = (
        sorted(r["key"] for r in rows(root / "test_reads.jsonl"))
        for root in (tmp_path / "out", halves / "whole")
    )
    assert merged == whole
    again = merge([halves / "a", halves / "b"], tmp_path / "out")
    assert (again.copied, again.conflicts) == (0, ())
    assert not (tmp_path / "out" / "tuning.json").exists()  # chosen again when it goes on


def test_a_trial_that_ended_otherwise_is_named_and_the_first_is_kept(
    halves: Path, tmp_path: Path
) -> None:
    shutil.copytree(halves / "a", tmp_path / "other")
    path = tmp_path / "other" / "trials.jsonl"
    changed = [row | {"value": 0.5, "seconds": 9.0} for row in rows(path)[:1]] + rows(path)[1:]
    path.write_text("".join(json.dumps(row) + "\n" for row in changed) + '{"method": "cut sho')
    found = merge([halves / "a", tmp_path / "other"], tmp_path / "out")
    (line,) = [line for line in found.left_out if "trials.jsonl" in line]
    assert "trial 1 of in_batch x none ended otherwise" in line
    assert rows(tmp_path / "out" / "trials.jsonl") == rows(halves / "a" / "trials.jsonl")


def test_other_studies_and_folders_without_one_are_named(halves: Path, tmp_path: Path) -> None:
    shutil.copytree(halves / "b", tmp_path / "other")
    path = tmp_path / "other" / "study.json"
    asked = json.loads(path.read_text())
    asked["study"]["trials"] = 5
    path.write_text(json.dumps(asked))
    found = merge([halves / "a", tmp_path / "other"], tmp_path / "out")
    (line,) = [line for line in found.left_out if "another study" in line]
    assert "its study has trials = 5, not 2" in line
    assert {r["method"] for r in rows(tmp_path / "out" / "trials.jsonl")} == {"in_batch x none"}
    for name in ("study.json", "tuning.json"):
        (tmp_path / "other" / name).unlink()
    found = merge([halves / "a", tmp_path / "other"], tmp_path / "both")
    (line,) = [line for line in found.left_out if "holds a tuning study" in line]
    assert str(halves / "a") in line
    assert "trials.jsonl" in line
    assert not (tmp_path / "both" / "study.json").exists()
    for text in ("[1, 2", "[1, 2]", '{"study": 3}'):
        path.write_text(text)
        found = merge([halves / "a", tmp_path / "other"], tmp_path / f"odd{len(text)}")
        assert [line for line in found.left_out if "study.json" in line], text


def test_a_study_with_more_methods_takes_one_with_fewer(halves: Path, tmp_path: Path) -> None:
    shutil.copytree(halves / "b", tmp_path / "more")
    path = tmp_path / "more" / "study.json"
    asked = json.loads(path.read_text())
    asked["study"]["fresh_seeds"].append(3)
    path.write_text(json.dumps(asked))
    for order in (("a", "more"), ("more", "a")):
        folders = [tmp_path / name if name == "more" else halves / name for name in order]
        out = tmp_path / "-".join(order)
        found = merge(folders, out)
        assert not [line for line in found.left_out if "study" in line]
        assert json.loads((out / "study.json").read_text()) == asked
        assert len({r["method"] for r in rows(out / "trials.jsonl")}) == 3


def test_difference_names_the_first_setting_that_is_another() -> None:
    before = {"study": {"trials": 2, "fresh_seeds": [1]}, "matrix": {"run": 1, "seeds": [1]}}
    assert difference(before, before) == ""
    more = {"study": {"trials": 2, "fresh_seeds": [1, 2]}, "matrix": {"run": 2, "seeds": [1]}}
    assert difference(before, more) == ""
    assert difference(more, before) == "its study has fresh_seeds = [1, 2], not [1]"
    other = {"matrix": {"seeds": [1, 2]}}
    assert difference(before, other) == "its matrix has seeds = [1], not [1, 2]"


def test_a_study_that_is_being_run_is_not_merged_into(halves: Path, tmp_path: Path) -> None:
    shutil.copytree(halves / "a", tmp_path / "out")
    before = (tmp_path / "out" / "trials.jsonl").read_bytes()
    with (
        claimed(tmp_path / "out" / "claim", "out"),
        pytest.raises(RecordError, match="a process is running the study"),
    ):
        merge([halves / "b"], tmp_path / "out")
    assert (tmp_path / "out" / "trials.jsonl").read_bytes() == before
    merge([halves / "b"], tmp_path / "out")
    assert len(ResultsFolder(tmp_path / "out").records()[0]) == len(
        ResultsFolder(halves / "whole").records()[0]
    )


def test_a_study_whose_file_is_damaged_is_not_replaced(halves: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(halves / "a", out)
    (out / "study.json").write_text("{cut")
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    found = merge([halves / "b"], out)
    assert [line for line in found.left_out if "study.json" in line]
    after = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    del before["matrix.json"], after["matrix.json"]  # a union, as of all folders
    assert after == before
    shutil.copytree(halves / "b", tmp_path / "b")
    (tmp_path / "b" / "study.json").write_text("[]")
    merge([tmp_path / "b"], tmp_path / "new")
    assert not (tmp_path / "new" / "study.json").exists()
