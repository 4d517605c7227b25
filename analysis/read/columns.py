"""Columns of the tidy table: a cell, its cost and its provenance as flat names and plain values."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from nsbench.analysis.read.leakage import leak_columns
from nsbench.benchmarks.keys import describe_choice
from nsbench.benchmarks.records import RecordError, RunRecord
from nsbench.benchmarks.records.names import short_names

AXES = ("sampler", "augmentation", "objective", "candidates", "regime", "encoder", "data")
IDENTITY = ("matrix", "key", *AXES, "seed", "status", "info")
_CHOICES = tuple(a for a in AXES if a != "augmentation")
_RENAMED = {"steps": "train_steps", "tokens": "tokens_seen"}
_PHASES = {"total": "wall_s"}
_PASS, _MINING = "passes_", "passes_mining"

Piece = dict[str, Any]
"""Columns by name; rows that have them alike share the object."""


class Columns:
    """Makes columns of cells and records, reading each shared piece of them once.

    Pieces are compared as objects: `records.shared.Shared` makes equal ones the same.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, int, str], tuple[Any, Piece]] = {}

    def of_cell(self, cell: Any) -> tuple[Piece, ...]:
        """Return labels, names and parameters of a cell.

        Args:
            cell: A cell as plain data, the content of ``cell.json``.

        Returns:
            In pieces, as many for every cell: one label per axis, ``sampler_name`` and so on,
            ``seed``, and every parameter as ``p_sampler_high``,
            ``p_augmentation_view1_token_cutoff_rate``, ``p_train_steps``.

        Raises:
            RecordError: If it has another shape; the message names what is wrong.
        """
        labels = cell.get("labels") or {}
        pieces = [
            self._once(axis, cell.get(axis), str(labels.get(axis) or ""), _choice)
            for axis in _CHOICES
        ]
        if not pieces[0]["sampler"]:
            raise RecordError("it names no sampler")
        if "seed" not in cell:
            raise RecordError("it names no seed")
        named = str(labels.get("augmentation") or "")
        pieces.append(self._once("augmentation", cell.get("augmentation"), named, _augmentation))
        pieces.append(self._once("seed", cell["seed"], "", _given))
        pieces.append(self._once("p_limit", cell.get("limit") or None, "", _given))
        pieces.append(self._once("p_train", cell.get("budget"), "", _parameters))
        pieces.append(self._once("p_evaluation", cell.get("evaluation"), "", _parameters))
        return tuple(pieces)

    def shorten(self) -> None:
        """Give every axis of the cells read so far short names, see `short_names`."""
        for axis in AXES:
            every = [made for (kind, *_), made in self._made.items() if kind == axis]
            made = [(value, piece) for value, piece in every if axis in piece]
            known: dict[str, tuple[Any, str]] = {}
            for value, piece in made:
                known.setdefault(_identity(value, piece[axis]), (value, piece[axis]))
            short = dict(zip(known, short_names(list(known.values())), strict=True))
            for value, piece in made:
                piece[axis] = short[_identity(value, piece[axis])]

    def of_record(self, record: RunRecord) -> tuple[Piece, ...]:
        """Return cost, provenance and leakage of a cell, in pieces, as many for every record."""
        return (
            cost_columns(record),
            {"run_date": record.finished, "weights": record.weights},
            self._once("data", record.data, "", _parameters_outside),
            self._once("environment", record.environment, "", _environment),
            {"n_alarms": len(record.alarms)},
            self.leaks(record),
        )

    def leaks(self, record: RunRecord, task: str = "") -> Piece:
        """Return `leak_columns` of a record and a task."""
        return self._once(
            "leakage", record.leakage, task, lambda _, scanned, task: leak_columns(scanned, task)
        )

    def _once(
        self, kind: str, value: Any, label: str, make: Callable[[str, Any, str], Piece]
    ) -> Piece:
        key = (kind, id(value), label)
        if key not in self._made:
            self._made[key] = value, make(kind, value, label)  # held, so that its id stays its own
        return self._made[key][1]


def _identity(value: Any, text: str) -> str:
    return json.dumps([value, text], sort_keys=True, default=str)


def cost_columns(record: RunRecord) -> dict[str, float]:
    """Return encoder passes, tokens and seconds of a cell.

    Returns:
        ``encodes_train`` and ``encodes_mining`` (sentences encoded), their sum ``encodes``,
        ``train_steps``, ``tokens_seen``, ``wall_s``, ``seconds_<phase>`` and all other counts
        under their names. Counts that the record lacks are left out.
    """
    columns: dict[str, float] = {}
    train = mining = 0.0
    counted = False
    for name, value in record.cost.items():
        if name == _MINING:
            mining = float(value)
        elif name.startswith(_PASS):
            counted, train = True, train + value
        else:
            columns[_RENAMED.get(name, name)] = float(value)
    if counted:
        columns["encodes_train"], columns["encodes_mining"] = train, mining
        columns["encodes"] = train + mining
    for phase, value in record.seconds.items():
        columns[_PHASES.get(phase) or f"seconds_{phase}"] = float(value)
    return columns


def _choice(axis: str, value: Any, label: str) -> Piece:
    """Label, name and parameters of the choice on one axis."""
    choice = value or {"name": "", "params": {}}
    columns = {axis: label or describe_choice(choice), f"{axis}_name": choice["name"]}
    return columns | _flat(f"p_{axis}", choice.get("params") or {})


def _augmentation(axis: str, value: Any, label: str) -> Piece:
    """Label and parameters of the two views."""
    names: list[str] = []
    parameters: dict[str, Any] = {}
    for view, choices in sorted((value or {}).items()):
        chosen = choices if isinstance(choices, list) else [choices]
        names.append(" + ".join(describe_choice(c) for c in chosen) or "none")
        for choice in chosen:
            prefix = f"p_augmentation_{view}_{choice['name']}"
            parameters |= _flat(prefix, choice.get("params") or {})
    return {axis: label or " | ".join(dict.fromkeys(names)) or "none"} | parameters


def _given(name: str, value: Any, label: str) -> Piece:
    return {} if value is None else {name: value}


def _parameters(prefix: str, value: Any, label: str) -> Piece:
    return _flat(prefix, value or {})


def _parameters_outside(prefix: str, value: Any, label: str) -> Piece:
    return _renamed(_flat(prefix, value))


def _environment(kind: str, value: Any, label: str) -> Piece:
    """Versions, platform, device ... of a record."""
    environment = dict(value)
    versions = environment.pop("versions", {})
    columns = _flat("version", versions)
    for name, found in environment.items():
        columns |= _flat("git_sha" if name in ("git", "git_commit", "commit") else name, found)
    return _renamed(columns)


def _renamed(columns: Mapping[str, Any]) -> Piece:
    """Rename columns that an axis has, so that no record overwrites them."""
    return {(f"env_{k}" if k in AXES or k == "seed" else k): v for k, v in columns.items()}


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    """Nested tables as ``prefix_outer_inner``; lists as JSON text."""
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for key, inner in sorted(value.items()):
            out |= _flat(f"{prefix}_{key}", inner)
        return out
    if isinstance(value, list):
        return {prefix: json.dumps(value, sort_keys=True)}
    return {prefix: value}
