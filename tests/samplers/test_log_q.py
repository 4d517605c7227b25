import math

import numpy as np
import pytest
import torch
from made_training import training

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.training.extras import row_share_of
from nsbench.samplers import make
from nsbench.samplers.testing import make_context


@pytest.mark.parametrize("relative", ["positive", "nothing"])
def test_log_q_equals_nested_loops(relative: str) -> None:
    for seed in range(3):
        context = make_context(5, 14, seed=seed)
        weight = make("log_q", relative=relative, least=0.2)(context).log_weight
        share = [min(max(float(s), 0.2), 1) for s in context.require("frequency")]
        for i in range(5):
            own = share[int(context.positive[i])] if relative == "positive" else 1.0
            for j in range(14):
                assert float(weight[i, j]) == pytest.approx(math.log(own / share[j]), abs=1e-5)


def test_law_log_q_of_texts_that_are_drawn_alike_is_in_batch() -> None:
    context = make_context(5, 14)
    context = context.replace(frequency=torch.full((14,), 0.03))
    selection = make("log_q")(context)
    assert torch.equal(selection.mask, context.negative_mask)
    assert (selection.log_weight == 0).all()


def test_law_log_q_weighs_a_text_drawn_twice_as_often_half() -> None:
    context = make_context(5, 14)
    share = torch.full((14,), 0.03)
    share[3] = 0.06
    weight = make("log_q", relative="nothing")(context.replace(frequency=share)).log_weight
    torch.testing.assert_close(weight[:, 3].exp() * 2, weight[:, 4].exp())


def test_frequency_counts_equal_texts_together_on_the_side_where_they_are_more() -> None:
    texts = ("a", "b", "A", "c", "never")
    data = TrainingData(
        name="made",
        texts=texts,
        anchor=np.array([0, 1, 2, 0]),
        positive=np.array([3, 3, 3, 1]),
        negatives=np.array([[1], [-1], [-1], [-1]]),
    )
    assert row_share_of(data).tolist() == [0.75, 0.5, 0.75, 0.75, 0.25]


def test_log_q_trains() -> None:
    done = training("static", "log_q").finish()
    assert np.isfinite(done.training["loss"]).all()
