"""Lines of text files, and rows of csv, tsv and other tables with delimiters."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from nsbench.benchmarks.data._reading import Reading, Report, RowError
from nsbench.benchmarks.data._values import Record, blank

LONGEST_LINE = 1 << 26
"""Characters of a line, and of a cell."""
MARK = "\ufeff"
"""The byte order mark, as it is read from a file of any encoding."""
_LOOK = 100  # lines of a txt file by which its tabs are judged before the first is given out


def lines_of(path: Path, file: TextIO) -> Iterator[str]:
    """The lines of a file with their ends, without a byte order mark before the first.

    Raises:
        ValueError: If one is longer than `LONGEST_LINE`.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise ValueError(f"{path}, line {number}: has more than {LONGEST_LINE:,} characters")
        yield line if number > 1 else line.lstrip(MARK)


def plain_lines(path: Path, file: TextIO, reading: Reading) -> Iterator[Record]:
    """Every line that is not blank as a text.

    Raises:
        ValueError: If the lines are rows with tabs, or an option of tables is set.
    """
    wrong = reading.of_tables()
    if wrong:
        raise ValueError(
            f"{path}: {wrong[0]} is {getattr(reading, wrong[0])!r}, but a txt file is one text a "
            "line unless delimiter is set"
        )
    seen = tabbed = 0

    def texts() -> Iterator[Record]:
        nonlocal seen, tabbed
        for number, line in enumerate(lines_of(path, file), 1):
            if not blank(line):
                seen, tabbed = seen + 1, tabbed + ("\t" in line.strip())
                yield f"{path}, line {number}", {"text": line.strip()}

    def judge() -> None:
        if tabbed and 2 * tabbed >= seen:
            raise ValueError(
                f"{path}: {tabbed} of {seen} lines have tabs, so it is no list of texts; read its "
                'columns with delimiter = "tab" (and header = false), or call it .tsv'
            )

    rest = texts()
    first = list(islice(rest, _LOOK))
    judge()
    yield from chain(first, rest)
    judge()


class _Quotes:
    """Signs of protecting quotes in a tsv file whose quotes are read as characters."""

    def __init__(self) -> None:
        self.rows, self.signs = 0, Counter[str]()
        self.first = ""

    def see(self, where: str, cells: list[str]) -> None:
        """Take note of a row."""
        self.rows += 1
        for cell in cells:
            if '"' not in cell:
                self.signs["comma"] += "," in cell
                continue
            inside = cell[1:-1]
            wrapped = len(cell) > 1 and cell[0] == cell[-1] == '"'
            if not wrapped or '"' in inside.replace('""', ""):
                self.signs["plain"] += 1
                continue
            self.first = self.first or where
            self.signs["wrapped"] += 1
            self.signs["doubled"] += '""' in inside
            self.signs["wrapped comma"] += "," in inside

    def judge(self) -> None:
        """Raise ``ValueError`` if a program has put the quotes around cells.

        Such programs double the quotes inside a cell, or quote most cells, or all with a comma.
        """
        seen = self.signs
        most = 2 * seen["wrapped"] >= self.rows or (seen["wrapped comma"] and not seen["comma"])
        if seen["doubled"] or (seen["wrapped"] and not seen["plain"] and most):
            raise ValueError(
                f'{self.first}: cells have double quotes around them; set quotes = "double" if '
                'these protect the cells, or quotes = "none" if they belong to the texts'
            )


def table_rows(
    path: Path, kind: str, file: TextIO, reading: Reading, report: Report
) -> Iterator[Record]:
    """The rows of a table.

    Args:
        path: Of the file.
        kind: ``.csv``, ``.tsv`` or ``.txt``.
        file: The file.
        reading: The options.
        report: Of rows that are left out.

    Raises:
        ValueError: If a row cannot be read, naming file and line.
    """
    comma = kind == ".csv" and reading.delimiter == "auto"
    given = {"auto": "\t", "tab": "\t"}.get(reading.delimiter, reading.delimiter)
    quotes = reading.quotes == "double" or (reading.quotes == "auto" and kind == ".csv")
    signs = _Quotes() if reading.quotes == "auto" and not quotes else None
    names: list[str] | None = None
    for where, cells in _cells(path, file, "," if comma else given, quotes=quotes):
        if signs:
            signs.see(where, cells)
        if names is None:
            names = cells if reading.header else [str(i + 1) for i in range(len(cells))]
            twice = [n for i, n in enumerate(names) if n in names[:i]]
            if twice:
                raise ValueError(f"{where}: two columns are called {twice[0]!r}")
            if reading.header:
                continue
        if len(cells) != len(names):
            if reading.ragged == "error":
                found = f"{len(cells)} cells where the first row has {len(names)}"
                kind = "fewer or more cells than the first row"
                quoted = signs and any(cell.startswith('"') for cell in cells)
                hint = '; if quotes protect the cells, set quotes = "double"' if quoted else ""
                hint = hint or _also(other_delimiter(names))
                report.refuse(RowError(where, found, hint, kind=kind))
                continue
            if len(cells) > len(names):
                report.leave_out(where, "cells beyond those of the first row")
        yield where, dict(zip(names, cells, strict=False))
    if signs:
        signs.judge()


def _cells(
    path: Path, file: TextIO, delimiter: str, *, quotes: bool
) -> Iterator[tuple[str, list[str]]]:
    """Every row that is not blank as its place and its cells."""
    csv.field_size_limit(LONGEST_LINE)
    lines = lines_of(path, file)
    if quotes:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    else:
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, strict=True)
    start, first = 1, None
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            hint = _also(other_delimiter(first or []))
            if quotes and not hint:
                hint = '; if quotes are plain characters here, set quotes = "none"'
            raise ValueError(f"{path}, line {start}: {error}{hint}") from None
        where, start = f"{path}, line {start}", reader.line_num + 1
        if cells is None:
            return
        if cells:
            first = first or cells
            yield where, cells


def _also(advice: str) -> str:
    """The end of a message that gives advice, if there is some."""
    return f". {advice}" if advice else ""


def other_delimiter(first: Iterable[str]) -> str:
    """Advice on the delimiter, if a table's first row is one cell that holds another one."""
    cells = list(first)
    for mark in (c for c in ";,|\t" if len(cells) == 1 and c in cells[0]):
        name = "tab" if mark.isspace() else mark
        return (
            f"There is one column: set delimiter = {name!r} (--read 'delimiter={name}' on a "
            "command line)"
        )
    return ""
