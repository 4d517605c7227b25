"""A results folder for tests of the analysis."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_results import write_results


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """Writes such folders under the test's own."""

    def folder(name: str = "results", **settings: Any) -> Path:
        return write_results(tmp_path / name, **settings)

    return folder
