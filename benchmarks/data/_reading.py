"""Options of reading files, the policy for bad rows, and the report of what was left out.

Every reader takes the same `Reading` and fills the same `Report`.
"""

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nsbench.samplers import one_of, suggest

QUOTES = ("auto", "double", "none")
RAGGED = ("error", "allow")
BAD_ROWS = ("error", "skip")
FIRST = 3
"""Places that a report names of each reason."""


@dataclass(frozen=True)
class Reading:
    """The options of reading a file; the same for training data, tests and corpora.

    Attributes:
        header: True if the first row of a table names its columns; False calls them "1", "2", ...
        quotes: Meaning of a double quote in tables: "double" protects delimiters and line ends,
            "none" is a character like any other, "auto" is "double" in csv and "none" in tsv; a
            tsv file that was clearly written with protecting quotes is then refused.
        delimiter: One character, "tab", or "auto": a comma in csv, a tab in tsv, none in txt.
        encoding: Of the text, by Python's name.
        ragged: "error" refuses table rows with fewer or more cells than the first; "allow" reads
            the cells that are there and leaves out those beyond the first row's.
        bad_rows: "error" refuses a file with a row that cannot be used; "skip" leaves such rows
            out and counts them.
    """

    header: bool = True
    quotes: str = "auto"
    delimiter: str = "auto"
    encoding: str = "utf-8"
    ragged: str = "error"
    bad_rows: str = "error"

    def check(self, owner: str) -> None:
        """Raise ``ValueError`` for an option out of its range."""
        if not isinstance(self.header, bool):
            raise ValueError(f"{owner}: header must be true or false, got {self.header!r}")
        one_of(owner, "quotes", self.quotes, QUOTES)
        one_of(owner, "ragged", self.ragged, RAGGED)
        one_of(owner, "bad_rows", self.bad_rows, BAD_ROWS)
        single = isinstance(self.delimiter, str) and len(self.delimiter) == 1
        if self.delimiter not in ("auto", "tab") and not (
            single and self.delimiter not in '"\r\n\0'
        ):
            raise ValueError(
                f"{owner}: delimiter must be auto, tab or one character, got {self.delimiter!r}"
            )
        try:
            io.TextIOWrapper(io.BytesIO(), encoding=self.encoding)
        except (LookupError, TypeError, ValueError):
            raise ValueError(
                f"{owner}: encoding must be one that Python knows, such as utf-8, utf-16, latin-1 "
                f"or cp1252, got {self.encoding!r}"
            ) from None

    def of_tables(self) -> list[str]:
        """Names of the options that only tables have and that are not at their defaults."""
        names = ("header", "quotes", "delimiter", "ragged")
        return [n for n in names if getattr(self, n) != getattr(Reading, n)]

    def of(self, path: Path) -> "Reading":
        """The same for another file: without the options of tables if it is none."""
        table = path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".txt"))
        return self if table else Reading(encoding=self.encoding, bad_rows=self.bad_rows)


class RowError(ValueError):
    """A row that cannot be used.

    Args:
        where: File and line.
        what: The reason, the same for all rows of its kind.
        detail: What is particular to this row.
        kind: The reason in reports, where ``what`` is particular to the row as well.
    """

    def __init__(self, where: str, what: str, detail: str = "", kind: str = "") -> None:
        super().__init__(f"{where}: {what}{detail}")
        self.where, self.what, self.detail, self.kind = where, what, detail, kind or what

    def __reduce__(self) -> tuple[Any, ...]:
        return RowError, (self.where, self.what, self.detail, self.kind)


@dataclass
class Report:
    """Counts of what was read and what was left out, filled by the readers.

    Attributes:
        bad_rows: The policy, one of `BAD_ROWS`.
        read: Rows of every file, by its name.
        left_out: Reasons with how often and where first.
        columns: Names of columns that were not read.
    """

    bad_rows: str = "error"
    read: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)

    def count(self, name: str) -> None:
        """Count a row of a file."""
        self.read[name] = self.read.get(name, 0) + 1

    def leave_out(self, where: str, why: str) -> None:
        """Count what was left out for a reason that is no fault of the row."""
        count, first = self.left_out.setdefault(why, (0, []))
        if len(first) < FIRST:
            first.append(where.rpartition(os.sep)[2])
        self.left_out[why] = (count + 1, first)

    def refuse(self, error: RowError) -> None:
        """Raise the error of a bad row, or count it, by the policy."""
        if self.bad_rows == "error":
            raise error
        self.leave_out(error.where, error.kind)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """A block in which a `RowError` is treated by the policy."""
        try:
            yield
        except RowError as error:
            self.refuse(error)

    def plain(self) -> dict[str, Any]:
        """The report as plain data: ``read``, ``left_out``, ``columns_not_read``."""
        return {
            "bad_rows": self.bad_rows,
            "read": dict(self.read),
            "left_out": [
                {"why": why, "count": count, "first": list(first)}
                for why, (count, first) in self.left_out.items()
            ],
            "columns_not_read": sorted(self.columns),
        }


def joined(before: Mapping[str, Any] | None, more: Report) -> dict[str, Any]:
    """A report as plain data with what another file adds to it."""
    out = more.plain()
    if before is None:
        return out
    read = dict(before["read"])
    for name, rows in out["read"].items():
        read[name] = read.get(name, 0) + rows
    return {
        "bad_rows": before["bad_rows"],
        "read": read,
        "left_out": [*before["left_out"], *out["left_out"]],
        "columns_not_read": sorted({*before["columns_not_read"], *out["columns_not_read"]}),
    }


def reasons_of(left_out: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each reason of ``left_out``."""
    for item in left_out:
        yield f"left out {item['count']:,}: {item['why']} (first: {'; '.join(item['first'])})"


def sentences(report: Mapping[str, Any] | None) -> Iterable[str]:
    """The lines of a report of `Report.plain` for people; none if nothing is to be said."""
    if not report:
        return
    for name, rows in report["read"].items():
        yield f"read {rows:,} rows of {name}"
    yield from reasons_of(report["left_out"])
    if report["columns_not_read"]:
        yield f"columns not read: {', '.join(report['columns_not_read'])}"


def parse_reading(words: Iterable[str], owner: str) -> Reading:
    """Read the options that a command line gives as ``header=false``, ``quotes=none`` and so on.

    Raises:
        ValueError: If an option is unknown, is given twice, or has a value that is not legal.
    """
    legal = [f.name for f in fields(Reading)]
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{owner}: cannot read {word!r}: write option=value")
        if name not in legal:
            raise ValueError(f"{owner}: there is no option {name!r}. {suggest(name, legal)}")
        if name in given:
            raise ValueError(f"{owner}: {name} is given twice")
        given[name] = {"true": True, "false": False}.get(value, value)
    found = Reading(**given)
    found.check(owner)
    return found
