"""Difficulty of the negatives in the first tenth of training, next to a method's final score.

Source: the question is that of Cai et al. 2020, Are all negatives created equal in contrastive
instance discrimination? https://arxiv.org/abs/2010.06682. How well a statistic ranks methods on a
board that it was not chosen on is in `nsbench.analysis.tables.boards`.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from nsbench.analysis.read.difficulty import plain_texts
from nsbench.analysis.read.load import Results
from nsbench.analysis.tables.predictors import OF_OBJECTIVE
from nsbench.analysis.tables.text import csv_text, write_tables
from nsbench.analysis.tables.tuned import KINDS, LABELS, tuned_keys, tuned_table

FIRST = 0.1
"""Statistics count up to this share of the training."""


def early_values(difficulty: pd.DataFrame) -> pd.DataFrame:
    """Return means over the first tenth of training, a row per key and a column per quantity."""
    last = difficulty.groupby("key", observed=True)["step"].transform("max")
    rows = difficulty[difficulty["step"] <= FIRST * last]
    sums = rows.groupby(["key", "quantity"], observed=True)["mean"].mean()
    return plain_texts(sums.reset_index()).pivot(index="key", columns="quantity", values="mean")


def early_table(results: Results, difficulty: pd.DataFrame) -> pd.DataFrame:
    """Return one row per trained method and setting of a board.

    Returns:
        ``setting`` (default or tuned), the labels, ``score`` (mean of the leading family, in
        points) and a column per statistic, means over seeds of `early_values`. Statistics in units
        of the objective are left out: methods differ in it.
    """
    board, _ = tuned_table(results)
    if board.empty:
        return pd.DataFrame()
    early = early_values(difficulty).drop(columns=list(OF_OBJECTIVE), errors="ignore")
    leading = board[board["family"] == board["family"].iloc[0]].set_index(list(LABELS))
    rows = []
    for method in tuned_keys(results):
        labels = {name: method[name] for name in LABELS}
        for kind in KINDS:
            seen = early.reindex([str(k) for k in method[kind]]).dropna(how="all")
            score = leading.loc[tuple(labels.values()), f"{kind}_mean"]
            score = float(score.iloc[0]) if isinstance(score, pd.Series) else float(score)
            if len(seen) and score == score:
                statistics = {str(k): float(v) for k, v in seen.mean().items()}
                rows.append({"setting": kind, **labels, "score": score, **statistics})
    table = pd.DataFrame(rows)
    return table.dropna(axis=1, how="all")


def write_early(results: Results, difficulty: pd.DataFrame, out: Path) -> Sequence[Path]:
    """Write ``tables/early.csv`` if a tuning study is among the results."""
    table = early_table(results, difficulty)
    return [] if table.empty else write_tables(out, {"early.csv": csv_text(table)})
