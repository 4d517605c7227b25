"""Prefetching loads through the code that a run uses, and says what it got."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nsbench.benchmarks.cli import app
from nsbench.benchmarks.config import parse_config
from nsbench.benchmarks.prefetch import fetch

Build = Callable[..., dict[str, Any]]


def test_prefetch_names_every_encoder_and_data_set_with_its_content(small: Build) -> None:
    raw = small(data=[{"name": "planted", "rows": [100, 200]}])
    rows = list(fetch(parse_config(raw)))
    assert [r["kind"] for r in rows] == ["encoder", "data", "data"]
    assert rows[0]["revision"] == "random"
    assert rows[1]["revision"] != rows[2]["revision"]


def test_prefetch_says_what_cannot_be_had(small: Build) -> None:
    with pytest.raises(ValueError, match="nobody/nothing"):
        list(fetch(parse_config(small(encoders=["nobody/nothing"]))))


def test_prefetch_writes_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    done = CliRunner().invoke(app, ["prefetch", "smoke", "--manifest", str(path)])
    assert done.exit_code == 0, done.output
    assert '"kind": "data"' in path.read_text()
