"""Scores of embeddings that are cut to their first numbers.

Source: Kusupati et al. 2022, Matryoshka Representation Learning, figure 1.
https://arxiv.org/abs/2205.13147
"""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.collapse import collapse_size, lines_over_k, numbered
from nsbench.analysis.figures.drawing import Material
from nsbench.analysis.figures.registry import figure


def collect_dimensions(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Per pool, mean main score over tests by numbers kept of an embedding, over seeds."""
    return numbered(material, "first_dimensions", r"first_(\d+)")


@figure(collect_dimensions, size=collapse_size, needs=["extra_scores"])
def dimensions(table: pd.DataFrame, ax: Axes) -> Axes:
    """Score of embeddings that are cut to their first numbers."""
    ax.set(xlabel="numbers kept of an embedding", ylabel="mean main score x 100")
    return lines_over_k(table, ax, title="How short may embeddings be?", value="log", base=2)
