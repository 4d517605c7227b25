"""Kill single commands at random moments, run them once more to their end, compare every byte.

``python -m tools.faults_commands --out DIR`` does so for ``mine``, ``evaluate``, ``tune``,
``merge``, ``publish``, ``pack`` and ``unpack``; the exit code is 1 if anything differs.
`tools.faults` does the same for the cells of a matrix.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import tomli_w

from nsbench.benchmarks.records import RUN_FIELDS
from tools.faults import command, matrix, start

NOT_COMPARED = ("log.txt", "report.html", "claim.json")
"""Files that hold when or where something ran."""
_TIMES = (*RUN_FIELDS, "seconds", "date", "at")
_READS = "test_reads.jsonl"
"""Has a line for each time that a cell's test was begun: one more for a cell that was killed."""


def tree(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file under a folder by name, times of records left out."""
    out = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        name = path.relative_to(root).as_posix()
        if path.name in NOT_COMPARED or name.startswith(("mteb/", "slurm/")):
            continue
        data = path.read_bytes()
        if path.suffix in (".json", ".jsonl") and path.name != "matrix.json":
            data = _without_times(data, once=path.name == _READS)
        out[name] = sha256(data).hexdigest()
    return out


def _without_times(data: bytes, *, once: bool) -> bytes:
    try:
        rows = [json.loads(line) for line in data.splitlines()]
    except ValueError:
        try:
            rows = [json.loads(data)]
        except ValueError:
            return data
    kept = [
        {k: v for k, v in row.items() if k not in _TIMES} if isinstance(row, dict) else row
        for row in rows
    ]
    texts = [json.dumps(row, sort_keys=True) for row in kept]
    return "\n".join(dict.fromkeys(texts) if once else texts).encode()


def words(*arguments: str) -> list[str]:
    """Return the line of a command with all that reads results."""
    code = "from nsbench.analysis.cli.main import main; main()"
    return [sys.executable, "-c", code, *arguments]


def written(out: Path) -> tuple[tuple[str, int], ...]:
    """Return names and times of all that a folder holds; empty if it is not there."""
    found = []
    for folder, _, names in os.walk(out):
        for path in (Path(folder), *(Path(folder) / name for name in names)):
            with suppress(OSError):  # it may be removed meanwhile
                found.append((str(path), path.lstat().st_mtime_ns))
    return tuple(found)


def killed(
    arguments: Sequence[str], out: Path, log: Path, *, kills: int, seed: int, seconds: float
) -> int:
    """Run a command so many times and kill it and its children at a random moment of each.

    Every second kill waits until the command has changed what it writes, and then for a moment
    that is mostly shorter than the writing takes.

    Args:
        arguments: The command.
        out: What it writes; it is removed if a run ended before it was killed.
        log: Takes what it prints.
        kills: Kills that must hit.
        seed: Of the moments.
        seconds: How long it takes undisturbed.

    Returns:
        How many kills hit.
    """
    rng, hit = random.Random(seed), 0
    for number in range(3 * kills):
        if hit == kills:
            break
        before = written(out)
        process = start(list(arguments), log)
        if number % 2:
            while process.poll() is None and written(out) == before:
                time.sleep(0.001)
            time.sleep(rng.expovariate(1 / (seconds / 50)))
        else:
            time.sleep(rng.uniform(0.2, 1.0) * seconds)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            hit += 1
        else:
            shutil.rmtree(out, ignore_errors=True)
        process.wait()
    return hit


def compared(name: str, line: Sequence[str], place: Path, *, kills: int, seed: int) -> list[str]:
    """Run a command unbroken and killed; return one line for each file that differs.

    Args:
        name: For the messages.
        line: The command; ``{out}`` in it is replaced by what it writes.
        place: Where both go.
        kills: Kills that must hit.
        seed: Of the moments.
    """
    whole, broken, log = place / f"{name}-whole", place / f"{name}-broken", place / f"{name}.log"
    clock = time.monotonic()
    if start([w.format(out=whole) for w in line], log).wait():
        return [f"{name} does not end well even unbroken; {log} ends: {_tail(log)}"]
    seconds = time.monotonic() - clock
    again = [w.format(out=broken) for w in line]
    hit = killed(again, broken, log, kills=kills, seed=seed, seconds=seconds)
    if hit < kills:
        return [f"{name} ended before {kills - hit} of {kills} kills"]
    if start(again, log).wait():
        return [f"{name} cannot be run again after kills; {log} ends: {_tail(log)}"]
    want, have = tree(whole), tree(broken)
    out = [f"{name}: {n} differs" for n in want.keys() & have.keys() if want[n] != have[n]]
    out += [f"{name}: {n} is lost" for n in want.keys() - have.keys()]
    return sorted(out + [f"{name}: {n} is left over" for n in have.keys() - want.keys()])


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-500:]


def lines(place: Path) -> Mapping[str, list[str]]:
    """Make what the commands read, and return the commands by name.

    Raises:
        RuntimeError: If the matrix that they need does not end well.
    """
    place.mkdir(parents=True)
    rng, log = random.Random(0), place / "inputs.log"
    texts = [" ".join(rng.choices("abcdefghij", k=4)) + f" w{i}" for i in range(80)]
    both = list(zip(texts[::2], texts[1::2], strict=True))
    pairs, test = place / "pairs.jsonl", place / "test.jsonl"
    _write_lines(pairs, [{"anchor": a, "positive": b} for a, b in both])
    scored = enumerate(both)
    _write_lines(test, [{"sentence1": a, "sentence2": b, "score": i % 6} for i, (a, b) in scored])
    config, study, results = place / "m.toml", place / "study.toml", place / "results"
    config.write_text(tomli_w.dumps(matrix(10, 5) | {"run": {"keep_weights": True}}))
    space = {"budget": {"learning_rate": {"values": [0.01, 0.1]}}}
    plain = {"matrix": str(config), "trials": 2, "fresh_seeds": [1], "space": space}
    study.write_text(tomli_w.dumps(plain))
    packed, model = place / "packed", place / "model"
    for line in (
        command(config, results, 2),
        words("pack", str(results), "--out", str(packed)),
        words("export", str(results), "--cell", "{cell}", "--to", str(model)),
    ):
        key = next((p.name.rpartition("-")[2] for p in (results / "runs").glob("*")), "")
        line = [word.format(cell=key) if word == "{cell}" else word for word in line]
        if start(line, log).wait():
            raise RuntimeError(f"an input cannot be made; {log} ends: {_tail(log)}")
    mining = ("--source", "bm25", "--shortage", "fewer")
    return {
        "merge": words("merge", str(results), "--out", "{out}"),
        "publish": words("publish", str(results), "--out", "{out}"),
        "pack": words("pack", str(results), "--out", "{out}"),
        "unpack": words("unpack", str(packed), "--out", "{out}"),
        "mine": words("mine", str(pairs), *mining, "--out", "{out}"),
        "evaluate": words("evaluate", str(model), "--test", str(test), "--out", "{out}"),
        "tune": words("tune", str(study), "--out", "{out}"),
    }


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def main(arguments: list[str] | None = None) -> int:
    """Kill commands from the command line; 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="a folder that does not exist yet")
    parser.add_argument("--kills", type=int, default=10, help="of each command")
    parser.add_argument("--only", nargs="*", default=[], help="names of commands")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    wrong = []
    for name, line in lines(given.out).items():
        if given.only and name not in given.only:
            continue
        found = compared(name, line, given.out, kills=given.kills, seed=given.seed)
        sys.stdout.write(f"{name}: {len(found) or 'no'} differences\n")
        wrong += found
    sys.stdout.write("".join(f"{line}\n" for line in wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
