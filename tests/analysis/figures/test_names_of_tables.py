"""Names in the table behind a figure stay texts, and its numbers are numbers."""

import csv
from pathlib import Path

import pytest

from nsbench.analysis.figures.pictures import NAMES, table_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("column", NAMES)
def test_names_that_look_like_numbers_stay_texts_in_a_figures_table(column: str) -> None:
    names = ["01", "2", "1e5", "nan", "True", "0x1F"]
    table = table_of(f"{column},mean\n" + "".join(f"{name},0.5\n" for name in names) + ",1\n")
    assert table[column].tolist()[:-1] == names
    assert table[column].isna().tolist() == [False] * len(names) + [True]
    assert table["mean"].sum() == 4


def test_every_column_of_words_of_the_published_figures_is_listed() -> None:
    seen = 0
    for path in (ROOT / "results").glob("*/figures/*.csv"):
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        for column in rows[0] if rows else ():
            values = {row[column] for row in rows} - {"", "nan", "True", "False"}
            words = [
                v for v in values if not v.lstrip("-").replace(".", "").replace("e-", "").isdigit()
            ]
            assert not words or column in NAMES, (path.name, column, words[:3])
            seen += bool(words)
    assert seen > 20
