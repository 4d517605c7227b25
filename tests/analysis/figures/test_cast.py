"""Few samplers all keep their look; of many, both ends, the references and some between do."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from nsbench.analysis.figures.cast import MOST, Cast
from nsbench.analysis.figures.difficulty import difficulty_curves
from nsbench.analysis.figures.style import looks


def test_few_are_all_named() -> None:
    order = [f"s{i}" for i in range(MOST)]
    cast = Cast.of(order)
    assert list(cast.named) == order
    assert cast.note == ""
    table = pd.DataFrame({"sampler": order})
    assert [(style, line["label"]) for _, style, line in cast.drawn(table)] == [
        (look_, name) for name, look_ in looks(order).items()
    ]


@pytest.mark.parametrize("size", [MOST + 1, 29])
def test_of_many_both_ends_and_the_references_are(size: int) -> None:
    order = [f"s{i:02}" for i in range(size)]
    order[size // 2] = "in_batch"
    cast = Cast.of(order)
    assert len(cast.named) == MOST
    assert cast.named[:3] == tuple(order[:3])
    assert cast.named[-2:] == tuple(order[-2:])
    assert "in_batch" in cast.named
    assert f"grey: {size - MOST} more" in cast.note
    drawn = cast.drawn(pd.DataFrame({"sampler": order}))
    grey = [style for _, style, line in drawn if "label" not in line]
    assert len(grey) == size - MOST
    assert {style.colour for style in grey} == {"#C4C4C4"}


def test_order_is_by_the_mean_of_a_column() -> None:
    table = pd.DataFrame({"sampler": ["a", "b", "a", "b"], "x": [1.0, 5.0, 2.0, -9.0]})
    assert Cast.by(table, "x").order == ("a", "b")


def test_a_crowded_picture_draws_all_and_names_a_few() -> None:
    rows = [(f"s{i:02}", step, i + 0.0) for i in range(20) for step in (0, 10)]
    table = pd.DataFrame(rows, columns=["sampler", "step", "mean"])
    table = table.assign(min=table["mean"], max=table["mean"], n_seeds=3)
    table = table.assign(quantity="margin", augmentations="none", pool="p")
    ax = difficulty_curves(table, Figure().add_subplot())
    assert len(ax.get_lines()) == 20
    names = ax.get_legend_handles_labels()[1]
    assert len(names) == MOST
    assert {"s19", "s00"} <= set(names)
