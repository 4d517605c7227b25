"""Steps in bfloat16: every sampler and objective leaves finite losses and weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_training import method, opened

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import make, samplers
from tools.same_results import FITTED, batches_of_rows

pytestmark = pytest.mark.slow
GRADED = {"cosent", "angle"}


def expect_finite(sampler: Any, objective: Any) -> None:
    data = datasets.make("negated", data={"name": "planted", "rows": 320})()
    encoder = encoders.make("tiny", dimension=16).build(data.texts, 0)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    named = getattr(sampler, "pool", "in_batch")
    name, given = (named, {}) if isinstance(named, str) else named
    made = method(
        sampler,
        objective=objective,
        pool=candidates.make(name, **given),
        directions=getattr(objective, "views", "one"),
        batch_size=16,
        precision="bf16",
        steps=3,
    )
    with torch.random.fork_rng():
        losses = opened(encoder, data, made, every=1).finish().training["loss"]
    assert np.isfinite(losses).all()
    after = encoder.state_dict()
    assert all(bool(torch.isfinite(value).all()) for value in after.values())
    assert any(not torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", sorted({e.name for e in objectives} - GRADED))
def test_every_objective_trains_in_bfloat16(name: str) -> None:
    expect_finite(make("in_batch"), objectives.make(name, **FITTED.get(name, {})))


@pytest.mark.parametrize("name", [e.name for e in samplers if e.attribute("trains", True)])
def test_every_sampler_trains_in_bfloat16(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    batches_of_rows(Path("batches.txt"))
    sampler = make(name, **FITTED.get(name, {}))
    paired: Any = getattr(sampler, "objective", "info_nce")
    objective, given = (paired, {}) if isinstance(paired, str) else paired
    expect_finite(sampler, objectives.make(objective, **given))
