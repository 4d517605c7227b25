"""Precision and recall of false-negative methods against the truth, with their scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import stats as scipy_stats

from nsbench.analysis.read.difficulty import plain_texts
from nsbench.analysis.read.load import Results
from nsbench.analysis.tables import text
from nsbench.analysis.tables.leaderboard import Leaderboard
from nsbench.analysis.tables.pools import Pool, pools

IDENTITY = ("data", "encoder", "sampler", "augmentation", "objective")
RATES = (
    *("removed_precision", "removed_recall", "attracted_precision", "attracted_recall"),
    *("false_negative_candidates", "false_negative"),
)
"""Precision: false negatives among the removed or attracted; recall: the other way round; false
negatives among the candidates, and among the chosen."""
SCORES = ("mean", "ci_low", "ci_high", "difference", "difference_low", "difference_high", "n_seeds")


def false_negative_table(difficulty: pd.DataFrame, board: Leaderboard) -> pd.DataFrame:
    """Return one row per method whose training data had the truth.

    Args:
        difficulty: The long difficulty table.
        board: The leaderboard made from them; scores are in points.

    Returns:
        Columns `IDENTITY`, ``removed_share`` (of the eligible candidates), the columns of `RATES`
        (each a share in [0, 1], counted over all measured steps and seeds: what is summed is
        candidates, not batches; empty where nothing was removed or attracted), and `SCORES`.
        Sorted by data and score. Empty if no cell knew the truth.
    """
    wanted = plain_texts(difficulty[difficulty["quantity"].isin([*RATES, "removed"])])
    if not (wanted["quantity"] == "false_negative_candidates").any():
        return pd.DataFrame(columns=[*IDENTITY, "removed_share", *RATES, *SCORES])
    hits = wanted.assign(hits=(wanted["mean"] * wanted["count"]).fillna(0.0))
    sums = hits.groupby([*IDENTITY, "quantity"])[["hits", "count"]].sum()
    rate = (sums["hits"] / sums["count"].where(sums["count"] > 0)).unstack("quantity")
    table = rate.reindex(columns=list(RATES))
    table.insert(0, "removed_share", rate["removed"])
    scored = board.rows.reindex(columns=[*IDENTITY, *SCORES])
    out = table.reset_index().merge(scored, on=list(IDENTITY), how="left")
    return out.sort_values(["data", "mean"], ascending=[True, False], kind="stable").reset_index(
        drop=True
    )


def rate_table(every: Sequence[Pool], difficulty: pd.DataFrame) -> pd.DataFrame:
    """Return the false negatives that samplers picked up, and the rate that was dialled.

    Args:
        every: Pools; their cells know the rate of their data, see
            `nsbench.benchmarks.data.false_negative_rate`.
        difficulty: The long difficulty table.

    Returns:
        One row per data set, encoder, sampler and augmentation: ``dialled``, what a uniform choice
        among in-batch candidates meets in expectation; ``measured`` among the chosen, counted over
        all measured steps of a seed, then the mean over seeds, with its 95 % t interval ``low`` to
        ``high``; ``verdict``: whether the interval holds the dialled rate (``as dialled``) or lies
        ``above`` or ``below``. All in [0, 1].
    """
    keys = ["data", "encoder", "sampler", "augmentation"]
    columns = [*keys, "dialled", "measured", "low", "high", "n_seeds", "verdict"]
    cells = [p.cells for p in every if "data_false_negative_rate" in p.cells]
    known = pd.concat(cells) if cells else pd.DataFrame()
    if known.empty or difficulty.empty:
        return pd.DataFrame(columns=columns)
    known = known.drop_duplicates("key").dropna(subset=["data_false_negative_rate"])
    part = plain_texts(difficulty[difficulty["quantity"] == "false_negative"])
    part = part[part["key"].isin(known["key"]) & (part["count"] > 0)]
    sums = part.assign(hits=part["mean"] * part["count"])
    sums = sums.groupby([*keys, "seed"])[["hits", "count"]].sum()
    seeds = (sums["hits"] / sums["count"]).rename("rate").reset_index()
    dialled = known.drop_duplicates("data").set_index("data")["data_false_negative_rate"]
    rows = []
    for named, rates in seeds.groupby(keys, sort=True)["rate"]:
        n, mean = len(rates), float(rates.mean())
        half = float("nan")
        if n > 1:
            half = float(scipy_stats.t.ppf(0.975, n - 1) * rates.std() / n**0.5)
        data, *others = (str(n) for n in named) if isinstance(named, tuple) else (str(named),)
        rate = float(dialled.loc[data])
        low, high = mean - half, mean + half
        verdict = "above" if low > rate else "below" if high < rate else "as dialled"
        verdict = verdict if n > 1 else "one seed"
        rows.append((data, *others, rate, mean, low, high, n, verdict))
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["dialled", "measured", *keys], kind="stable", ignore_index=True)


def _rate_lines(table: pd.DataFrame) -> list[str]:
    ends = r" \[{:.1f}, {:.1f}\]"
    rows = [
        [
            *(text.markdown_text(row[n]) for n in ("data", "sampler", "augmentation")),
            text.percent(row["dialled"], 1),
            text.with_interval(
                *(100 * row[n] for n in ("measured", "low", "high")), form="{:.1f} %", ends=ends
            ),
            *(row["n_seeds"], row["verdict"]),
        ]
        for row in text.records(table)
    ]
    headings = ("data", "sampler", "augmentation", "dialled", "measured", "seeds", "verdict")
    return [
        "",
        "## Dialled and picked up",
        "",
        "What a uniform choice among in-batch candidates meets in expectation, and what was "
        "measured among the chosen; brackets hold the 95 % t interval over seeds.",
        "",
        *text.markdown_lines(headings, rows),
    ]


def markdown(table: pd.DataFrame) -> str:
    """Return the table in Markdown, a section per data set; shares in percent, scores in points."""
    lines = [
        "# False negatives",
        "",
        "Shares are counted over candidates of all measured steps and seeds. The score is the "
        "leaderboard's mean, the difference is to the baseline, paired by seed.",
    ]
    headings = (
        *("sampler", "augmentation", "removed", "precision", "recall", "attracted precision"),
        *("attracted recall", "left among the chosen", "score", "difference"),
    )
    for data, rows in table.groupby("data", sort=True):
        lines += ["", f"## {text.markdown_text(data)}", ""]
        lines += text.markdown_lines(headings, map(_cells, text.records(rows)))
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    shares = ("removed_share", *RATES[:4], "false_negative")
    names = [text.markdown_text(row[n]) for n in ("sampler", "augmentation")]
    ends = r" \[{:.2f}, {:.2f}\]"
    score = text.with_interval(row["mean"], row["ci_low"], row["ci_high"], ends=ends)
    signed = text.with_ends(row, "difference", form="{:+.2f}", ends=r" \[{:+.2f}, {:+.2f}\]")
    return [*names, *(text.percent(row[s], 1) for s in shares), score, signed]


def write_false_negatives(
    results: Results, board: Leaderboard, out: Path, difficulty: pd.DataFrame
) -> list[Path]:
    """Write ``false_negatives.csv`` and ``.md``, ``false_negative_rates.csv`` under ``tables``.

    Nothing if no cell had the truth; the last one only if records say what was dialled.
    """
    table = false_negative_table(difficulty, board)
    if table.empty:
        return []
    files = {"false_negatives.csv": text.csv_text(table), "false_negatives.md": markdown(table)}
    rates = rate_table(pools(results), difficulty)
    if not rates.empty:
        files["false_negative_rates.csv"] = text.csv_text(rates)
        files["false_negatives.md"] += "\n".join(_rate_lines(rates)) + "\n"
    return text.write_tables(out, files)
