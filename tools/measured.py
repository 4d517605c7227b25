"""Measured results of a component, read from the published leaderboards."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from nsbench.analysis.tables.text import markdown_lines, markdown_text

RESULTS = Path(__file__).resolve().parent.parent / "results"
FILES = {
    "samplers": ("leaderboard_samplers.csv", "sampler"),
    "augmentations": ("leaderboard_augmentations.csv", "value"),
    "objectives": ("leaderboard_objectives.csv", "value"),
    "candidates": ("leaderboard_candidates.csv", "value"),
    "encoders": ("leaderboard_encoders.csv", "value"),
}
"""By kind, the leaderboard and its column of labels."""
MOST = 12
"""Rows of a page, the first ones; the leaderboards have all."""


def measured(kind: str, name: str, results: Path = RESULTS) -> str:
    """Return a Markdown table of all published verdicts on a component; empty without any.

    Args:
        kind: Key of `FILES`.
        name: Its registered name; labels with parameters belong to it.
        results: Folder of published results.
    """
    rows = list(_rows(kind, name, results))
    if not rows:
        return ""
    columns = ["results", "as", "difference to the baseline", "verdict", "cost", "alarms"]
    lines = markdown_lines(columns, rows[:MOST])
    if (left := len(rows) - MOST) > 0:
        lines += ["", f"And {left} more rows in the leaderboards."]
    return "\n".join(lines)


def _rows(kind: str, name: str, results: Path) -> Iterator[list[str]]:
    file, column = FILES[kind]
    for path in sorted(results.glob(f"*/{file}")):
        with path.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
        if "verdict" not in (rows[0] if rows else {}):
            continue
        base = {r["pool"]: r for r in rows if r["verdict"] == "baseline"}
        for row in rows:
            if row[column].partition("(")[0] != name or not row["mean"]:
                continue
            place = f"`results/{path.parent.name}`"
            made = [place, f"`{row[column]}`", _difference(row), row["verdict"]]
            made.append(_cost(row, base.get(row["pool"])))
            yield [*made, markdown_text(row.get("alarms", ""))]


def used_in(kind: str, name: str, results: Path = RESULTS) -> list[str]:
    """Return the published results that have a component, compared with another or not.

    Args:
        kind: As in `measured`.
        name: Its registered name.
        results: Folder of published results.
    """
    column = kind if kind == "candidates" else kind.removesuffix("s")
    found = []
    for path in sorted(results.glob("*/leaderboard.csv")):
        with path.open(encoding="utf-8", newline="") as opened:
            values = {row.get(column) or "" for row in csv.DictReader(opened)}
        if any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", v) for v in values):
            found.append(path.parent.name)
    return found


def _difference(row: dict[str, str]) -> str:
    if not row["difference"]:
        return ""
    text = f"{float(row['difference']):+.2f}"
    if row["difference_low"]:
        text += f" [{float(row['difference_low']):.2f}, {float(row['difference_high']):.2f}]"
    return markdown_text(text)


def _cost(row: dict[str, str], base: dict[str, str] | None) -> str:
    """Encoder passes and seconds of training compared with the baseline's, as far as known."""
    told = []
    for column, words in (("encodes", "encoder passes"), ("seconds_train", "seconds")):
        own, other = row.get(column), (base or {}).get(column)
        if own and other and float(other):
            told.append(f"{float(own) / float(other):.2f} x {words}")
    return ", ".join(told)
