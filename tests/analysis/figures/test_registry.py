"""A new figure is one file; a taken name and an unknown need are refused."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from running import nsbench

from nsbench.analysis.figures.registry import figure, figures

ROOT = Path(__file__).resolve().parents[3]
MINE = '''"""Picture of the number of tasks of each sampler."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.drawing import Material, finish
from nsbench.analysis.figures.registry import figure


def collect(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    yield "", material.board.samplers[["sampler", "n_tasks", "pool"]]


@figure(collect)
def task_counts(table: pd.DataFrame, ax: Axes) -> Axes:
    """Number of tasks of each sampler."""
    ax.barh(table["sampler"], table["n_tasks"])
    return finish(ax, table, title="Tasks", caption="n = 1")
'''


@pytest.mark.slow
def test_one_new_file_is_listed_and_drawn(build: Callable[..., Path], tmp_path: Path) -> None:
    for folder in ("samplers", "benchmarks", "analysis"):
        shutil.copytree(ROOT / folder, tmp_path / "nsbench" / folder)
    (tmp_path / "nsbench" / "analysis" / "figures" / "mine.py").write_text(MINE)
    results = build(seeds=1)
    here = os.environ | {"PYTHONPATH": str(tmp_path)}
    for words in (["list", "figures"], ["plot", results, "--figure", "task_counts"]):
        done = nsbench(*words, check=True, cwd=tmp_path, env=here)
        assert "task_counts" in done.stdout + done.stderr
    names = sorted(path.name for path in (results / "figures").iterdir())
    assert names == ["task_counts.csv", "task_counts.png", "task_counts.svg"]


def test_a_taken_name_and_an_unknown_need_are_refused() -> None:
    heatmap = figures()["heatmap"]
    with pytest.raises(ValueError, match="two figures are called 'heatmap'"):
        figure(heatmap.collect)(heatmap.draw)
    with pytest.raises(ValueError, match="which has no scores"):
        figure(heatmap.collect, needs=["scores"])
