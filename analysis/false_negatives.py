"""What false-negative methods took out, against the truth, beside the score it led to."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nsbench.analysis.leaderboard import Leaderboard
from nsbench.analysis.load import Results, load_difficulty
from nsbench.analysis.tables import csv_text, markdown_text
from nsbench.benchmarks.records import write_atomically

IDENTITY = ("data", "encoder", "sampler", "augmentation", "objective")
RATES = {
    "removed_precision": "false negatives among the removed",
    "removed_recall": "removed among the false negatives",
    "attracted_precision": "false negatives among the attracted",
    "attracted_recall": "attracted among the false negatives",
    "false_negative_candidates": "false negatives among the candidates",
    "false_negative": "false negatives among the chosen",
}
SCORES = ("mean", "ci_low", "ci_high", "difference", "difference_low", "difference_high", "n_seeds")


def false_negative_table(results: Results, board: Leaderboard) -> pd.DataFrame:
    """One row per method whose training data knew the truth.

    Args:
        results: The loaded results.
        board: The leaderboard made of them; scores are in points.

    Returns:
        Columns `IDENTITY`, ``removed_share`` (of the eligible candidates), the columns of `RATES`
        (each a share in [0, 1], counted over all measured steps and seeds: what is summed is
        candidates, not batches; empty where nothing was removed or attracted), and `SCORES`.
        Sorted by data and score. Empty if no cell knew the truth.
    """
    long, _ = load_difficulty(results)
    wanted = long[long["quantity"].isin([*RATES, "removed"])]
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


def markdown(table: pd.DataFrame) -> str:
    """The table in Markdown, one section per data set; shares in percent, scores in points."""
    lines = [
        "# False negatives",
        "",
        "Shares are counted over candidates of all measured steps and seeds. The score is the "
        "leaderboard's mean, the difference is to the baseline, paired by seed.",
    ]
    for data, rows in table.groupby("data", sort=True):
        lines += [
            "",
            f"## {markdown_text(data)}",
            "",
            "| sampler | augmentation | removed | precision | recall | attracted precision "
            "| attracted recall | left among the chosen | score | difference |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in rows.to_dict("records"):
            shares = (
                "removed_share",
                "removed_precision",
                "removed_recall",
                "attracted_precision",
                "attracted_recall",
                "false_negative",
            )
            cells = [markdown_text(row[n]) for n in ("sampler", "augmentation")]
            cells += [*(_percent(row[s]) for s in shares)]
            cells += [_interval(row, "mean", "ci"), _interval(row, "difference", "difference")]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write_false_negatives(results: Results, board: Leaderboard, out: Path) -> list[Path]:
    """Write ``tables/false_negatives.csv`` and ``.md``; nothing where no truth was known."""
    table = false_negative_table(results, board)
    if table.empty:
        return []
    (out / "tables").mkdir(parents=True, exist_ok=True)
    files = {"false_negatives.csv": csv_text(table), "false_negatives.md": markdown(table)}
    for name, text in files.items():
        write_atomically(out / "tables" / name, text)
    return [out / "tables" / name for name in files]


def _percent(value: float) -> str:
    return "" if pd.isna(value) else f"{100 * value:.1f} %"


def _interval(row: Mapping[Hashable, Any], name: str, prefix: str) -> str:
    if pd.isna(row[name]):
        return ""
    low, high = row[f"{prefix}_low"], row[f"{prefix}_high"]
    sign = "+" if name == "difference" else ""
    text = f"{row[name]:{sign}.2f}"
    return text if pd.isna(low) else f"{text} \\[{low:{sign}.2f}, {high:{sign}.2f}\\]"
