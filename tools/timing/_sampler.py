"""Times of the parts of a program: a timer's signal notes, again and again, what is running.

Imports nothing but the standard library, so that a program can be watched from its first line:

    python -c "from tools.timing._sampler import main; main()" FILE CODE [ARGUMENT ...]

runs the code with the arguments and writes the seconds of every part as JSON into the file.
"""

import json
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

EVERY = 0.002
"""Seconds of wall time between two looks; a longer call of C code counts as what called it."""
PLACES = {
    "cut": "tokenizing",
    "nsbench.benchmarks.augmentations": "augmenting",
    "nsbench.benchmarks.contrast": "views and directions",
    "nsbench.benchmarks.data": "reading",
    "nsbench.benchmarks.difficulty": "difficulty",
    "nsbench.benchmarks.encoders": "encoding",
    "nsbench.benchmarks.evaluation": "scoring",
    "nsbench.benchmarks.mining.dataset.card": "writing",
    "nsbench.benchmarks.mining.dataset.formats": "writing",
    "nsbench.benchmarks.mining.dataset.report": "report",
    "nsbench.benchmarks.mining.dataset.write": "writing",
    "nsbench.benchmarks.mining": "mining",
    "nsbench.benchmarks.objectives": "objective",
    "nsbench.benchmarks.records": "records",
    "nsbench.benchmarks.runs": "running cells",
    "nsbench.benchmarks.search": "search",
    "nsbench.benchmarks.training.optimizer": "optimizer",
    "nsbench.benchmarks.training": "other of the step",
    "nsbench.samplers": "sampler",
    "mteb": "mteb's own code",
    "torch.autograd": "backward",
    "torch.optim": "optimizer",
}
"""Name of the part of a module, or of a function of any module, and of all modules inside it."""
OTHER = "other"


def part_of(frame: FrameType | None) -> str:
    """Name the part that a stack belongs to: an import by its package, else by the innermost place.

    Args:
        frame: The innermost frame.
    """
    found = OTHER
    while frame is not None:
        name, function = str(frame.f_globals.get("__name__", "")), frame.f_code.co_name
        if name == "importlib._bootstrap" and function == "_find_and_load":
            return "importing " + str(frame.f_locals["name"]).partition(".")[0]
        if found == OTHER:
            found = PLACES.get(function, OTHER)
        while found == OTHER and name:
            found, name = PLACES.get(name, OTHER), name.rpartition(".")[0]
        frame = frame.f_back
    return found


@contextmanager
def watched(seconds: "defaultdict[str, float]") -> Iterator[None]:
    """Add the seconds of every part of what runs inside, in the main thread of a process."""
    last = time.perf_counter()

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[part_of(frame)] += now - last
        last = now

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        seconds[OTHER] += time.perf_counter() - last


def main() -> Any:
    """Run code of the command line and keep the seconds of its parts."""
    _, file, code, *rest = sys.argv
    sys.argv = ["-c", *rest]
    seconds: defaultdict[str, float] = defaultdict(float)
    with watched(seconds):
        try:
            exec(compile(code, "<watched>", "exec"), {"__name__": "__main__"})
        except SystemExit as end:
            if end.code:
                raise
    Path(file).write_text(json.dumps(seconds), "utf-8")
