"""Band ablation: the effect of keeping, or dropping, one band of the difficulty ranking.

Source: the experiments and claims are those of Cai et al. 2020, Are all negatives created equal in
contrastive instance discrimination? https://arxiv.org/abs/2010.06682
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.tables.leaderboard import Leaderboard
from nsbench.analysis.tables.pools import Pool
from nsbench.analysis.tables.text import (
    csv_text,
    markdown_lines,
    markdown_text,
    records,
    with_ends,
    with_interval,
    write_tables,
)

ARMS = {"band": "keep", "drop_band": "drop"}
REFERENCES = {"in_batch": "all negatives", "no_training": "untrained", "random": "random"}
CLAIMED = 0.05
"""Share of the hardest negatives that the paper calls necessary and sufficient."""
TINY = 0.001
"""Share of the very hardest that it calls unnecessary and sometimes harmful."""
SAME_NUMBER = 0.1
"""Share by which random negatives may be more or fewer than those they are a control for."""
LEAST_BANDS = 3
_KEPT = ("mean", "ci_low", "ci_high", "difference", "difference_low", "difference_high", "n_seeds")


def band_tables(pool: Pool, board: Leaderboard) -> Iterator[pd.DataFrame]:
    """Yield a `band_table` per objective and candidate pool with a band experiment."""
    if len({m["sampler"] for m in pool.methods if m["sampler_name"] in ARMS}) < LEAST_BANDS:
        return
    rows = board.rows[board.rows["pool"] == pool.title]
    settings = [c for c in ("objective", "candidates") if c in rows]
    free = rows[(rows[settings].fillna("") == "").all(axis=1)]  # the untrained encoder
    trained = rows.drop(free.index)
    for _, part in trained.groupby(settings, sort=True):
        table = band_table(pool, pd.concat([free, part]))
        if not table.empty:
            varying = [c for c in settings if trained[c].nunique() > 1]
            setting = ", ".join(str(part[c].iloc[0]) for c in varying)
            yield table.assign(setting=setting)


def band_table(pool: Pool, rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per arm of a band experiment, and one per reference.

    Args:
        pool: A pool of cells.
        rows: Its rows of the leaderboard, of one objective and candidate pool; in points.

    Returns:
        Columns ``arm`` (keep, drop, or the reference's name), ``low`` and ``high`` (shares of the
        ranking, 0 = hardest; empty for references), ``sampler``, ``k`` of ``random``, mean with
        its t interval over seeds, difference, ``n_seeds``, ``n_tasks``, ``candidates`` (number of
        negatives per anchor of in_batch) and ``pool``. Empty with fewer than three bands.
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
    """Return sentences on what holds of the paper's claims here, made from the numbers alone.

    A claim holds if the interval of the paired difference excludes 0 on its side; an interval that
    covers 0 gives a sentence about no shown difference, with the interval.
    """
    parts = (_hardest, _easier, _below_untrained, _tiny)
    return [sentence for part in parts for sentence in part(table)]


_HARD = f"hardest {100 * CLAIMED:g} %"


def _hardest(table: pd.DataFrame) -> Iterator[str]:
    """Sentences on the claimed share: kept alone, against as many random ones, and dropped."""
    kept, dropped = _arm(table, "keep", CLAIMED), _arm(table, "drop", CLAIMED)
    if kept is not None:
        verdict = _verdict(
            kept,
            up="sufficient here, and better than all",
            same="sufficient as far as this design can tell",
            down="not sufficient here",
        )
        yield f"The {_HARD} alone are {verdict}: {_difference(kept)}."
    wanted = CLAIMED * float(table["candidates"].fillna(0).max())
    near = (table["k"] - wanted).abs() <= SAME_NUMBER * wanted
    random = table[(table["arm"] == "random") & near]
    if kept is not None and len(random):
        row = records(random.loc[(random["k"] - wanted).abs().sort_values().index])[0]
        yield (
            f"As a control for their number, {row['k']:g} random negatives gave {_score(row)}, "
            f"the {_HARD} alone {_score(kept)}."
        )
    if dropped is not None:
        same, down = "not shown to be necessary here", "necessary here"
        verdict = _verdict(dropped, up=_HARMFUL, same=same, down=down)
        yield f"The {_HARD} are {verdict}: without them {_difference(dropped)}."


_HARMFUL = "harmful here: without them the score rises"


def _easier(table: pd.DataFrame) -> Iterator[str]:
    """Sentences on the bands apart from the claimed share."""
    for arm, does, finds in (
        ("drop", "dropping {} lowers the score", "the largest loss is"),
        ("keep", "{} alone fall{} short of all negatives", "the best is"),
    ):
        every = _others(table, arm)
        judged = every.dropna(subset=["difference_high"])
        bands = f"{len(every)} easier band{'s' * (len(every) > 1)}"
        if len(every) > len(judged):
            have = {0: "none has", 1: "1 has"}.get(len(judged), f"{len(judged)} have")
            bands += f", of which {have} an interval"
        if len(every) and judged.empty:
            yield f"Of {bands}, nothing is judged."
        elif len(every):
            count = int((judged["difference_high"] < 0).sum())
            does = does.format(count or "none", "" if count > 1 else "s")
            row = records(judged.sort_values("difference"))[0 if arm == "drop" else -1]
            each = " (each at 95 %, not corrected for their number)" if arm == "drop" else ""
            yield f"Of {bands}, {does}{each}; {finds} {_band(row)}: {_difference(row)}."


def _below_untrained(table: pd.DataFrame) -> Iterator[str]:
    untrained, kept = table[table["arm"] == "untrained"], table[table["arm"] == "keep"]
    judged = kept.dropna(subset=["ci_high"])
    if len(untrained) and len(judged):
        floor = float(untrained["mean"].iloc[0])
        worse = records(judged[judged["ci_high"] < floor])
        words = ", ".join(map(_band, worse)) or "no band"
        less = f", of the {len(judged)} with an interval" if len(judged) < len(kept) else ""
        yield f"Kept alone, {words} ended below the untrained encoder ({floor:.1f}){less}."


def _tiny(table: pd.DataFrame) -> Iterator[str]:
    """Sentences on the very hardest, or on why they cannot be tested."""
    share = f"{100 * TINY:g} %"
    dropped = _arm(table, "drop", TINY)
    if dropped is not None:
        same, down = "not shown to matter here", "needed here"
        verdict = _verdict(dropped, up=_HARMFUL, same=same, down=down)
        yield f"The hardest {share} are {verdict}: without them {_difference(dropped)}."
    for n in table["candidates"].dropna().head(1):
        if TINY * n < 1:
            yield (
                f"The hardest {share} cannot be asked about at {n:.0f} candidates: it is "
                f"{TINY * n:.2f} of one negative; at least {1 / TINY:.0f} are needed."
            )


def _arm(table: pd.DataFrame, arm: str, high: float) -> dict[str, Any] | None:
    """Return the row of an arm whose band starts with the hardest."""
    found = table[
        (table["arm"] == arm) & np.isclose(table["low"], 0) & np.isclose(table["high"], high)
    ]
    return None if found.empty else records(found)[0]


def _others(table: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Return the arms without the hardest that have a difference."""
    part = table[(table["arm"] == arm) & (table["low"] >= CLAIMED - 1e-9)]
    return part.dropna(subset=["difference"])


