"""The contract of samplers, for plugin authors and for this package's own tests.

    from nsbench.samplers.testing import check_sampler

    def test_contract():
        check_sampler(MySampler(margin=0.1))

Pytest can run ``SAMPLERS.laws`` one by one. A broken law raises `ContractError`, an
``AssertionError`` that says what was seen.
"""

from nsbench.samplers import Sampler
from nsbench.samplers._contexts import (
    Rule,
    by_loops,
    chosen,
    make_context,
    of_views,
    one_row,
    permute_rows,
    two_views,
    unit,
)
from nsbench.samplers._contract import (
    Contract,
    ContractError,
    Law,
    configurations,
    expect,
    refuses_illegal_parameters,
)
from nsbench.samplers._laws import SAMPLERS, answer, needs_of, same

check_sampler = SAMPLERS.check
"""Check every law on one sampler."""


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
    "Contract",
    "ContractError",
    "Law",
    "answer",
    "check_sampler",
    "chosen",
    "configurations",
    "expect",
    "expect_oracle",
    "make_context",
    "needs_of",
    "of_views",
    "one_row",
    "permute_rows",
    "refuses_illegal_parameters",
    "same",
    "two_views",
    "unit",
]
