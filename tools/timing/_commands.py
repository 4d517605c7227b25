"""Time and memory of an ``nsbench`` command in its own process."""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PEAK = """
import atexit, pathlib, sys
def say():
    from tools.timing.memory import peak
    pathlib.Path(sys.argv.pop()).write_text(repr(peak()))
atexit.register(say)
"""
NSBENCH = """
from nsbench.analysis.cli.main import main
last = sys.argv.pop()
try: main()
finally: sys.argv.append(last)
"""


@dataclass(frozen=True)
class Spent:
    """Time and memory of a process.

    Attributes:
        cpu: Processor seconds, user and system.
        wall: Seconds by the clock.
        peak: Most MiB it held.
    """

    cpu: float
    wall: float
    peak: float


def spent(code: str, *arguments: str) -> Spent:
    """Run a Python process to its end, its output thrown away.

    Raises:
        RuntimeError: If it fails.
    """
    with tempfile.TemporaryDirectory() as temporary, Path(os.devnull).open("wb") as nothing:
        peak = Path(temporary, "peak")
        command = [sys.executable, "-c", PEAK + code, *arguments, str(peak)]
        actions = [(os.POSIX_SPAWN_DUP2, nothing.fileno(), stream) for stream in (1, 2)]
        began = time.perf_counter()
        pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - began
        if status:
            code = str(os.waitstatus_to_exitcode(status))
            raise RuntimeError(f"{' '.join(arguments)} ended with {code}")
        return Spent(usage.ru_utime + usage.ru_stime, wall, float(peak.read_text()))
