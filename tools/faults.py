"""Fault injection: kill a matrix again and again, run it once more, compare every byte.

``python -m tools.faults --out DIR`` runs a matrix of short cells unbroken, then once
more while its workers and its parent are killed at random times by SIGKILL, then cleanly to its
end. It says whether a cell was lost, doubled or half-counted, and which files differ; the exit
code is 1 if anything is wrong.

Source: ours; the idea of checking recovery by crashes at random times is that of Zheng et al.
2014, Torturing Databases for Fun and Profit, OSDI.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import tomli_w

from nsbench.benchmarks.records import RUN_FIELDS, CellPaths, ResultsFolder, claims, read_json

SAMPLERS = ("in_batch", "random", "hard", "semi_hard", "easiest")
DIED = "the worker process "
_EXACT = (
    "cell.json",
    "scores.csv",
    "difficulty.parquet",
    "histograms.parquet",
    "probe.parquet",
    "training.csv",
)


@dataclass
class Report:
    """What was done to a matrix and what came of it.

    Attributes:
        cells: Cells of the matrix.
        kills: Kills by victim: ``parent``, ``worker``, ``server``.
        restarts: How often the parent was started again before the clean run.
        crashes: Failed records that the kills left, before the clean run.
        faults: One line for everything that is wrong; empty if all is well.
        seconds: Wall time of the unbroken run, the broken one and the clean one.
    """

    cells: int
    kills: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    crashes: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def matrix(cells: int, steps: int) -> dict[str, Any]:
    """A matrix of about ``cells`` cells that take a fraction of a second each."""
    return {
        "schema": 1,
        "name": "faults",
        "samplers": list(SAMPLERS),
        "augmentations": ["none", "token_cutoff"],
        "encoders": [{"name": "static", "dimension": 8}],
        "data": [{"name": "planted", "rows": 100}],
        "seeds": list(range(max(1, cells // (2 * len(SAMPLERS))))),
        "no_training": False,
        "budget": {"steps": steps, "batch_size": 8, "learning_rate": 0.05},
        "difficulty": {"every": 5},
    }


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of everything in a results folder that is a function of its cells."""
    out = {}
    for paths in ResultsFolder(root).folders():
        for name in _EXACT:
            if (file := paths.folder / name).is_file():
                out[f"{paths.folder.name}/{name}"] = sha256(file.read_bytes()).hexdigest()
        if paths.record.is_file():
            record = {k: v for k, v in read_json(paths.record).items() if k not in RUN_FIELDS}
            text = json.dumps(record, sort_keys=True).encode()
            out[f"{paths.folder.name}/record.json"] = sha256(text).hexdigest()
    return out


def command(config: Path, out: Path, workers: int) -> list[str]:
    """The command of a user who goes on with a matrix, failed cells included."""
    code = "from nsbench.benchmarks.cli.main import main; main()"
    return [
        *(sys.executable, "-c", code, "run", str(config), "--out", str(out)),
        *("--workers", str(workers), "--retry-failed"),
    ]


