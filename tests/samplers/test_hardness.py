import math
from typing import cast

import pytest
import torch
from torch import Tensor

from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import make
from nsbench.samplers.testing import make_context, two_views, unit


@pytest.mark.parametrize("scope", ["all", "own", "in_batch"])
def test_hardness_equals_nested_loops(scope: str) -> None:
    for seed in range(4):
        context = make_context(5, 12, seed=seed)
        selection = make("hardness", alpha=4.0, scope=scope)(context)
        assert torch.equal(selection.mask, context.negative_mask)
        own = context.require("own_negative")
        for i, j in context.negative_mask.nonzero().tolist():
            counted = {"all": True, "own": bool(own[i, j]), "in_batch": not own[i, j]}[scope]
            wanted = 4.0 * float(context.similarity[i, j]) if counted else 0.0
            assert math.isclose(
                float(cast(Tensor, selection.log_weight)[i, j]), wanted, abs_tol=1e-6
            )


def test_law_llave_is_hard_reweighted_up_to_one_offset_per_row() -> None:
    alpha = 9.0
    context = make_context(6, 40, seed=1)
    one = make("hardness", alpha=alpha)(context).log_weight
    two = make("hard_reweighted", beta=alpha * context.temperature)(context).log_weight
    offset = (one - two).masked_fill(~context.negative_mask, torch.nan)
    spread = offset.nan_to_num(-9).amax(1) - offset.nan_to_num(9).amin(1)
    assert (spread.abs() < 1e-4).all()
    assert (offset.nanmean(dim=1).abs() > 0.1).all(), "the total pull is raised"


@pytest.mark.parametrize(
    ("scope", "mode"),
    [("all", "all_negatives"), ("own", "hard_negatives"), ("in_batch", "in_batch_negatives")],
)
def test_agreement_hardness_with_multiple_negatives_ranking(scope: str, mode: str) -> None:
    losses = pytest.importorskip("sentence_transformers").sentence_transformer.losses
    size, alpha, temperature = 5, 3.0, 0.1
    one, two = two_views(size, seed=4)
    hard = unit(size, 8, generator=torch.Generator().manual_seed(6))
    raw = [v.clone().requires_grad_() for v in (one, two, hard)]
    theirs = losses.MultipleNegativesRankingLoss(
        cast(torch.nn.Module, None),
        scale=1 / temperature,
        hardness_mode=mode,
        hardness_strength=alpha,
    )
    theirs.compute_loss_from_embeddings(raw, torch.tensor(0)).backward()
    wanted = [v.grad.clone() for v in raw if v.grad is not None]
    for value in raw:
        value.grad = None
    live = raw[0] @ torch.cat(raw[1:]).T
    own = torch.cat([torch.zeros(size, size), torch.eye(size)], dim=1) > 0
    context = make_context(size, 2 * size, needs=()).replace(
        similarity=live.detach(),
        positive=torch.arange(size),
        negative_mask=torch.cat([~(torch.eye(size) > 0), torch.ones(size, size) > 0], dim=1),
        own_negative=own,
    )
    selection = make("hardness", alpha=alpha, scope=scope)(context)
    loss = objectives.make("info_nce", temperature=temperature)(live, context, selection).mean()
    loss.backward()
    torch.testing.assert_close(
        loss, theirs.compute_loss_from_embeddings(raw, torch.tensor(0)), rtol=1e-5, atol=1e-5
    )
    for value, grad in zip(raw, wanted, strict=True):
        # Cosines of normalised vectors: theirs leave out what changes a vector's length.
        flat = value.grad - (value.grad * value).sum(1, keepdim=True) * value.detach()
        torch.testing.assert_close(flat, grad, rtol=1e-5, atol=1e-5)
