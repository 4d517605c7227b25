"""Comparison groups as plain data for the page: scores by seed and the stored verdicts."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.figures.style import SOLID, look
from nsbench.analysis.statistics.simultaneous import Critical
from nsbench.analysis.statistics.stats import seed_means
from nsbench.analysis.tables import pools
from nsbench.analysis.tables.judging import PAIRED
from nsbench.analysis.tables.leaderboard import POINTS, Leaderboard, words
from nsbench.analysis.tables.machines import SECONDS
from nsbench.analysis.tables.method_names import method_names
from nsbench.analysis.tables.text import records
from nsbench.analysis.tables.write import of_pool

_STORED = (
    *("rank", "rank_lo", "rank_hi", "group", "mean", "ci_low", "ci_high", "difference"),
    *("difference_low", "difference_high", "p_adjusted", "verdict", "more_seeds", "mean_ranked"),
    *("n_seeds", "n_failed", "n_missing", "n_skipped", "iqm", "borda", "improvement", "alarms"),
)
_MOST_SCORES = 600_000
"""Scores of a group up to which they are given by task and seed."""


def pools_data(
    board: Leaderboard, every: Sequence[pools.Pool], said: Sequence[Sequence[str]]
) -> list[dict[str, Any]]:
    """Return each comparison group with two views: by sampler and augmentation, and by sampler.

    Returns:
        ``{"title", "baseline", "margin", "findings", "notes", "words", "tasks", "seeds",
        "shared", "axes", "views": {"rows", "samplers"}}``; a view as in `_view`, ``axes`` as
        `axis_table` has them.
    """
    return [
        {
            "title": statistics.title,
            "baseline": statistics.baseline,
            "margin": statistics.margin,
            "findings": list(findings),
            "notes": list(statistics.notes),
            "words": words(statistics),
            "tasks": list(pool.tasks),
            "seeds": list(pool.seeds),
            "shared": {k: str(pool.shared[k]) for k in pools.POOL_KEYS},
            "axes": [
                {k: _plain(v) for k, v in row.items()}
                for row in records(of_pool(board.axes, statistics))
            ],
            "views": {
                "rows": _view(pool, of_pool(board.rows, statistics), statistics.critical),
                "samplers": _view(
                    pools.marginal(pool),
                    of_pool(board.samplers, statistics),
                    statistics.critical_samplers,
                ),
            },
        }
        for statistics, pool, findings in zip(board.pools, every, said, strict=True)
    ]


def _view(pool: pools.Pool, table: pd.DataFrame, critical: Critical | None) -> dict[str, Any]:
    """Return methods, scores and stored columns, all in the order of the stored ranks.

    Returns:
        ``methods`` (values of the axes, keys of cells by seed, look, costs), ``scores`` in points
        by method, seed and task (``None`` above 600,000), ``means`` by method and seed, ``stored``
        (columns of the leaderboard) and ``critical``.
    """
    shown = [k for k in pools.METHOD_KEYS if k in table.columns]
    place = {tuple(str(m[k]) for k in shown): i for i, m in enumerate(pool.methods)}
    order = [place[tuple(str(row[k]) for k in shown)] for row in records(table[shown])]
    scores = POINTS * pool.scores[order]
    costs = [c for c in (*pools.COSTS, *SECONDS) if c in table]
    keys = _keys(pool)
    methods = []
    names = method_names(table)
    for row, index, label in zip(records(table[costs]), order, names, strict=True):
        method = pool.methods[index]
        style = look(str(method["sampler"]))
        methods.append(
            {
                **{k: str(method[k]) for k in pools.METHOD_KEYS},
                "label": label,
                "name": str(method["sampler_name"]),
                "untrained": bool(method["untrained"]),
                "colour": style.colour,
                "marker": style.marker,
                "dashed": style.dash != SOLID,
                "keys": keys.get(index, {}),
                "cost": {k: _number(v) for k, v in row.items()},
            }
        )
    few = scores.size <= _MOST_SCORES
    return {
        "methods": methods,
        "means": [[_number(v, 0) for v in row] for row in seed_means(scores)],
        "scores": [[[_number(v, 7) for v in s] for s in m] for m in scores] if few else None,
        "stored": {c: [_plain(v) for v in table[c]] for c in _STORED if c in table},
        "critical": None
        if critical is None
        else {"baseline": critical.baseline, "pairs": critical.pairs},
        "recomputes": len(order) <= PAIRED,
    }


def _keys(pool: pools.Pool) -> dict[int, dict[str, list[str]]]:
    """Return the keys of the cells of each method, by seed."""
    cells = pool.cells
    out: dict[int, dict[str, list[str]]] = {}
    for method, seed, key in zip(cells["method"], cells["seed"], cells["key"], strict=True):
        out.setdefault(int(method), {}).setdefault(str(int(seed)), []).append(str(key))
    return out


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA:
        return None
    if isinstance(value, float | np.floating):
        return _number(float(value))
    if isinstance(value, np.integer):
        return int(value)
    return bool(value) if isinstance(value, np.bool_) else value


def _number(value: Any, digits: int = 6) -> float | None:
    """Return a number of so many significant digits, all of them for 0; ``None`` if missing."""
    if value is None or value is pd.NA or not math.isfinite(value):
        return None
    return float(value) if not digits else float(f"{value:.{digits}g}")
