"""Band ablation: what keeping, or dropping, one band of the difficulty ranking does to the score.

Source: the experiments and claims are those of Cai et al. 2020, Are all negatives created equal in
contrastive instance discrimination? https://arxiv.org/abs/2010.06682
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.tables.leaderboard import Leaderboard
from nsbench.analysis.tables.pools import Pool
from nsbench.analysis.tables.write import csv_text, markdown_text
from nsbench.benchmarks.files import write_atomically

ARMS = {"band": "keep", "drop_band": "drop"}
REFERENCES = {"in_batch": "all negatives", "no_training": "untrained", "random": "random"}
CLAIMED = 0.05
"""Share of the hardest negatives that the paper calls necessary and sufficient."""
TINY = 0.001
"""Share of the very hardest that it calls unnecessary and sometimes harmful."""
LEAST_BANDS = 3
_KEPT = ("mean", "ci_low", "ci_high", "difference", "difference_low", "difference_high", "n_seeds")


def band_tables(pool: Pool, board: Leaderboard) -> Iterator[pd.DataFrame]:
    """A band experiment per objective and candidate pool, see `band_table`; those that hold one."""
    if len({m["sampler"] for m in pool.methods if m["sampler_name"] in ARMS}) < LEAST_BANDS:
        return
    rows = board.rows[board.rows["pool"] == pool.title]
    settings = [c for c in ("objective", "candidates") if c in rows]
    free = rows[(rows[settings].fillna("") == "").all(axis=1)]  # the untrained encoder
    trained = rows.drop(free.index)
    groups = list(trained.groupby(settings, sort=True))
    for _, part in groups:
        table = band_table(pool, pd.concat([free, part]))
        if not table.empty:
            told = [c for c in settings if trained[c].nunique() > 1]
            setting = ", ".join(str(part[c].iloc[0]) for c in told)
            yield table.assign(setting=setting)


def band_table(pool: Pool, rows: pd.DataFrame) -> pd.DataFrame:
    """One row per arm of a band experiment, and one per reference.

    Args:
        pool: A pool of cells.
        rows: Rows of the leaderboard made of it, one objective and candidate pool; scores and
            differences are in points, differences are to its baseline, paired by seed.

    Returns:
        Columns ``arm`` (keep, drop, or the reference's name), ``low`` and ``high`` (shares of the
        ranking, 0 = hardest; empty for references), ``sampler``, ``k`` of ``random``, mean with
        its t interval over seeds, difference, ``n_seeds``, ``n_tasks``, ``candidates`` (negatives
        that all negatives have per anchor) and ``pool``. Empty if fewer than three bands were
        kept or dropped.
    """
    cells = pool.cells
    if not {"p_sampler_low", "p_sampler_high"} <= set(cells.columns):
        return pd.DataFrame()
    names = ("sampler", "sampler_name", "p_sampler_low", "p_sampler_high", "p_sampler_k")
    settings = cells.reindex(columns=list(names)).drop_duplicates("sampler").set_index("sampler")
    rows = rows[rows["pool"] == pool.title].drop_duplicates("sampler", keep=False)
    negatives = rows.set_index("sampler").reindex(["in_batch"]).get("negatives_per_anchor")
    out = []
    for row in rows.to_dict("records"):
        if row["sampler"] not in settings.index or pd.isna(row["mean"]):
            continue
        given = settings.loc[row["sampler"]]
        name = str(given["sampler_name"])
        if name not in ARMS and name not in REFERENCES:
            continue
        banded = name in ARMS
        out.append(
            {
                "arm": ARMS.get(name) or REFERENCES[name],
                "low": given["p_sampler_low"] if banded else np.nan,
                "high": given["p_sampler_high"] if banded else np.nan,
                "k": given["p_sampler_k"] if name == "random" else np.nan,
                "sampler": row["sampler"],
                **{c: row[c] for c in _KEPT},
                "n_tasks": row["n_tasks"],
                "candidates": np.nan if negatives is None else negatives.iloc[0],
                "pool": pool.title,
            }
        )
    table = pd.DataFrame(out)
    if table.empty or table["arm"].isin(ARMS.values()).sum() < LEAST_BANDS:
        return pd.DataFrame()
    return table.sort_values(["arm", "low", "high", "k"], kind="stable", ignore_index=True)


def claims(table: pd.DataFrame) -> list[str]:
    """What holds of the paper's claims here, in sentences made from the numbers alone.

    A claim holds where the interval of the paired difference says so; where it covers 0 the
    sentence says that the two could not be told apart, and how far off the truth could lie.

    Args:
        table: As `band_table` makes it.
    """
    hard = f"hardest {100 * CLAIMED:g} %"
    kept, dropped = _arm(table, "keep", 0, CLAIMED), _arm(table, "drop", 0, CLAIMED)
    out = []
    if kept is not None:
        verdict = _verdict(
            kept,
            up="sufficient here, and better than all",
            same="sufficient as far as this design can tell",
            down="not sufficient here",
        )
        out.append(f"The {hard} alone are {verdict}: {_difference(kept)}.")
    random = table[table["arm"] == "random"]
    if kept is not None and len(random):
        size = float(table["candidates"].fillna(0).max())
        apart = (random["k"].fillna(0) - CLAIMED * size).abs()
        row = random.iloc[int(apart.to_numpy().argmin())].to_dict()
        out.append(
            f"As a control for their number, {row['k']:g} random negatives gave {_score(row)}, "
            f"the {hard} alone {_score(kept)}."
        )
    if dropped is not None:
        verdict = _verdict(
            dropped,
            up="harmful here: without them the score rises",
            same="not shown to be necessary here",
            down="necessary here",
        )
        out.append(f"The {hard} are {verdict}: without them {_difference(dropped)}.")
    others = _others(table, "drop")
    if len(others):
        # Bands whose loss does the score any harm, out of all that are not the hardest.
        harmed = int((others["difference_high"] < 0).sum())
        worst = others.sort_values("difference").iloc[0].to_dict()
        out.append(
            f"Of the {len(others)} easier bands, dropping {harmed or 'none'} lowers the score "
            f"(each at 95 %, not corrected for their number); "
            f"the largest loss is {_band(worst)}: {_difference(worst)}."
        )
    others = _others(table, "keep")
    if len(others):
        below = int((others["difference_high"] < 0).sum())
        best = others.sort_values("difference").iloc[-1].to_dict()
        out.append(
            f"Of the {len(others)} easier bands, {below or 'none'} alone fall short of all "
            f"negatives; the best is {_band(best)}: {_difference(best)}."
        )
    untrained = table[table["arm"] == "untrained"]
    kept_bands = table[table["arm"] == "keep"]
    if len(untrained) and len(kept_bands):
        floor = float(untrained["mean"].iloc[0])
        worse = kept_bands[kept_bands["ci_high"] < floor]
        words = ", ".join(_band(r) for r in worse.to_dict("records")) or "no band"
        out.append(f"Kept alone, {words} ended below the untrained encoder ({floor:.1f}).")
    share = f"{100 * TINY:g} %"
    tiny = _arm(table, "drop", 0, TINY)
    if tiny is not None:
        verdict = _verdict(
            tiny,
            up="harmful here: without them the score rises",
            same="not shown to matter here",
            down="needed here",
        )
        out.append(f"The hardest {share} are {verdict}: without them {_difference(tiny)}.")
    candidates = table["candidates"].dropna()
    if len(candidates):
        n = float(candidates.iloc[0])
        if TINY * n < 1:
            out.append(
                f"The hardest {share} cannot be asked about at {n:.0f} candidates: it is "
                f"{TINY * n:.2f} of one negative; at least {1 / TINY:.0f} are needed."
            )
    return out


def _arm(table: pd.DataFrame, arm: str, low: float, high: float) -> dict[Hashable, Any] | None:
    found = table[
        (table["arm"] == arm) & np.isclose(table["low"], low) & np.isclose(table["high"], high)
    ]
    return None if found.empty else found.iloc[0].to_dict()


def _others(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Arms that do not touch the hardest, with a known difference."""
    part = table[(table["arm"] == arm) & (table["low"] >= CLAIMED - 1e-9)]
    return part.dropna(subset=["difference"])


