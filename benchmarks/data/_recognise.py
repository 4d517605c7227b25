"""Reading records by the layout that their columns have.

The layout is recognised by its required columns in the first row, in the order of `LAYOUTS`.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import chain

from nsbench.benchmarks.data._columns import Layout, Options
from nsbench.benchmarks.data._layouts import LAYOUTS, ROLES
from nsbench.benchmarks.data._reading import Report, RowError
from nsbench.benchmarks.data._rows import Rows
from nsbench.benchmarks.data._tables import other_delimiter
from nsbench.benchmarks.data._values import Record
from nsbench.samplers import one_of, suggest

_MOST_SKIPPED = 1000
"""Rows before the first that has a layout, where bad rows are skipped."""


def read(
    rows: Iterable[Record],
    columns: Mapping[str, str],
    options: Options,
    source: str,
    report: Report | None = None,
) -> Rows:
    """Recognise the layout of records and read them all; ``columns`` as in `recognise`.

    Raises:
        ValueError: If there is no row, no layout fits, or a row does not fit its layout.
    """
    out = Rows(Report() if report is None else report)
    found, renamed = recognise(rows, columns, source, out.report)
    found.check(options, source)
    seen: set[tuple[str, ...]] = set()
    for where, row in renamed:
        try:
            if not columns and (names := tuple(row)) not in seen:
                out.report.columns |= found.unread(where, row)
                seen.add(names)
            found.read(out, where, row, options)
        except RowError as error:
            out.report.refuse(error)
    out.finish()
    if not out.anchor:
        why = "; ".join(f"{w} ({n})" for w, (n, _) in out.report.left_out.items())
        raise ValueError(
            f"{source} has rows, but none of them makes a training pair{why and f': {why}'}"
        )
    return out


def recognise(
    rows: Iterable[Record], columns: Mapping[str, str], source: str, report: Report | None = None
) -> tuple[Layout, Iterable[Record]]:
    """The layout that the first record has, and all records with their columns renamed.

    Args:
        rows: The records.
        columns: ``{our name: the file's name}``; if given, only the named columns are read.
        source: What to call the whole in messages.
        report: Gets the names of the columns that are not read.

    Raises:
        ValueError: If there is no record, or none of `LAYOUTS` fits; names the columns.
    """
    rest, skipped = iter(rows), 0
    skip = report is not None and report.bad_rows == "skip"
    refused: ValueError | None = None
    for first in rest:
        try:
            layout = _fitting(first, columns, source)
        except ValueError as error:
            refused, skipped = refused or error, skipped + 1
            if not skip or skipped > _MOST_SKIPPED:
                break
            report.leave_out(first[0], "has none of the layouts")  # type: ignore[union-attr]
            continue
        if columns and report is not None:
            report.columns |= set(map(str, first[1])) - set(columns.values())
        if columns or not skip:
            layout.unread(first[0], columns or first[1], named=bool(columns))
        return layout, _renamed(chain([first], rest), columns)
    raise refused or ValueError(f"{source} is empty: it has no row")


def _fitting(first: Record, columns: Mapping[str, str], source: str) -> Layout:
    """The layout that a record has.

    Raises:
        ValueError: If it has none, or lacks a named column.
    """
    for theirs in columns.values():
        if theirs not in first[1]:
            raise ValueError(f"{source} has no column {theirs!r}. {suggest(theirs, first[1])}")
    have = set(columns) if columns else set(first[1])
    for layout in LAYOUTS:
        if have.issuperset(layout.required):
            return layout
    legal = "; ".join(map(str, LAYOUTS))
    raise ValueError(
        f"{source}: no layout fits the columns {', '.join(sorted(map(str, have)))}. Legal are: "
        f"{legal}. {_hint(have)}"
    )


def _hint(have: set[str]) -> str:
    """A sentence on how to mend columns that fit no layout."""
    advice = other_delimiter(map(str, have))
    if advice:
        return advice
    plain = {str(c).strip().casefold(): c for c in have}
    for layout in LAYOUTS:
        if plain.keys() >= set(layout.required):
            named = ", ".join(f"{c} = {plain[c]!r}" for c in layout.required)
            return f"Rename with columns = {{{named}}}, and name there all columns to read"
    return (
        "Rename with columns = {anchor = '...', positive = '...'} (--column anchor=... "
        "--column positive=... on a command line)"
    )


def _renamed(rows: Iterable[Record], columns: Mapping[str, str]) -> Iterable[Record]:
    if not columns:
        return rows
    return (
        (where, {ours: row[c] for ours, c in columns.items() if c in row}) for where, row in rows
    )


def check_columns(owner: str, columns: Mapping[str, str]) -> None:
    """Raise ``ValueError`` for a key of ``columns`` that no layout has."""
    for ours, theirs in columns.items():
        if not re.fullmatch(r"negative_\d+", ours):
            one_of(owner, "a key of columns", ours, ROLES)
        if not isinstance(theirs, str):
            raise ValueError(f"{owner}: columns.{ours} must be a column's name, got {theirs!r}")
