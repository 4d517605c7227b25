"""The two debiasing rows keep what is eligible; their estimator is the objective's."""

from typing import Any

import pytest
import torch

from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import make, resolve
from nsbench.samplers import make as make_sampler
from nsbench.samplers import samplers
from nsbench.samplers.testing import make_context


@pytest.mark.parametrize("name", ["debiased", "hard_debiased"])
def test_keeps_all_and_names_its_objective(name: str) -> None:
    sampler = samplers.make(name, prior=0.02)
    seen = make_context(5, 7, needs=())
    assert torch.equal(sampler(seen).mask, seen.negative_mask)
    pairing: Any = sampler.objective  # type: ignore[attr-defined]
    objective = make(objectives, resolve(objectives, *pairing))
    assert type(objective).__module__.endswith(f"objectives.{name}")
    assert objective.prior == 0.02


def test_law_hcl_beta_zero_is_dcl() -> None:
    seen = make_context(5, 7, needs=())
    losses = []
    for name, more in (("debiased", {}), ("hard_debiased", {"beta": 0.0})):
        sampler = make_sampler(name, prior=0.05, **more)
        objective = objectives.make(sampler.objective[0], **sampler.objective[1])  # type: ignore[attr-defined]
        losses.append(objective(seen.similarity, seen, sampler(seen)))
    assert torch.allclose(*losses, atol=1e-6)
