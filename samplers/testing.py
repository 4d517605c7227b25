"""The contract every sampler meets, as functions that plugin authors run too.

    from nsbench.samplers.testing import check_sampler

    def test_contract():
        check_sampler(MySampler(margin=0.1))

Each law is one function of a sampler in `CHECKS`, so that pytest can run them one by one. A broken
law raises `ContractError`, an ``AssertionError`` that says what was seen.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from nsbench.samplers import Entry, Registry, Sampler
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
    ContractError,
    NoBooleanIndex,
    answer,
    contexts,
    expect,
    expect_refusals,
    indexed,
    needs_of,
    same,
)
from nsbench.samplers._laws import CHECKS, Check

T = TypeVar("T")


def configurations(registry: Registry[Any]) -> list[tuple[str, dict[str, Any]]]:
    """Name and parameters of every case of a registry: the defaults, then ``test_configs``."""
    out: list[tuple[str, dict[str, Any]]] = []
    for entry in registry:
        out += [(entry.name, given) for given in configurations_of(entry)]
    return out


def configurations_of(entry: Entry[Any]) -> list[dict[str, Any]]:
    """The parameter sets one registered class is checked with."""
    return [{}, *(dict(given) for given in entry.attribute("test_configs", ()))]


def check_sampler(sampler: Sampler | str, /, **parameters: Any) -> None:
    """Run every law over one sampler.

    Args:
        sampler: An instance, or the name of a registered one.
        parameters: Of the named one; without any, its ``test_configs`` are checked as well.

    Raises:
        ContractError: On the first broken law, naming sampler and law.
    """
    from nsbench.samplers import samplers

    check_component(samplers, sampler, CHECKS, parameters)


def check_component(
    registry: Registry[T],
    component: T | str,
    checks: Iterable[Callable[[T], None]],
    parameters: Mapping[str, Any],
) -> None:
    """Run laws over a component: an instance, or a registered name with its configurations.

    Raises:
        ContractError: On the first broken law, naming component and law.
    """
    if not isinstance(component, str):
        cases = [component]
    elif parameters:
        cases = [registry.make(component, **parameters)]
    else:
        given = configurations_of(registry.entry(component))
        cases = [registry.make(component, **g) for g in given]
    for case in cases:
        for check in checks:
            try:
                check(case)
            except Exception as error:
                what = "" if isinstance(error, ContractError) else f"{type(error).__name__}: "
                text = f"{case!r} breaks {check.__name__}: {what}{error}"
                raise ContractError(text) from error


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
    "CHECKS",
    "Check",
    "ContractError",
    "NoBooleanIndex",
    "Rule",
    "answer",
    "by_loops",
    "check_component",
    "check_sampler",
    "chosen",
    "configurations",
    "configurations_of",
    "context_of",
    "contexts",
    "expect",
    "expect_oracle",
    "expect_refusals",
    "indexed",
    "make_context",
    "needs_of",
    "of_views",
    "one_row",
    "permute_columns",
    "permute_rows",
    "same",
    "text_context",
    "two_views",
    "unit",
]
