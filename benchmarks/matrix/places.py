"""Paths in a matrix file: relative ones start at the folder of the file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PATHS = ("path", "corpus", "train", "file")
"""Settings of data, tasks, samplers and pools that name a file or a folder."""
_AXES = ("data", "samplers", "candidates", "encoders", "regimes")


def anchored(raw: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a matrix whose relative paths start at the folder of its file.

    A path that is not there, but is where the command runs, stays as it is. Names of encoders are
    paths if they begin with ``./`` or ``../``.
    """
    out = dict(raw)
    for axis in _AXES:
        if isinstance(out.get(axis), list):
            out[axis] = [_entry(entry, folder, axis == "encoders") for entry in out[axis]]
    evaluation = out.get("evaluation")
    if isinstance(evaluation, Mapping):
        made = dict(evaluation)
        if isinstance(made.get("tasks"), list):
            made["tasks"] = [_entry(task, folder) for task in made["tasks"]]
        if "dev" in made:
            made["dev"] = _entry(made["dev"], folder)
        out["evaluation"] = made
    return out


def _entry(entry: Any, folder: Path, encoder: bool = False) -> Any:
    if encoder and isinstance(entry, str):
        return _folder(entry, folder)
    if not isinstance(entry, Mapping):
        return entry
    made = {k: _values(v, folder) if k in PATHS else v for k, v in entry.items()}
    if encoder:
        for key in {"name", "source"} & set(made):
            made[key] = _folder(made[key], folder)
    return made


def _values(value: Any, folder: Path) -> Any:
    """A path or a grid of them."""
    if isinstance(value, list):
        return [_values(item, folder) for item in value]
    return _place(value, folder) if isinstance(value, str) and value else value


def _folder(name: Any, folder: Path) -> Any:
    return _place(name, folder) if str(name).startswith(("./", "../")) else name


def _place(path: str, folder: Path) -> str:
    """The path from where the command runs; one that is there already as it is."""
    if path.startswith("~") or Path(path).is_absolute():
        return path
    there = folder / path
    return path if not there.exists() and Path(path).exists() else str(there)