def _verdict(row: Mapping[Hashable, Any], *, up: str, same: str, down: str) -> str:
    if pd.isna(row["difference_low"]):
        return "not judged (one seed)"
    if row["difference_low"] > 0:
        return up
    return down if row["difference_high"] < 0 else same


def _difference(row: Mapping[Hashable, Any]) -> str:
    text = f"{row['difference']:+.2f} points against all negatives"
    if pd.isna(row["difference_low"]):
        return text
    return (
        f"{text} (95 % interval {row['difference_low']:+.2f} to {row['difference_high']:+.2f}, "
        f"n = {row['n_seeds']:g})"
    )


def _score(row: Mapping[Hashable, Any]) -> str:
    if pd.isna(row["ci_low"]):
        return f"{row['mean']:.1f}"
    return f"{row['mean']:.1f} ({row['ci_low']:.1f} to {row['ci_high']:.1f})"


def _band(row: Mapping[Hashable, Any]) -> str:
    return f"{100 * row['low']:g} to {100 * row['high']:g} %"


def write_bands(every: Sequence[Pool], board: Leaderboard, out: Path) -> list[Path]:
    """Write ``tables/bands.csv`` and ``.md``; nothing where no bands were kept or dropped.

    Args:
        every: The pools behind the board.
        board: The leaderboard.
        out: The results folder.
    """
    tables = [t for pool in every for t in band_tables(pool, board)]
    if not tables:
        return []
    lines = ["# Band ablation"]
    for table in tables:
        setting = table["setting"].iloc[0]
        heading = table["pool"].iloc[0] + (f", {setting}" if setting else "")
        lines += ["", f"## {markdown_text(heading)}", ""]
        lines += [f"* {sentence}" for sentence in claims(table)]
        lines += ["", "| arm | band | score | against all negatives |", "| --- | --- | --- | --- |"]
        for row in table.to_dict("records"):
            band = "" if pd.isna(row["low"]) else _band(row)
            gap = "" if pd.isna(row["difference"]) else _difference(row).split(" against")[0]
            low, high = row["difference_low"], row["difference_high"]
            gap += "" if pd.isna(low) else f" ({low:+.2f} to {high:+.2f})"
            lines.append(f"| {row['arm']} | {band} | {_score(row)} | {gap} |")
    (out / "tables").mkdir(parents=True, exist_ok=True)
    files = {
        "bands.csv": csv_text(pd.concat(tables, ignore_index=True)),
        "bands.md": "\n".join(lines) + "\n",
    }
    for name, text in files.items():
        write_atomically(out / "tables" / name, text)
    return [out / "tables" / name for name in files]
