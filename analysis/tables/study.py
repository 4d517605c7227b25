"""Findings of a tuning study: the verdicts of `tuned_table`, family by family, in sentences."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from nsbench.analysis.read.load import Results
from nsbench.analysis.statistics import verdicts
from nsbench.analysis.tables.judging import alarms_in
from nsbench.analysis.tables.method_names import method_names
from nsbench.analysis.tables.pools import Pool
from nsbench.analysis.tables.text import counted, gap, records, some
from nsbench.analysis.tables.tuned import tuned_keys, tuned_table
from nsbench.benchmarks.records import RecordError

_NAMED = 8


def study_findings(results: Results, every: Sequence[Pool]) -> list[tuple[str, ...]]:
    """Return sentences for each pool of a tuning study; none for other results.

    They hold what ``tables/tuned.csv`` holds: tuned against tuned, and tasks of different families
    are not averaged.
    """
    table, _ = tuned_table(results)
    try:
        methods = [] if table.empty else tuned_keys(results)
    except RecordError:
        methods = []
    if not methods:
        return [()] * len(every)
    out = []
    for pool in every:
        keys = set(pool.cells["key"])
        places = {(m["encoder"], m["data"]) for m in methods if keys & {*map(str, m["tuned"])}}
        own = [place in places for place in zip(table["encoder"], table["data"], strict=True)]
        families = table[own].groupby(["family", "encoder", "data"], sort=False)
        out.append(tuple(line for _, part in families for line in _sentences(part)))
    return out


def _sentences(part: pd.DataFrame) -> list[str]:
    """Return the findings of one family of tasks: what is better, and the rest."""
    rows = records(part.assign(method=method_names(part)))
    base = next((r for r in rows if r["tuned_verdict"] == verdicts.BASELINE), None)
    family = f"{rows[0]['family']} ({counted(rows[0]['n_tasks'], 'task')})"
    lead = f"Tuned, on {family}"
    if base:
        lead += f", {base['method']} has {base['tuned_mean']:.1f} points, {_gain(base)}"
    lent = {str(r["baseline"]) for r in rows if r["baseline"]} if base is None else set()
    than = " or ".join(sorted(lent)) or "it"  # of the study's first data, see `tuned`
    better = _listed(rows, verdicts.BETTER, base)
    none = f"No method is better than {than}" if lent else "No method is better"
    out = [f"{lead}. {f'Better than {than}: {better}' if better else none}."]
    common = alarms_in(base["tuned_alarms"]) if base else []
    loud = [
        f"{r['method']}: {', '.join(own)}"
        for r in rows
        if r["tuned_verdict"] == verdicts.BETTER
        and (own := [a for a in alarms_in(r["tuned_alarms"]) if a not in common])
    ]
    out += [f"Of these, alarms rang in the cells of {some(loud, _NAMED, '; ')}."] if loud else []
    rest = [
        f"{words}: {listed}"
        for verdict, words in (
            (verdicts.EQUIVALENT, f"equivalent within {verdicts.MARGIN:g} points"),
            (verdicts.WORSE, "worse"),
            (verdicts.UNDECIDED, "undecided"),
        )
        if (listed := _listed(rows, verdict, base))
    ]
    rest += [
        f"{counted(number, what)} {how}"
        for number, what, how in (
            (sum(bool(r["skip"]) for r in rows), "method", "skipped"),
            (int(part["tuned_n_failed"].sum()), "cell", "failed"),
            (int(part["tuned_n_missing"].sum()), "cell", "missing"),
        )
        if number
    ]
    return out + ([f"Also on {family}, {'; '.join(rest)}."] if rest else [])


def _listed(rows: Sequence[dict[str, Any]], verdict: str, base: dict[str, Any] | None) -> str:
    """Return the methods of one verdict, the clearest first."""
    sign = 1 if verdict == verdicts.WORSE else -1
    found = [r for r in rows if r["tuned_verdict"] == verdict]
    found.sort(key=lambda r: (sign * r["tuned_difference"], r["method"]))
    return some([_named(r, base) for r in found], _NAMED)


def _gain(base: dict[str, Any]) -> str:
    if base["gain"] == 0 or pd.isna(base["gain"]):
        return "its defaults were its best setting"
    return f"{base['gain']:+.1f} against its defaults"


def _named(row: dict[str, Any], base: dict[str, Any] | None) -> str:
    other = base is not None and row["augmentation"] not in ("", base["augmentation"])
    name = f"{row['method']} with {row['augmentation']}" if other else row["method"]
    return f"{name} ({gap(row['tuned_difference'])})"
