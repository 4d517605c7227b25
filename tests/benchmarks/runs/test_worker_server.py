"""What starts before the engine is imported, and what ends without unloading it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsbench.benchmarks import hub


def apart(code: str, *words: str, cwd: Path | None = None, **env: str) -> tuple[int, str, str]:
    """What a process of its own says, read through pipes to their end."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=os.environ | env,
    )
    return done.returncode, done.stdout, done.stderr


SERVER = """
import os, sys, time
from multiprocessing import forkserver
from nsbench.benchmarks.runs.executors import worker_server

def number():
    return forkserver._forkserver._forkserver_pid

worker_server.prepare(sys.argv[1])
if number() is None:
    print("none")
else:
    set_, until = {}, time.monotonic() + 20
    while b"OMP_NUM_THREADS" not in set_ and time.monotonic() < until:  # until then a copy of us
        with open(f"/proc/{number()}/environ", "rb") as file:
            set_ = dict(x.split(b"=", 1) for x in file.read().split(b"\\0") if b"=" in x)
    print(set_[b"OMP_NUM_THREADS"].decode(), number())
print("torch" in sys.modules, any("sklearn" in x for x in forkserver._forkserver._preload_modules))
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_server_starts_before_torch_and_goes_with_the_process(tmp_path: Path) -> None:
    code, out, err = apart(SERVER, "smoke")
    assert code == 0, err
    threads, number, torch, labels = out.split()
    assert (threads, torch, labels) == ("1", "False", "True")
    deadline = time.monotonic() + 5
    while Path(f"/proc/{number}").exists():  # it was killed in the middle of its imports
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (tmp_path / "m.toml").write_text("[run]\nthreads = 3\n[evaluation]\ntasks = ['STS12']\n")
    _, out, _ = apart(SERVER, str(tmp_path / "m.toml"))
    assert (out.split()[0], out.split()[2:]) == ("3", ["False", "False"])


@pytest.mark.parametrize(
    "text", ["[run", "run = 3", "[run]\nthreads = 'x'\n", "[run]\nthreads = -1\n", None]
)
def test_a_file_that_cannot_be_read_starts_no_server(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "m.toml"
    if text is not None:
        path.write_text(text)
    _, out, err = apart(SERVER, str(path))
    assert out.split()[0] == "none", err


COMMAND = "from nsbench.analysis.cli.main import command; command()"


def test_the_command_ends_with_its_exit_code_and_all_of_its_output(tmp_path: Path) -> None:
    code, out, _ = apart(COMMAND, "list", "samplers", "--json")
    assert code == 0
    assert out.endswith("]\n")
    code, _, err = apart(COMMAND, "run", "smok", cwd=tmp_path)
    assert (code, "Did you mean 'smoke'?" in err) == (2, True)
    code, _, err = apart(COMMAND, "no-such-command")
    assert (code, "No such command" in err) == (2, True)


def test_the_command_runs_what_was_to_be_run_at_its_end() -> None:
    more = (
        "import atexit, sys, threading, time; from concurrent.futures import ThreadPoolExecutor;"
        "pool = ThreadPoolExecutor(); pool.submit(print, 'idle from now on');"
        "atexit.register(lambda: sys.stdout.write('at the end'));"
        "late = lambda: (time.sleep(1), print('a thread', flush=True));"
        "threading.Thread(target=late).start();"
    )
    code, out, err = apart(f"{more}{COMMAND}", "--help")
    assert code == 0, err
    assert out.startswith("idle from now on")
    assert "a thread\n" in out
    assert out.endswith("at the end")


def test_workers_take_over_that_the_hub_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_silent", [])
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    assert hub.state() == (False, ())
    hub.take((False, ()))
    assert not hub.offline()
    hub.take((True, ("http://nowhere",)))
    assert hub.state() == (True, ("http://nowhere",))
    assert hub.why_off() == "the hub http://nowhere does not answer"


def test_the_seven_sts_are_looked_for_without_mteb(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from nsbench.benchmarks.evaluation.evaluate import check_tasks\n"
        "from nsbench.benchmarks.evaluation.mteb.tasks import missing_data, resolve\n"
        "missing = missing_data(resolve(['STS7']))\n"
        "print(check_tasks(['STS7']), len(missing), 'mteb' in sys.modules)"
    )
    _, out, err = apart(code, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert out.endswith("'STSBenchmark', 'SICK-R') 7 False\n"), err
