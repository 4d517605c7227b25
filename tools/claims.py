"""Compare two methods of a tuned board directly: ``python -m tools.claims results/summary``.

The folder holds ``claims.toml``: what papers claim of one method against another, and where the
published boards next to it have both. Read are the scores by seed in a board's
``tables/tuned.csv``. Written are ``claims.csv`` and ``claims.md``: the difference of each pair,
paired by seed, with its 95 % interval and verdict, every pair judged alone. With ``--check`` they
are compared with what is there.
"""

import argparse
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.statistics.verdicts import BASELINE, MARGIN, judge
from nsbench.analysis.tables import text
from nsbench.benchmarks.files import write_atomically

COLUMNS = (
    *("claim", "source", "claimed", "board", "family", "data", "method", "against", "n_seeds"),
    *("difference", "difference_low", "difference_high", "verdict"),
)
_HEAD = f"""# Claims of papers, compared directly

Each row compares two methods of a board, both tuned, paired by fresh seed: points of the board's
family of tasks, with a 95 % interval for this pair alone. The margin of equivalence is {MARGIN:g}
points. Encoder, data and size differ from the paper's, so a row says only whether the claim carries
over to this board. Made from the boards' tables by `python -m tools.claims results/summary`.
"""


def compared(folder: Path) -> pd.DataFrame:
    """Return one row per claim and board, columns `COLUMNS`, in points.

    Args:
        folder: It holds ``claims.toml``; the boards are its neighbours.

    Raises:
        SystemExit: If a board has no such method, or several.
    """
    told = tomllib.loads((folder / "claims.toml").read_text("utf-8"))["claims"]
    rows = [row for claim in told for row in _rows(folder.parent, claim)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(results: Path, claim: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for place in claim["ours"]:
        path = results / place["board"] / "tables" / "tuned.csv"
        table = pd.read_csv(path, dtype=str).fillna("")
        pair = [_row(table, claim[side] | place, path) for side in ("method", "against")]
        scores = np.array([[float(v) for v in row["tuned_scores"].split()] for row in pair])
        found = judge(scores, [1, 1], margin=MARGIN)
        gap, half = float(found.gap[0]), float(found.gap_half[0])
        yield (
            *(claim["claim"], claim["source"], claim["claimed"], place["board"]),
            *(pair[0]["family"], pair[0]["data"], *map(_name, pair), int(found.n[0])),
            *(gap, gap - half, gap + half, found.verdict()[0]),
        )


def _row(table: pd.DataFrame, wanted: Mapping[str, str], path: Path) -> dict[str, str]:
    """Return the row with the wanted labels: of the first family, the baseline's augmentation."""
    asked = {"family": table["family"].iloc[0], **wanted}
    first = table[table["tuned_verdict"] == BASELINE].iloc[0]
    asked.setdefault("augmentation", first["augmentation"])
    labels = {k: v for k, v in asked.items() if k != "board"}
    for label, value in labels.items():
        table = table[table[label] == value]
    if len(table) != 1:
        raise SystemExit(f"{path} has {len(table)} rows with {labels}; one is needed")
    return {str(k): str(v) for k, v in table.iloc[0].items()}


def _name(row: Mapping[str, str]) -> str:
    return f"{row['sampler']} x {row['objective']}"


def document(table: pd.DataFrame) -> str:
    """Return the comparisons in Markdown, a section per claim."""
    lines = [_HEAD]
    for (claim, source, claimed), part in table.groupby(list(COLUMNS[:3]), sort=False):
        lines += [f"## {text.markdown_text(claim)}", ""]
        lines += [f"{text.markdown_text(claimed)} ({text.markdown_text(source)})", ""]
        rows = [
            [
                *(row["board"], row["family"], row["data"], row["method"], row["against"]),
                *(str(row["n_seeds"]), text.with_ends(row, "difference", form="{:+.2f}")),
                row["verdict"],
            ]
            for row in text.records(part)
        ]
        heads = ("board", "tasks", "data", "method", "against", "seeds", "difference", "verdict")
        lines += text.markdown_lines(heads, [[text.markdown_text(c) for c in r] for r in rows])
        lines += [""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Write the tables, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    table = compared(given.folder)
    made = {"claims.csv": text.csv_text(table), "claims.md": document(table)}
    for name, content in made.items():
        path = given.folder / name
        if not given.check:
            write_atomically(path, content)
        elif path.read_text("utf-8") != content:
            sys.exit(f"{path} is not what the boards give; run python -m tools.claims")


if __name__ == "__main__":
    main()
