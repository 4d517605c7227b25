"""Source of a regime's entailment labels."""

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.records.cell import Budget, Choice, make, named, resolve
from nsbench.benchmarks.regimes import regimes


def entailment_data(regime: Choice, data: Choice) -> Choice | None:
    """The data set a regime's labels come from, its own or the cell's; ``None`` if it has none."""
    phases = make(regimes, regime).phases(Budget())
    if not any(p.nli for p in phases):
        return None
    nli = regime.params.get("nli")
    if not nli:
        return data
    name, params = named(nli, "nli")
    return resolve(datasets, name, params)
