"""The server of workers imports the engine, and commands end with all of their output."""

from pathlib import Path

import pytest
import tomli_w
from running import COMMAND, Build, python

from nsbench.benchmarks import hub


def apart(*words: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Exit code and output of another Python process, read through pipes to their end."""
    done = python(*words, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


SERVER = """
import gc, multiprocessing, os, sys
from nsbench.benchmarks.runs.executors import worker_server

def seen(pipe):
    names = ["torch", "nsbench.benchmarks.runs.cell_run"]
    names += ["sklearn.pipeline", "torch._dynamo", "datasets"]
    found = (name in sys.modules for name in names)
    pipe.send([os.environ["OMP_NUM_THREADS"], gc.isenabled(), *found])

if __name__ == "__main__":
    asked = {name: name in sys.argv for name in ("labels", "weights", "hub")}
    worker_server.prepare(int(sys.argv[1]), **asked)
    context = worker_server.process_context(**asked)
    ours, theirs = context.Pipe()
    context.Process(target=seen, args=(theirs,)).start()
    print("torch" in sys.modules, *ours.recv())
"""


@pytest.mark.parametrize("asked", [["labels"], ["weights"], ["hub"]])
def test_the_server_has_imported_the_engine_with_the_threads_of_workers(
    tmp_path: Path, asked: list[str]
) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    code, out, err = apart((tmp_path / "server.py").as_posix(), "3", *asked)
    assert code == 0, err
    there = [str(name in asked) for name in ("labels", "weights", "hub")]
    assert out.split() == ["False", "3", "True", "True", "True", *there]
    assert err == ""


def test_the_command_ends_with_its_exit_code_and_all_of_its_output(tmp_path: Path) -> None:
    code, out, err = apart("-c", COMMAND, "list", "samplers", "--json")
    assert (code, err) == (0, "")
    assert out.endswith("]\n")
    code, _, err = apart("-c", COMMAND, "run", "smok", cwd=tmp_path)
    assert (code, "Did you mean 'smoke'?" in err) == (2, True)
    code, _, err = apart("-c", COMMAND, "no-such-command")
    assert (code, "No such command" in err) == (2, True)


def test_a_run_in_which_nothing_is_left_to_do_prints_no_warning_at_its_end(
    small: Build, tmp_path: Path
) -> None:
    path = tmp_path / "m.toml"
    path.write_text(tomli_w.dumps(small()))
    for _ in range(2):
        code, out, err = apart("-c", COMMAND, "run", str(path), "--out", str(tmp_path / "out"))
        assert code == 0, err
    assert "1 done, 1 of them from before" in out
    assert err == ""


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
