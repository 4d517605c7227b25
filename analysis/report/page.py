"""The report: one HTML file that opens without a network; every text from a file is escaped.

``report.html.j2`` is the page; ``report.css.j2`` and ``report.js.j2`` are copied into it. The
page's content policy names the hashes of these two and allows no other script, style or address.
"""

import base64
import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from nsbench.analysis.figures.drawing import Material
from nsbench.analysis.figures.pictures import gather, pictures, render
from nsbench.analysis.figures.registry import figures
from nsbench.analysis.figures.style import look
from nsbench.analysis.read.leakage import leakage_words
from nsbench.analysis.read.load import LoadedCell, Results
from nsbench.analysis.report.curves import curves_data
from nsbench.analysis.statistics.verdicts import MARGIN
from nsbench.analysis.tables.alarms import alarm_table
from nsbench.analysis.tables.findings import findings
from nsbench.analysis.tables.leaderboard import Leaderboard, make_leaderboard, words
from nsbench.analysis.tables.ranks import ALPHA
from nsbench.analysis.tables.text import records
from nsbench.analysis.tables.write import of_pool, shown, varies
from nsbench.benchmarks.files import write_atomically

_STATIC_CURVES = "difficulty_curves"  # the page draws these itself
_MOST_TEXT = 20_000  # characters of one traceback
_FACETS = (
    *("sampler", "augmentation", "objective", "candidates", "regime", "steps", "batch_size"),
    *("budget", "encoder", "data"),
)
_SORT_BY = {
    "mean": "mean",
    "difference": "difference",
    "p": "p_adjusted",
    "seeds": "n_seeds",
    "failed": "n_failed",
    "missing": "n_missing",
    "skipped": "n_skipped",
    "seconds": "wall_s",
}


def write_report(
    results: Results, out: Path, *, baseline: str = "in_batch", margin: float = MARGIN
) -> Path:
    """Write ``report.html`` into ``out``; the same results give the same bytes."""
    board = make_leaderboard(results, baseline=baseline, margin=margin)
    material, bad = gather(results, board)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "report.html", report_html(results, board, material, bad))
    return out / "report.html"


def report_html(results: Results, board: Leaderboard, material: Material, bad: list[str]) -> str:
    """Return the page as text."""
    script, style = _resource("report.js.j2"), _resource("report.css.j2")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.from_string(_resource("report.html.j2"))
    configs = [m["config"] for m in results.matrices if isinstance(m.get("config"), dict)]
    names = [str(m.get("name") or "") for m in results.matrices]
    return page.render(
        title=", ".join(dict.fromkeys(filter(None, names))) or results.roots[0].resolve().name,
        descriptions=[str(c["description"]) for c in configs if c.get("description")],
        policy=_policy(script, style),
        script=Markup(script),
        style=Markup(style),
        counts=_counts(results),
        axes=_axes(results),
        pools=[
            {
                "title": s.title,
                "words": words(s),
                "findings": findings(
                    of_pool(board.rows, s),
                    of_pool(board.samplers, s),
                    s,
                    of_pool(board.axes, s),
                ),
                "notes": s.notes,
                "rows": _table(of_pool(board.rows, s), board.tasks),
                "samplers": _table(of_pool(board.samplers, s), board.tasks),
            }
            for s in board.pools
        ],
        leakage=records(board.leakage.astype(object).where(board.leakage.notna(), None)),
        leakage_words=leakage_words(board.leakage),
        pictures=_pictures(material),
        curves=inline_json(curves_data(material)),
        alarms=records(alarm_table(results)),
        failed=[_ended(c) for c in results.loaded if c.status == "failed"],
        skipped=[_ended(c) for c in results.loaded if c.status == "skipped"],
        unfinished=[_ended(c) for c in results.loaded if c.status in ("pending", "running")],
        left_out=[*results.conflicts, *results.left_out, *bad],
        provenance=_provenance(results),
        configs=[tomli_w.dumps(_without_none(c)) for c in configs],
        alpha=f"{ALPHA:.0%}",
    )


