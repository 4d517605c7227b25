"""Types of the parts of records, cells and matrices, checked when they are read. No torch.

A file in a results folder may come from another version, another program or a damaged disk. What
has another shape is named and left out by the reader, so that the rest can be ranked.
"""

import re
from typing import Annotated, Any, Required

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

_Table = dict[str, Any]
_Texts = dict[str, str]
_Numbers = dict[str, float]


class _Choice(TypedDict, total=False):
    name: Required[str]
    params: _Table | None


class _Alarm(TypedDict, total=False):
    name: Required[str]
    text: str


class _Budget(TypedDict, total=False):
    steps: float


class _Environment(TypedDict, total=False):
    versions: _Texts


class _Cell(TypedDict, total=False):
    """A part that is missing is no fault: older cells lack some."""

    labels: _Texts | None
    sampler: _Choice | None
    objective: _Choice | None
    candidates: _Choice | None
    regime: _Choice | None
    encoder: _Choice | None
    data: _Choice | None
    augmentation: dict[str, _Choice | list[_Choice]] | None
    budget: _Budget | None
    evaluation: _Table | None
    inputs: _Table | None
    seed: int
    limit: int
    recipe: int


class _Record(TypedDict, total=False):
    key: Required[str]
    cell: Required[_Cell]
    status: Required[str]
    reason: str
    traceback: str
    cost: _Numbers
    alarms: list[_Alarm]
    data: _Table
    evaluation: _Table
    leakage: dict[str, _Table]
    weights: str
    seconds: _Numbers
    environment: _Environment
    started: str
    finished: str
    files: _Texts
    digest: str


class _Planned(TypedDict, total=False):
    key: Required[Annotated[str, Field(min_length=1)]]
    cell: Required[_Cell]
    folder: str


_RECORD, _CELL, _PLANNED = (TypeAdapter[Any](kind) for kind in (_Record, _Cell, _Planned))


def _fault(kind: TypeAdapter[Any], name: str, value: Any) -> str:
    try:
        kind.validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or name
        said = re.sub(r"^\w+ should", "must", first["msg"].replace("Field required", "is missing"))
        return f"{place} {said}, got {shortened(first['input'])}"
    return ""


def record_fault(record: Any) -> str:
    """Return the first field of a record that has another type, in words; empty if none has."""
    return _fault(_RECORD, "record", record)


def cell_fault(cell: Any) -> str:
    """Return the first part of a cell that has another type, in words; empty if none has.

    Args:
        cell: A cell as plain data. A part that is missing is no fault: older cells lack some.
    """
    return _fault(_CELL, "cell", cell)


def planned_fault(row: Any) -> str:
    """Return what is wrong with a cell that a matrix lists, in words; empty if nothing is."""
    return _fault(_PLANNED, "a listed cell", row)


def shortened(value: Any) -> str:
    """Return a value as Python writes it, cut to 60 characters, on one line."""
    try:
        text = repr(value)
    except RecursionError:
        text = "something nested too deep"
    return text if len(text) <= 60 else f"{text[:60]}..."
