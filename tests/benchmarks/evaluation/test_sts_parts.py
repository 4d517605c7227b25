"""Sub-sets of a year's STS task: their sizes, and the correlation of each by itself."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from nsbench.benchmarks.data import Pairs
from nsbench.benchmarks.evaluation.mteb.tasks import STS7
from nsbench.benchmarks.evaluation.sts_parts import PARTS, part_correlations


def test_sizes_add_up_to_the_test_sets():
    counted = {name: sum(sizes.values()) for name, sizes in PARTS.items()}
    assert counted == {"STS12": 3108, "STS13": 1500, "STS14": 3750, "STS15": 3000, "STS16": 1186}
    assert set(PARTS) < set(STS7)


def test_each_part_is_correlated_by_itself():
    rng = np.random.default_rng(0)
    n = 1186
    first, second = rng.normal(size=(2, n, 4)).astype(np.float32)
    gold = rng.normal(size=n)
    pairs = Pairs("STS16", ("a b",) * n, ("c d",) * n, tuple(gold))
    found = part_correlations(pairs, first, second)
    assert list(found) == list(PARTS["STS16"])
    cosine = (first * second).sum(1)
    cosine /= np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    assert found["answer-answer"] == pytest.approx(spearmanr(cosine[:254], gold[:254]).statistic)
    assert found["question-question"] == pytest.approx(
        spearmanr(cosine[-209:], gold[-209:]).statistic
    )


def test_other_tasks_and_other_sizes_have_no_parts():
    ones = np.ones((2, 3), dtype=np.float32)
    for name in ("SICK-R", "STS12", "mine"):
        assert part_correlations(Pairs(name, ("a", "b"), ("c", "d"), (0.0, 1.0)), ones, ones) == {}
