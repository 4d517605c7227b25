"""Does what one board says of methods hold on another one? Ranks compared, and winners tried.

Reads the verdicts of `nsbench.analysis.tables.boards` and nothing else: the first family of tasks
of each board, tuned against tuned, its encoders and data sets apart.
"""

from itertools import permutations
from typing import Any

import pandas as pd
from scipy import stats as scipy_stats

from nsbench.analysis.statistics.verdicts import BASELINE
from nsbench.analysis.tables import text
from nsbench.analysis.tables.predictors import fisher_interval
from nsbench.analysis.tables.tuned import FIRST

LEAST_METHODS = 6
"""Methods that two boards must share for a rank correlation over them."""
COLUMNS = (
    *("board", "other", "n_methods", "rho", "rho_low", "rho_high", "sampler", "objective"),
    *("difference", "other_difference", "other_low", "other_high", "other_verdict", "lost"),
)
_METHOD = ["sampler", "objective"]


def transfer_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return for every two boards whether they rank alike the methods that both have.

    What takes no step is left out, the baseline has a difference of 0.

    Args:
        rows: Of `nsbench.analysis.tables.boards.leading`.

    Returns:
        `COLUMNS`, one row per ordered pair: Spearman's correlation of the differences to the
        baseline with Fisher's interval over methods; the method that is best on ``board``, its
        difference there and on ``other`` with the interval and verdict it has there; and the
        points that the best of the shared methods is ahead of it there.
    """
    own = trained(rows)
    own = own[own["tuned_difference"].notna()]
    by_place = {
        str(place): part.drop_duplicates(_METHOD).set_index(_METHOD)
        for place, part in own.groupby("place", sort=False)
    }
    found = []
    for (place, here), (other, there) in permutations(by_place.items(), 2):
        shared = here.index.intersection(there.index, sort=False)
        if len(shared) >= LEAST_METHODS:
            found.append((place, other, *compared(here.loc[shared], there.loc[shared])))
    return pd.DataFrame(found, columns=list(COLUMNS))


def trained(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of what is trained, the baseline with a difference of 0."""
    own = rows[~rows["sampler"].str.partition("(")[0].isin(FIRST)].copy()
    own.loc[own["tuned_verdict"] == BASELINE, "tuned_difference"] = 0.0
    return own


def compared(here: pd.DataFrame, there: pd.DataFrame) -> tuple[object, ...]:
    """Return the columns from ``n_methods`` on; both tables have the same methods in order.

    Where they are indexed by more than sampler and objective, that comes after the objective.
    """
    own, others = (t["tuned_difference"].to_numpy(dtype=float) for t in (here, there))
    rho = float(scipy_stats.spearmanr(own, others).statistic)
    place = int(own.argmax())
    row = there.iloc[place]
    return (
        *(len(own), rho, *fisher_interval(rho, len(own)), *here.index[place], own[place]),
        *(others[place], row["tuned_difference_low"], row["tuned_difference_high"]),
        *(row["tuned_verdict"], others.max() - others[place]),
    )


def pair_rows(
    table: pd.DataFrame, names: tuple[str, str], of: tuple[str, ...] = ()
) -> list[tuple[dict[str, Any], tuple[str, str]]]:
    """Return the first of each two rows of an unordered pair, and words for the best of each.

    Args:
        table: One row per ordered pair.
        names: The two columns that name a pair.
        of: Columns that must be the same.
    """
    rows = {tuple(row[c] for c in (*of, *names)): row for row in text.records(table)}
    found: dict[tuple[object, ...], tuple[dict[str, Any], tuple[str, str]]] = {}
    for key, row in rows.items():
        back = (*key[:-2], key[-1], key[-2])
        if back not in found:
            found[key] = row, (_winner(row), _winner(rows[back]))
    return list(found.values())


def lines(table: pd.DataFrame) -> list[str]:
    """Return the section of the summary's document, in Markdown, a row for two boards."""
    heads = ("board", "another", "methods", "rank correlation", "best of one", "best of the other")
    shown = [
        (
            *(row["board"], row["other"], f"{row['n_methods']}"),
            text.with_ends(row, "rho", form="{:+.2f}"),
            *won,
        )
        for row, won in pair_rows(table, ("board", "other"))
    ]
    return [
        "# Does a winner win elsewhere?",
        "",
        "Two boards at a time, over the methods that both have: rank correlation of the tuned "
        "differences to the baseline, and the best of each board on the other one, in points "
        "behind the best there (transfer.csv: columns `rho`, `other_difference`, `lost`).",
        "",
        *text.markdown_lines(heads, [[text.markdown_text(c) for c in row] for row in shown]),
    ]


def _winner(row: dict[str, Any]) -> str:
    name = " / ".join(str(row[c]) for c in _METHOD if row[c])
    return (
        f"{name} {row['difference']:+.2f}: there {row['other_verdict']} "
        f"{row['other_difference']:+.2f}, {row['lost']:.2f} behind"
    )