def start(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a run in a session of its own, so that only it is hit."""
    with log.open("ab") as handle:
        return subprocess.Popen(
            arguments,
            stdout=handle,
            stderr=handle,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def family(parent: int) -> dict[int, str]:
    """Living processes of a run, by id: itself, the server of its workers, its workers."""
    found = {parent: "parent"}
    if not claims.process_born(parent):
        return {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        state, above, _, session = status[:4]
        if int(session) == parent and state not in "ZX" and b"forkserver" in line:
            found[int(entry.name)] = "server" if int(above) == parent else "worker"
    return found


def torture(
    report: Report, arguments: list[str], out: Path, *, kills: int, seed: int, typical: float
) -> None:
    """Run a matrix while killing its processes, until so many kills have hit.

    A kill waits for a worker to have claimed a cell, and then for an exponential time of mean
    ``typical`` seconds, so that every point of a cell's life is hit. Once every cell has ended,
    random cells are wiped, as if they had never run, and it goes on.
    """
    rng = random.Random(seed)
    log = out.with_suffix(".log")
    folder = ResultsFolder(out)
    process = start(arguments, log)
    try:
        while sum(report.kills.values()) < kills:
            if process.poll() is not None:
                _wipe_if_complete(folder, report.cells, rng)
                process = start(arguments, log)
                report.restarts += 1
            if not _wait_for_claim(folder, process):
                continue
            time.sleep(rng.expovariate(1 / typical))
            members = family(process.pid)
            kinds = rng.choices(("worker", "parent", "server"), (85, 10, 5))[0]
            victims = [pid for pid, kind in members.items() if kind == kinds]
            if not victims:
                continue
            os.kill(rng.choice(victims), signal.SIGKILL)
            report.kills[kinds] += 1
            if kinds == "parent":
                process.wait()
                _all_gone(members)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for_claim(folder: ResultsFolder, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a living worker has claimed a cell; False if the run ended before."""
    while process.poll() is None:
        for path in folder.runs.glob("*/claim.json"):
            owner = claims.read_owner(path)
            if owner is not None and claims.process_born(owner.pid) == owner.born:
                return True
        time.sleep(0.02)
    return False


def _all_gone(members: dict[int, str]) -> None:
    """Wait until all processes of a run whose parent was killed are gone; they have 10 s."""
    end = time.monotonic() + 10
    while any(kind == "worker" and claims.process_born(pid) for pid, kind in members.items()):
        if time.monotonic() > end:
            raise RuntimeError(f"workers outlive their parent: {members}")
        time.sleep(0.02)


def _wipe_if_complete(folder: ResultsFolder, cells: int, rng: random.Random) -> None:
    """Once all cells are done, forget a third of them, so that there is something to kill."""
    done = [p for p in folder.folders() if p.record.is_file()]
    if len(done) == cells and not any(_failed(p) for p in done):
        for paths in rng.sample(done, max(1, cells // 3)):
            shutil.rmtree(paths.folder)


def _failed(paths: CellPaths) -> bool:
    return bool(read_json(paths.record)["status"] == "failed")


def check(report: Report, unbroken: Path, broken: Path) -> None:
    """Compare the two folders and add what is wrong to the report."""
    want, have = digests(unbroken), digests(broken)
    report.faults += [f"lost: {name}" for name in sorted(want.keys() - have.keys())]
    report.faults += [f"too much: {name}" for name in sorted(have.keys() - want.keys())]
    report.faults += [
        f"differs: {n}" for n in sorted(want.keys() & have.keys()) if want[n] != have[n]
    ]
    keys = Counter(read_json(p.record)["key"] for p in ResultsFolder(broken).folders())
    report.faults += [f"doubled: {key}" for key, count in keys.items() if count > 1]
    if len(keys) != report.cells:
        report.faults.append(f"{len(keys)} cells have records, {report.cells} were planned")
    for paths in ResultsFolder(broken).folders():
        if paths.claim.exists():
            report.faults.append(f"still claimed: {paths.folder.name}")
        report.faults += [f"left over: {p.name}" for p in paths.temporary()]


def inject(out: Path, *, cells: int, kills: int, steps: int, workers: int, seed: int) -> Report:
    """Do all of it.

    Args:
        out: Folder for the two results folders and their logs; must not exist.
        cells: Cells of the matrix, a multiple of 10.
        kills: Kills that must hit.
        steps: Steps of a cell.
        workers: Worker processes.
        seed: Of the times and victims.

    Raises:
        RuntimeError: If a run that nobody killed does not end well; the message names its log.
    """
    out.mkdir(parents=True)
    plain = matrix(cells, steps)
    config = out / "faults.toml"
    config.write_text(tomli_w.dumps(plain))
    unbroken, broken = out / "unbroken", out / "broken"
    report = Report(cells=len(plain["seeds"]) * 2 * len(SAMPLERS))
    report.seconds["unbroken"] = _clean(command(config, unbroken, workers), unbroken)
    clock = time.perf_counter()
    times = [r.seconds["total"] for _, r in ResultsFolder(unbroken).records()[0]]
    arguments = command(config, broken, workers)
    torture(report, arguments, broken, kills=kills, seed=seed, typical=median(times) / 2)
    report.seconds["broken"] = time.perf_counter() - clock
    ended = [read_json(p.record) for p in ResultsFolder(broken).folders() if p.record.is_file()]
    report.crashes = sum(r["reason"].startswith(DIED) for r in ended)
    report.seconds["clean"] = _clean(command(config, broken, workers), broken)
    check(report, unbroken, broken)
    return report


def _clean(arguments: list[str], out: Path) -> float:
    clock = time.perf_counter()
    log = out.with_suffix(".log")
    code = start(arguments, log).wait()
    if code:
        tail = log.read_text()[-2000:]
        raise RuntimeError(f"a run that nobody killed ended with {code}; {log} ends: {tail}")
    return time.perf_counter() - clock


def main(arguments: list[str] | None = None) -> int:
    """Inject faults from the command line; 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args(arguments))
    report = inject(given.pop("out"), **given)
    hit = ", ".join(f"{report.kills[k]} {k}s" for k in ("worker", "parent", "server"))
    took = ", ".join(f"{name} {s:.0f} s" for name, s in report.seconds.items())
    lines = [
        f"{report.cells} cells, {sum(report.kills.values())} kills ({hit})",
        f"{report.restarts} restarts, {report.crashes} failed records before the clean run; {took}",
        *(report.faults or ["no cell lost, doubled or half-counted; all bytes equal"]),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main())
