"""What masks of false negatives do in a training, and what is written down of them."""

import pytest
from made_training import training

from nsbench.benchmarks.training.extras import spares_copies
from nsbench.samplers import samplers


def seen(sampler: str, quantity: str, **given: object) -> list[float]:
    """A quantity of a training with mined negatives, measurement by measurement."""
    pool = {"shortage": "fewer", "negatives": 2, "depth": 2}
    under = training("static", samplers.make(sampler, **given), "corpus", pool)
    table = under.finish().difficulty
    return list(table[table["quantity"] == quantity]["mean"])


@pytest.mark.parametrize(
    ("sampler", "given"),
    [("margin_mask", {"margin": -0.5}), ("threshold_mask", {"threshold": 0.0})],
)
def test_how_often_the_mask_would_have_hit_an_own_negative_is_measured(
    sampler: str, given: dict[str, float]
) -> None:
    hit = seen(sampler, "own_masked", **given)
    assert hit
    assert all(0 < value <= 1 for value in hit)
    assert seen(sampler, "own_masked") != hit
    assert not seen("in_batch", "own_masked")


def test_copies_of_the_positive_are_spared_where_the_sampler_or_its_inner_one_says_so() -> None:
    keeps = samplers.make("margin_mask", copies="keep")
    moved = samplers.make(
        "curriculum", inner="margin_mask[copies=keep]", parameter="margin", start=1.0, end=0.1
    )
    assert spares_copies(keeps)
    assert spares_copies(moved)
    assert not spares_copies(samplers.make("margin_mask"))
    assert not spares_copies(samplers.make("in_batch"))
    assert training("static", keeps).make_step.positive_copies
    assert not training("static", "in_batch").make_step.positive_copies
