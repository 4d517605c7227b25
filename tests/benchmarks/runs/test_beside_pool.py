"""Cells that share a process leave what cells run alone leave."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from running import Build, jobs_of, until

from nsbench.benchmarks.records import ResultsFolder, claims
from nsbench.benchmarks.runs.executors.base import Job, Request, to_replace
from nsbench.benchmarks.runs.executors.beside import BETTER, MOST, BesidePool, Packer
from nsbench.benchmarks.runs.executors.local import LocalPool
from tools.faults import digests


def replacing(raw: dict[str, Any], root: Path) -> list[Job]:
    return [to_replace(job) for job in jobs_of(raw, root)]


def test_law_cells_side_by_side_leave_the_bytes_of_cells_run_alone(
    small: Build, tmp_path: Path
) -> None:
    tiny = {"name": "tiny", "dimension": 16, "dropout": 0.1}
    raw = small(seeds=[1, 2], samplers=["random", "hard"], encoders=[tiny])
    alone = replacing(raw, tmp_path / "alone")
    expected = [job.planned.cell.key for job, _ in LocalPool(1).run(alone)]
    jobs = replacing(raw, tmp_path / "beside")
    pool = BesidePool(3, LocalPool(1))
    found = list(pool.run(jobs))
    assert sorted(job.planned.cell.key for job, _ in found) == sorted(expected)
    assert {record.status for _, record in found if record} <= {"done", "skipped"}
    assert pool.groups[0] == 3
    assert digests(tmp_path / "beside") == digests(tmp_path / "alone")
    logs = [job.paths.log.read_text() for job in jobs]
    assert all(text.count("start: ") == 1 for text in logs)


def test_a_group_that_dies_is_done_again_cell_by_cell(small: Build, tmp_path: Path) -> None:
    raw = small(seeds=[1, 2])
    raw["budget"]["steps"] = 400
    jobs = replacing(raw, tmp_path)[:2]
    notes: list[str] = []

    def kill() -> None:
        owner = until(lambda: claims.read_owner(jobs[1].paths.claim))
        os.kill(owner.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    found = list(BesidePool(2, LocalPool(1), on_note=notes.append).run(jobs))
    thread.join()
    assert sorted(j.planned.cell.key for j, _ in found) == sorted(j.planned.cell.key for j in jobs)
    assert {record.status for _, record in found if record} == {"done"}
    assert notes
    assert "run again, alone" in notes[0]


def test_the_packer_doubles_while_it_pays_and_fits() -> None:
    packer, sizes = Packer(100), []
    for rate, peak in ((1.0, 10), (1.8, 20), (2.9, 39)):
        sizes.append(packer.size)
        packer.ended(packer.size, packer.size / rate, peak)
    assert sizes == [1, 2, 4]
    assert packer.size == 8 if MOST >= 8 else MOST
    packer.ended(8, 8 / (2.9 * BETTER * 0.99), 70)
    assert packer.size == 4
    packer.ended(4, 0.1, 70)
    assert packer.size == 4


def test_the_packer_leaves_room_and_learns_nothing_of_a_group_that_is_not_full() -> None:
    packer = Packer(100)
    packer.ended(1, 1.0, 41)
    assert packer.size == 1
    packer = Packer(0)
    packer.ended(1, 1.0, 10**12)
    packer.ended(1, 1.0, 0)
    assert packer.size == 2


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"executor": "ray"}, "--executor ray"),
        ({"workers": 2}, "--workers 2"),
        ({"time_limit": 5.0}, "time limit"),
    ],
)
def test_what_makes_no_sense_with_it_is_refused(
    given: dict[str, Any], why: str, tmp_path: Path
) -> None:
    BesidePool.check(Request(ResultsFolder(tmp_path), beside=0))
    with pytest.raises(ValueError, match=why):
        BesidePool.check(Request(ResultsFolder(tmp_path), beside=0, **given))