def inline_json(data: Any) -> Markup:
    """Return JSON that cannot end the script element that holds it."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _counts(results: Results) -> list[tuple[str, int]]:
    by_status = results.cells["status"].value_counts()
    order = ("done", "failed", "skipped", "running", "pending")
    return [(s, int(by_status.get(s, 0))) for s in order if by_status.get(s, 0)]


def _axes(results: Results) -> list[tuple[str, list[str]]]:
    """Return the values of every axis."""
    out = []
    for axis in (*_FACETS[:5], "encoder", "data", "seed"):
        values = [str(v) for v in sorted(results.cells[axis].unique()) if str(v)]
        if values:
            out.append((axis, values))
    return out


def _table(rows: pd.DataFrame, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Return a leaderboard with a value to sort by for every cell, and the values to filter by."""
    text, marked = shown(rows, tasks)
    columns = [str(c) for c in text.columns]
    facets = [f for f in _FACETS if f in columns and varies(rows[f])]
    lines = []
    for raw, line, strong in zip(records(rows), records(text), marked, strict=True):
        cells = []
        for column in columns:
            value = raw.get(_SORT_BY.get(column, column), line[column])
            number = isinstance(value, int | float) and not isinstance(value, bool)
            missing = pd.isna(value)
            key = "" if missing else f"{value:.9g}" if number else str(value)
            cells.append({"column": column, "text": line[column], "key": key})
        style = look(str(raw["sampler"]))
        lines.append(
            {
                "cells": cells,
                "strong": bool(strong),
                "colour": style.colour,
                "facets": {f: str(raw[f]) for f in facets},
            }
        )
    numeric = {c: c not in ("group", *_FACETS) for c in columns}
    options = {f: sorted({str(v) for v in rows[f]}) for f in facets}
    return {"columns": columns, "numeric": numeric, "lines": lines, "facets": options}


def _pictures(material: Material) -> list[dict[str, str]]:
    kinds = figures()
    names = [n for n in kinds if n != _STATIC_CURVES]
    out = []
    for name, stem, csv in pictures(material, names):
        svg = base64.b64encode(render(name, csv, "svg")).decode("ascii")
        out.append(
            {
                "name": stem.replace("_", " "),
                "summary": kinds[name].summary,
                "source": f"figures/{stem}.csv",
                "uri": f"data:image/svg+xml;base64,{svg}",
            }
        )
    return out


def _ended(cell: LoadedCell) -> dict[str, str]:
    text = cell.record.traceback if cell.record else ""
    if len(text) > _MOST_TEXT:
        text = f"... {len(text) - _MOST_TEXT} characters cut ...\n{text[-_MOST_TEXT:]}"
    labels = cell.cell.get("labels") or {}
    sampler = labels.get("sampler") or cell.cell["sampler"]["name"]
    augmentation = labels.get("augmentation") or "?"
    return {
        "name": f"{sampler} x {augmentation}, seed {cell.cell['seed']}",
        "key": cell.key,
        "info": cell.info or cell.status,
        "traceback": text,
    }


def _provenance(results: Results) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return versions, devices and the like, each with its number of cells."""
    cells = results.cells[results.cells["status"] == "done"]
    named = ["device", "platform", "precision", "threads", "git_sha", "data_digest"]
    versions = sorted(c for c in cells.columns if str(c).startswith("version_"))
    out = []
    for column in (*named, *versions):
        if column in cells and cells[column].notna().any():
            counted = cells[column].dropna().astype(str).value_counts()
            values = sorted((str(v), int(n)) for v, n in counted.items())
            out.append((column.removeprefix("version_"), values))
    return out


def _policy(script: str, style: str) -> str:
    def digest(text: str) -> str:
        raw = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(raw).decode('ascii')}'"

    return (
        f"default-src 'none'; img-src data:; script-src {digest(script)}; "
        f"style-src {digest(style)}; base-uri 'none'; form-action 'none'"
    )


def _without_none(data: Any) -> Any:
    """Return plain data without missing values, for which TOML has no word."""
    if isinstance(data, dict):
        return {k: _without_none(v) for k, v in data.items() if v is not None}
    return [_without_none(v) for v in data] if isinstance(data, list) else data


def _resource(name: str) -> str:
    return resources.files("nsbench.analysis.report").joinpath(name).read_text("utf-8")
