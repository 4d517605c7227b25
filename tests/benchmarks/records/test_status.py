"""Status, its live view, the estimate, retry and gc: against folders that really ran."""

import json
import os
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console
from running import Build, invoked

from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.matrix.estimate import Measured, estimate, measured_cells
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.records import ResultsFolder, claims, read_record, write_record
from nsbench.benchmarks.records.status import StatusReader
from nsbench.benchmarks.runs import garbage
from nsbench.benchmarks.runs.executors.base import Job, plan_jobs, record_crash, run_job
from nsbench.benchmarks.runs.live import view

DEAD = 2**22 + 1


@pytest.fixture
def jobs(small: Build, tmp_path: Path) -> list[Job]:
    """Six cells: one done, one failed, one at work when its process died, three to do."""
    config = parse_config(small(seeds=[1, 2, 3, 4, 5, 6]))
    folder = ResultsFolder(tmp_path / "out")
    found = plan_jobs(expand(config), folder, "cpu", 1)
    folder.runs.mkdir(parents=True)
    cells = [
        {
            "key": j.planned.cell.key,
            "folder": j.paths.folder.name,
            "cell": j.planned.cell.plain() | {"labels": j.planned.cell.labels},
        }
        for j in found
    ]
    folder.write_matrix(config.name, config.model_dump(mode="json", by_alias=True), cells)
    run_job(found[0])
    record_crash(found[1], "ValueError: [bold]no luck[/]", 2.5)
    claim = claims.acquire(found[2].paths.claim)
    owner = claims.read_owner(found[2].paths.claim)
    claim.release()
    found[2].paths.claim.write_text(json.dumps(asdict(replace(owner, pid=DEAD, step=4))))
    found[2].paths.cell.write_text(json.dumps(found[2].planned.cell.plain()))
    return found


@pytest.fixture
def folder(jobs: list[Job]) -> ResultsFolder:
    return ResultsFolder(jobs[0].paths.folder.parent.parent)


def test_the_matrix_file_gives_back_what_was_planned(
    jobs: list[Job], folder: ResultsFolder
) -> None:
    cells = folder.read_matrix()["cells"]
    assert [c["key"] for c in cells] == [j.planned.cell.key for j in jobs]
    plain = jobs[3].planned.cell.plain() | {"labels": jobs[3].planned.cell.labels}
    assert cells[3]["cell"] == json.loads(json.dumps(plain))
    assert cells[0]["cell"]["encoder"] is cells[5]["cell"]["encoder"]
    assert len(folder.matrix.read_bytes()) < 8000


def test_status_counts_rates_and_kinds(jobs: list[Job], folder: ResultsFolder) -> None:
    state = StatusReader(folder).read()
    assert state["counts"] == {"done": 1, "failed": 1, "skipped": 0, "running": 1, "pending": 3}
    assert state["failures"] == {"ValueError": 1}
    assert state["failed"][0]["log"] == str(jobs[1].paths.log)
    (row,) = state["at_work"]
    assert (row["pid"], row["step"], row["steps"], row["lost"]) == (DEAD, 4, 6, True)
    seconds = read_record(jobs[0].paths).seconds["total"]
    assert state["rates"]["cell_seconds"] == seconds
    assert state["rates"]["eta_hours"] == pytest.approx(4 * seconds / 3600, abs=1e-3)


def test_a_reader_reads_again_only_what_changed(jobs: list[Job], folder: ResultsFolder) -> None:
    reader = StatusReader(folder)
    assert reader.read()["counts"]["failed"] == 1
    before = jobs[0].paths.record.stat()
    jobs[0].paths.record.write_text("garbage that would be reported")
    os.utime(jobs[0].paths.record, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert reader.read()["unreadable"] == []
    jobs[1].paths.record.write_text("{")
    state = reader.read()
    assert state["counts"]["failed"] == 0
    assert len(state["unreadable"]) == 1
    jobs[1].paths.record.unlink()
    assert reader.read()["unreadable"] == []


def test_the_live_view_shows_all_and_escapes_names(folder: ResultsFolder) -> None:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view(StatusReader(folder).read()))
    text = capture.get()
    for words in ("2 of 6 cells ended", "4/6", "(lost)", "ValueError", "[bold]no luck[/]"):
        assert words in text
    assert re.search(r"━ *\n\d+ \w+, ", text), "the counts have a line of their own"


