"""What training meets: a uniform sampler the dialled rate of false negatives, hard ones more.

The batch is the unit. Its rate varies with which rows it holds, far more than a binomial count of
its pairs would, since planted false negatives come in few large meanings; batches of one epoch
share no row, so the standard error over batches is, if anything, too large.
"""

import numpy as np
import pytest
from made_training import method, trained

from nsbench.benchmarks.data import datasets, false_negative_rate
from nsbench.benchmarks.data._describe import describe_data
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.matrix.config import load_config
from nsbench.samplers import samplers

RATES = (0.0, 0.05, 0.2)
STEPS, BATCH = 40, 64


def measured(rate: float, sampler: str, steps: int, **given: object) -> np.ndarray:
    """Rate of false negatives among the chosen of every batch."""
    data = datasets.make("planted", rows=640, false_negative_rate=rate)()
    encoder = encoders.make("static", dimension=16).build(data.texts, 0)
    made = method(
        samplers.make(sampler, **given),
        steps=steps,
        batch_size=BATCH,
        learning_rate=0.05,
        precision="fp32",
    )
    table = trained(encoder, data, made, every=1).difficulty
    found = table[table["quantity"] == "false_negative"]["mean"].to_numpy()
    assert len(found) == steps
    return found


@pytest.mark.parametrize("rate", RATES)
def test_random_meets_the_dialled_rate_and_hard_ones_more(rate: float) -> None:
    data = datasets.make("planted", rows=640, false_negative_rate=rate)()
    dialled = false_negative_rate(data)
    assert dialled == pytest.approx(rate, abs=1e-3)
    assert describe_data(data)["false_negative_rate"] == dialled
    found = measured(rate, "random", STEPS, k=16)
    error = found.std(ddof=1) / len(found) ** 0.5
    assert abs(found.mean() - dialled) <= 4 * error
    hard = measured(rate, "hard", 10, k=3)
    if rate:
        assert error < 0.1 * dialled  # the interval is narrow enough to mean something
        assert hard.mean() - 4 * hard.std(ddof=1) / len(hard) ** 0.5 > dialled
    else:
        assert found.max() == hard.max() == 0


def test_the_suite_dials_these_rates() -> None:
    config = load_config("false-negative-rates")
    assert config.data[0]["false_negative_rate"] == list(RATES)  # type: ignore[index]
    names = {s if isinstance(s, str) else s["name"] for s in config.samplers}
    assert {"random", "hard", "band"} <= names
    assert config.difficulty.every == 1
