"""The report: one HTML file that opens without a network; every text from a file is escaped.

``report.html.j2`` is the page; ``report.css.j2``, the scripts of ``app`` and the charts' library of
``vendor`` are copied into it. The page's content policy names the hashes of these and allows no
other script, style or address.
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
from nsbench.analysis.figures.style import SOLID, look
from nsbench.analysis.read.leakage import leakage_words
from nsbench.analysis.read.load import Results
from nsbench.analysis.report.again import without_none
from nsbench.analysis.report.cells import cells_data, negatives_data, packed
from nsbench.analysis.report.curves import curves_data
from nsbench.analysis.report.explained import STARTED
from nsbench.analysis.report.tuned import tuned_data
from nsbench.analysis.report.views import pools_data
from nsbench.analysis.statistics.verdicts import MARGIN
from nsbench.analysis.tables.alarms import alarm_table
from nsbench.analysis.tables.leaderboard import Leaderboard, make_leaderboard, words
from nsbench.analysis.tables.ranks import ALPHA
from nsbench.analysis.tables.text import records
from nsbench.analysis.tables.write import findings_of, of_pool, shown
from nsbench.benchmarks.files import write_atomically

APP = (
    *("ui", "numerics", "variances", "verdicts", "charts", "model", "board", "filters", "tabs"),
    *("details", "compare", "explorer", "negatives", "cost", "main"),
)
"""Scripts of the page, in order."""
VENDOR = ("vega", "vega-lite", "vega-interpreter")
_DRAWN_HERE = ("difficulty_curves",)  # the page draws these itself
_MOST_TEXT = 20_000  # characters of one traceback
_MOST_PLAIN = 500  # rows of the table without scripts


def write_report(
    results: Results,
    out: Path,
    *,
    baseline: str = "in_batch",
    margin: float = MARGIN,
    texts: bool = True,
) -> Path:
    """Write ``report.html`` into ``out``; the same results give the same bytes.

    Args:
        results: As loaded.
        out: The folder; made if missing.
        baseline: Sampler that differences are to.
        margin: Difference in points that does not matter.
        texts: Show texts of training data, of cells that kept theirs.
    """
    board = make_leaderboard(results, baseline=baseline, margin=margin)
    material, bad = gather(results, board)
    out.mkdir(parents=True, exist_ok=True)
    page = report_html(results, board, material, bad, texts=texts)
    write_atomically(out / "report.html", page)
    return out / "report.html"


def report_html(
    results: Results,
    board: Leaderboard,
    material: Material,
    bad: list[str],
    *,
    texts: bool = True,
    folder: str = "",
) -> str:
    """Return the page as text; its commands name ``folder``, that of the results if empty."""
    script = "\n".join(_resource("app", f"{name}.js") for name in APP)
    library = "\n".join(_resource("vendor", f"{name}.min.js") for name in VENDOR)
    style = _resource("report.css.j2")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.from_string(_resource("report.html.j2"))
    configs = [m["config"] for m in results.matrices if isinstance(m.get("config"), dict)]
    names = [str(m.get("name") or "") for m in results.matrices]
    root = results.roots[0].resolve().name
    said = [findings_of(board, s) for s in board.pools]
    negatives = negatives_data(results, material.pools, texts=texts)
    left_out = [*results.conflicts, *results.left_out, *bad, *negatives.pop("left_out")]
    return page.render(
        title=", ".join(dict.fromkeys(filter(None, names))) or root,
        descriptions=[str(c["description"]) for c in configs if c.get("description")],
        policy=_policy((library, script), style),
        script=Markup(script),
        library=Markup(library),
        style=Markup(style),
        counts=_counts(results),
        axes=_axes(results),
        pools=[
            {
                "title": s.title,
                "words": words(s),
                "findings": lines,
                "notes": s.notes,
                "rows": _plain_table(of_pool(board.rows, s), board.tasks),
            }
            for s, lines in zip(board.pools, said, strict=True)
        ],
        data=inline_json(_page_data(results, board, material, said) | {"root": folder or root}),
        cells=packed(cells_data(results, material.pools)),
        curves=packed(curves_data(material)),
        negatives=packed(negatives),
        leakage=records(board.leakage.astype(object).where(board.leakage.notna(), None)),
        leakage_words=leakage_words(board.leakage),
        pictures=_pictures(material),
        alarms=_alarms(results),
        failed=_ended(results, "failed"),
        skipped=_ended(results, "skipped"),
        unfinished=_ended(results, "pending", "running"),
        left_out=left_out,
        provenance=_provenance(results),
        configs=[tomli_w.dumps(without_none(c)) for c in configs],
        alpha=f"{ALPHA:.0%}",
    )


def _page_data(
    results: Results, board: Leaderboard, material: Material, said: list[list[str]]
) -> dict[str, Any]:
    """Return what the scripts start with."""
    names = sorted({str(s) for s in results.cells["sampler"]})
    looks = {
        n: {"colour": s.colour, "marker": s.marker, "dashed": s.dash != SOLID}
        for n, s in ((n, look(n)) for n in names)
    }
    return {
        "alpha": ALPHA,
        "pools": pools_data(board, material.pools, said),
        "looks": looks,
        "started": list(STARTED),
        "tuned": tuned_data(results, material.pools),
    }


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
    axes = ("sampler", "augmentation", "objective", "candidates", "regime")
    for axis in (*axes, "encoder", "data", "seed"):
        values = [str(v) for v in sorted(results.cells[axis].unique()) if str(v)]
        if values:
            out.append((axis, values))
    return out


def _plain_table(rows: pd.DataFrame, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Return a leaderboard as text, for a browser that runs no scripts."""
    text, marked = shown(rows.head(_MOST_PLAIN), tasks)
    lines = zip(text.to_numpy().tolist(), marked, strict=True)
    return {
        "columns": [str(c) for c in text.columns],
        "lines": [{"cells": cells, "strong": bool(strong)} for cells, strong in lines],
        "left": max(len(rows) - _MOST_PLAIN, 0),
    }