def _verdict(row: Mapping[str, Any], *, up: str, same: str, down: str) -> str:
    if pd.isna(row["difference_low"]):
        seeds = int(row["n_seeds"])
        return f"not judged ({seeds} seed{'s' * (seeds > 1)})"
    if row["difference_low"] > 0:
        return up
    return down if row["difference_high"] < 0 else same


def _difference(row: Mapping[str, Any]) -> str:
    form = "{:+.2f} points against all negatives"
    ends = f" (95 % interval {{:+.2f}} to {{:+.2f}}, n = {row['n_seeds']:g})"
    return with_ends(row, "difference", form=form, ends=ends)


def _score(row: Mapping[str, Any]) -> str:
    ends = " ({:.1f} to {:.1f})"
    return with_interval(row["mean"], row["ci_low"], row["ci_high"], form="{:.1f}", ends=ends)


def _band(row: Mapping[str, Any]) -> str:
    return f"{100 * row['low']:g} to {100 * row['high']:g} %"


def write_bands(every: Sequence[Pool], board: Leaderboard, out: Path) -> list[Path]:
    """Write ``tables/bands.csv`` and ``.md``; nothing without a band experiment."""
    tables = [t for pool in every for t in band_tables(pool, board)]
    if not tables:
        return []
    lines = ["# Band ablation"]
    for table in tables:
        setting = table["setting"].iloc[0]
        heading = table["pool"].iloc[0] + (f", {setting}" if setting else "")
        lines += ["", f"## {markdown_text(heading)}", ""]
        lines += [f"* {sentence}" for sentence in claims(table)]
        headings = ("arm", "band", "score", "against all negatives")
        lines += ["", *markdown_lines(headings, map(_cells, records(table)))]
    whole = csv_text(pd.concat(tables, ignore_index=True))
    return write_tables(out, {"bands.csv": whole, "bands.md": "\n".join(lines) + "\n"})


def _cells(row: Mapping[str, Any]) -> list[str]:
    text = with_ends(row, "difference", form="{:+.2f} points", ends=" ({:+.2f} to {:+.2f})")
    return [row["arm"], "" if pd.isna(row["low"]) else _band(row), _score(row), text]
