"""Your own components: check one against its contract, write a file to start from.

A package names its components as entry points of the groups ``nsbench.samplers``,
``nsbench.objectives``, ``nsbench.augmentations``, ``nsbench.encoders``, ``nsbench.datasets``,
``nsbench.candidates``; a single file registers them itself and is named by ``--plugin-path``.
"""

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.testing.augmentations import AUGMENTATIONS
from nsbench.benchmarks.testing.data import DATA_SETS
from nsbench.benchmarks.testing.encoders import ENCODERS
from nsbench.benchmarks.testing.objectives import OBJECTIVES
from nsbench.samplers import UnknownNameError, samplers, suggest
from nsbench.samplers.testing import SAMPLERS, Contract

CONTRACTS: tuple[Contract[Any], ...] = (SAMPLERS, OBJECTIVES, AUGMENTATIONS, ENCODERS, DATA_SETS)
"""The contract of every kind of component that has one."""


@dataclass(frozen=True)
class Verdict:
    """One law met by one component.

    Attributes:
        kind: ``sampler``, ``objective`` ...
        name: The component.
        law: The law in words.
        problem: Violation that was seen; empty if the law holds.
    """

    kind: str
    name: str
    law: str
    problem: str


def check_plugin(name: str) -> Iterator[Verdict]:
    """Check every component called ``name`` against its contract, law by law.

    Raises:
        UnknownNameError: If nothing has the name, with the nearest right name.
    """
    found = False
    for contract in CONTRACTS:
        registry = contract.registry
        if name in registry or name in registry.broken:
            found = True
            for law, problem in contract.verdicts(name):  # raises if the import failed
                yield Verdict(registry.kind, name, law.says, problem)
    if not found:
        known = {n for contract in CONTRACTS for n in contract.registry.names()}
        hint = suggest(name, known)
        raise UnknownNameError(f"nothing with a contract is called {name!r}. {hint}")


SAMPLER = '''"""{title}: one sentence on the idea.

Source: authors, year, title. https://
"""

from dataclasses import dataclass
from typing import Annotated

from nsbench.samplers import Interval, Selection, SimilarityContext, register


@register("{name}")
@dataclass(frozen=True)
class {cls}:
    """Keep the k hardest candidates. (Say here what yours keeps.)

    Args:
        k: Negatives per anchor, >= 1.
    """

    k: Annotated[int, Interval("[1, inf)")] = 16

    def __call__(self, context: SimilarityContext) -> Selection:
        """Choose: rank 0 is the most similar candidate that may be a negative."""
        return Selection(mask=context.negative_mask & (context.ranks() < self.k))
'''

TEST = '''"""The sampler `{name}` keeps the contract, and the rule it states."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from {module} import {cls}

from nsbench.samplers.testing import check_sampler, expect_oracle


def rule(row: list[float], s_pos: float, hardest_first: list[int]) -> list[int]:
    """The same rule for one row, in plain Python."""
    return hardest_first[:3]


def test_{name}_keeps_the_contract() -> None:
    check_sampler({cls}())


def test_{name}_keeps_its_rule() -> None:
    expect_oracle({cls}(k=3), rule)
'''


def new_sampler(name: str, folder: Path) -> list[Path]:
    """Write ``<name>.py`` with a working sampler, and ``test_<name>.py``.

    Args:
        name: In lower case with underscores, ``my_sampler``.
        folder: Destination; made if missing.

    Raises:
        ValueError: If the name is no such name or is taken.
        FileExistsError: If a file of that name is there.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise ValueError(
            f"a sampler's name is lower case with underscores, like my_sampler, not {name!r}"
        )
    if name in samplers:
        raise ValueError(f"there is a sampler {name!r} already; see nsbench describe {name}")
    words = {
        "name": name,
        "module": name,
        "cls": "".join(part.capitalize() for part in name.split("_")),
        "title": name.replace("_", " ").capitalize(),
    }
    files = {folder / f"{name}.py": SAMPLER, folder / f"test_{name}.py": TEST}
    there = [path for path in files if path.exists()]
    if there:
        raise ValueError(f"{there[0]} is there already and is not overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        write_atomically(path, text.format(**words))
    return list(files)
