"""Trials of a tuning study, and what is tried next: defaults, a shared design, then TPE.

Source: Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization, section 4 (TPE), as
optuna has it. https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.matrix.tune_file import Range
from nsbench.benchmarks.seeds import seed_for

Values = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One setting of a method and how it did.

    Attributes:
        method: Name of the method.
        number: Of its trials, from 0, the defaults.
        values: By ``owner.parameter``.
        keys: Of its cells.
        value: Mean dev score; NaN if a cell failed.
        seconds: That its cells took.
    """

    method: str
    number: int
    values: Values
    keys: tuple[str, ...]
    value: float
    seconds: float = 0.0

    def line(self) -> str:
        """As one line of JSON."""
        value = self.value if math.isfinite(self.value) else None
        return canonical_json({**vars(self), "keys": list(self.keys), "value": value}) + "\n"


def drawn(space: Mapping[str, Range], ended: Sequence[Trial], *, size: int, seed: int) -> Values:
    """Return the values of a method's next trial.

    The first trial is the defaults. The next ones, a third of all and at least four, are a design:
    a parameter that several methods have gets the same values in all of them, so that none does
    better by the luck of a draw. Then TPE goes on from what has ended.

    Args:
        space: Ranges by ``owner.parameter``.
        ended: The method's trials so far.
        size: Trials that every method gets.
        seed: The study's.
    """
    number, first = len(ended), max(4, size // 3)
    if not number or not space:
        return {}
    if number <= first:
        return {name: design(r, number - 1, first, seed, name) for name, r in space.items()}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution(r) for name, r in space.items()}
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(
            seed=seed_for(seed, f"trial {number}") % 2**32, n_startup_trials=first
        ),
    )
    for trial in ended:
        _tell(study, distributions, trial)
    return dict(study.ask(distributions).params)


def design(allowed: Range, number: int, size: int, seed: int, name: str) -> Any:
    """Return one of ``size`` values of a parameter, one from each equal part of its range.

    Args:
        allowed: The range.
        number: Which value, from 0.
        size: Of the design.
        seed: The study's.
        name: ``owner.parameter``; the values depend on it and on no method.

    Source: McKay, Beckman, Conover 1979, A Comparison of Three Methods for Selecting Values of
    Input Variables (Latin hypercube sampling). https://doi.org/10.1080/00401706.1979.10489755
    """
    rng = np.random.default_rng(seed_for(seed, f"design of {name}"))
    share = (rng.permutation(size) + rng.random(size))[number] / size  # in [0, 1)
    if allowed.values:
        return allowed.values[int(share * len(allowed.values))]
    low, high = float(allowed.low or 0), float(allowed.high or 0)
    whole = isinstance(allowed.low, int) and isinstance(allowed.high, int)
    if allowed.log:
        value = math.exp(math.log(low) + share * (math.log(high + whole) - math.log(low)))
    else:
        value = low + share * (high + whole - low)
    return min(int(value), int(high)) if whole else value


def _distribution(allowed: Any) -> Any:
    from optuna import distributions

    if allowed.values:
        return distributions.CategoricalDistribution(allowed.values)
    low, high = allowed.low, allowed.high
    if isinstance(low, int) and isinstance(high, int):
        return distributions.IntDistribution(low, high, log=allowed.log)
    return distributions.FloatDistribution(float(low or 0), float(high or 0), log=allowed.log)


def _tell(study: Any, space: Mapping[str, Any], trial: Trial) -> None:
    """Let the study know of a trial; the defaults, which were not drawn from it, are not told."""
    from optuna.trial import TrialState, create_trial

    if not trial.number or not space:
        return
    good = math.isfinite(trial.value)
    study.add_trial(
        create_trial(
            params=trial.values,
            distributions=dict(space),
            value=trial.value if good else None,
            state=TrialState.COMPLETE if good else TrialState.FAIL,
        )
    )
