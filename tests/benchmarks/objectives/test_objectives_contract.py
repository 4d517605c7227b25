"""Objectives that break a law are found out by it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from nsbench.benchmarks.testing.objectives import OBJECTIVES, check_objective
from nsbench.samplers import Selection, SimilarityContext
from nsbench.samplers.testing import ContractError


def unguarded(similarity: Tensor, context: SimilarityContext, selection: Selection) -> Tensor:
    """Broken: an empty row is NaN."""
    return torch.log((similarity.exp() * selection.mask).sum(dim=1))


def logit_zeroed(similarity: Tensor, context: SimilarityContext, selection: Selection) -> Tensor:
    """Broken: a masked candidate stays in the sum as e^0."""
    pulled = similarity.gather(1, context.positive[:, None])[:, 0]
    loss = torch.logsumexp(similarity * 1.0, dim=1) - pulled
    return torch.where(selection.mask.any(dim=1), loss, torch.zeros_like(loss))


def mean_only(similarity: Tensor, context: SimilarityContext, selection: Selection) -> Tensor:
    """Broken: one number for the batch."""
    return (similarity * selection.mask).mean()


def syncs(similarity: Tensor, context: SimilarityContext, selection: Selection) -> Tensor:
    """Broken: asks the device how many rows are empty."""
    if bool(selection.mask.any()):
        return (similarity * selection.mask).sum(dim=1)
    return similarity.sum(dim=1) * 0


def ignores_weights(similarity: Tensor, context: SimilarityContext, selection: Selection) -> Tensor:
    """Broken: does not see log_weight."""
    return (similarity * selection.mask).sum(dim=1)


BROKEN = [
    (unguarded, "gives_one_finite_loss_per_anchor"),
    (logit_zeroed, "masked_candidates_get_no_gradient"),
    (mean_only, "gives_one_finite_loss_per_anchor"),
    (syncs, "never_waits_for_the_device"),
    (ignores_weights, "a_count_is_a_weight"),
]


@pytest.mark.parametrize(("broken", "law"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_suite_catches(broken: Any, law: str) -> None:
    check = next(one for one in OBJECTIVES.laws if one.name == law)
    with pytest.raises(ContractError):
        check(broken)
    with pytest.raises(ContractError, match=r"breaks \w+: "):
        check_objective(broken)
