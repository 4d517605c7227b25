"""Difficulty curves as plain data for the report's charts."""

import json
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.figures.drawing import Material
from nsbench.analysis.report.explained import NAMED, explained

_MOST_STEPS = 40
_MOST_BYTES = 6_000_000


def curves_data(material: Material) -> dict[str, Any]:
    """Return curves by pool, quantity, augmentation and sampler.

    Returns:
        ``{"pools": [{"title", "quantities": [{"name", "title", "unit", "text", "named", "series":
        {augmentation: {sampler: [steps, mean, low, high]}}}]}], "left_out": [...]}``; low and high
        are the lowest and highest seed, and named quantities come first. At most 40 steps of a
        curve are kept, and beyond 6 MB before compression the named quantities only.
    """
    table = material.difficulty.rename(columns={"mean": "value"})
    table = table[np.isfinite(table["value"].astype(float))]
    data = _data(material, table)
    if len(json.dumps(data)) <= _MOST_BYTES:
        return data
    main = table["quantity"].isin([*NAMED])
    left_out = sorted(str(q) for q in table.loc[~main, "quantity"].unique())
    return _data(material, table[main]) | {"left_out": left_out}


def _data(material: Material, table: pd.DataFrame) -> dict[str, Any]:
    order = [*NAMED]
    pools = []
    for pool in material.pools:
        part = table.merge(pool.cells[["key", "untrained"]], on="key", how="inner")
        quantities = [
            {"name": str(q), **explained(str(q))._asdict(), "named": q in NAMED}
            | {"series": _series(rows)}
            for q, rows in part.groupby("quantity", sort=True)
        ]
        quantities.sort(key=lambda q: order.index(q["name"]) if q["named"] else len(order))
        if quantities:
            pools.append({"title": pool.title, "quantities": quantities})
    return {"pools": pools, "left_out": []}


def _series(rows: pd.DataFrame) -> dict[str, dict[str, list[list[float]]]]:
    """Return curves by augmentation and sampler; untrained encoders are in every augmentation."""
    trained = rows[~rows["untrained"]]
    names = sorted(str(a) for a in (trained if len(trained) else rows)["augmentation"].unique())
    out = {}
    for name in names:
        part = rows[(rows["augmentation"] == name) | rows["untrained"]]
        seeds = part.groupby(["sampler", "seed", "step"], sort=True)["value"].mean()
        by_step = seeds.groupby(level=["sampler", "step"], sort=True)
        curve = by_step.agg(["mean", "min", "max"]).reset_index()
        out[name] = {str(s): _columns(c) for s, c in curve.groupby("sampler", sort=True)}
    return out


def _columns(curve: pd.DataFrame) -> list[list[float]]:
    keep = np.unique(np.linspace(0, len(curve) - 1, _MOST_STEPS).round().astype(int))
    kept = curve.iloc[keep]
    columns: list[list[float]] = [[int(s) for s in kept["step"]]]
    return [*columns, *([float(f"{v:.4g}") for v in kept[c]] for c in ("mean", "min", "max"))]
