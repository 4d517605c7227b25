"""Is what a method gains the method's, or the view's? The augmentations of a board compared.

Reads the verdicts of `nsbench.analysis.tables.boards` and nothing else: tuned against tuned, each
augmentation against the baseline under it.
"""

from itertools import permutations

import pandas as pd

from nsbench.analysis.statistics import verdicts
from nsbench.analysis.tables import text
from nsbench.analysis.tables.transfer import LEAST_METHODS, compared, pair_rows, trained

COLUMNS = (
    *("board", "family", "augmentation", "other", "n_methods", "n_opposite"),
    *("rho", "rho_low", "rho_high", "sampler", "objective", "candidates"),
    *("difference", "other_difference", "other_low", "other_high", "other_verdict", "lost"),
)
_METHOD = ["sampler", "objective", "candidates"]


def view_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return for every two augmentations of a board whether they rank alike the methods of both.

    What takes no step is left out. The baseline of an augmentation has a difference of 0; an
    augmentation without one is left out.

    Args:
        rows: Verdicts of boards. Column ``place`` names the board of a row, with its encoder and
            data where it has several.

    Returns:
        `COLUMNS`, one row per ordered pair and family of tasks: ``n_opposite`` methods are better
        with one and worse with the other; the rest is as in
        `nsbench.analysis.tables.transfer.transfer_table`.
    """
    found = []
    for (place, family), part in trained(rows).groupby(["place", "family"], sort=False):
        own = _against_own(part)
        by_view = {
            str(view): group.drop_duplicates(_METHOD).set_index(_METHOD)
            for view, group in own.groupby("augmentation", sort=False)
        }
        for (view, here), (other, there) in permutations(by_view.items(), 2):
            shared = here.index.intersection(there.index, sort=False)
            if len(shared) >= LEAST_METHODS:
                one, two = here.loc[shared], there.loc[shared]
                n, *rest = compared(one, two)
                found.append((place, family, view, other, n, _opposite(one, two), *rest))
    return pd.DataFrame(found, columns=list(COLUMNS))


def _against_own(part: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are compared under their own augmentation, its baseline at 0."""
    names = part["sampler"] + " x " + part["augmentation"] + " x " + part["objective"]
    lead = part.loc[part["tuned_verdict"] == verdicts.BASELINE, "candidates"]
    base = names.isin(set(part["baseline"])) & part["candidates"].isin(set(lead))
    pairs = zip(part["augmentation"], part["baseline"], strict=True)
    own = pd.Series([f" x {view} x " in name for view, name in pairs], index=part.index)
    part = part.assign(  # it was compared with the study's, which has another augmentation
        tuned_difference=part["tuned_difference"].mask(base, 0.0),
        tuned_difference_low=part["tuned_difference_low"].mask(base),
        tuned_difference_high=part["tuned_difference_high"].mask(base),
        tuned_verdict=part["tuned_verdict"].mask(base, verdicts.BASELINE),
    )
    return part[(base | own) & part["tuned_difference"].notna()]


def _opposite(one: pd.DataFrame, two: pd.DataFrame) -> int:
    """Return how many methods are better in one of two tables and worse in the other."""
    here, there = (t["tuned_verdict"].to_numpy() for t in (one, two))
    turned = (here == verdicts.BETTER) & (there == verdicts.WORSE)
    return int((turned | ((here == verdicts.WORSE) & (there == verdicts.BETTER))).sum())


def lines(table: pd.DataFrame) -> list[str]:
    """Return the section of the summary's document, in Markdown, a row for two augmentations."""
    heads = ("board", "tasks", "with", "and with", "methods", "opposite", "rank correlation")
    shown = [
        (
            *(row["board"], row["family"], row["augmentation"], row["other"]),
            *(f"{row['n_methods']}", f"{row['n_opposite']}"),
            *(text.with_ends(row, "rho", form="{:+.2f}"), *won),
        )
        for row, won in pair_rows(table, ("augmentation", "other"), ("board", "family"))
    ]
    return [
        "# Does a gain hang on the augmentation?",
        "",
        "Two augmentations of a board at a time, over the methods that ran with both, each "
        "augmentation against the baseline under it: methods that are better with one and worse "
        "with the other, rank correlation of the tuned differences, and the best with each, with "
        "the other (views.csv).",
        "",
        *text.markdown_lines(
            (*heads, "best with one", "best with the other"),
            [[text.markdown_text(c) for c in row] for row in shown],
        ),
    ]
