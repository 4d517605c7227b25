"""Columns of the tidy table: a cell, its cost and its provenance as flat names and plain values."""

import json
from collections.abc import Mapping
from typing import Any

from nsbench.benchmarks.records import RecordError, RunRecord, describe_choice

AXES = (
    "sampler",
    "augmentation",
    "objective",
    "candidates",
    "regime",
    "encoder",
    "data",
)
_CHOICES = tuple(a for a in AXES if a != "augmentation")
_RENAMED = {"steps": "train_steps", "tokens": "tokens_seen"}
_PASS, _MINING = "passes_", "passes_mining"


def cell_columns(cell: Any) -> dict[str, Any]:
    """Labels, names and parameters of a cell.

    Args:
        cell: A cell as plain data, the content of ``cell.json``.

    Returns:
        One label per axis, ``sampler_name`` and so on, ``seed``, and every parameter as
        ``p_sampler_high``, ``p_augmentation_view1_token_cutoff_rate``, ``p_train_steps``.

    Raises:
        RecordError: If it has another shape; the message names what is wrong.
    """
    if not isinstance(cell, dict):
        raise RecordError(f"a table is needed, got {type(cell).__name__}")
    labels = cell.get("labels") or {}
    columns: dict[str, Any] = {}
    parameters: dict[str, Any] = {}
    for axis in _CHOICES:
        choice = cell.get(axis) or {"name": "", "params": {}}
        if not isinstance(choice, dict) or not isinstance(choice.get("name"), str):
            raise RecordError(f"{axis} must be a table with a name, got {choice!r}")
        columns[axis] = str(labels.get(axis) or describe_choice(choice))
        columns[f"{axis}_name"] = choice["name"]
        parameters |= _flat(f"p_{axis}", choice.get("params") or {})
    if not columns["sampler"]:
        raise RecordError("it names no sampler")
    columns["augmentation"], views = _augmentation(cell.get("augmentation") or {}, labels)
    parameters |= views
    try:
        columns["seed"] = int(cell["seed"])
    except (KeyError, TypeError, ValueError):
        raise RecordError(f"seed must be a whole number, got {cell.get('seed')!r}") from None
    if cell.get("limit"):
        parameters["p_limit"] = cell["limit"]
    parameters |= _flat("p_train", cell.get("budget") or {})
    parameters |= _flat("p_evaluation", cell.get("evaluation") or {})
    return columns | parameters


def cost_columns(record: RunRecord) -> dict[str, float]:
    """Encoder passes, tokens and seconds of a cell.

    Returns:
        ``encodes_train`` and ``encodes_mining`` (sentences encoded), their sum ``encodes``,
        ``train_steps``, ``tokens_seen``, ``wall_s``, ``seconds_<phase>`` and what else was counted
        under its own name. What the record does not count is left out.
    """
    cost = {k: float(v) for k, v in record.cost.items() if _is_number(v)}
    columns = {_RENAMED.get(k, k): v for k, v in cost.items() if not k.startswith(_PASS)}
    passes = [v for k, v in cost.items() if k.startswith(_PASS) and k != _MINING]
    if passes:
        columns["encodes_train"] = sum(passes)
        columns["encodes_mining"] = cost.get(_MINING, 0.0)
        columns["encodes"] = columns["encodes_train"] + columns["encodes_mining"]
    for phase, seconds in record.seconds.items():
        if _is_number(seconds):
            columns["wall_s" if phase == "total" else f"seconds_{phase}"] = float(seconds)
    return columns


def provenance_columns(record: RunRecord) -> dict[str, Any]:
    """Where and when a cell was run, and on what."""
    environment = dict(record.environment)
    versions = environment.pop("versions", {})
    columns: dict[str, Any] = {"run_date": record.finished, "weights": record.weights}
    columns |= _flat("data", record.data)
    columns |= _flat("version", versions if isinstance(versions, dict) else {})
    for name, value in environment.items():
        columns |= _flat("git_sha" if name in ("git", "git_commit", "commit") else name, value)
    columns["n_alarms"] = len(record.alarms)
    # A name that an axis or a parameter already has must not overwrite it.
    return {(f"env_{k}" if k in AXES or k == "seed" else k): v for k, v in columns.items()}


def _augmentation(views: Any, labels: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Label and parameters of the two views."""
    if not isinstance(views, dict):
        raise RecordError(f"augmentation must be a table of views, got {views!r}")
    names: list[str] = []
    parameters: dict[str, Any] = {}
    for view, choices in sorted(views.items()):
        chosen = choices if isinstance(choices, list) else [choices]
        if not all(isinstance(c, dict) and isinstance(c.get("name"), str) for c in chosen):
            raise RecordError(f"augmentation {view} must list tables with a name, got {choices!r}")
        names.append(" + ".join(describe_choice(c) for c in chosen) or "none")
        for choice in chosen:
            prefix = f"p_augmentation_{view}_{choice['name']}"
            parameters |= _flat(prefix, choice.get("params") or {})
    fallback = " | ".join(dict.fromkeys(names)) or "none"
    return str(labels.get("augmentation") or fallback), parameters


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


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
