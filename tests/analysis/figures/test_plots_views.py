from types import SimpleNamespace

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from nsbench.analysis.figures.views import collect_view_grid, view_grid, view_grid_size


def material(pairs, samplers=("in_batch",)):
    rows = pd.DataFrame(
        {
            "sampler": sampler,
            "augmentation": pair,
            "objective": "info_nce",
            "candidates": "in_batch",
            "n_seeds": 2,
            "n_tasks": 1,
            "mean": 60.0 + place,
            "pool": "the pool",
        }
        for sampler in samplers
        for place, pair in enumerate(pairs)
    )
    return SimpleNamespace(
        board=SimpleNamespace(rows=rows), pools=(SimpleNamespace(title="the pool"),)
    )


PAIRS = ("none", "none | token_cutoff(rate=0.1)", "token_cutoff(rate=0.1) | none", "token_shuffle")


def test_every_pair_has_its_place_view_1_down_and_view_2_across():
    ((name, table),) = collect_view_grid(material(PAIRS))
    assert name == ""
    canvas = FigureCanvasAgg(Figure(figsize=view_grid_size(table)))
    ax = view_grid(table, canvas.figure.add_subplot())
    canvas.draw()
    down = [t.get_text() for t in ax.get_yticklabels()]
    across = [t.get_text() for t in ax.get_xticklabels()]
    assert down[0] == across[0] == "none"
    shown = ax.collections[0].get_array().reshape(len(down), len(across))
    cutoff = next(i for i, t in enumerate(down) if t.startswith("token_cutoff"))
    assert (shown[0, 0], shown[0, cutoff], shown[cutoff, 0]) == (60.0, 61.0, 62.0)
    assert shown.mask[0].sum() == 1  # none | token_shuffle was not run


def test_equal_views_make_no_grid():
    assert list(collect_view_grid(material(("none", "token_cutoff")))) == []


def test_samplers_get_a_picture_each():
    names = [name for name, _ in collect_view_grid(material(PAIRS, ("in_batch", "hard")))]
    assert len(names) == 2
    assert len(set(names)) == 2
