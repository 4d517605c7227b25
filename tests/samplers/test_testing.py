"""The contract suite must catch what it is there for: samplers broken on purpose, one law each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch

from nsbench.samplers import Selection, SimilarityContext, in_range, make
from nsbench.samplers.testing import SAMPLERS, ContractError, check_sampler

Rule = Callable[..., Selection]


def frozen(rule: Rule, **attributes: Any) -> Any:
    """A sampler with some class attributes that chooses by a rule."""
    doc = {"__doc__": "Broken.", "__call__": lambda self, context: rule(context)}
    made: Any = dataclass(frozen=True)(type(rule.__name__, (), doc | attributes))
    return made()


def kept(context: SimilarityContext) -> Selection:
    return Selection(mask=context.negative_mask)


def picks_positive(context: SimilarityContext) -> Selection:
    own = torch.zeros_like(context.negative_mask).scatter(1, context.positive[:, None], True)
    return Selection(mask=context.negative_mask | own)


def trusts_column_index(context: SimilarityContext) -> Selection:
    """Believes that row i's positive is column i, and overlooks the mask."""
    itself = torch.zeros_like(context.negative_mask)
    itself.fill_diagonal_(True)
    return Selection(mask=~itself)


def attracts_its_negatives(context: SimilarityContext) -> Selection:
    return Selection(mask=context.negative_mask, attract=context.negative_mask)


def host_sync(context: SimilarityContext) -> Selection:
    mean = context.similarity.mean().item()
    near = context.similarity > mean
    near = near | ~(near & context.negative_mask).any(dim=1, keepdim=True)
    return Selection(mask=context.negative_mask & near)


def branches_on_tensor(context: SimilarityContext) -> Selection:
    if context.similarity.max() > 2:
        return Selection(mask=torch.zeros_like(context.negative_mask))
    return kept(context)


def boolean_index(context: SimilarityContext) -> Selection:
    score = context.similarity.clone()
    score[~context.negative_mask] = -torch.inf
    return Selection(mask=score.isfinite())


def assigns_a_number(context: SimilarityContext) -> Selection:
    score = torch.zeros_like(context.similarity[:, :1])
    score[0, 0] = 0.5
    return Selection(mask=context.negative_mask & (score < 1))


def forgets_the_device(context: SimilarityContext) -> Selection:
    everywhere = torch.ones(context.similarity.shape, dtype=torch.bool)
    return Selection(mask=context.negative_mask & everywhere)


def writes_to_its_input(context: SimilarityContext) -> Selection:
    context.similarity.clamp_(-1, 1)
    return kept(context)


def global_chance(context: SimilarityContext) -> Selection:
    lot = torch.rand(context.similarity.shape, device=context.similarity.device)
    return Selection(mask=context.negative_mask & (context.ranks(lot) < 3))


def prefers_low_columns(context: SimilarityContext) -> Selection:
    column = -torch.arange(context.similarity.shape[1], device=context.similarity.device)
    order = context.ranks(column.expand_as(context.similarity).float())
    return Selection(mask=context.negative_mask & (order < 3))


def wrong_shape(context: SimilarityContext) -> Selection:
    return Selection(context.negative_mask, torch.zeros_like(context.similarity[0]))


def overflows_in_half(context: SimilarityContext) -> Selection:
    return Selection(context.negative_mask, torch.exp(14 * (context.similarity + 1) / 2))


def peeks_at_truth(context: SimilarityContext) -> Selection:
    if context.truth is None:
        return kept(context)
    return Selection(mask=context.negative_mask & ~context.truth)


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


BROKEN: list[tuple[Any, str]] = [
    (frozen(picks_positive), "chooses_only_eligible"),
    (frozen(trusts_column_index), "never_chooses_a_twin"),
    (frozen(attracts_its_negatives), "chooses_only_eligible"),
    (frozen(host_sync), "never_waits_for_the_device"),
    (frozen(branches_on_tensor), "never_waits_for_the_device"),
    (frozen(boolean_index), "never_waits_for_the_device"),
    (frozen(assigns_a_number), "never_waits_for_the_device"),
    (frozen(forgets_the_device), "never_waits_for_the_device"),
    (frozen(writes_to_its_input), "leaves_input_untouched"),
    (KeepsState(), "keeps_no_state"),
    (NotFrozen(), "keeps_no_state"),
    (frozen(global_chance, stochastic=True), "repeats_itself"),
    (frozen(lambda context: make("random", k=3)(context)), "varies_with_the_generator"),
    (frozen(kept, stochastic=True), "varies_with_the_generator"),
    (frozen(prefers_low_columns), "follows_its_candidates"),
    (frozen(lambda c: Selection(c.negative_mask & (c.similarity > 0.9))), "keeps_one_per_row"),
    (frozen(lambda c: Selection(c.negative_mask.float())), "answers_with_right_shapes"),
    (frozen(wrong_shape), "answers_with_right_shapes"),
    (frozen(overflows_in_half), "survives_half_precision"),
    (frozen(peeks_at_truth, may_empty=True), "reads_only_what_it_needs"),
    (frozen(kept, needs=frozenset({"crystal_ball"})), "declares_itself"),
    (SwallowsAnything(), "refuses_illegal_parameters"),
    (FalseSchedule(), "accepts_scheduled_parameters"),
]


@pytest.mark.parametrize(("broken", "law"), BROKEN, ids=str)
def test_suite_catches(broken: Any, law: str) -> None:
    check = next(one for one in SAMPLERS.laws if one.name == law)
    with pytest.raises(ContractError):
        check(broken)
    with pytest.raises(ContractError, match=r"\(.*\) breaks \w+: "):
        check_sampler(broken)


def test_suite_passes_a_sound_sampler_by_name_and_by_instance() -> None:
    check_sampler("random")
    check_sampler("random", k=2)
    check_sampler(make("hard", k=2))


def test_suite_has_a_broken_sampler_for_nearly_every_law() -> None:
    crashes_only = {"survives_tiny_batches", "survives_equal_similarities"}
    assert {law for _, law in BROKEN} == {law.name for law in SAMPLERS.laws} - crashes_only
