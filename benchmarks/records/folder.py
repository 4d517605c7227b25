"""A results folder: where cells live, and the matrix they belong to."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsbench.benchmarks.files import StorageError, write_atomically
from nsbench.benchmarks.keys import canonical_json, slug
from nsbench.benchmarks.records.cell import Cell
from nsbench.benchmarks.records.json_file import AbsentError, RecordError, read_json
from nsbench.benchmarks.records.paths import CellPaths
from nsbench.benchmarks.records.record import RunRecord, read_record
from nsbench.benchmarks.records.schema import planned_fault
from nsbench.benchmarks.records.shared import exact_bytes


def unfinished(name: str) -> bool:
    """Return whether a folder is what `merge` or `unpack` was writing when it was killed."""
    return name.startswith(".") and name.endswith(".tmp")


def is_text(name: str) -> bool:
    """Return whether the name of a file is UTF-8, so that it can be written into documents."""
    return name.isascii() or not any("\ud800" <= c <= "\udfff" for c in name)


def _part(parts: Any, number: Any) -> Any:
    if type(number) is not int or number < 0:
        raise IndexError(f"{number!r} is no number of a part")
    return parts[number]


@dataclass(frozen=True)
class ResultsFolder:
    """A results folder: its cells and their files."""

    root: Path

    @property
    def runs(self) -> Path:
        """Parent of the cells' folders."""
        return self.root / "runs"

    @property
    def matrix(self) -> Path:
        """The resolved configuration of the last run."""
        return self.root / "matrix.json"

    def listed(self, cell: Cell) -> dict[str, Any]:
        """Return a cell as the matrix file lists it."""
        folder = self.cell(cell.sampler.name, cell.key).folder.name
        return {"key": cell.key, "folder": folder, "cell": cell.plain() | {"labels": cell.labels}}

    def write_matrix(self, name: str, config: Any, cells: Sequence[Mapping[str, Any]]) -> None:
        """Write what was asked; parts that cells share are written once.

        The configuration is plain data, every cell as `listed`.

        Raises:
            StorageError: If it cannot be written.
        """
        parts: dict[bytes, int] = {}
        texts, rows = [], []
        for row in cells:
            packed = {}
            for axis, part in row["cell"].items():
                known = len(parts)
                packed[axis] = parts.setdefault(exact_bytes(part), known)
                if packed[axis] == known:
                    texts.append(canonical_json(part))
            rows.append({"key": row["key"], "folder": row["folder"], "cell": packed})
        lines = [
            '{"schema": 2',
            f'"name": {json.dumps(name, ensure_ascii=False)}',
            f'"config": {json.dumps(config, sort_keys=True, ensure_ascii=False)}',
            '"parts": [\n ' + ",\n ".join(texts) + "\n]",
            '"cells": [\n ' + ",\n ".join(map(canonical_json, rows)) + "\n]}",
        ]
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError.at(self.root, error) from None
        write_atomically(self.matrix, ",\n".join(lines) + "\n")

    def read_matrix(self, left_out: list[str] | None = None) -> dict[str, Any]:
        """Return the matrix file of this version or an older one; equal parts are one object.

        Args:
            left_out: Takes one line for each listed cell that has another shape and is left out;
                without it such a cell is an error.

        Raises:
            RecordError: If it is missing, truncated or of another shape.
        """
        raw = read_json(self.matrix)
        if not isinstance(raw, dict) or not isinstance(raw.get("cells"), list):
            raise RecordError(f"{self.matrix} is not a matrix: it has no list of cells")
        if not isinstance(raw.get("name", ""), str):
            raise RecordError(f"{self.matrix} is not a matrix: its name must be a text")
        parts = raw.pop("parts", None) if raw.get("schema") == 2 else None
        good: dict[str, Any] = {}
        for number, row in enumerate(raw["cells"], 1):
            try:
                if raw.get("schema") == 2:
                    row["cell"] = {axis: _part(parts, n) for axis, n in row["cell"].items()}
                fault = planned_fault(row)
            except (AttributeError, IndexError, KeyError, TypeError) as error:
                fault = f"{type(error).__name__}: {error}"
            if not fault and row["key"] in good:
                fault = f"the key {row['key']} is listed twice"
            if fault:
                line = f"{self.matrix} lists a cell of another shape, number {number}: {fault}"
                if left_out is None:
                    raise RecordError(line)
                left_out.append(line)
                continue
            good[row["key"]] = row
        return raw | {"cells": list(good.values())}

    def cell(self, name: str, key: str) -> CellPaths:
        """Files of the cell ``key``; ``name`` only makes the folder readable."""
        return CellPaths(self.runs / f"{slug(name)}-{key}")

    def folders(self) -> Iterator[CellPaths]:
        """Every cell folder, sorted by name; foreign files are passed over."""
        for paths in self.subfolders()[0]:
            if paths.is_cell():
                yield paths

    def subfolders(self) -> tuple[list[CellPaths], list[str]]:
        """Every folder that may be a cell's, and the names of what is none, both sorted by name."""
        if not self.runs.is_dir():
            return [], []
        entries = sorted(os.scandir(self.runs), key=lambda e: e.name)
        entries = [e for e in entries if not unfinished(e.name)]
        real = [e.is_dir(follow_symlinks=False) and is_text(e.name) for e in entries]
        return (
            [CellPaths(self.runs / e.name) for e, own in zip(entries, real, strict=True) if own],
            [e.name for e, own in zip(entries, real, strict=True) if not own],
        )

    def records(self) -> tuple[list[tuple[CellPaths, RunRecord]], list[str]]:
        """All readable records, and one line for every file that could not be read."""
        good: list[tuple[CellPaths, RunRecord]] = []
        bad: list[str] = []
        for paths in self.folders():
            try:
                good.append((paths, read_record(paths)))
            except AbsentError:
                continue
            except RecordError as error:
                bad.append(str(error))
        return good, bad
