"""The matrix file of one method, by which its cells can be run again."""

from collections.abc import Mapping, Sequence
from typing import Any

import tomli_w

_EVALUATION = ("engine", "dev", "dev_every", "pooling", "precision", "frequent_tokens")


def matrix_text(
    cell: Mapping[str, Any], seeds: Sequence[int], evaluation: Mapping[str, Any] | None = None
) -> str:
    """Return a matrix file (TOML) whose cells are those of a cell's method.

    Args:
        cell: The cell as plain data.
        seeds: Its seeds.
        evaluation: What the matrix that it comes from says of the evaluation; of the cell itself
            if ``None``, which knows no paths of local test files.
    """
    views = cell.get("augmentation") or {}
    matrix: dict[str, Any] = {
        "schema": 1,
        "samplers": [_entry(cell["sampler"])],
        "augmentations": [{view: [_entry(c) for c in views[view]] for view in sorted(views)}],
        **{name: [_entry(cell[axis])] for axis, name in _AXES.items() if cell.get(axis)},
        "seeds": list(seeds),
        "no_training": False,
    }
    if cell.get("limit"):
        matrix["limits"] = [cell["limit"]]
    budget = cell.get("budget") or {}
    if budget.get("steps"):
        matrix["budget"] = dict(budget)
    if every := (cell.get("difficulty") or {}).get("every"):
        matrix["difficulty"] = {"every": every}
    own = cell.get("evaluation") or {}
    chosen = {k: own[k] for k in _EVALUATION if own.get(k)} | {"tasks": own.get("tasks", [])}
    matrix["evaluation"] = dict(evaluation) if evaluation else chosen
    return tomli_w.dumps(without_none(matrix))


_AXES = {
    "objective": "objectives",
    "candidates": "candidates",
    "regime": "regimes",
    "encoder": "encoders",
    "data": "data",
}


def _entry(choice: Mapping[str, Any]) -> Any:
    """Return a name, or a table of name and parameters."""
    params = choice.get("params") or {}
    return {"name": choice["name"], **params} if params else choice["name"]


def without_none(data: Any) -> Any:
    """Return plain data without missing values, for which TOML has no word."""
    if isinstance(data, dict):
        return {k: without_none(v) for k, v in data.items() if v is not None}
    return [without_none(v) for v in data] if isinstance(data, list) else data
