"""The words about tuned boards: every difference with its interval is a row of a stored table."""

import re
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).resolve().parent.parent / "results"
SIGNED = re.compile(r"([+-]?\d+\.\d\d) \[([+-]?\d+\.\d\d), ([+-]?\d+\.\d\d)\]")
TRIPLES = (
    ("tuned_difference", "tuned_difference_low", "tuned_difference_high"),
    ("default_difference", "default_difference_low", "default_difference_high"),
    ("gain", "gain_low", "gain_high"),
)


def stored() -> set[tuple[str, ...]]:
    """Differences with intervals of boards and claims, and rank correlations, two digits each."""
    found: set[tuple[str, ...]] = set()
    for path in RESULTS.glob("board-*/tables/tuned.csv"):
        table = pd.read_csv(path)
        for columns in TRIPLES:
            found |= set(_rounded(table[list(columns)]))
    rho = pd.read_csv(RESULTS / "summary" / "difficulty.csv")
    claims = pd.read_csv(RESULTS / "summary" / "claims.csv")
    direct = claims[["difference", "difference_low", "difference_high"]]
    return found | set(_rounded(rho[["rho", "rho_low", "rho_high"]])) | set(_rounded(direct))


def _rounded(table: pd.DataFrame) -> list[tuple[str, ...]]:
    return [tuple(f"{v:.2f}" for v in row) for row in table.dropna().itertuples(index=False)]


def test_every_difference_in_the_words_is_in_a_table() -> None:
    sections = re.split(r"^## ", (RESULTS / "README.md").read_text("utf-8"), flags=re.M)
    words = [s for s in sections if s.startswith(("Summary of the tuned", "Tuned, "))]
    given = [tuple(f"{float(v):.2f}" for v in m) for s in words for m in SIGNED.findall(s)]
    assert len(given) > 20
    known = stored()
    assert not [triple for triple in given if triple not in known], "see tables/tuned.csv"
