"""Regimes: phases, each with its loss, its data and its budget."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Protocol

import numpy as np

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.records.cell import Budget
from nsbench.samplers import Choice, Interval, one_of

VARIANTS = ("paper", "official")
KINDS = ("contrast", "entailment", "joint")
_NAMES = "0 (contradiction), 1 (entailment) and 2 (neutral)"


@dataclass(frozen=True)
class Phase:
    """One stretch of training.

    Attributes:
        kind: ``contrast`` (the cell's objective alone), ``entailment`` (cross-entropy of the
            classes alone) or ``joint`` (both).
        budget: What it may spend.
        nli: Whether it trains on the regime's entailment pairs, not on the cell's data.
        variant: ``paper`` or ``official``: the features of the classifier.
        weight: Factor of the contrastive loss in a joint phase.
    """

    kind: str
    budget: Budget
    nli: bool = False
    variant: str = "paper"
    weight: float = 1.0

    def __post_init__(self) -> None:
        one_of("phase", "kind", self.kind, KINDS)


def check_nli(owner: str, parameter: str, nli: object) -> None:
    """Raise ``ValueError`` unless ``nli`` can name a data set: a name, a table, or nothing."""
    named = isinstance(nli, Mapping) and isinstance(nli.get("name"), str)
    known = isinstance(nli, str) and (nli == "" or nli.replace("_", "").isalnum())
    if not (named or known or nli == {}):
        raise ValueError(
            f"{owner}: {parameter} is {nli!r}; it must be the name of a data set of entailment "
            "pairs, or a table { name = ..., ... }"
        )


@dataclass(frozen=True)
class FirstPhase:
    """Base of regimes that begin with entailment pairs; 0 takes the value of the cell's budget."""

    nli: Annotated[str | Mapping[str, Any], check_nli] = field(default_factory=dict)
    variant: Annotated[str, Choice(*VARIANTS)] = "paper"
    steps: Annotated[int, Interval("[0, inf)")] = 0
    batch_size: Annotated[int, Interval("[0, inf)")] = 0
    learning_rate: Annotated[float, Interval("[0, 100]")] = 0.0

    def first(self, kind: str, budget: Budget, weight: float = 1.0) -> Phase:
        """Return the phase on entailment pairs; ``weight`` is that of `Phase`."""
        names = ("steps", "batch_size", "learning_rate")
        own = {name: value for name in names if (value := getattr(self, name))}
        return Phase(kind, replace(budget, **own), nli=True, variant=self.variant, weight=weight)


class Regime(Protocol):
    """A frozen dataclass; ``nli`` names the data set that its entailment pairs come from."""

    def phases(self, budget: Budget) -> tuple[Phase, ...]:
        """The phases in order, given the cell's budget."""
        ...


def check_labels(regime: str, data: TrainingData) -> None:
    """Raise ``ValueError`` unless every row of the data has an entailment class."""
    if data.nli is None:
        raise ValueError(
            f"the regime {regime} needs entailment labels, and the data set {data.name} has none; "
            "files and hub sets with premise, hypothesis and label give them with nli = 'pairs'"
        )
    seen: Any = np.unique(data.nli)
    if len(seen) == 0 or not set(seen.tolist()) <= {0, 1, 2}:
        raise ValueError(
            f"the regime {regime} needs the entailment classes {_NAMES}, and the labels of "
            f"{data.name} are {', '.join(map(str, seen[:8]))}"
        )
    if len(seen) == 1:
        raise ValueError(
            f"the regime {regime} needs at least two of the entailment classes {_NAMES}, and all "
            f"rows of {data.name} have {seen[0]}"
        )
