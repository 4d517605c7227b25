import json

import pytest
from typer.testing import CliRunner

from nsbench.benchmarks.cli.main import app


def test_listing_shows_every_sampler_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    result = CliRunner().invoke(app, ["list", "samplers", "--json"])
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(result.output)}
    assert rows["guided"]["needs"] == ["guide_similarity"]
    assert rows["noise"]["needs"] == ["anchors"]  # a property, read off a default instance
    assert rows["median_triplet"]["objective"] == "truncated_triplet"
    assert all(row["source"] and row["summary"] for row in rows.values())
