"""The contract of samplers, for plugin authors and for this package's own tests.

    from nsbench.samplers.testing import check_sampler

    def test_contract():
        check_sampler(MySampler(margin=0.1))

Pytest can run ``SAMPLERS.laws`` one by one. A broken law raises `ContractError`, an
``AssertionError`` that says what was seen.
"""

from typing import Any

from nsbench.samplers import Sampler
from nsbench.samplers._contexts import (
    Rule,
    by_loops,
    chosen,
    context_of,
    make_context,
    of_views,
    one_row,
    permute_columns,
    permute_rows,
    text_context,
    two_views,
    unit,
)
from nsbench.samplers._contract import (
    Change,
    Contract,
    ContractError,
    Law,
    configurations,
    expect,
    expect_chance,
    expect_declared,
    expect_frozen,
    expect_no_waiting,
    expect_refusals,
    expect_repeatable,
    expect_untouched,
    refuses_illegal_parameters,
    seeded,
    tensors,
    with_tensors,
)
from nsbench.samplers._laws import SAMPLERS, answer, contexts, indexed, needs_of, same


def check_sampler(sampler: Sampler | str, /, **parameters: Any) -> None:
    """Check every law on one sampler.

    Args:
        sampler: An instance, or the name of a registered one.
        parameters: Of the named one; without any, its ``test_configs`` are checked as well.

    Raises:
        ContractError: On the first broken law, naming sampler and law.
    """
    SAMPLERS.check(sampler, **parameters)


def expect_oracle(sampler: Sampler, rule: Rule) -> None:
    """Compare a sampler's choice with a rule in nested loops, on a dozen candidates.

    Raises:
        ContractError: Where they differ.
    """
    for seed in range(8):
        context = make_context(
            5, 12, needs=needs_of(sampler), seed=seed, ineligible=0.1 * (seed % 4)
        )
        fast, slow = chosen(sampler(context).mask), by_loops(context, rule)
        expect(fast == slow, f"chose {fast}, the loops {slow}")


__all__ = [
    "SAMPLERS",
    "Change",
    "Contract",
    "ContractError",
    "Law",
    "Rule",
    "answer",
    "by_loops",
    "check_sampler",
    "chosen",
    "configurations",
    "context_of",
    "contexts",
    "expect",
    "expect_chance",
    "expect_declared",
    "expect_frozen",
    "expect_no_waiting",
    "expect_oracle",
    "expect_refusals",
    "expect_repeatable",
    "expect_untouched",
    "indexed",
    "make_context",
    "needs_of",
    "of_views",
    "one_row",
    "permute_columns",
    "permute_rows",
    "refuses_illegal_parameters",
    "same",
    "seeded",
    "tensors",
    "text_context",
    "two_views",
    "unit",
    "with_tensors",
]
