"""Scores of embeddings that are cut to their first numbers.

Source: Kusupati et al. 2022, Matryoshka Representation Learning, figure 1.
https://arxiv.org/abs/2205.13147
"""

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.collapse import collapse_size, lines_over_k, numbered
from nsbench.analysis.figures.registry import figure


@figure(
    partial(numbered, task="first_dimensions", metric=r"first_(\d+)"),
    size=collapse_size,
    needs=["extra_scores"],
)
def dimensions(table: pd.DataFrame, ax: Axes) -> Axes:
    """Score of embeddings that are cut to their first numbers."""
    ax.set(xlabel="numbers kept of an embedding", ylabel="mean main score x 100")
    return lines_over_k(table, ax, title="How short may embeddings be?", value="log", base=2)
