"""The contract suite must catch what it is there for: samplers broken on purpose, one law each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch

from nsbench.samplers import Selection, SimilarityContext, in_range, make
from nsbench.samplers.testing import SAMPLERS, ContractError, check_sampler


def kept(context: SimilarityContext) -> Selection:
    return Selection(mask=context.negative_mask)


@dataclass(frozen=True)
class PicksPositive:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        own = torch.zeros_like(context.negative_mask).scatter(1, context.positive[:, None], True)
        return Selection(mask=context.negative_mask | own)


@dataclass(frozen=True)
class TrustsColumnIndex:
    """Broken: believes that row i's positive is column i, and overlooks the mask."""

    def __call__(self, context: SimilarityContext) -> Selection:
        itself = torch.zeros_like(context.negative_mask)
        itself.fill_diagonal_(True)
        return Selection(mask=~itself)


@dataclass(frozen=True)
class AttractsItsNegatives:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=context.negative_mask, attract=context.negative_mask)


@dataclass(frozen=True)
class HostSync:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        mean = context.similarity.mean().item()
        near = context.similarity > mean
        near = near | ~(near & context.negative_mask).any(dim=1, keepdim=True)
        return Selection(mask=context.negative_mask & near)


@dataclass(frozen=True)
class BranchesOnTensor:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        if context.similarity.max() > 2:
            return Selection(mask=torch.zeros_like(context.negative_mask))
        return kept(context)


@dataclass(frozen=True)
class BooleanIndex:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        score = context.similarity.clone()
        score[~context.negative_mask] = -torch.inf
        return Selection(mask=score.isfinite())


@dataclass(frozen=True)
class ForgetsTheDevice:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        everywhere = torch.ones(context.similarity.shape, dtype=torch.bool)
        return Selection(mask=context.negative_mask & everywhere)


@dataclass(frozen=True)
class WritesToItsInput:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        context.similarity.clamp_(-1, 1)
        return kept(context)


@dataclass(frozen=True)
class KeepsState:
    """Broken."""

    seen: list[int] = field(default_factory=list)

    def __call__(self, context: SimilarityContext) -> Selection:
        self.seen.append(1)
        shift = len(self.seen) % 5
        return Selection(mask=context.negative_mask & (context.ranks() != shift))


@dataclass
class NotFrozen:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        return kept(context)


@dataclass(frozen=True)
class GlobalChance:
    """Broken."""

    stochastic: ClassVar[bool] = True

    def __call__(self, context: SimilarityContext) -> Selection:
        lot = torch.rand(context.similarity.shape, device=context.similarity.device)
        return Selection(mask=context.negative_mask & (context.ranks(lot) < 3))


@dataclass(frozen=True)
class HiddenChance:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        return make("random", k=3)(context)


@dataclass(frozen=True)
class EmptyPromise:
    """Broken."""

    stochastic: ClassVar[bool] = True

    def __call__(self, context: SimilarityContext) -> Selection:
        return kept(context)


@dataclass(frozen=True)
class PrefersLowColumns:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        column = -torch.arange(context.similarity.shape[1], device=context.similarity.device)
        order = context.ranks(column.expand_as(context.similarity).float())
        return Selection(mask=context.negative_mask & (order < 3))


@dataclass(frozen=True)
class LosesRows:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=context.negative_mask & (context.similarity > 0.9))


@dataclass(frozen=True)
class NotBool:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=context.negative_mask.float())


@dataclass(frozen=True)
class WrongShape:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        weight = torch.zeros_like(context.similarity[0])
        return Selection(mask=context.negative_mask, log_weight=weight)


@dataclass(frozen=True)
class OverflowsInHalf:
    """Broken."""

    def __call__(self, context: SimilarityContext) -> Selection:
        weight = torch.exp(14 * (context.similarity + 1) / 2)
        return Selection(mask=context.negative_mask, log_weight=weight)


@dataclass(frozen=True)
class PeeksAtTruth:
    """Broken."""

    may_empty: ClassVar[bool] = True

    def __call__(self, context: SimilarityContext) -> Selection:
        if context.truth is None:
            return kept(context)
        return Selection(mask=context.negative_mask & ~context.truth)


@dataclass(frozen=True)
class NeedsTheUnknown:
    """Broken."""

    needs: ClassVar[frozenset[str]] = frozenset({"crystal_ball"})

    def __call__(self, context: SimilarityContext) -> Selection:
        return kept(context)


@dataclass(frozen=True)
class SwallowsAnything:
    """Broken."""

    margin: float = 0.1

    def __call__(self, context: SimilarityContext) -> Selection:
        return kept(context)


@dataclass(frozen=True)
class FalseSchedule:
    """Broken."""

    margin: float = 0.5
    schedulable: ClassVar[frozenset[str]] = frozenset({"margin"})

    def __post_init__(self) -> None:
        in_range("broken", "margin", self.margin, 0, 1)

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=context.negative_mask & (context.ranks() < 1 + int(self.margin)))


BROKEN: list[tuple[Callable[[], Any], str]] = [
    (PicksPositive, "chooses_only_eligible"),
    (TrustsColumnIndex, "never_chooses_a_twin"),
    (AttractsItsNegatives, "chooses_only_eligible"),
    (HostSync, "never_waits_for_the_device"),
    (BranchesOnTensor, "never_waits_for_the_device"),
    (BooleanIndex, "never_waits_for_the_device"),
    (ForgetsTheDevice, "never_waits_for_the_device"),
    (WritesToItsInput, "leaves_input_untouched"),
    (KeepsState, "keeps_no_state"),
    (NotFrozen, "keeps_no_state"),
    (GlobalChance, "repeats_itself"),
    (HiddenChance, "varies_with_the_generator"),
    (EmptyPromise, "varies_with_the_generator"),
    (PrefersLowColumns, "follows_its_candidates"),
    (LosesRows, "keeps_one_per_row"),
    (NotBool, "answers_with_right_shapes"),
    (WrongShape, "answers_with_right_shapes"),
    (OverflowsInHalf, "survives_half_precision"),
    (PeeksAtTruth, "reads_only_what_it_needs"),
    (NeedsTheUnknown, "declares_itself"),
    (SwallowsAnything, "refuses_illegal_parameters"),
    (FalseSchedule, "accepts_scheduled_parameters"),
]


@pytest.mark.parametrize(("broken", "law"), BROKEN, ids=lambda x: getattr(x, "__name__", x))
def test_suite_catches(broken: Callable[[], Any], law: str) -> None:
    check = next(one for one in SAMPLERS.laws if one.name == law)
    with pytest.raises(ContractError):
        check(broken())
    with pytest.raises(ContractError, match=r"\(.*\) breaks \w+: "):
        check_sampler(broken())


def test_suite_passes_a_sound_sampler_by_name_and_by_instance() -> None:
    check_sampler("random")
    check_sampler("random", k=2)
    check_sampler(make("hard", k=2))


def test_suite_has_a_broken_sampler_for_nearly_every_law() -> None:
    crashes_only = {"survives_tiny_batches", "survives_equal_similarities"}
    assert {law for _, law in BROKEN} == {law.name for law in SAMPLERS.laws} - crashes_only
