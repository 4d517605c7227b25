"""Paths in a matrix file: relative ones start at the folder of the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATHS = ("path", "corpus", "train", "file")
"""Settings of data, tasks, samplers and pools that name a file or a folder."""
_AXES = ("data", "samplers", "candidates", "encoders", "regimes")


def anchored(raw: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a matrix whose relative paths start at the folder of its file.

    A path that is not there, but is where the command runs, stays as it is; so does the name of
    a hub data set. Names of models are paths if they begin with ``./`` or ``../``.
    """
    out = dict(raw)
    for axis in _AXES:
        if isinstance(out.get(axis), list):
            out[axis] = _anchored(out[axis], folder)
    if isinstance(out.get("also"), list):
        out["also"] = [anchored(p, folder) if isinstance(p, Mapping) else p for p in out["also"]]
    evaluation = out.get("evaluation")
    if isinstance(evaluation, Mapping):
        out["evaluation"] = {
            key: _anchored(value, folder) if key in ("tasks", "dev") else value
            for key, value in evaluation.items()
        }
    return out


def _anchored(value: Any, folder: Path, is_path: bool = False) -> Any:
    """A setting, a grid of them, or a component with its own settings, at any depth."""
    if isinstance(value, list):
        return [_anchored(item, folder, is_path) for item in value]
    if isinstance(value, Mapping):
        hub = value.get("name") == "hub" or bool(value.get("revision"))
        return {
            key: _anchored(item, folder, key in PATHS and not (hub and key == "path"))
            for key, item in value.items()
        }
    if isinstance(value, str) and value and (is_path or value.startswith(("./", "../"))):
        return _place(value, folder)
    return value


def _place(path: str, folder: Path) -> str:
    """The path from where the command runs; one that is there already as it is."""
    if path.startswith("~") or Path(path).is_absolute():
        return path
    there = folder / path
    return path if not there.exists() and Path(path).exists() else str(there)
