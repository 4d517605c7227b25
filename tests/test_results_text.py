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


def intervals(folder: Path) -> Iterator[np.ndarray]:
    """Yield ``(n, 3)`` numbers with the low and high ends of their intervals, of a folder's CSVs.

    The ends are a pair of columns; the number is in the column of their name, in ``mean`` for
    ``ci_low`` and ``ci_high``, else in the one before them.
    """
    for path in sorted(folder.rglob("*.csv")):
        table = pd.read_csv(path).select_dtypes("number").astype(float)
        names = list(table.columns)
        for low in (n for n in names if n.endswith("low")):
            high = low.removesuffix("low") + "high"
            own = {"ci_low": "mean"}.get(low, low.removesuffix("low").rstrip("_"))
            if high in names:
                middle = own if own in names else names[names.index(low) - 1]
                yield table[[middle, low, high]].to_numpy()


def is_stored(triple: tuple[str, ...], stored: list[np.ndarray]) -> bool:
    """Return whether any row is these three, as they are or as shares, or their negatives."""
    told = np.array([float(text) for text in triple])
    half = np.array([0.5 * 10.0 ** -len(text.partition(".")[2]) + 1e-9 for text in triple])
    both = (form for rows in stored for form in (rows, -rows[:, [0, 2, 1]]))
    every = (factor * rows for rows in both for factor in (1, 100))
    return any(bool((np.abs(rows - told) <= half).all(axis=1).any()) for rows in every)


@pytest.mark.parametrize("heading", sections())
def test_every_number_with_an_interval_is_in_a_table(heading: str) -> None:
    text = sections()[heading]
    named = folders(heading, text)
    assert named
    stored = [rows for name in named for rows in intervals(RESULTS / name)]
    wrong = [t for t in TRIPLE.findall(text) if t not in PROMISED and not is_stored(t, stored)]
    assert not wrong, "no row of a table that the section names holds these"
