"""`nsbench status --watch`: a live view of a results folder, thousands of cells at a time."""

from typing import Any

from rich import markup
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from nsbench.benchmarks.keys import visible
from nsbench.benchmarks.matrix.estimate import duration
from nsbench.benchmarks.records.status import left

ROWS = 12
_COLOURS = {"done": "green", "failed": "red", "skipped": "yellow", "running": "cyan"}


def escape(text: str) -> str:
    """Return a text that neither markup nor the terminal acts on."""
    return markup.escape(visible(text))


def view(state: dict[str, Any], rows: int = ROWS) -> RenderableType:
    """One frame; of a study that has trials to run, or failed ones, these come first."""
    trials = state["trials"]
    if trials and (left(trials) or trials["counts"]["failed"]):
        return Group(_view(trials, rows), Text(), _view(state, rows))
    return _view(state, rows)


def _view(state: dict[str, Any], rows: int) -> RenderableType:
    counts, rates = state["counts"], state["rates"]
    total = sum(counts.values())
    ended = sum(counts[s] for s in ("done", "failed", "skipped"))
    words = [f"[{_COLOURS.get(s, 'white')}]{n} {s}[/]" for s, n in counts.items() if n]
    if not state["planned"]:
        words.append("the fresh cells are planned when all trials have ended")
    parts: list[RenderableType] = [
        Text.from_markup(f"[bold]{escape(state['folder'])}[/]  {ended} of {total} cells ended"),
        Padding(ProgressBar(total=max(total, 1), completed=ended, width=60), expand=False),
        Text.from_markup(", ".join(words) or "no cells"),
        Text(_pace(rates)),
    ]
    if state["slurm"]:
        parts.append(Text(f"logs of Slurm's tasks: {state['slurm']}", overflow="fold"))
    tables: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = [
        ("at work", ("cell", "where", "step"), [_at_work(r) for r in state["at_work"]]),
        ("failures", ("kind", "cells"), [(k, str(n)) for k, n in state["failures"].items()]),
        (
            "last failed",
            ("cell", "reason", "log"),
            [(r["cell"], r["reason"], r["log"]) for r in state["failed"][::-1]],
        ),
        (
            "alarms",
            ("alarm", "cells", "example"),
            [(a["alarm"], str(a["cells"]), a["example"]) for a in state["alarms"]],
        ),
        ("left out", ("file",), [(line,) for line in state["unreadable"]]),
    ]
    parts += [_table(title, columns, lines, rows) for title, columns, lines in tables if lines]
    return Group(*parts)


def _table(
    title: str, columns: tuple[str, ...], lines: list[tuple[str, ...]], rows: int
) -> RenderableType:
    table = Table(*columns, title=title, title_justify="left")
    for line in lines[:rows]:
        table.add_row(*map(escape, line))
    if len(lines) > rows:
        table.caption = f"and {len(lines) - rows} more"
    return table


def _at_work(row: dict[str, Any]) -> tuple[str, str, str]:
    where = f"{row['host']}:{row['pid']}" + (" (lost)" if row["lost"] else "")
    return row["folder"], where, f"{row['step']}/{row['steps'] or '?'}"


def _pace(rates: dict[str, float | None]) -> str:
    if rates["cell_seconds"] is None:
        return "no finished cell yet, so no rate"
    text = f"{duration(rates['cell_seconds'])} a cell (median)"
    if rates["cells_per_hour"] is not None:
        text += f", {rates['cells_per_hour']:.0f} cells an hour with the workers of now"
    if rates["eta_hours"]:
        text += f", {duration(3600 * rates['eta_hours'])} to go"
    elif rates["eta_hours"] is None:
        text += ", no process is running"
    return text
