"""Results folders and commands for tests of the analysis."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from made_results import write_results
from running import invoked

from nsbench.analysis.cli.main import add_commands
from nsbench.analysis.figures.drawing import Material
from nsbench.analysis.figures.pictures import gather
from nsbench.analysis.read.load import Results, load_results


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """Writes results folders under the test's own."""

    def folder(name: str = "results", **settings: Any) -> Path:
        return write_results(tmp_path / name, **settings)

    return folder


@pytest.fixture(scope="session")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A complete small folder, read once; a test must not change it."""
    return load_results(write_results(tmp_path_factory.mktemp("standard") / "results"))


@pytest.fixture(scope="session")
def standard_material(standard: Results) -> Material:
    """What figures of the standard folder are made from."""
    return gather(standard)[0]


@pytest.fixture
def invoke() -> Callable[..., Result]:
    """Runs a command of the analysis."""
    return partial(invoked, app=add_commands(typer.Typer()))
