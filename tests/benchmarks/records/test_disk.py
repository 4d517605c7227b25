"""A disk that fills up, and one that cannot be written: a sentence, no failed cell, same bytes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import Build, Run, jobs_of, run_jobs

from nsbench.benchmarks.files import StorageError
from nsbench.benchmarks.runs.executors.base import ended
from tools.faults import digests

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory that holds a cell and a bit."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=120k", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def test_a_full_disk_and_a_read_only_one_cost_no_cell(
    small: Build, run_matrix: Run, small_disk: Path, tmp_path: Path
) -> None:
    raw = small(seeds=[1, 2, 3, 4])
    whole, _ = run_matrix(raw, tmp_path / "whole")
    jobs = jobs_of(raw, small_disk / "out")
    with pytest.raises(StorageError, match="No space left on device"):
        list(run_jobs(jobs, 1))
    done = [job for job in jobs if ended(job) is not None]
    assert len(done) < 4
    remount(small_disk, "ro")
    with pytest.raises(StorageError, match="Read-only file system"):
        list(run_jobs([job for job in jobs if job not in done], 1))
    remount(small_disk, "rw,size=10m")
    rest = list(run_jobs([job for job in jobs if job not in done], 1))
    assert [record.status for _, record in rest if record] == ["done"] * (4 - len(done))
    assert digests(small_disk / "out") == digests(whole.root)
