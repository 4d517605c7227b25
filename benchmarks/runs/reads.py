"""Log of the test scores that a tuning study has read: one line for each cell, before it is run."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.records.cell import Cell
from nsbench.benchmarks.runs.trials import append_line


class Reads:
    """The log in a file.

    Args:
        path: The file, which need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(self) -> list[dict[str, Any]]:
        """Return all lines: time, key, cell in words, setting and tasks."""
        text = self._path.read_text("utf-8") if self._path.is_file() else ""
        return [json.loads(line) for line in text.splitlines()]

    def keys(self) -> set[str]:
        """Return the keys of its cells."""
        return {row["key"] for row in self.rows()}

    def add(self, setting: str, cell: Cell) -> None:
        """Add a cell.

        Args:
            setting: ``default``, ``tuned`` or ``untrained``.
            cell: The cell.
        """
        row = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "key": cell.key,
            "cell": str(cell),
            "setting": setting,
            "tasks": cell.plain()["evaluation"]["tasks"],
        }
        append_line(self._path, canonical_json(row) + "\n")