def test_status_watch_ends_when_nothing_is_left_to_do(
    jobs: list[Job], folder: ResultsFolder
) -> None:
    for job in jobs[2:]:
        record_crash(job, "ValueError: x", 1.0)
    done = invoked("status", folder.root, "--watch", "--every", "0.1")
    assert "6 of 6 cells ended" in " ".join(done.output.split())


def test_retry_forgets_failed_records_only(jobs: list[Job], folder: ResultsFolder) -> None:
    assert garbage.forget_failed(folder, ["TypeError*"]) == []
    name = read_record(jobs[1].paths).cell["sampler"]["name"]
    assert garbage.forget_failed(folder, [name[:-1]]) == []
    assert [r.key for r in garbage.forget_failed(folder, [name])] == [jobs[1].planned.cell.key]
    record_crash(jobs[1], "ValueError: no luck", 1.0)
    done = invoked("retry", folder.root, "--only", "ValueError*")
    assert "1 failed cells will be run again" in done.output
    assert not jobs[1].paths.record.exists()
    assert jobs[0].paths.record.exists()
    assert StatusReader(folder).read()["counts"]["pending"] == 4


def test_gc_lists_what_may_go_and_removes_it_only_when_told(
    jobs: list[Job], folder: ResultsFolder, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    (folder.runs / "link-0123456789ab").symlink_to(outside)
    old = read_record(jobs[1].paths)
    write_record(jobs[1].paths, replace(old, cell=old.cell | {"recipe": 0}))
    half = jobs[0].paths.folder / ".scores.csv.1.aa.tmp"
    half.write_text("half")
    orphan = folder.root / "mteb" / "results" / "nsbench__000000000000"
    orphan.mkdir(parents=True)
    (orphan / "x.json").write_text("{}")
    assert "4 things" in invoked("gc", folder.root).output
    assert half.exists()
    invoked("gc", folder.root, "--delete")
    gone = (half, orphan, jobs[1].paths.folder, jobs[2].paths.claim)
    assert not any(p.exists() for p in gone)
    assert (outside / "precious").read_text() == "mine"
    assert jobs[0].paths.scores.exists()
    assert list(garbage.find_waste(folder)) == []


def test_gc_leaves_alone_what_somebody_is_at_work_on(
    jobs: list[Job], folder: ResultsFolder
) -> None:
    half = jobs[2].paths.folder / ".scores.csv.1.aa.tmp"
    half.write_text("half")
    claim = claims.acquire(jobs[2].paths.claim)
    assert list(garbage.find_waste(folder)) == []
    claim.release()
    assert [w.path for w in garbage.find_waste(folder)] == [half]


def test_estimate_is_made_of_measured_parts(jobs: list[Job]) -> None:
    cell = jobs[0].planned.cell
    longer = replace(cell, budget=replace(cell.budget, steps=60))
    other = replace(cell, encoder=replace(cell.encoder, name="tiny"))
    known = [
        Measured(cell.plain(), fixed=2.0, step=0.5, passes=192.0, size=1000, gpu=False),
        Measured(cell.plain(), fixed=4.0, step=0.5, passes=192.0, size=3000, gpu=True),
    ]
    found = estimate([longer, other], known)
    assert (found.cells, found.measured, found.sources) == (2, 1, 2)
    assert found.seconds == pytest.approx(3.0 + 60 * 0.5)
    assert found.passes == pytest.approx(60 * 32)
    assert found.size == 2000
    assert found.gpu_seconds == pytest.approx(found.seconds / 2)
    assert "1 more cells have an encoder or data" in found.words(2)[-1]
    assert estimate([cell], []).words(1)[0].startswith("no estimate")


def test_measured_cells_come_from_the_folder_and_from_those_beside_it(
    jobs: list[Job], folder: ResultsFolder
) -> None:
    beside = ResultsFolder(folder.root.parent / "fresh")
    for place in (folder, beside):
        (found,) = measured_cells(place)
        assert found.cell["seed"] == 1
        assert found.step > 0
        assert found.size > 1000
