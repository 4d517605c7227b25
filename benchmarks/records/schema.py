"""Types of the parts of records, cells and matrices, checked when they are read. No torch.

A file in a results folder may come from another version, another program or a damaged disk. What
has another shape is named and left out by the reader, so that the rest can be ranked.
"""

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]
CHOICES = ("sampler", "objective", "candidates", "regime", "encoder", "data")
"""Axes of a cell that are one choice: a table with a name and, mostly, parameters."""


def _text(value: Any) -> bool:
    return type(value) is str


def _number(value: Any) -> bool:
    return type(value) is float or type(value) is int


def _table(value: Any) -> bool:
    return type(value) is dict


def _numbers(value: Any) -> bool:
    return type(value) is dict and all(map(_number, value.values()))


def _texts(value: Any) -> bool:
    return type(value) is dict and all(map(_text, value.values()))


def _tables(value: Any) -> bool:
    return type(value) is dict and all(map(_table, value.values()))


def _alarm(value: Any) -> bool:
    return type(value) is dict and _text(value.get("name")) and _text(value.get("text", ""))


def _alarms(value: Any) -> bool:
    return type(value) is list and all(map(_alarm, value))


def _environment(value: Any) -> bool:
    return type(value) is dict and _texts(value.get("versions", {}))


def _choice(value: Any) -> bool:
    if value is None:
        return True
    return _table(value) and _text(value.get("name")) and _absent_or_table(value.get("params"))


def _choices(value: Any) -> bool:
    return type(value) is list and all(_table(c) and _choice(c) for c in value)


def _absent_or_table(value: Any) -> bool:
    return value is None or type(value) is dict


def _views(value: Any) -> bool:
    if value is None:
        return True
    return type(value) is dict and all(
        _choices(c if type(c) is list else [c]) for c in value.values()
    )


def _whole(value: Any) -> bool:
    return type(value) is int


def _budget(value: Any) -> bool:
    return value is None or (_table(value) and _number(value.get("steps", 0)))


_RECORD: Mapping[str, tuple[Check, str]] = {
    "key": (_text, "a text"),
    "status": (_text, "a text"),
    "reason": (_text, "a text"),
    "traceback": (_text, "a text"),
    "cost": (_numbers, "a table of numbers"),
    "alarms": (_alarms, "a list of tables with the texts name and text"),
    "data": (_table, "a table"),
    "evaluation": (_table, "a table"),
    "leakage": (_tables, "a table of tables"),
    "weights": (_text, "a text"),
    "seconds": (_numbers, "a table of numbers"),
    "environment": (_environment, "a table, and its versions a table of texts"),
    "started": (_text, "a text"),
    "finished": (_text, "a text"),
    "files": (_texts, "a table of texts"),
    "digest": (_text, "a text"),
}
_CELL: Mapping[str, tuple[Check, str]] = {
    "labels": (lambda value: value is None or _texts(value), "a table of texts"),
    **dict.fromkeys(CHOICES, (_choice, "a table with the text name and the table params")),
    "augmentation": (_views, "a table of lists of tables with a name"),
    "budget": (_budget, "a table whose steps are a number"),
    "evaluation": (_absent_or_table, "a table"),
    "inputs": (_absent_or_table, "a table"),
    "seed": (_whole, "a whole number"),
    "limit": (_whole, "a whole number"),
    "recipe": (_whole, "a whole number"),
}


def _fault(value: Mapping[str, Any], schema: Mapping[str, tuple[Check, str]]) -> str:
    for name, (check, legal) in schema.items():
        if name in value and not check(value[name]):
            return f"{name} must be {legal}, got {shortened(value[name])}"
    return ""


def record_fault(record: Any) -> str:
    """Return the first field of a record that has another type, in words; empty if none has.

    Args:
        record: What a ``record.json`` holds; its ``status`` is checked for its type only.
    """
    if not _table(record) or not {"key", "cell", "status"} <= record.keys():
        return "key, cell and status are needed"
    return _fault(record, _RECORD) or cell_fault(record["cell"])


def cell_fault(cell: Any) -> str:
    """Return the first part of a cell that has another type, in words; empty if none has.

    Args:
        cell: A cell as plain data. A part that is missing is no fault: older cells lack some.
    """
    if not _table(cell):
        return f"cell must be a table, got {shortened(cell)}"
    return _fault(cell, _CELL)


def planned_fault(row: Any) -> str:
    """Return what is wrong with a cell that a matrix lists, in words; empty if nothing is."""
    if not _table(row) or not _text(row.get("key")) or not row["key"]:
        return f"a listed cell needs a key, got {shortened(row)}"
    if not _text(row.get("folder", "")):
        return f"folder of the listed cell {row['key']} must be a text"
    return cell_fault(row.get("cell"))


def shortened(value: Any) -> str:
    """Return a value as Python writes it, cut to 60 characters, on one line."""
    try:
        text = repr(value)
    except RecursionError:
        text = "something nested too deep"
    return text if len(text) <= 60 else f"{text[:60]}..."
