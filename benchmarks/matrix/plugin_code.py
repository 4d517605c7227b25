"""The code of plugins, as part of what a cell is made from.

What ships with the package is known by its recipe; what comes from elsewhere by its source, so that
a finished cell is never taken for one of other code.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import Cell, Choice
from nsbench.benchmarks.regimes import regimes
from nsbench.samplers import Registry, parse_choice, samplers

REGISTRIES: tuple[Registry[Any], ...] = (
    samplers,
    objectives,
    augmentations,
    candidates,
    encoders,
    datasets,
    regimes,
)
Provided = Mapping[str, Mapping[str, str]]
"""By kind and name, the SHA-256 of the code of everything that comes from a plugin."""


def provided() -> Provided:
    """Return what plugins provide here."""
    return {r.kind: {entry.name: entry.code for entry in r if entry.code} for r in REGISTRIES}


def plugin_code(chosen: Iterable[tuple[str, Choice]], known: Provided) -> dict[str, str]:
    """The plugins that some choices use, as inputs of a cell; nothing where they use none.

    Args:
        chosen: Kind and choice. Names in a choice's parameters, such as the sampler that another
            one holds, count too, of any kind.
        known: See `provided`.
    """
    if not any(known.values()):
        return {}
    found = set()
    for kind, choice in chosen:
        used = [(kind, choice.name)]
        used += [(k, name) for name in _named(choice.params) for k in known]
        for where, name in used:
            if code := known[where].get(name):
                found.add(f"{where} {name} {code}")
    return {"plugins": "; ".join(sorted(found))} if found else {}


def of_cell(cell: Cell) -> Iterator[tuple[str, Choice]]:
    """Kind and choice of everything that a cell consists of."""
    yield samplers.kind, cell.sampler
    yield objectives.kind, cell.objective
    yield candidates.kind, cell.candidates
    yield encoders.kind, cell.encoder
    yield datasets.kind, cell.data
    yield regimes.kind, cell.regime
    for choice in (*cell.view1, *cell.view2):
        yield augmentations.kind, choice


def check_plugin_code(cell: Cell) -> None:
    """Raise ``ValueError`` if this process has other plugin code than the cell was planned with."""
    planned = cell.inputs.get("plugins", "")
    here = plugin_code(of_cell(cell), provided()).get("plugins", "")
    if here != planned:
        changed = sorted(set(planned.split("; ")) ^ set(here.split("; ")) - {""})
        names = dict.fromkeys(" ".join(x.split()[:2]) for x in changed if x)
        raise ValueError(
            f"the code of {', '.join(names)} has changed since the matrix was planned: run it again"
        )


def _named(value: Any) -> Iterator[str]:
    """Every string in a parameter that reads like a name, with its parameters if it has some."""
    if isinstance(value, str):
        try:
            yield parse_choice(value)[0]
        except ValueError:
            return
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _named(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named(inner)
