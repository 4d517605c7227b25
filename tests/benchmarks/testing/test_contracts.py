"""Every law of three contracts, over every registered component and its test configurations."""

from typing import Any

import pytest

from nsbench.benchmarks.testing.augmentations import AUGMENTATIONS
from nsbench.benchmarks.testing.objectives import OBJECTIVES
from nsbench.samplers import Entry
from nsbench.samplers.testing import SAMPLERS, Contract, Law, configurations

CONTRACTS = (SAMPLERS, OBJECTIVES, AUGMENTATIONS)
CASES = [
    pytest.param(contract, name, given, law, id=f"{name}({given})-{law.name}")
    for contract in CONTRACTS
    for name, given in configurations(contract.registry)
    for law in contract.laws
]


@pytest.mark.parametrize(("contract", "name", "given", "law"), CASES)
def test_contract(contract: Contract[Any], name: str, given: dict[str, Any], law: Law[Any]) -> None:
    law(contract.registry.make(name, **given))


@pytest.mark.parametrize("entry", [e for c in CONTRACTS for e in c.registry], ids=lambda e: e.name)
def test_docstrings_say_what_lists_and_tables_show(entry: Entry[Any]) -> None:
    assert entry.summary.endswith(".")
    assert entry.source
    for parameter in entry.parameters:
        assert parameter.description, f"{entry.name}: {parameter.name} is not described"
        assert not parameter.required, f"{entry.name}: {parameter.name} has no default"
