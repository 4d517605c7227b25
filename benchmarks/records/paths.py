"""Names of the files that one cell leaves."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CellPaths:
    """Names of the files one cell leaves."""

    folder: Path

    @property
    def cell(self) -> Path:
        """Return what the cell is."""
        return self.folder / "cell.json"

    @property
    def scores(self) -> Path:
        """Its scores."""
        return self.folder / "scores.csv"

    @property
    def difficulty(self) -> Path:
        """Its negative-difficulty statistics."""
        return self.folder / "difficulty.parquet"

    @property
    def histograms(self) -> Path:
        """Counts of similarities and percentiles by bin, summed from the first step on."""
        return self.folder / "histograms.parquet"

    @property
    def probe(self) -> Path:
        """Return how each anchor of the probe ranks the candidates at the end, hardest first."""
        return self.folder / "probe.parquet"

    @property
    def choices(self) -> Path:
        """Return what the sampler chose for some anchors of the first and the last batch."""
        return self.folder / "choices.parquet"

    @property
    def texts(self) -> Path:
        """Return the texts of the choices; absent where texts are not to be kept."""
        return self.folder / "texts.parquet"

    @property
    def negatives(self) -> Path:
        """Return some of the choices with their texts; in place of both in unpacked results."""
        return self.folder / "negatives.parquet"

    @property
    def queries(self) -> Path:
        """Scores of retrieval tests by query."""
        return self.folder / "queries.parquet"

    @property
    def training(self) -> Path:
        """Loss and learning rate by step."""
        return self.folder / "training.csv"

    @property
    def weights(self) -> Path:
        """Its trained weights, where they were to be kept."""
        return self.folder / "weights.safetensors"

    @property
    def log(self) -> Path:
        """Return what it printed."""
        return self.folder / "log.txt"

    @property
    def record(self) -> Path:
        """Return how it ended; written last."""
        return self.folder / "record.json"

    @property
    def mteb(self) -> Path:
        """Folder of all cells' results in mteb's own layout, next to ``runs``."""
        return self.folder.parent.parent / "mteb"

    @property
    def leakage(self) -> Path:
        """Folder of all scans of training text against evaluation sets, next to ``runs``."""
        return self.folder.parent.parent / "leakage"

    @property
    def claim(self) -> Path:
        """Claim of the process that runs the cell."""
        return self.folder / "claim.json"

    @property
    def snapshot(self) -> Path:
        """State in the middle of a long training; removed when the cell is done."""
        return self.folder / "checkpoint.safetensors"

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
