"""Kill a small matrix at random, go on, and compare every byte; and the checker itself."""

import json
from pathlib import Path

import pytest

from tools import faults


def write(root: Path, name: str, record: dict[str, object], scores: str = "a\n") -> Path:
    folder = root / "runs" / name
    folder.mkdir(parents=True)
    (folder / "cell.json").write_text("{}")
    (folder / "scores.csv").write_text(scores)
    (folder / "record.json").write_text(json.dumps({"key": name, "status": "done"} | record))
    return folder


def test_the_checker_sees_every_kind_of_fault(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for name in ("a", "b", "c"):
        write(good, name, {"started": "then"})
    write(bad, "a", {"started": "now", "seconds": {"total": 1.0}})
    write(bad, "b", {"weights": "other"}, "b\n")
    write(bad, "d", {"key": "a"})
    (bad / "runs" / "a" / "claim.json").write_text("{}")
    (bad / "runs" / "a" / ".record.json.1.tmp").write_text("{")
    report = faults.Report(cells=3)
    faults.check(report, good, bad)
    kinds = {line.split(":")[0] for line in report.faults}
    assert kinds == {
        "lost",
        "too much",
        "differs",
        "doubled",
        "2 cells have records, 3 were planned",
        "still claimed",
        "left over",
    }
    assert [x for x in report.faults if x.startswith("differs")] == [
        "differs: b/record.json",
        "differs: b/scores.csv",
    ]
    fine = faults.Report(cells=3)
    faults.check(fine, good, good)
    assert fine.faults == []


@pytest.mark.slow
def test_a_matrix_killed_again_and_again_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    report = faults.inject(tmp_path / "f", cells=10, kills=8, steps=10, workers=2, seed=1)
    assert report.faults == []
    assert sum(report.kills.values()) == 8
