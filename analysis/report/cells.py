"""Single cells and their negatives as plain data for the page, in little room."""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from nsbench.analysis.read.load import LoadedCell, Results
from nsbench.analysis.report.again import matrix_text
from nsbench.analysis.tables.negatives import MARKS, Chosen, NegativeTables, chosen
from nsbench.analysis.tables.overlap import MOMENTS
from nsbench.analysis.tables.pools import Pool
from nsbench.benchmarks.files import read_regular_file
from nsbench.benchmarks.keys import visible

ANCHORS, NEGATIVES = 10, 8
_LOG = 3_000
"""Characters of a log that are kept, its end."""
_LOGS = 2_000_000
"""Characters of all logs together; beyond, those of cells without alarm or failure are left out."""


def packed(data: Any) -> str:
    """Return plain data as compressed JSON in base64; the page reads it when it is needed."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


def cells_data(results: Results, every: Sequence[Pool]) -> dict[str, Any]:
    """Return what is told of each cell by key, and how to run each method again.

    Returns:
        ``{"cells": {key: {"augmentation", "status", "info", "seconds", "alarms", "log", "again"}},
        "again": [TOML]}``; a cell's ``again`` is the place of its method's matrix file.
    """
    asked = [m["config"] for m in results.matrices if isinstance(m.get("config"), dict)]
    evaluation = asked[0].get("evaluation") if len(asked) == 1 else None
    loaded = {cell.key: cell for cell in results.loaded}
    out: dict[str, Any] = {}
    texts: list[str] = []
    whole = sum(min(_size_of_log(c), _LOG) for c in results.loaded) <= _LOGS
    for pool in every:
        for _, part in pool.cells.groupby("method", sort=True):
            mine = [loaded[str(k)] for k in part["key"] if str(k) in loaded]
            if not mine or mine[0].key in out:
                continue
            seeds = sorted({int(c.cell["seed"]) for c in mine})
            texts.append(matrix_text(mine[0].cell, seeds, evaluation))
            views = dict(zip(part["key"], part["augmentation"], strict=True))
            for cell in mine:
                about = _about(cell, len(texts) - 1, whole=whole)
                out[cell.key] = {"augmentation": str(views[cell.key])} | about
    return {"cells": out, "again": texts}


def _about(cell: LoadedCell, again: int, *, whole: bool) -> dict[str, Any]:
    record = cell.record
    told = [f"{a['name']}: {a.get('text', '')}" for a in (record.alarms if record else ())]
    log = _log(cell) if whole or told or cell.status == "failed" else ""
    seconds = record.seconds.get("total") if record else None
    return {
        "status": cell.status,
        "info": cell.info,
        "seconds": seconds if isinstance(seconds, int | float) and np.isfinite(seconds) else None,
        "alarms": told,
        "log": log,
        "folder": cell.paths.folder.name if cell.paths else "",
        "again": again,
    }


def _size_of_log(cell: LoadedCell) -> int:
    try:
        return cell.paths.log.stat().st_size if cell.paths else 0
    except OSError:
        return 0


def _log(cell: LoadedCell) -> str:
    """Return the end of a cell's log; empty without one."""
    if cell.paths is None:
        return ""
    try:
        text = read_regular_file(cell.paths.log).decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(map(visible, text[-_LOG:].splitlines()))


def negatives_data(results: Results, every: Sequence[Pool], *, texts: bool) -> dict[str, Any]:
    """Return what each method's lowest recorded seed chose on the shared batches.

    Returns:
        ``{"texts": [...], "marks": {name: words}, "seen": [{"pool", "sampler", "augmentation",
        "seed", "moment", "anchors"}]}``; an anchor is ``[place, text, positive, similarity,
        candidates, count, [[text, similarity, rank, weight, marks], ...]]``, its texts are places
        in ``texts``, or -2 - number where the text is not kept (-1 if it was made).
    """
    tables = NegativeTables(results, texts=texts)
    known: dict[str, int] = {}
    seen: list[dict[str, Any]] = []
    for number, pool in enumerate(every):
        cells = pool.cells.sort_values(["method", "seed"], kind="stable")
        cells = cells[cells["key"].isin(set(tables))].drop_duplicates("method")
        for row in cells.to_dict("records"):
            table = tables.get(str(row["key"]))
            if table is None or table.empty:
                continue
            named = {"pool": number} | {str(k): row[k] for k in ("sampler", "augmentation")}
            for moment in MOMENTS:
                found = chosen(table, moment, anchors=ANCHORS, most=NEGATIVES)
                seen.append(
                    named
                    | {"seed": int(row["seed"]), "moment": moment}
                    | {"anchors": [_anchor(one, known) for one in found]}
                )
    return {"texts": list(known), "marks": MARKS, "seen": seen, "left_out": tables.left_out}


def _anchor(one: Chosen, known: dict[str, int]) -> list[Any]:
    def place(text: str, number: int) -> int:
        return known.setdefault(text, len(known)) if text else -2 - number

    names = list(MARKS)
    negatives = [
        [
            place(n.text, n.number),
            round(n.similarity, 3),
            n.rank,
            round(n.weight, 4),
            [names.index(m) for m in n.marks],
        ]
        for n in one.negatives
    ]
    return [
        one.place,
        place(one.text, one.anchor),
        place(one.positive_text, one.positive),
        round(one.positive_similarity, 3),
        one.candidates,
        one.count,
        negatives,
    ]
