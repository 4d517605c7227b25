"""Objectives that break a law are found out by it."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from nsbench.benchmarks.testing.objectives import OBJECTIVES, check_objective
from nsbench.samplers import Selection, SimilarityContext
from nsbench.samplers.testing import ContractError


@dataclass(frozen=True)
class Unguarded:
    """Broken: an empty row is NaN."""

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        return torch.log((similarity.exp() * selection.mask).sum(dim=1))


@dataclass(frozen=True)
class LogitTimesZero:
    """Broken: a masked candidate stays in the sum as e^0."""

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        pulled = similarity.gather(1, context.positive[:, None])[:, 0]
        loss = torch.logsumexp(similarity * 1.0, dim=1) - pulled
        return torch.where(selection.mask.any(dim=1), loss, torch.zeros_like(loss))


@dataclass(frozen=True)
class MeanOnly:
    """Broken: one number for the batch."""

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        return (similarity * selection.mask).mean()


@dataclass(frozen=True)
class Syncs:
    """Broken: asks the device how many rows are empty."""

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        if bool(selection.mask.any()):
            return (similarity * selection.mask).sum(dim=1)
        return similarity.sum(dim=1) * 0


@dataclass(frozen=True)
class IgnoresWeights:
    """Broken: does not see log_weight."""

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        return (similarity * selection.mask).sum(dim=1)


BROKEN = [
    (Unguarded, "gives_one_finite_loss_per_anchor"),
    (LogitTimesZero, "masked_candidates_get_no_gradient"),
    (MeanOnly, "gives_one_finite_loss_per_anchor"),
    (Syncs, "never_waits_for_the_device"),
    (IgnoresWeights, "a_count_is_a_weight"),
]


@pytest.mark.parametrize(("broken", "law"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_suite_catches(broken: Any, law: str) -> None:
    check = next(one for one in OBJECTIVES.laws if one.name == law)
    with pytest.raises(ContractError):
        check(broken())
    with pytest.raises(ContractError, match=r"\(.*\) breaks \w+: "):
        check_objective(broken())
