"""What a cell holds is free once it has ended, and want of memory beside others is no result."""

import gc
import json
import os
from pathlib import Path

import pytest
import tomli_w
import torch
from running import Build, jobs_of, python

from nsbench.benchmarks.records import RunRecord
from nsbench.benchmarks.runs import memory
from nsbench.benchmarks.runs.executors.base import run_job

CROWDED = '''
"""Fails as on a full GPU while another process that is at work has come before."""
import os
from pathlib import Path

import torch

from nsbench.samplers import Selection, register


@register("roomy")
class Roomy:
    def __call__(self, context):
        place = Path(os.environ["ROOM"])
        (place / str(os.getpid())).touch()
        others = [int(p.name) for p in place.iterdir() if int(p.name) != os.getpid()]
        if any(Path(f"/proc/{pid}").exists() for pid in others):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 46.00 MiB")
        return Selection(mask=context.negative_mask)
'''


def held() -> int:
    """Bytes of the tensors in this process that Python has not freed."""
    found = {}
    for thing in gc.get_objects():
        if type(thing) in (torch.Tensor, torch.nn.Parameter):  # others may refuse to be asked
            found[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
    return sum(found.values())


def test_law_a_cell_that_has_ended_holds_no_memory(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "SHARE", 1e9)  # search after every cell, however cheap it was
    tiny = {"name": "tiny", "dimension": 64}
    raw = small(seeds=[1, 2], samplers=["in_batch", "hard"], encoders=[tiny])
    jobs = jobs_of(raw, tmp_path)
    gc.collect()
    before, after = held(), []
    for job in jobs:
        assert run_job(job) is not None
        after.append(held())
    assert after[1:] == after[:-1]  # the first one included: no cell may use what it leaves
    assert after[0] < before + 2**20


def test_where_no_gpu_is_in_use_the_search_takes_a_hundredth_of_the_time() -> None:
    searches: list[str] = []

    def note(phase: str, about: dict[str, int]) -> None:
        if phase == "start" and about["generation"] == 2:
            searches.append(phase)

    ended = memory.EndedCells()
    gc.disable()
    gc.callbacks.append(note)
    try:
        for _ in range(50):
            ended.free()
    finally:
        gc.callbacks.remove(note)
        gc.enable()
    assert len(searches) == 1


@pytest.mark.gpu
def test_memory_of_a_gpu_goes_back_to_other_processes() -> None:
    held = torch.ones(2**28, device="cuda")  # 1 GiB
    circle: list[object] = [held]
    circle.append(circle)
    del held, circle
    memory.ended_cells.free()
    assert torch.cuda.memory_reserved() < 2**28


def record(status: str, reason: str) -> RunRecord:
    return RunRecord(key="k", cell={}, status=status, reason=reason)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 MiB", True),
        ("WaitError: a CUDA graph cannot hold this: CUDA out of memory", True),
        ("AcceleratorError: CUDA error: out of memory", True),
        ("MemoryError: memory ran out: use fewer workers or a smaller batch", True),
        ("the kernel killed the worker process because memory ran out: use fewer workers", True),
        ("ValueError: a batch of 64 is too large", False),
        ("", False),
    ],
)
def test_want_of_memory_is_told_from_other_failures(reason: str, told: bool) -> None:
    assert memory.lacked_memory(record("failed", reason)) is told
    assert not memory.lacked_memory(record("skipped", reason))


@pytest.fixture
def crowd(small: Build, tmp_path: Path) -> tuple[str, ...]:
    """Words of a command in which every cell but those of one process lack memory."""
    (tmp_path / "room").mkdir()
    (tmp_path / "roomy.py").write_text(CROWDED)
    (tmp_path / "m.toml").write_text(tomli_w.dumps(small(samplers=["roomy"], seeds=[1, 2, 3, 4])))
    main = "from nsbench.analysis.cli.main import main; main()"
    return "-c", main, "run", "m.toml", "--out", "out", "--plugin-path", "roomy.py"


def test_cells_that_lack_memory_beside_others_run_again_alone(
    crowd: tuple[str, ...], tmp_path: Path
) -> None:
    env = os.environ | {"ROOM": str(tmp_path / "room"), "COLUMNS": "200"}
    done = python(*crowd, "--workers", "2", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "4 done in out" in done.stdout
    assert "ran out of memory with up to 2 at a time" in done.stderr
    assert "run again, one at a time" in done.stderr
    records = [json.loads(p.read_text()) for p in (tmp_path / "out/runs").glob("*/record.json")]
    assert [r["status"] for r in records] == ["done"] * 4


def test_a_cell_that_lacks_memory_alone_has_failed(crowd: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "room" / "1").touch()  # a process that is always there
    env = os.environ | {"ROOM": str(tmp_path / "room"), "COLUMNS": "200"}
    done = python(*crowd, "--workers", "2", cwd=tmp_path, env=env)
    assert "4 failed in out" in done.stdout, done.stdout + done.stderr
    assert done.stderr.count("run again, one at a time") == 1
