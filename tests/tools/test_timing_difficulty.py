"""The script that times logging: it logs in one arm only, and says when the target is missed."""

import pytest

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from tools.timing.difficulty import CASES, MEASUREMENTS, Measured, Trainer, line, measure


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    data = datasets.make("planted", rows=120)()
    encoder = encoders.make("static", dimension=8).build(data.texts, 0)
    return Trainer(encoder, data, 16, 16, every=2)


def test_both_arms_are_timed_in_pairs(trainer: Trainer) -> None:
    found = measure(trainer, 4)
    assert len(found.ratios) == len(found.inside) == 4
    assert min(*found.plain, *found.logged, found.probe) > 0
    assert all(0 < part < whole for part, whole in zip(found.inside, found.logged, strict=True))


def test_nothing_is_logged_without_asking(trainer: Trainer) -> None:
    log = trainer.training.measures.difficulty
    before = len(log.table())
    assert trainer.block(0, 2, logged=False)[1] == 0
    assert len(log.table()) == before
    trainer.block(0, 2, logged=True)
    assert len(log.table()) > before


def test_numbers_and_the_mark_follow_the_measurement() -> None:
    slow = Measured((1.0, 1.0, 1.0), (1.05, 1.05, 1.05), (0.05, 0.05, 0.05), 0.4)
    assert slow.ratios == pytest.approx([1.05] * 3)
    assert slow.added == pytest.approx(0.05)
    assert slow.probe_share(100) == pytest.approx((MEASUREMENTS + 1) * 0.4 / 100)
    assert "over target" in line(CASES[0], slow)
    assert "over target" not in line(CASES[1], slow)
    fast = Measured((1.0, 1.0, 1.0), (1.01, 1.01, 1.01), (0.01, 0.01, 0.01), 0.4)
    assert "over target" not in line(CASES[0], fast)
