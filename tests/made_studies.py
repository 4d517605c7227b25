"""A small tuning study, whose cells take a moment, for tests of studies."""

from pathlib import Path

from nsbench.benchmarks.matrix.config import MatrixConfig
from nsbench.benchmarks.matrix.tune_file import TuneConfig, load_tuning

SMALL_MATRIX = """
schema = 1
name = "tiny"
samplers = ["in_batch", { name = "hard", k = 4 }, "given"]
encoders = [{ name = "static", dimension = 8 }]
data = [{ name = "planted", rows = 100 }]
budget = { steps = 4, batch_size = 16, learning_rate = 0.05 }
"""
"""Its matrix; ``given`` is skipped, as the rows have no given negatives."""


def small_study(folder: Path, trials: int = 3) -> tuple[TuneConfig, MatrixConfig]:
    """Write a study into a folder, with a number of trials, and read it."""
    path = folder / "study.toml"
    path.write_text(
        f"schema = 1\ntrials = {trials}\ntrial_seeds = [7]\nfresh_seeds = [1, 2]\n"
        "[space.budget]\nlearning_rate = { low = 1e-3, high = 1.0, log = true }\n"
        f"[matrix]\n{SMALL_MATRIX}"
    )
    return load_tuning(path)
