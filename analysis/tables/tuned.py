"""Defaults and tuned settings side by side, from the folder of a tuning study."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.read.load import Results
from nsbench.analysis.statistics import comparisons
from nsbench.analysis.statistics.stats import t_half_width
from nsbench.analysis.tables.pools import main_scores, several_splits
from nsbench.analysis.tables.text import (
    csv_text,
    markdown_lines,
    markdown_text,
    with_interval,
    write_tables,
)
from nsbench.benchmarks.records import RecordError, read_json

COLUMNS = (
    *("sampler", "augmentation", "rank_default", "rank_tuned", "default", "default_low"),
    *("default_high", "tuned", "tuned_low", "tuned_high", "difference", "difference_low"),
    *("difference_high", "p_holm", "n_seeds", "n_tasks", "trials", "different_settings"),
    *("failed_trials", "dev_default", "dev_tuned", "setting"),
)


def tuned_table(results: Results) -> tuple[pd.DataFrame, list[str]]:
    """Return one row per method of every tuning study among the results' folders.

    Returns:
        Columns `COLUMNS`, in points, best tuned mean first; means are over fresh seeds and all
        tasks with Student's intervals over seeds, differences are tuned less default, paired by
        seed, p corrected by Holm over the methods whose setting changed. And one line for every
        ``tuning.json`` that cannot be read.
    """
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    roots = [root for root in results.roots if (root / "tuning.json").is_file()]
    if roots:
        scores = 100.0 * main_scores(results.scores, several_splits(results))
        values = scores.mean(axis=1, skipna=False)
    for root in roots:
        try:
            for method in read_json(root / "tuning.json")["methods"]:
                rows.append(_row(method, values) | {"n_tasks": scores.shape[1]})
        except (RecordError, KeyError, TypeError) as error:
            notes.append(f"{root / 'tuning.json'} is not a tuning study: {error}")
    table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, "_raw_p"])
    if rows:
        table["p_holm"] = comparisons.holm(table["_raw_p"].to_numpy(dtype=float))
        for kind in ("default", "tuned"):
            table[f"rank_{kind}"] = table[kind].rank(ascending=False, method="min").astype("Int64")
        table = table.sort_values(["rank_tuned", "sampler", "augmentation"], ignore_index=True)
    return table[list(COLUMNS)], notes


def write_tuned(results: Results, out: Path) -> list[Path]:
    """Write ``tables/tuned.csv`` and ``.md`` if a study is among the results."""
    table, notes = tuned_table(results)
    if table.empty and not notes:
        return []
    return write_tables(out, {"tuned.csv": csv_text(table), "tuned.md": _document(table, notes)})


def _row(method: dict[str, Any], values: "pd.Series[float]") -> dict[str, Any]:
    default, tuned = (_of(method[kind], values) for kind in ("default", "tuned"))
    paired = comparisons.paired(tuned[None], default[None])
    row: dict[str, Any] = {k: method[k] for k in ("sampler", "augmentation", "trials")}
    row |= {k: method[k] for k in ("different_settings", "failed_trials")}
    for kind, array in (("default", default), ("tuned", tuned)):
        centre = float(np.mean(array)) if len(array) else float("nan")
        half = float(t_half_width(array[None], 0.95)[0])
        row |= {kind: centre, f"{kind}_low": centre - half, f"{kind}_high": centre + half}
        dev = method[f"dev_{kind}"]
        row[f"dev_{kind}"] = float("nan") if dev is None else 100.0 * float(dev)
    changed = method["default"] != method["tuned"]
    row |= {
        "difference": float(paired.difference[0]) if changed else 0.0,
        "difference_low": float(paired.low[0]) if changed else float("nan"),
        "difference_high": float(paired.high[0]) if changed else float("nan"),
        "_raw_p": float(paired.p[0]) if changed else float("nan"),
        "n_seeds": int(paired.n[0]),
    }
    setting = ", ".join(f"{k}={_short(v)}" for k, v in sorted(method["values"].items()))
    return row | {"setting": setting or "defaults"}


def _of(keys: Sequence[str], values: "pd.Series[float]") -> Any:
    """Return the means of cells by seed, NaN where one is missing."""
    return values.reindex([str(k) for k in keys]).to_numpy(dtype=float)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _document(table: pd.DataFrame, notes: Sequence[str]) -> str:
    lines = [
        "# Defaults and tuned settings",
        "",
        "In points; means over fresh seeds and all tasks, brackets hold 95 % intervals. Every "
        "method had the same number of trials, judged on development data; test scores were read "
        "once.",
        "",
    ]
    headings = (
        *("rank", "rank at defaults", "sampler", "augmentation", "default", "tuned"),
        *("difference", "p", "trials", "setting"),
    )
    rows = [
        [
            *(row["rank_tuned"], row["rank_default"], row["sampler"], row["augmentation"]),
            *(_interval(row, name) for name in ("default", "tuned", "difference")),
            "" if pd.isna(row["p_holm"]) else f"{row['p_holm']:.3f}",
            *(row["trials"], row["setting"]),
        ]
        for _, row in table.iterrows()
    ]
    lines += markdown_lines(headings, [[markdown_text(c) for c in row] for row in rows])
    lines += ["", *(f"- {markdown_text(n)}" for n in notes)]
    return "\n".join(lines).rstrip() + "\n"


def _interval(row: "pd.Series[Any]", name: str) -> str:
    form = "{:+.2f}" if name == "difference" else "{:.2f}"
    return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], form=form)
