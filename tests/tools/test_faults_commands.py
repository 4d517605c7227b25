"""Killing single commands: what counts as a hit, and which differences are told."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools import faults_commands as tool

HANGS = """
import pathlib, sys, threading
out = pathlib.Path(sys.argv[1])
out.mkdir(exist_ok=True)
(out / "part.txt").write_text("half")
threading.Event().wait()
"""
ENDS = """
import pathlib, sys
out = pathlib.Path(sys.argv[1])
out.mkdir(exist_ok=True)
left = (out / "part.txt").exists()
(out / "part.txt").unlink(missing_ok=True)
(out / "whole.txt").write_text("half" if left and sys.argv[2] == "careless" else "whole")
if left and sys.argv[2] == "litters":
    (out / "litter.txt").write_text("")
if left and sys.argv[2] == "forgets":
    (out / "whole.txt").unlink()
sys.exit("broken for good" if left and sys.argv[2] == "gives up" else 0)
"""


def test_every_kill_hits_a_command_that_does_not_end_and_leaves_what_it_wrote(
    tmp_path: Path,
) -> None:
    line = [sys.executable, "-c", HANGS, str(tmp_path / "out")]
    log = tmp_path / "log"
    assert tool.killed(line, tmp_path / "out", log, kills=2, seed=1, seconds=0.01) == 2
    # The second kill waits until something is written.
    assert (tmp_path / "out").exists()


def test_a_command_that_ends_before_it_is_killed_is_no_hit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tool.start

    def ended(*given: Any) -> subprocess.Popen[bytes]:
        process = started(*given)
        process.wait()
        return process

    monkeypatch.setattr(tool, "start", ended)
    line = [sys.executable, "-c", ENDS, "{out}", "good"]
    told = tool.compared("x", line, tmp_path, kills=2, seed=0)
    assert told == ["x ended before 2 of 2 kills"]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("good", []),
        ("careless", ["x: whole.txt differs"]),
        ("litters", ["x: litter.txt is left over"]),
        ("forgets", ["x: whole.txt is lost"]),
    ],
)
def test_what_a_killed_command_leaves_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, told: list[str]
) -> None:
    monkeypatch.setattr(tool, "killed", _killed_half_way)
    line = [sys.executable, "-c", ENDS, "{out}", kind]
    assert tool.compared("x", line, tmp_path, kills=1, seed=0) == told


def test_a_command_that_cannot_go_on_is_told_with_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "killed", _killed_half_way)
    line = [sys.executable, "-c", ENDS, "{out}", "gives up"]
    (told,) = tool.compared("x", line, tmp_path, kills=1, seed=0)
    assert told.startswith("x cannot be run again after kills")
    assert "broken for good" in told
    (told,) = tool.compared("y", [sys.executable, "-c", "1 / 0"], tmp_path, kills=1, seed=0)
    assert told.startswith("y does not end well even unbroken")


def _killed_half_way(line: list[str], out: Path, log: Path, **_: Any) -> int:
    """Leave what a kill in the middle leaves."""
    out.mkdir()
    (out / "part.txt").write_text("half")
    return 1


def test_times_are_no_difference_and_anything_else_is(tmp_path: Path) -> None:
    def written(name: str, seconds: float, score: float) -> dict[str, str]:
        place = tmp_path / name
        place.mkdir()
        record = {"seconds": seconds, "score": score}
        (place / "record.json").write_text(json.dumps(record, indent=1))
        (place / "lines.jsonl").write_text(json.dumps(record) + "\n")
        (place / "log.txt").write_text(name)
        return tool.tree(place)

    one = written("a", 1.0, 0.5)
    assert set(one) == {"record.json", "lines.jsonl"}
    assert one == written("b", 2.0, 0.5)
    other = written("c", 1.0, 0.6)
    assert all(one[name] != other[name] for name in one)


def test_a_cell_that_was_begun_twice_reads_its_test_twice(tmp_path: Path) -> None:
    def reads(name: str, times: int) -> dict[str, str]:
        (tmp_path / name).mkdir()
        line = json.dumps({"cell": "a", "at": name}) + "\n"
        (tmp_path / name / "test_reads.jsonl").write_text(line * times)
        return tool.tree(tmp_path / name)

    assert reads("once", 1) == reads("twice", 2)
