import torch

from nsbench.samplers import make
from nsbench.samplers.testing import make_context


def test_oracle_drops_exactly_the_false_negatives() -> None:
    for seed in range(4):
        context = make_context(6, 30, seed=seed)
        truth = context.require("truth")
        dropped = context.negative_mask & ~make("oracle")(context).mask
        assert torch.equal(dropped, context.negative_mask & truth)


def test_oracle_attracts_what_it_drops() -> None:
    context = make_context(6, 30)
    selection = make("oracle", mode="attraction")(context)
    assert torch.equal(selection.mask | selection.attract, context.negative_mask)
    assert torch.equal(selection.mask, make("oracle")(context).mask)


def test_oracle_without_false_negatives_is_in_batch() -> None:
    context = make_context(6, 30)
    none = context.replace(truth=torch.zeros_like(context.negative_mask))
    assert torch.equal(make("oracle")(none).mask, context.negative_mask)
