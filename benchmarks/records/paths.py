"""Names of the files that one cell leaves."""

import os
from dataclasses import dataclass
from pathlib import Path


class _File:
    """Path of a file in the folder of a cell."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, paths: "CellPaths", _: type) -> Path:
        return paths.folder / self.name


@dataclass(frozen=True)
class CellPaths:
    """Names of the files one cell leaves."""

    folder: Path
    cell = _File("cell.json")
    """Its settings on every axis."""
    scores = _File("scores.csv")
    difficulty = _File("difficulty.parquet")
    """Its negative-difficulty statistics."""
    histograms = _File("histograms.parquet")
    """Counts of similarities and percentiles by bin, summed from the first step on."""
    probe = _File("probe.parquet")
    """Candidates of each anchor of the probe as ranked at the end, hardest first."""
    choices = _File("choices.parquet")
    """Choices of the sampler for some anchors of the first and the last batch."""
    texts = _File("texts.parquet")
    """The texts of the choices; absent where texts are not to be kept."""
    negatives = _File("negatives.parquet")
    """Some of the choices with their texts; in place of both in unpacked results."""
    queries = _File("queries.parquet")
    """Scores of retrieval tests by query."""
    training = _File("training.csv")
    """Loss and learning rate by step."""
    weights = _File("weights.safetensors")
    """Its trained weights, where they were to be kept."""
    log = _File("log.txt")
    """Everything that it printed."""
    record = _File("record.json")
    """Status and costs; written last."""
    claim = _File("claim.json")
    """Claim of the process that runs the cell."""
    snapshot = _File("checkpoint.safetensors")
    """State in the middle of a long training; removed when the cell is done."""

    @property
    def mteb(self) -> Path:
        """Folder of all cells' results in mteb's own layout, next to ``runs``."""
        return self.folder.parent.parent / "mteb"

    @property
    def leakage(self) -> Path:
        """Folder of all scans of training text against evaluation sets, next to ``runs``."""
        return self.folder.parent.parent / "leakage"

    def is_cell(self) -> bool:
        """Return whether a cell was begun here; even if its file is no regular one."""
        names = (f"{self.folder}/record.json", f"{self.folder}/cell.json")
        return any(map(os.path.lexists, names))

    def temporary(self) -> list[Path]:
        """Files that a process left when it was killed while writing."""
        return sorted(self.folder.glob(".*.tmp"))

    def drop_temporary(self) -> None:
        """Remove them; only for the one that holds the claim."""
        for path in self.temporary():
            path.unlink(missing_ok=True)
