"""A matrix with a transformer, run from the command line on a device as it is on a CPU."""

import os
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
from running import python

from nsbench.benchmarks.training.replay.capture import VARIABLE
from tools.timing._device_steps import bert, planted
from tools.timing.gpu import SMALL

MATRIX = """schema = 1
name = "small"
samplers = ["in_batch", "hard"]
augmentations = ["dropout"]
encoders = [{{ name = "transformer", source = {source!r}, dropout = 0.1 }}]
data = [{{ name = "planted", rows = 200 }}]
seeds = [1]
no_training = false
[budget]
steps = 40
batch_size = 16
learning_rate = 1e-4
[run]
device = {device!r}
"""
DEVICES = [
    pytest.param("cpu", marks=pytest.mark.slow),  # some 30 s
    pytest.param("cuda", marks=pytest.mark.gpu),
]


def run(folder: Path, device: str, mode: str, *more: str) -> dict[str, Path]:
    """Run the matrix in a mode; folders of the cells by sampler."""
    out, config = folder / "-".join(["out", mode, *more]), folder / f"{device}.toml"
    config.write_text(MATRIX.format(source=str(folder / "model"), device=device))
    code = "from nsbench.analysis.cli.main import main; main()"
    done = python(
        "-c", code, "run", str(config), "--out", str(out), *more, env=os.environ | {VARIABLE: mode}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {}
    for path in (out / "runs").glob("*/record.json"):
        record = orjson.loads(path.read_bytes())
        assert record["status"] == "done"
        assert record["environment"]["replay"] == ("never" if device == "cpu" else mode)
        found[record["cell"]["sampler"]["name"]] = path.parent
    return found


@pytest.mark.parametrize("device", DEVICES)
def test_a_transformer_is_trained_on_a_device(tmp_path: Path, device: str) -> None:
    made = bert(SMALL, planted(200).texts, 1, 16)
    made.model.save_pretrained(tmp_path / "model")  # type: ignore[operator,union-attr]
    made.tokenizer.save_pretrained(tmp_path / "model")  # type: ignore[attr-defined]
    recorded = "never" if device == "cpu" else "graph"
    plain, alone = run(tmp_path, device, "never"), run(tmp_path, device, recorded, "--workers", "1")
    beside = run(tmp_path, device, recorded, "--beside", "2")
    assert plain.keys() == alone.keys() == beside.keys() == {"in_batch", "hard"}
    for name, folder in plain.items():
        losses = losses_of(folder)
        for other in (alone, beside):
            assert losses_of(other[name]) == pytest.approx(losses, abs=1e-2)
        assert len(set(losses)) == 40


def losses_of(folder: Path) -> np.ndarray:
    """Losses of a cell's steps."""
    return pd.read_csv(folder / "training.csv")["loss"].to_numpy()
