"""The contract suites of nsbench meet what this package brings."""

from nsbench_example.every_other import EveryOther
from nsbench_example.keep_first import KeepFirst
from nsbench_example.margin_softplus import MarginSoftplus

from nsbench.benchmarks.testing.augmentations import check_augmentation
from nsbench.benchmarks.testing.objectives import check_objective
from nsbench.samplers.testing import check_sampler, expect_oracle


def rule(row: list[float], s_pos: float, hardest_first: list[int]) -> list[int]:
    return hardest_first[::3]


def test_sampler_keeps_the_contract_and_its_rule() -> None:
    check_sampler(EveryOther())
    expect_oracle(EveryOther(step=3), rule)


def test_objective_keeps_the_contract() -> None:
    check_objective(MarginSoftplus())


def test_augmentation_keeps_the_contract() -> None:
    check_augmentation(KeepFirst())
