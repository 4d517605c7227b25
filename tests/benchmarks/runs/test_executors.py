"""Executors by name: settings, tables of matrix files, and a new one as one file."""

import os
from functools import partial
from pathlib import Path

import pytest
from running import python

from nsbench.benchmarks.matrix.config import ConfigError, matrix_model, parse_config
from nsbench.benchmarks.matrix.executors import executors
from nsbench.benchmarks.runs.executors.ray import RaySettings
from nsbench.benchmarks.runs.executors.slurm import SlurmSettings

HERE = '''"""Run cells one after the other in this process."""

from collections.abc import Iterator, Sequence

from nsbench.benchmarks.matrix.executors import ExecutorSettings, register
from nsbench.benchmarks.runs.executors.base import Ended, Job, OnStart, Request, run_job


class HereSettings(ExecutorSettings):
    """What a matrix file may say in ``[run.here]``."""

    greeting: str = "hello"


@register("here")
class Here:
    """Run cells in this process."""

    Settings = HereSettings

    def __init__(self, request: Request, settings: HereSettings) -> None:
        request.on_note(settings.greeting)

    @classmethod
    def check(cls, request: Request) -> None:
        if request.workers > 1:
            raise ValueError("--executor here has no workers")

    @classmethod
    def of(cls, request: Request, settings: HereSettings) -> "Here":
        return cls(request, settings)

    def run(self, jobs: Sequence[Job], on_start: OnStart, /) -> Iterator[Ended]:
        for job in jobs:
            on_start(job)
            yield job, run_job(job)
'''
MATRIX = """
samplers = ["in_batch"]
no_training = false
encoders = [{ name = "static", dimension = 16 }]
data = [{ name = "planted", rows = 100 }]
seeds = [1, 2]
budget = { steps = 3, batch_size = 16 }
run = { here = { greeting = "good morning" } }
"""


def test_executors_are_found_with_their_settings() -> None:
    assert {"beside", "local", "ray", "slurm", "team"} <= set(executors.names())
    run = parse_config({"samplers": ["hard"], "run": {"slurm": {"cpus": 2}}}).run
    assert run.table("slurm") == SlurmSettings(cpus=2)
    assert run.table("ray") == RaySettings()
    assert run.table("local").model_dump() == {}
    tables = matrix_model().model_json_schema()["$defs"]["RunConfig"]["properties"]
    assert {"slurm", "ray", "threads"} <= tables.keys()
    assert "local" not in tables


def test_a_wrong_key_of_an_executor_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"'run\.slurm\.cpu'.*Did you mean 'cpus'"):
        parse_config({"samplers": ["hard"], "run": {"slurm": {"cpu": 2}}})


def test_a_new_executor_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text(HERE)
    (tmp_path / "m.toml").write_text(MATRIX)
    command = ["-c", "from nsbench.benchmarks.cli.main import main; main()", "run", "m.toml"]
    command += ["--executor", "here", "--out", "out", "--plugin-path", "here.py"]
    run = partial(python, *command, cwd=tmp_path, env=os.environ | {"COLUMNS": "200"})
    done = run()
    assert done.returncode == 0, done.stderr
    assert "good morning" in done.stderr
    assert "2 done in out" in done.stdout
    refused = run("--workers", "2")
    assert (refused.returncode, "here has no workers" in refused.stderr) == (2, True)
