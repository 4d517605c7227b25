"""A plugin's code is part of what a cell is; what ships with the package is not."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from running import Build, planned_of

from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.cell import Planned
from nsbench.benchmarks.runs.executors.base import plan_jobs, run_job
from nsbench.samplers import PLUGIN_PATH, _plugins, samplers
from nsbench.samplers._plugins import code_digest, load_plugin_paths

SAMPLER = '''
from dataclasses import dataclass
from nsbench.samplers import Selection, register

@register("mine")
@dataclass(frozen=True)
class Mine:
    """Keep the candidates of rank below k."""

    k: int = 4

    def __call__(self, context):
        return Selection(mask=context.negative_mask & (context.ranks() < self.k))
'''

Load = Callable[[str], None]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Imports a plugin file with the given text as a new process would, and forgets it again."""
    samplers.load()  # what this environment's plugins are is settled before
    path = tmp_path / "mine_plugin.py"
    monkeypatch.setenv(PLUGIN_PATH, str(path))

    def forget() -> None:
        samplers._entries.pop("mine", None)
        sys.modules.pop(path.stem, None)
        _plugins._imported.discard(str(path))

    def load(text: str) -> None:
        forget()
        path.write_text(text)
        load_plugin_paths()

    yield load
    forget()


def keys(raw: dict[str, Any]) -> list[str]:
    return [planned.cell.key for planned in planned_of(raw)]


def test_an_edited_plugin_makes_other_cells(load: Load, small: Build) -> None:
    raw = small(samplers=["mine", "hard"])
    load(SAMPLER)
    mine, hard = keys(raw)
    load(SAMPLER)
    assert keys(raw) == [mine, hard]
    load(SAMPLER.replace("< self.k", "<= self.k"))
    edited, same = keys(raw)
    assert edited != mine
    assert same == hard


def test_a_sampler_inside_another_counts(load: Load, small: Build) -> None:
    raw = small(samplers=[{"name": "mixed", "then": "mine[k=2]"}, "mixed"])
    load(SAMPLER)
    before = keys(raw)
    load(SAMPLER + "# edited\n")
    after = keys(raw)
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_cells_without_plugins_are_what_they_were(load: Load, small: Build) -> None:
    raw = small(samplers=["in_batch", "hard"])
    before = keys(raw)
    load(SAMPLER)
    assert keys(raw) == before
    assert all("plugins" not in p.cell.inputs for p in planned_of(raw))


def test_a_cell_of_other_code_than_planned_fails(load: Load, small: Build, tmp_path: Path) -> None:
    load(SAMPLER)
    (planned,) = planned_of(small(samplers=["mine"]))
    other = planned.cell.inputs["plugins"].replace(code_digest(samplers.entry("mine").cls), "0" * 9)
    cell = replace(planned.cell, inputs={**planned.cell.inputs, "plugins": other})
    folder = ResultsFolder(tmp_path / "out")
    (good, bad) = (run_job(plan_jobs([p], folder, "cpu", 1)[0]) for p in (planned, Planned(cell)))
    assert good.status == "done", good.traceback
    assert bad.status == "failed"
    assert "the code of sampler mine has changed since the matrix was planned" in bad.reason


def test_a_file_called_like_a_library_is_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    path = tmp_path / "json.py"
    path.write_text(SAMPLER)
    samplers.load()
    monkeypatch.setenv(PLUGIN_PATH, str(path))
    load_plugin_paths()
    try:
        cls = samplers.entry("mine").cls
        assert sys.modules[cls.__module__].__file__ == str(path)
        assert sys.modules["json"] is json
        assert samplers.entry("mine").summary.startswith("Keep the candidates of rank")
    finally:
        samplers._entries.pop("mine", None)
        sys.modules.pop(cls.__module__)


def test_every_file_of_a_plugin_package_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "helper.py").write_text("K = 4\n")
    (package / "part.py").write_text("from their_package import helper\nclass Part: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def digest() -> str:
        for name in [n for n in sys.modules if n.startswith("their_package")]:
            del sys.modules[name]
        import importlib

        importlib.invalidate_caches()
        return code_digest(importlib.import_module("their_package.part").Part)

    before = digest()
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__" / "x.txt").write_text("not source")
    assert digest() == before
    (package / "helper.py").write_text("K = 5\n")
    assert digest() != before
    (package / "helper.py").write_text("K = 4\n")
    (package / "__init__.py").unlink()  # a namespace: what else lies in it is not this plugin's
    alone = digest()
    (package / "helper.py").write_text("K = 5\n")
    assert digest() == alone
    assert code_digest(type(samplers.make("hard"))) == ""
