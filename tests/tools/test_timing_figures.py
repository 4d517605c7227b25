"""Pictures of timings: what stands in the file stands in the picture."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from tools import timing_figures

PEERS = pd.DataFrame(
    {
        "job": ["search", "search", "mine"],
        "threads": [2, 2, 1],
        "ratio": [1.5, 2.5, 0.5],
        "against": ["faiss", "faiss", "st"],
        "torch": "2",
        "platform": "x",
    }
)
GROWTH = pd.DataFrame(
    {
        "what": ["search"] * 3,
        "threads": 1,
        "axis": "corpus rows",
        "size": [10, 100, 1000],
        "seconds": [1.0, 10.0, 100.0],
        "peak_mib": [50.0, 50.0, 50.0],
    }
)


SCALE = pd.DataFrame(
    {
        "what": ["plan"] * 3 + ["status"] * 3,
        "cells": [25, 100, 1000] * 2,
        "cpu_seconds": [3.0, 3.1, 5.0, 1.0, 1.0, 2.0],
        "peak_mib": [100.0, 100.0, 2048.0] * 2,
        "cell_ms": [None, 1.5, 2.0, None, -0.1, 1.0],
    }
)


def test_cost_of_a_cell_is_drawn_where_it_is_known() -> None:
    ax = timing_figures.per_cell(SCALE, Figure().add_subplot())
    assert [list(line.get_xdata()) for line in ax.lines] == [[100, 1000], [1000]]  # type: ignore[arg-type]
    assert [list(line.get_ydata()) for line in ax.lines] == [[1.5, 2.0], [1.0]]  # type: ignore[arg-type]
    assert ax.get_legend_handles_labels()[1] == ["plan: 5 s, 2 GiB", "status: 2 s, 2 GiB"]
    assert "1,000" in [label.get_text() for label in ax.get_xticklabels()]


def test_bars_are_medians_of_rounds() -> None:
    ax = timing_figures.ratios(PEERS, Figure().add_subplot())
    assert [bar.get_width() for bar in ax.patches] == [0.5, 2.0]  # type: ignore[attr-defined]
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels == ["mine, 1 thread", "search, 2 threads"]


@pytest.mark.parametrize(("column", "slope"), [("seconds", "1.00"), ("peak_mib", "0.00")])
def test_exponents_stand_in_the_legend(column: str, slope: str) -> None:
    ax = timing_figures.growth(GROWTH, Figure().add_subplot(), column=column)
    assert ax.get_legend_handles_labels()[1] == [f"search, 1 thread: exponent {slope}"]


def test_pictures_of_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert timing_figures.main([str(tmp_path)]) == 2
    assert "none of peers.csv, growth.csv and scale.csv" in capsys.readouterr().err
    PEERS.to_csv(tmp_path / "peers.csv", index=False)
    GROWTH.to_csv(tmp_path / "growth.csv", index=False)
    SCALE.to_csv(tmp_path / "scale.csv", index=False)
    assert timing_figures.main([str(tmp_path)]) == 0
    drawn = sorted(p.name for p in tmp_path.glob("*.png"))
    assert drawn == ["growth_memory.png", "growth_time.png", "peers.png", "scale.png"]
