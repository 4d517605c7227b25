"""Values of a row's cells: texts, lists of texts, numbers, labels and keys, each checked.

A value that cannot be used raises `RowError`, which names file and line.
"""

import math
import re
import reprlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nsbench.benchmarks.data._reading import Report, RowError
from nsbench.samplers import suggest

Record = tuple[str, Mapping[str, Any]]  # its place in a file, and its cells by column
SURROGATE = re.compile("[\ud800-\udfff]")
_UNSEEN = re.compile(
    r"[\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]*"
)
"""White space, control characters, and characters without a glyph or a width."""
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
CLASSES = {"0": 0, "1": 1, "false": 0, "true": 1, "0.0": 0, "1.0": 1}


def shown(value: object) -> str:
    """A value for a message, cut where it is long or deep."""
    return _SHORT.repr(value)


def whole(where: str, column: str, text: str) -> str:
    """The text itself, unless it holds what is no character of a text.

    That is half of a surrogate pair, and NUL, as in UTF-16 that is read as another encoding.
    """
    if "\0" in text:
        place = f" at {text.index(chr(0)) + 1}; is the file UTF-16? Then set encoding"
        raise RowError(where, f"{column} holds a NUL character", place)
    half = None if text.isascii() else SURROGATE.search(text)
    if half:
        place = f": \\u{ord(half[0]):04x} at character {half.start() + 1}"
        raise RowError(where, f"{column} holds half of a surrogate pair, as of a cut emoji", place)
    return text


def filled(where: str, column: str, value: object) -> str:
    """A text without white space around it; it must not be blank."""
    if not isinstance(value, str):
        got = f", got {shown(value)} ({type(value).__name__})"
        raise RowError(where, f"{column} must be text", got)
    if unseen(value):
        raise RowError(where, f"{column} is blank")
    return whole(where, column, value.strip())


def unseen(text: str) -> bool:
    """True for a text of nothing but white space and characters that are not seen."""
    return not text[:1].isalnum() and _UNSEEN.fullmatch(text) is not None and "\0" not in text


def blank(value: object) -> bool:
    """True for nothing: null, NaN, or a text in which there is nothing to see."""
    return value is None or value != value or (isinstance(value, str) and unseen(value))


def required(where: str, row: Mapping[str, Any], column: str) -> Any:
    """The value of a column that the row must have."""
    if column not in row:
        raise RowError(where, f"has no {column!r}", f". {suggest(column, map(str, row))}")
    return row[column]


def text_of(where: str, row: Mapping[str, Any], column: str) -> str:
    """The text in a column of a row, without white space around it; it must not be blank."""
    return filled(where, column, required(where, row, column))


def texts_of(where: str, row: Mapping[str, Any], column: str) -> list[str]:
    """The texts of a list in a column of a row, none of them blank; none if it is missing."""
    values = row.get(column)
    if values is None:
        return []
    if not isinstance(values, list | tuple):
        raise RowError(where, f"{column} must be a list of texts", f", got {shown(values)}")
    return [filled(where, column, value) for value in values]


def maybe(where: str, row: Mapping[str, Any], column: str) -> list[str]:
    """The text in a column as a list of one; of none if it is missing or blank."""
    value = row.get(column)
    return [] if blank(value) else [filled(where, column, value)]


def titled(
    where: str, row: Mapping[str, Any], column: str = "text", *, may_be_blank: bool = False
) -> str:
    """A document as one text: its title, if it has one, before its text, which may be blank."""
    title = maybe(where, row, "title")
    if may_be_blank and not title:
        required(where, row, column)
    lone = not title and not may_be_blank
    body = [text_of(where, row, column)] if lone else maybe(where, row, column)
    return " ".join(title + body)


def number_of(where: str, column: str, value: object) -> float:
    """The number that a cell of a table holds; true and "1_000" are none."""
    try:
        odd = isinstance(value, bool) or (isinstance(value, str) and "_" in value)
        number = math.nan if odd else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if math.isnan(number):
        raise RowError(where, f"{column} must be a number", f", got {shown(value)}")
    return number


def label_of(where: str, value: object, column: str = "label") -> str | None:
    """A class label as text without white space around it; None for null, NaN and blank ones.

    The number 1 and the text "1" are one label, as they are in a csv file.
    """
    if blank(value):
        return None
    if isinstance(value, str):
        return whole(where, column, value.strip())
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool | int | float):
        return str(value)
    raise RowError(where, f"{column} must be one value", f", got {shown(value)}")


def class_of(where: str, value: object, column: str = "label") -> int:
    """The number 0 or 1 that a label says."""
    found = None if isinstance(value, list | dict) else CLASSES.get(str(value).strip().casefold())
    if found is None:
        raise RowError(where, f"{column} must be 0 or 1", f", got {shown(value)}")
    return found


def key_of(where: str, row: Mapping[str, Any], column: str) -> str:
    """The key in a column of a row as text: a text or a number."""
    value = required(where, row, column)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or blank(value):
        got = f", got {shown(value)}"
        raise RowError(where, f"{column} must be a text or a whole number", got)
    key = whole(where, column, str(value))
    if re.search(r"[\t\r\n\0]", key):
        raise RowError(where, f"{column} holds a tab or a line end", f": {shown(key)}")
    return key


class Keyed(dict[Any, Any]):
    """A table by key, that does not take a key twice.

    Args:
        what: The kind of key in messages, such as ``_id``.
        report: Its policy decides about a second, different value: an error that names both
            places, or the first is kept. A second, equal value is counted.
    """

    def __init__(self, what: str, report: Report) -> None:
        super().__init__()
        self.what, self.report = what, report
        self._places: dict[Hashable, str] = {}

    def put(self, where: str, key: Hashable, value: Any, label: str = "") -> None:
        """Put a value under a key."""
        if key not in self:
            self[key], self._places[key] = value, where
        elif self[key] == value:
            self.report.leave_out(where, f"repeats an earlier {self.what} with the same value")
        else:
            first = self._places[key]
            detail = f": {label or shown(key)} is already in {first}"
            what = f"{self.what} occurs twice with different values"
            self.report.refuse(RowError(where, what, detail))


@dataclass
class Said:
    """Labels of earlier rows, so that a row which says the opposite is a bad one.

    Attributes:
        what: What is said twice, in messages.
        earlier: By key, what was said and where.
    """

    what: str
    earlier: dict[Any, tuple[Any, str]] = field(default_factory=dict)

    def note(self, where: str, said: Mapping[Any, Any]) -> None:
        """Note what a row says, by key.

        Raises:
            RowError: If an earlier row said something else of a key; then none of this one is kept.
        """
        for key, value in said.items():
            before, first = self.earlier.get(key, (value, where))
            if before != value:
                detail = f": {shown(value)} here, {shown(before)} in {first}"
                raise RowError(where, self.what, detail)
        for key, value in said.items():
            self.earlier.setdefault(key, (value, where))


def keyed(
    rows: Iterable[Record],
    column: str,
    value: Callable[[str, Mapping[str, Any]], Any],
    report: Report,
) -> Keyed:
    """Rows by the key in a column, and what ``value`` makes of each."""
    out = Keyed(column, report)
    for where, row in rows:
        with report.guarded():
            out.put(where, key_of(where, row, column), value(where, row))
    return out
