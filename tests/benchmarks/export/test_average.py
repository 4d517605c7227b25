"""The mean of a method's seeds is a row: its weights, its scores, its place on the leaderboard."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from running import Build, planned_of
from safetensors.torch import load_file
from typer.testing import CliRunner

from nsbench.benchmarks.cli.models import average as command
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encode_texts, encoders, hash_weights
from nsbench.benchmarks.encoders._adapters import weights_of
from nsbench.benchmarks.export.average import average
from nsbench.benchmarks.export.cell import export_cell
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.runs.cell_run import Place, run_cell
from nsbench.benchmarks.training.regime import built_encoder

pytest.importorskip("sentence_transformers")

from made_models import save_transformer


def kept(raw: dict[str, Any], root: Path, keep: bool = True) -> ResultsFolder:
    """Run all cells of a matrix here; they keep their weights."""
    folder = ResultsFolder(root)
    for planned in planned_of(raw):
        paths = folder.cell(planned.cell.sampler.name, planned.cell.key)
        record = run_cell(planned.cell, paths, Place("cpu", keep_weights=keep))
        assert record.status == "done", record.traceback
    return folder


def matrix(small: Build, base: Path, **given: Any) -> dict[str, Any]:
    return small(
        encoders=[{"name": str(base)} | given],
        data=[{"name": "planted", "rows": 40}],
        seeds=[1, 2, 3],
        budget={"steps": 3, "batch_size": 8, "learning_rate": 0.01},
        evaluation={"tasks": ["own"]},
    )


def test_the_average_of_seeds_is_recorded_scored_and_exported(small: Build, tmp_path: Path) -> None:
    base = save_transformer(tmp_path / "model", "bert")
    folder = kept(matrix(small, base), tmp_path / "out")
    cells = [load_file(p.weights) for p in folder.folders()]
    (found,) = average(folder)
    assert (found.seeds, found.reason, found.before) == ((1, 2, 3), "", False)
    paths = folder.cell("average", found.record.key)
    for name, value in load_file(paths.weights).items():
        torch.testing.assert_close(value, sum(c[name] for c in cells) / 3)
    assert paths.scores.is_file()
    assert found.record.cell["sampler"]["params"]["of"] == "in_batch"
    (again,) = average(folder)
    assert again.before
    assert again.record.key == found.record.key
    export_cell(paths.folder, tmp_path / "st")
    read = encoders.make("transformer", source=str(tmp_path / "st")).build((), 0)
    for name, value in read.state_dict().items():
        torch.testing.assert_close(value, load_file(paths.weights)[name])


@pytest.mark.slow
def test_adapters_are_averaged_as_the_weights_that_they_change(
    small: Build, tmp_path: Path
) -> None:
    base = save_transformer(tmp_path / "model", "bert")
    raw = matrix(small, base, lora={"r": 2})
    folder = kept(raw, tmp_path / "out")
    whole = []
    for planned in planned_of(raw):
        encoder = built_encoder(planned.cell)
        state = load_file(folder.cell("in_batch", planned.cell.key).weights)
        encoder.load_state_dict(state, strict=False)
        plain = encoders.make("transformer", source=str(base)).build((), 0)
        plain.load_state_dict(weights_of(encoder))
        texts = datasets.make("planted", rows=40)().texts[:6]
        np.testing.assert_allclose(
            encode_texts(plain, texts), encode_texts(encoder, texts), atol=1e-5
        )
        whole.append(plain.state_dict())
    (found,) = average(folder)
    for name in whole[0]:
        plain.state_dict()[name].copy_(sum(w[name] for w in whole) / 3)
    start = encoders.make("transformer", source=str(base)).build((), 0).state_dict()
    assert found.record.weights != hash_weights(start.items())
    ours = folder.cell("average", found.record.key)
    assert not ours.weights.exists(), "the mean of adapters is no adapter of their rank"
    main = {s.split(",")[0]: s for s in ours.scores.read_text().splitlines() if "True" in s}
    assert len(main) > 0


def test_what_has_no_average_is_left_out_with_its_reason(small: Build, tmp_path: Path) -> None:
    base = save_transformer(tmp_path / "model", "bert")
    random = small(seeds=[1, 2], evaluation={"tasks": ["own"]})
    folder = kept(random, tmp_path / "random")
    assert [f.reason for f in average(folder)] == ["its seeds start from different random weights"]
    raw = matrix(small, base)
    assert "kept no weights" in next(average(kept(raw, tmp_path / "none", keep=False))).reason
    one = kept(raw | {"seeds": [1]}, tmp_path / "one")
    assert next(average(one)).reason == "it has one seed"
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(tmp_path / "one")])
    assert done.exit_code != 0
    assert "no method with the weights of several seeds" in done.output + str(done.exception)
