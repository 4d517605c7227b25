import math

import torch

from nsbench.samplers import make
from nsbench.samplers.testing import make_context


def test_hard_reweighted_equals_the_formula_in_loops() -> None:
    for beta in (0.2, 1.0, 3.0):
        context = make_context(5, 12, needs=()).replace(temperature=0.5)
        selection = make("hard_reweighted", beta=beta)(context)
        for i in range(5):
            columns = [j for j in range(12) if bool(context.negative_mask[i, j])]
            raw = {j: math.exp(beta * context.similarity[i, j].item() / 0.5) for j in columns}
            mean = sum(raw.values()) / len(raw)
            for j in columns:
                got = math.exp(selection.log_weight[i, j].item())
                assert abs(got - raw[j] / mean) < 1e-4 * (1 + got)


def test_hard_reweighted_keeps_the_total_weight() -> None:
    context = make_context(6, 30, needs=())
    selection = make("hard_reweighted", beta=0.3)(context)
    total = (selection.log_weight.exp() * selection.mask).sum(dim=1)
    torch.testing.assert_close(total, context.eligible[:, 0].float())


def test_hard_reweighted_at_beta_zero_is_in_batch() -> None:
    context = make_context(6, 30, needs=())
    selection = make("hard_reweighted", beta=0.0)(context)
    assert torch.equal(selection.mask, context.negative_mask)
    assert selection.log_weight[selection.mask].abs().max() < 1e-5
