"""Every law, over every registered sampler and each of its test configurations."""

from typing import Any

import pytest

from nsbench.samplers import make, samplers
from nsbench.samplers.testing import SAMPLERS, Law, configurations

CASES = configurations(samplers)


def shown(case: tuple[str, dict[str, Any]]) -> str:
    name, given = case
    return f"{name}({', '.join(f'{k}={v}' for k, v in given.items())})"


@pytest.mark.parametrize("law", SAMPLERS.laws, ids=lambda law: law.name)
@pytest.mark.parametrize("case", CASES, ids=shown)
def test_contract(case: tuple[str, dict[str, Any]], law: Law[Any]) -> None:
    name, given = case
    law(make(name, **given))


@pytest.mark.parametrize("name", samplers.names())
def test_docstrings_say_what_lists_and_tables_show(name: str) -> None:
    entry = samplers.entry(name)
    assert entry.summary.endswith(".")
    assert entry.source
    for parameter in entry.parameters:
        assert parameter.description, f"{name}: {parameter.name} is not described"
        assert not parameter.required, f"{name}: {parameter.name} has no default"