def _alarms(results: Results) -> list[dict[str, Any]]:
    """Return alarms of one name as one group, the most frequent first."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in records(alarm_table(results)):
        groups.setdefault(str(row["name"]), []).append(row)
    found = [
        {
            "name": name.replace("_", " "),
            "cells": sum(r["cells"] for r in rows),
            "of": sum(r["of"] for r in rows),
            "text": rows[0]["text"],
            "samplers": [f"{r['sampler']} ({r['cells']} of {r['of']})" for r in rows],
        }
        for name, rows in groups.items()
    ]
    return sorted(found, key=lambda g: (-g["cells"], g["name"]))


def _pictures(material: Material) -> list[dict[str, str]]:
    kinds = figures()
    names = [n for n in kinds if n not in _DRAWN_HERE]
    return [
        {
            "name": stem.replace("_", " "),
            "summary": kinds[name].summary,
            "source": f"figures/{stem}.csv",
            "uri": "data:image/svg+xml;base64,"
            + base64.b64encode(render(name, csv, "svg")).decode("ascii"),
        }
        for name, stem, csv in pictures(material, names)
    ]


def _ended(results: Results, *statuses: str) -> list[dict[str, str]]:
    """Return the cells that ended, or never ended, like this."""
    names = zip(results.cells["sampler"], results.cells["augmentation"], strict=True)
    return [
        {
            "name": f"{sampler} x {augmentation}, seed {cell.cell['seed']}",
            "key": cell.key,
            "info": cell.info or cell.status,
            "traceback": _cut(cell.record.traceback if cell.record else ""),
        }
        for cell, (sampler, augmentation) in zip(results.loaded, names, strict=True)
        if cell.status in statuses
    ]


def _cut(text: str) -> str:
    left = len(text) - _MOST_TEXT
    return f"... {left} characters cut ...\n{text[-_MOST_TEXT:]}" if left > 0 else text


def _provenance(results: Results) -> list[tuple[str, list[tuple[str, int]]]]:
    """Return versions, devices and the like, each with its number of cells."""
    cells = results.cells[results.cells["status"] == "done"]
    named = ["device", "platform", "cpu", "precision", "threads", "git_sha", "data_digest"]
    versions = sorted(c for c in cells.columns if str(c).startswith("version_"))
    out = []
    for column in (*named, *versions):
        if column in cells and cells[column].notna().any():
            counted = cells[column].dropna().astype(str).value_counts()
            values = sorted((str(v), int(n)) for v, n in counted.items())
            out.append((column.removeprefix("version_"), values))
    return out


def _policy(scripts: tuple[str, ...], style: str) -> str:
    def digest(text: str) -> str:
        raw = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(raw).decode('ascii')}'"

    return (
        f"default-src 'none'; img-src data:; script-src {' '.join(map(digest, scripts))}; "
        f"style-src {digest(style)}; base-uri 'none'; form-action 'none'"
    )


def _resource(*names: str) -> str:
    return resources.files("nsbench.analysis.report").joinpath(*names).read_text("utf-8")
