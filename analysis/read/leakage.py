"""Overlap of the training text with the evaluation sets, which may raise scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

LEAKS = ("leak_exact", "leak_pairs", "leak_ngram", "transductive")
"""Columns of a score: shares in [0, 1] of its task's texts, and whether that is on purpose."""
TABLE_COLUMNS = ("data", "regime", "task", "texts", *LEAKS, "long_texts", "cells")
DOCUMENTS = ("documents", "leak_documents")
"""Further columns where a task is a retrieval set: its documents, and the share trained on."""
_STORED = {"leak_exact": "exact", "leak_pairs": "pairs", "leak_ngram": "ngram"}


def leak_columns(scanned: Mapping[str, Any], task: str = "") -> dict[str, Any]:
    """Return `LEAKS` of a cell for one task; if that is empty, the largest over all of its tasks.

    Of a retrieval set the exact share is that of its queries, the share of pairs that of the pairs
    judged relevant.

    Empty if nothing was scanned: an untrained cell, an old record.
    """
    rows = [row for name, row in scanned.items() if task in ("", name)]
    if not rows:
        return {}
    columns: dict[str, Any] = {}
    for name, stored in _STORED.items():
        told = [_share(r, stored) for r in rows]
        shares = [float(share) for share in told if isinstance(share, int | float)]
        columns[name] = max(shares, default=float("nan"))
    return columns | {"transductive": any(r.get("transductive") is True for r in rows)}


def _share(row: Mapping[str, Any], stored: str) -> Any:
    """Return a share; of a retrieval set that of its queries, whose documents are no test."""
    if stored == "exact" and row.get("queries_exact") is not None:
        return row["queries_exact"]
    return row.get(stored)


def leakage_table(cells: Sequence[Any]) -> pd.DataFrame:
    """Return one row per data, regime and task: the scan, and its number of finished cells."""
    alike: dict[tuple[str, str, int], tuple[Mapping[str, Any], int]] = {}
    for cell in cells:  # cells share scans as objects, so each is read once
        if cell.record is None or cell.status != "done" or not cell.record.leakage:
            continue
        labels, scanned = cell.cell.get("labels") or {}, cell.record.leakage
        group = str(labels.get("data", "")), str(labels.get("regime", "")), id(scanned)
        alike[group] = scanned, alike.get(group, (scanned, 0))[1] + 1
    rows = [
        {
            "data": data,
            "regime": regime,
            "task": str(task),
            "texts": found.get("texts"),
            **leak_columns(scanned, task),
            "long_texts": found.get("long_texts"),
            "cells": count,
            "documents": found.get("documents"),
            "leak_documents": found.get("documents_exact"),
        }
        for (data, regime, _), (scanned, count) in alike.items()
        for task, found in scanned.items()
    ]
    if not rows:
        return pd.DataFrame(columns=list(TABLE_COLUMNS))
    whole = pd.DataFrame(rows)
    columns = list(TABLE_COLUMNS)
    if whole["documents"].notna().any():
        columns += DOCUMENTS
    keys = [c for c in columns if c != "cells"]
    counted = whole.reindex(columns=columns).groupby(keys, dropna=False, sort=True)["cells"]
    return counted.sum().reset_index()[columns]


def leakage_words(table: pd.DataFrame) -> list[str]:
    """Return the scan in sentences, one per data and regime for each kind of finding."""
    out = []
    for (data, regime), part in table.groupby(["data", "regime"], sort=True):
        where = f"{data}" + (f", {regime}" if table["regime"].nunique() > 1 else "")
        marked = part["transductive"].eq(True)
        if marked.any():
            out.append(
                f"Transductive: the training text of {where} holds sentences of "
                f"{_shares(part[marked], 'leak_exact')} on purpose, without their scores; these "
                "scores say how well a method adapts to its test domain."
            )
        leaked = part[~marked & (part["leak_exact"] > 0)]
        if len(leaked):
            out.append(
                f"Leakage: the training text of {where} holds test texts of "
                f"{_shares(leaked, 'leak_exact')}."
            )
        if "leak_documents" in part and (part["leak_documents"] > 0).any():
            held = part[part["leak_documents"] > 0]
            out.append(
                f"The training text of {where} holds documents of {_shares(held, 'leak_documents')}"
                f", and both texts of a judged pair of {_shares(held, 'leak_pairs')}."
            )
        runs = part[~marked & (part["leak_exact"] == 0) & (part["leak_ngram"] > 0)]
        if len(runs):
            out.append(
                f"The training text of {where} shares runs of eight words, but no whole text, with "
                f"{_shares(runs, 'leak_ngram')}."
            )
        clean = part[~marked & (part["leak_exact"] == 0) & (part["leak_ngram"] == 0)]
        if len(clean):
            names = ", ".join(clean["task"])
            out.append(f"The training text of {where} shares no text and no run with {names}.")
    return out


def _shares(rows: pd.DataFrame, column: str) -> str:
    return ", ".join(f"{t} ({v:.1%})" for t, v in zip(rows["task"], rows[column], strict=True))
