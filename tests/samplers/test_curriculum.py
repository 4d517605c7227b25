import math
from typing import Any

import pytest
import torch

from nsbench.samplers import make, parse_choice
from nsbench.samplers.testing import make_context


def at(progress: float) -> Any:
    return make_context(6, 60).replace(progress=torch.tensor(progress))


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.4, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "step"])
def test_curriculum_is_the_inner_sampler_at_the_scheduled_value(
    schedule: str, progress: float
) -> None:
    way = {
        "linear": progress,
        "cosine": (1 - math.cos(math.pi * progress)) / 2,
        "step": float(progress >= 0.5),
    }[schedule]
    moving = make("curriculum", schedule=schedule)  # band, high from 1 to 0.05
    still = make("band", high=1.0 + (0.05 - 1.0) * way)
    assert torch.equal(moving(at(progress)).mask, still(at(progress)).mask)


@pytest.mark.parametrize(
    ("inner", "parameter", "start", "end"),
    [
        ("hard", "k", 30.0, 2.0),
        ("semi_hard", "margin", 2.0, 0.1),
        ("drop_band", "high", 0.0001, 0.5),
        ("hard_reweighted", "beta", 0.0, 1.0),
        ("positive_aware[filter=margin]", "margin", 0.5, 0.0),
        ("guided", "margin", 0.5, 0.0),
        ("text_dedup", "threshold", 1.0, 0.3),
        ("fn_cancel[top_k=3,mode=elimination]", "threshold", 0.9, 0.1),
    ],
)
def test_curriculum_reaches_both_ends(inner: str, parameter: str, start: float, end: float) -> None:
    sampler = make("curriculum", inner=inner, parameter=parameter, start=start, end=end)
    name, fixed = parse_choice(inner)
    for progress, value in ((0.0, start), (1.0, end)):
        plain = make(name, **fixed, **{parameter: int(value) if parameter == "k" else value})
        context = at(progress)
        one, two = sampler(context), plain(context)
        assert torch.equal(one.mask, two.mask)
        if one.log_weight is not None and two.log_weight is not None:
            torch.testing.assert_close(one.log_weight, two.log_weight)


def test_curriculum_gets_harder_step_by_step() -> None:
    sampler = make("curriculum")
    counts = [int(sampler(at(p)).mask.sum()) for p in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) == 6


def test_curriculum_passes_on_what_its_sampler_says() -> None:
    guided: Any = make("curriculum", inner="guided", parameter="margin", start=1.0, end=0.0)
    assert guided.needs == {"guide_similarity"}
    assert guided.may_empty
    for name in ("stochastic", "synthesize", "objective", "pool"):
        assert not hasattr(guided, name)
