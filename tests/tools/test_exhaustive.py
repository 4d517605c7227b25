"""A recommended recipe next to all others: how far behind, and the table that says so."""

from pathlib import Path

import numpy as np
import pytest

from nsbench.analysis.recommend.arms import CLOSED_FORM, IN_BATCH, UNTRAINED, mined
from tools.exhaustive import Compared, table
from tools.planted_recommendations import draw, write_pairs

ARMS = (UNTRAINED, CLOSED_FORM, IN_BATCH, mined(4))
NOISE = 0.1 * np.random.default_rng(0).normal(size=(4, 5))


def _compared(*means: float, chosen: int = 1) -> Compared:
    return Compared(ARMS, np.array(means)[:, None] + NOISE, chosen, 48)


def test_a_recipe_far_behind_is_worse_and_not_near() -> None:
    found = _compared(10, 20, 30, 25)
    assert found.best == 2
    assert found.behind == pytest.approx(10, abs=0.5)
    assert found.worse
    assert not found.near


def test_a_recipe_just_behind_is_near() -> None:
    found = _compared(10, 29.98, 30, 25)
    assert found.near
    assert not found.worse
    best = _compared(10, 30, 20, 25)
    assert (best.best, best.behind, best.worse, best.near) == (1, 0.0, False, True)


def test_trained_recipes_are_compared_alone() -> None:
    found = _compared(10, 40, 30, 25).trained("mined, 4")
    assert [arm.name for arm in found.arms] == ["in_batch", "mined, 4"]
    assert found.arms[found.best] == IN_BATCH
    assert found.worse


def test_the_table_names_the_best_first_and_the_recommended_one() -> None:
    lines = table(_compared(10, 20, 30, 25)).splitlines()
    assert lines[2].startswith("| in\\_batch |")
    assert "better" in lines[2]
    assert lines[4].startswith("| closed form (recommended) |")
    assert lines[-1].startswith(
        "4 recipes, 48 steps, 5 seeds. The recommended one is significantly"
    )


def test_planted_pairs_are_written_as_they_are_drawn(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_pairs(tmp_path / name, rows=50, rate=0.2, seed=3)
    lines = (tmp_path / "one").read_text("utf-8").splitlines()
    assert lines[0] == "anchor,positive"
    assert len(lines) == 51
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.slow
def test_a_draw_is_compared_and_the_same_again(tmp_path: Path) -> None:
    rows = [draw(tmp_path, rows=1500, rate=0.0, seed=1, steps=8, seeds=2) for _ in range(2)]
    assert rows[0] == rows[1]
    assert rows[0]["recipes"] > 20
    assert float(rows[0]["best_score"]) >= float(rows[0]["score"])
