"""Agreement of models on which negatives are hard: between seeds and encoders, with the baseline.

Every cell ranks the candidates of the same probe at its end (``probe.parquet``). Compared are
whole rankings, by Spearman's correlation for each of 32 anchors, and the hardest 5 % of each of up
to 128 anchors, by the Jaccard index of the two sets.

Source: whether some negatives are hard for every model is a question of Cai et al. 2020, Are all
negatives created equal in contrastive instance discrimination? https://arxiv.org/abs/2010.06682
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.statistics.stats import Array
from nsbench.analysis.tables import text
from nsbench.analysis.tables.pools import Pool
from nsbench.benchmarks.records import PROBE_HARDEST

KINDS = {
    "seeds": "another seed, same sampler",
    "baseline": "in_batch, same seed",
    "encoders": "another encoder, same sampler and seed",
}
BASELINE = "in_batch"
COLUMNS = (
    *("data", "encoder", "sampler", "kind", "other", "rho", "rho_low", "rho_high"),
    *("overlap", "overlap_low", "overlap_high", "chance", "n_pairs", "n_seeds"),
)


def rank_agreement(one: pd.DataFrame, other: pd.DataFrame) -> tuple[float, float, float]:
    """Return the agreement of two probes of the same texts.

    Args:
        one: A ``probe.parquet``: anchor, place (0 = hardest), candidate.
        other: Another one.

    Returns:
        Spearman's correlation of whole rankings, mean over the anchors that have them; Jaccard
        index of the hardest sets, mean over anchors; and its expectation for independent sets.
        NaN where the two do not rank the same candidates.
    """
    left, right = _places(one), _places(other)
    if left.shape != right.shape:
        return float("nan"), float("nan"), float("nan")
    whole = (~np.isnan(left)).sum(axis=1)
    k = max(1, int(PROBE_HARDEST * left.shape[1]))
    ranked = (whole > k) & ((~np.isnan(left)) == (~np.isnan(right))).all(axis=1)
    rhos = []
    for a in np.flatnonzero(ranked):
        n = whole[a]
        apart = np.nansum((left[a] - right[a]) ** 2)
        rhos.append(1 - 6 * apart / (n * (n**2 - 1)))
    mine, its = left < k, right < k
    both = (mine & its).sum(axis=1)
    overlap = both / np.maximum((mine | its).sum(axis=1), 1)
    width = float(whole[ranked].mean()) if ranked.any() else float("nan")
    by_chance = k * k / width
    return (
        float(np.mean(rhos)) if rhos else float("nan"),
        float(overlap.mean()),
        by_chance / (2 * k - by_chance),
    )


def agreement_table(every: Sequence[Pool], probes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row per encoder, sampler and kind of comparison.

    Args:
        every: The pools; encoders are compared across them, everything else within.
        probes: ``probe.parquet`` of cells by key. Those of few-shot cells differ in their texts
            and are left out.

    Returns:
        `COLUMNS`: means over pairs of cells, with the lowest and the highest pair.
    """
    read = {
        str(row["key"]): row | {"pool": pool.title}
        for pool in every
        for row in text.records(pool.cells)
        if not row["untrained"] and pd.isna(row.get("p_limit"))
    }
    tables = {k: t for k in read if (t := probes.get(k)) is not None and len(t)}
    rows = []
    for kind, one, other in _compared([read[k] for k in tables]):
        rho, overlap, chance = rank_agreement(tables[one["key"]], tables[other["key"]])
        row = {name: one[name] for name in ("data", "encoder", "sampler", "seed")}
        row |= {"kind": kind, "other": other["encoder"] if kind == "encoders" else ""}
        rows.append(row | {"rho": rho, "overlap": overlap, "chance": chance})
    found = pd.DataFrame(rows)
    if found.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    keys = list(COLUMNS[:5])
    groups = found.dropna(subset=["overlap"]).groupby(keys, sort=True)
    table = groups[["rho", "overlap", "chance"]].mean()
    for name in ("rho", "overlap"):
        table[f"{name}_low"], table[f"{name}_high"] = groups[name].min(), groups[name].max()
    table["n_pairs"], table["n_seeds"] = groups.size(), groups["seed"].nunique()
    return table.reset_index()[list(COLUMNS)]


def _compared(cells: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield pairs of cells to compare, and what they differ in."""
    same_but = {
        "seeds": ("pool", "method"),
        "encoders": ("data", "sampler", "augmentation", "objective", "candidates", "seed"),
    }
    for kind, keys in same_but.items():
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for cell in cells:
            groups.setdefault(tuple(cell[k] for k in keys), []).append(cell)
        for group in groups.values():
            for one, other in combinations(group, 2):
                if kind == "seeds":
                    yield kind, one, other
                elif one["encoder"] != other["encoder"]:
                    yield kind, one, other
                    yield kind, other, one
    base = {(c["pool"], c["augmentation"], c["seed"]): c for c in cells if c["sampler"] == BASELINE}
    for cell in cells:
        its = base.get((cell["pool"], cell["augmentation"], cell["seed"]))
        if its is not None and cell["sampler"] != BASELINE:
            yield "baseline", cell, its


def _places(probe: pd.DataFrame) -> Array:
    """Return ``(A, T)`` places of candidates in each anchor's ranking, NaN where not stored."""
    out = np.full((int(probe["anchor"].max()) + 1, int(probe["candidate"].max()) + 1), np.nan)
    out[probe["anchor"], probe["candidate"]] = probe["place"]
    return out


def write_agreement(
    every: Sequence[Pool], probes: Mapping[str, pd.DataFrame], out: Path
) -> list[Path]:
    """Write ``tables/agreement.csv`` and ``.md``; nothing if no two cells can be compared."""
    return text.write_table(out, "agreement", agreement_table(every, probes), markdown)


def markdown(table: pd.DataFrame) -> str:
    """Return the table in Markdown, one section per data set and encoder."""
    lines = [
        "# Do models agree on what is hard?",
        "",
        "Spearman's correlation of whole rankings and Jaccard overlap of the hardest 5 %, on the "
        "same probe, at the end of training; brackets hold the lowest and the highest pair of "
        "cells.",
    ]
    for (data, encoder), rows in table.groupby(["data", "encoder"], sort=True):
        lines += ["", f"## {text.markdown_text(encoder)}, on {text.markdown_text(data)}", ""]
        lines += text.markdown_lines(_HEADINGS, map(_cells, text.records(rows)))
    return "\n".join(lines) + "\n"


_HEADINGS = ("sampler", "compared with", "correlation", "overlap", "by chance", "pairs")


def _cells(row: Mapping[str, Any]) -> list[str]:
    other = KINDS[row["kind"]] + (f": {row['other']}" if row["other"] else "")
    values = [text.with_ends(row, n, ends=r" \[{:.2f}, {:.2f}\]") for n in ("rho", "overlap")]
    names = [text.markdown_text(row["sampler"]), text.markdown_text(other)]
    return [*names, *values, f"{row['chance']:.2f}", f"{row['n_pairs']}"]
