"""Difficulty by source of a mixture: means of the late steps, by method and source."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nsbench.analysis.tables.sources import source_table, write_sources


def rows(step: int, seed: int, **means: float) -> list[dict[str, Any]]:
    shared = {
        "key": f"k{seed}",
        "data": "mixture(a|b)",
        "encoder": "static",
        "sampler": "hard",
        "augmentation": "none",
        "objective": "info_nce",
        "seed": seed,
        "step": step,
    }
    names = {name.replace("_at_", "@"): value for name, value in means.items()}
    return [shared | {"quantity": name, "mean": value} for name, value in names.items()]


def test_late_steps_are_averaged_by_source(tmp_path: Path) -> None:
    table = pd.DataFrame(
        [
            *rows(0, 1, loss=9.0, loss_at_a=9.0, violation_at_a=0.9),  # early
            *rows(5, 1, loss=2.0, loss_at_a=2.0, violation_at_a=0.25),
            *rows(10, 1, loss=1.0, loss_at_b=1.0, masked_count_at_b=5.0),
            *rows(10, 2, loss=4.0, loss_at_a=4.0, violation_at_a=0.75),
        ]
    )
    found = source_table(table).set_index("source")
    assert list(found.index) == ["a", "b"]
    assert found["loss"].to_dict() == {"a": 3.0, "b": 1.0}
    assert found.loc["a", "violation"] == pytest.approx(0.5)
    assert found["n_seeds"].to_dict() == {"a": 2, "b": 1}
    assert "masked_count" not in found
    paths = write_sources(table, tmp_path)
    assert [p.name for p in paths] == ["sources.csv", "sources.md"]
    text = paths[1].read_text()
    assert r"Of mixture(a\|b)." in text
    assert "| hard | none | 3.000 | 0.500 | 2 |" in text


def test_one_source_has_no_table(tmp_path: Path) -> None:
    table = pd.DataFrame(rows(0, 1, loss=1.0))
    assert source_table(table).empty
    assert write_sources(table, tmp_path) == []
