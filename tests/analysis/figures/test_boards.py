"""The picture of several boards: every number of its table, a colour only where significant."""

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from nsbench.analysis.figures.boards import LEAST_BOARDS, draw, drawn, fields
from nsbench.analysis.tables.boards import verdict_table

BOARDS = sorted((Path(__file__).parents[3] / "results").glob("board-*"))


@pytest.fixture(scope="module")
def verdicts() -> pd.DataFrame:
    return verdict_table(BOARDS)


def test_a_field_of_the_picture_is_one_row_of_a_leading_family(verdicts: pd.DataFrame) -> None:
    table = fields(verdicts)
    assert not table.duplicated(["method", "place"]).any()
    assert table.groupby("method")["board"].nunique().min() >= LEAST_BOARDS
    leading = verdicts.drop_duplicates("board").set_index("board")["family"]
    assert (table["family"] == table["board"].map(leading)).all()


def test_only_significant_differences_have_a_colour(verdicts: pd.DataFrame) -> None:
    table = fields(verdicts)
    ax = Figure().add_subplot()
    draw(table, ax)
    shown = [t.get_text() for t in ax.texts]
    assert sorted(shown) == sorted(f"{v:+.1f}" for v in table["tuned_difference"])
    coloured = [p for p in ax.patches if isinstance(p, Rectangle)]
    assert len(coloured) == table["tuned_verdict"].isin(["better", "worse"]).sum()
    for patch in coloured:
        red, _, blue, _ = patch.get_facecolor()
        x, y = patch.get_x() + 0.48, patch.get_y() + 0.46
        points = next(
            t.get_text()
            for t in ax.texts
            if (abs(t.get_position()[0] - x) < 0.1) and (abs(t.get_position()[1] - y) < 0.1)
        )
        assert (blue > red) == points.startswith("+")


def test_the_same_table_gives_the_same_bytes_and_too_few_boards_no_picture(
    verdicts: pd.DataFrame,
) -> None:
    assert drawn(verdicts) == drawn(verdicts.sample(frac=1, random_state=1).sort_index())
    assert drawn(verdicts[verdicts["board"] == "board-pairs"]) == {}
