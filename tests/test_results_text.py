"""The words about stored results: every number with an interval is a row of a table they name."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

RESULTS = Path(__file__).resolve().parent.parent / "results"
NUMBER = r"([+-]?\d+(?:\.\d+)?)"
TRIPLE = re.compile(rf"{NUMBER}\s+(?:points\s+)?\[{NUMBER},\s+{NUMBER}\]")
BOARDS = ("Summary of the tuned", "Tuned, ")
PROMISED = {("82.39", "77.36", "87.43"), ("23.87", "20.75", "26.99")}
"""What two recommendations said that are not stored."""


def sections() -> dict[str, str]:
    """Return every section with numbers that have intervals, by its heading."""
    parts = re.split(r"^## ", (RESULTS / "README.md").read_text("utf-8"), flags=re.M)
    return {p.partition("\n")[0]: p for p in parts if TRIPLE.search(p)}


def folders(heading: str, text: str) -> set[str]:
    """Return the folders of results that a section names in a heading or links to."""
    if heading.startswith(BOARDS):
        return {"summary", *(p.name for p in RESULTS.glob("board-*"))}
    headings = " ".join([heading, *re.findall(r"^### .*", text, flags=re.M)])
    named = re.findall(r"`([a-z0-9-]+)`", headings) + re.findall(r"\(([a-z0-9-]+)/", text)
    return {name for name in named if (RESULTS / name).is_dir()}


def tables(folder: Path) -> Iterator[np.ndarray]:
    """Yield the numbers of every CSV of a folder, one row of an array for each of the table."""
    for path in sorted(folder.rglob("*.csv")):
        numbers = pd.read_csv(path).select_dtypes("number").to_numpy(dtype=float)
        if numbers.size:
            yield numbers


def is_stored(triple: tuple[str, ...], stored: list[np.ndarray]) -> bool:
    """Return whether one row holds all three, as they are or as shares, or their negatives."""
    for table in stored:
        for factor in (1, 100, -1):
            row = np.ones(len(table), dtype=bool)
            for text in triple:
                half = 0.5 * 10.0 ** -len(text.partition(".")[2])
                row &= (np.abs(factor * table - float(text)) <= half + 1e-9).any(axis=1)
            if row.any():
                return True
    return False


@pytest.mark.parametrize("heading", sections())
def test_every_number_with_an_interval_is_in_a_table(heading: str) -> None:
    text = sections()[heading]
    stored = [t for name in folders(heading, text) for t in tables(RESULTS / name)]
    assert stored
    wrong = [t for t in TRIPLE.findall(text) if t not in PROMISED and not is_stored(t, stored)]
    assert not wrong, "no row of a table that the section names holds these"
