import json

import pytest
from running import invoked


def test_listing_shows_every_sampler_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    listed = json.loads(invoked("list", "samplers", "--json").output)
    rows = {row["name"]: row for row in listed}
    assert rows["guided"]["needs"] == ["guide_similarity"]
    assert rows["noise"]["needs"] == ["anchors"]  # a property, read off a default instance
    assert rows["median_triplet"]["objective"] == "truncated_triplet"
    assert all(row["source"] and row["summary"] for row in rows.values())
