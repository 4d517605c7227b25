"""Fair tuning: the same number of trials for every method, judged on dev, then fresh seeds.

Trials are cells that are scored on development data and on nothing else. When all methods have had
all of theirs, the best setting of each and its defaults are run on fresh seeds with the matrix's
own evaluation: the only place where test scores are read, each time with a line in
``test_reads.jsonl``, and after which the study is closed. Layout of a study's folder::

    <out>/study.json         what was asked
          trials.jsonl       one line a trial, as it ends: method, parameters, keys, dev score
          trials/            results folder of the trials, without test scores
          tuning.json        what was chosen for each method, written before any test is read
          test_reads.jsonl   one line for every test score that is about to be read
          runs/, matrix.json the fresh cells: an ordinary results folder

Each trial's draw is made from the study's seed and the trials before it, so a study that was cut
short goes on as if it had not been.

Source: Sivaprasad et al. 2020, Optimizer benchmarking needs to account for hyperparameter tuning,
section 3 (equal budgets, and their size said). https://arxiv.org/abs/1910.11758
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import canonical_json, pretty_json
from nsbench.benchmarks.matrix.config import ConfigError, Entry, MatrixConfig, View
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.matrix.tune_file import Range, TuneConfig
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records import ResultsFolder, RunRecord, read_json
from nsbench.benchmarks.records.cell import Cell, Planned
from nsbench.benchmarks.runs.executors.base import finished, plan_jobs, run_job, to_replace
from nsbench.benchmarks.seeds import seed_for
from nsbench.samplers import samplers

Say = Callable[[str], None]
Values = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """One sampler with one augmentation: what gets its own trials."""

    sampler: Entry
    augmentation: View
    space: Mapping[str, Range]

    @property
    def name(self) -> str:
        """In words, and what its trials are kept under."""
        parts = [s if isinstance(s, str) else canonical_json(s) for s in self._parts]
        return " x ".join(parts)

    @property
    def _parts(self) -> tuple[Entry, View]:
        return self.sampler, self.augmentation


@dataclass(frozen=True)
class Trial:
    """One setting of a method and how it did; ``value`` is NaN if a cell failed."""

    method: str
    number: int
    values: Values
    keys: tuple[str, ...]
    value: float

    def line(self) -> str:
        """As one line of JSON."""
        value = self.value if math.isfinite(self.value) else None
        return canonical_json({**vars(self), "keys": list(self.keys), "value": value}) + "\n"


class Study:
    """A tuning study in a folder.

    Args:
        config: What is asked.
        matrix: The matrix that is tuned.
        out: Its folder.
        say: Told what happens, one line at a time.

    Raises:
        ConfigError: If the folder holds another study, or this one is closed and more is asked.
        ModuleNotFoundError: If optuna is not installed.
    """

    def __init__(
        self, config: TuneConfig, matrix: MatrixConfig, out: Path, say: Say = lambda line: None
    ) -> None:
        try:
            import optuna  # noqa: F401
        except ModuleNotFoundError:
            raise ModuleNotFoundError("tuning needs optuna: pip install 'nsbench[tune]'") from None
        self.config, self.matrix, self.out, self.say = config, matrix, out, say
        self.trials_folder = ResultsFolder(out / "trials")
        self.methods = list(_methods(config, matrix))
        self._open()

    def run(self) -> None:
        """Run the trials that are missing, choose, then run the fresh cells that are missing."""
        for method in self.methods:
            self._tune(method)
        chosen = self._choose()
        self._compare(chosen)

    def trials(self) -> list[Trial]:
        """Every trial that has ended, in order; a line cut short counts as none."""
        path = self.out / "trials.jsonl"
        out = []
        for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
            try:
                raw = json.loads(line)
                value = math.nan if raw["value"] is None else float(raw["value"])
                out.append(Trial(**{**raw, "keys": tuple(raw["keys"]), "value": value}))
            except (ValueError, KeyError, TypeError):
                continue
        return out

    def _open(self) -> None:
        asked = {
            "study": self.config.model_dump(mode="json", by_alias=True),
            "matrix": self.matrix.model_dump(mode="json", by_alias=True),
        }
        path = self.out / "study.json"
        if path.is_file():
            before = read_json(path)
            for part, now in asked.items():
                for key, value in now.items():
                    if key != "trials" and before[part].get(key) != value:
                        raise ConfigError(
                            f"{self.out} holds another study: its {part} has {key} = "
                            f"{before[part].get(key)!r}, not {value!r}; choose another folder"
                        )
            reads = self._reads()
            if reads and before["study"]["trials"] != self.config.trials:
                raise ConfigError(
                    f"{self.out} is closed: its test scores were first read on {reads[0]['at']}, "
                    f"after {before['study']['trials']} trials a method; a study of "
                    f"{self.config.trials} needs another folder"
                )
        self.out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, pretty_json(asked))

    def _tune(self, method: Method) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        ended = [t for t in self.trials() if t.method == method.name]
        ended = ended[: self.config.trials]
        space = {name: _distribution(r) for name, r in method.space.items()}
        for number in range(len(ended), self.config.trials):
            values: Values = {}
            if number and space:
                study = optuna.create_study(
                    direction="maximize",
                    sampler=optuna.samplers.TPESampler(
                        seed=seed_for(self.config.seed, f"{method.name} {number}") % 2**32,
                        n_startup_trials=max(4, self.config.trials // 3),
                    ),
                )
                for trial in ended:
                    _tell(study, space, trial)
                values = dict(study.ask(space).params)
            planned = self._cells(method, values, self.config.trial_seeds, trial=True)
            records = [self._run(p, self.trials_folder) for p in planned]
            trial = Trial(method.name, number, values, tuple(r.key for r in records), _dev(records))
            _append(self.out / "trials.jsonl", trial.line())
            ended.append(trial)
            setting = ", ".join(f"{k}={v}" for k, v in values.items()) or "defaults"
            self.say(f"{method.name}, trial {number + 1}: dev {100 * trial.value:.2f} ({setting})")

    def _choose(self) -> list[dict[str, Any]]:
        """The best trial of each method; the earliest of equals, so that defaults win ties."""
        chosen = []
        ended = self.trials()
        for method in self.methods:
            own = [t for t in ended if t.method == method.name][: self.config.trials]
            fine = [t for t in own if math.isfinite(t.value)]
            if not fine:
                raise ConfigError(f"no trial of {method.name} ended well; see {self.out}/trials")
            best = max(fine, key=lambda t: (t.value, -t.number))
            default = self._cells(method, {}, self.config.fresh_seeds, trial=False)
            tuned = self._cells(method, best.values, self.config.fresh_seeds, trial=False)
            chosen.append(
                {
                    "method": method.name,
                    "sampler": default[0].cell.labels["sampler"],
                    "augmentation": default[0].cell.labels["augmentation"],
                    "trials": len(own),
                    "failed_trials": len(own) - len(fine),
                    "different_settings": len({canonical_json(t.values) for t in own}),
                    "dev_default": own[0].value if math.isfinite(own[0].value) else None,
                    "dev_tuned": best.value,
                    "values": best.values,
                    "default": [p.cell.key for p in default],
                    "tuned": [p.cell.key for p in tuned],
                }
            )
        write_atomically(self.out / "tuning.json", pretty_json({"schema": 1, "methods": chosen}))
        return chosen

    def _compare(self, chosen: list[dict[str, Any]]) -> None:
        """Run defaults and chosen settings on fresh seeds; test scores are read here."""
        folder = ResultsFolder(self.out)
        cells: dict[str, tuple[str, Planned]] = {}
        for method, row in zip(self.methods, chosen, strict=True):
            for kind, values in (("default", {}), ("tuned", row["values"])):
                for p in self._cells(method, values, self.config.fresh_seeds, trial=False):
                    cells.setdefault(p.cell.key, (kind, p))
        untrained = self.matrix.model_copy(
            update={"samplers": ["no_training"], "seeds": list(self.config.fresh_seeds)}
        )
        for p in expand(untrained) if self.matrix.no_training else ():
            cells.setdefault(p.cell.key, ("untrained", p))
        self._write_matrix(folder, [p.cell for _, p in cells.values()])
        for kind, planned in cells.values():
            if finished(folder.cell(planned.cell.sampler.name, planned.cell.key)) is None:
                self._log_read(kind, planned.cell)
                record = self._run(planned, folder)
                self.say(f"{planned.cell} ({kind}): {record.status} {record.reason}".rstrip())

    def _cells(
        self, method: Method, values: Values, seeds: tuple[int, ...], *, trial: bool
    ) -> list[Planned]:
        """The cells of one setting, one a seed; those of a trial have no test to be scored on."""
        settings = _set(self.matrix, method, values).model_copy(update={"seeds": list(seeds)})
        evaluation = settings.evaluation
        if trial:
            evaluation = evaluation.model_copy(update={"tasks": (), "dev": self.config.dev})
            if not self.matrix.evaluation.dev:  # no checkpoint is chosen: one look, at the end
                steps = settings.budget.steps
                evaluation = evaluation.model_copy(update={"dev_every": steps})
        planned = expand(settings.model_copy(update={"evaluation": evaluation}))
        if len(planned) != len(seeds):
            raise ConfigError(
                f"{method.name} stands for {len(planned) // max(1, len(seeds))} cells a seed; a "
                "tuned matrix has one value on every axis but samplers and augmentations, and "
                "lists of values belong in the space"
            )
        return planned

    def _run(self, planned: Planned, folder: ResultsFolder) -> RunRecord:
        run = self.matrix.run
        (job,) = plan_jobs([planned], folder, run.device, run.threads)
        record = finished(job.paths) or run_job(to_replace(job))
        if record is None:
            raise ConfigError(f"another process is at work on {job.paths.folder}")
        return record

    def _log_read(self, kind: str, cell: Cell) -> None:
        row = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "key": cell.key,
            "cell": str(cell),
            "setting": kind,
            "tasks": cell.plain()["evaluation"]["tasks"],
        }
        _append(self.out / "test_reads.jsonl", canonical_json(row) + "\n")

    def _reads(self) -> list[dict[str, Any]]:
        path = self.out / "test_reads.jsonl"
        return [json.loads(x) for x in path.read_text().splitlines()] if path.is_file() else []

    def _write_matrix(self, folder: ResultsFolder, cells: list[Cell]) -> None:
        listed = [
            {
                "key": c.key,
                "folder": folder.cell(c.sampler.name, c.key).folder.name,
                "cell": c.plain() | {"labels": c.labels},
            }
            for c in cells
        ]
        config = self.matrix.model_dump(mode="json", by_alias=True)
        plan = {"schema": 1, "name": f"{self.matrix.name}, tuned", "config": config}
        write_atomically(folder.matrix, pretty_json(plan | {"cells": listed}))


def _methods(config: TuneConfig, matrix: MatrixConfig) -> Iterator[Method]:
    for sampler in matrix.samplers:
        name = sampler if isinstance(sampler, str) else str(sampler.get("name"))
        if not getattr(samplers.entry(name).cls, "trains", True):
            continue
        for augmentation in matrix.augmentations:
            one = matrix.model_copy(
                update={
                    **{"samplers": [sampler], "augmentations": [augmentation]},
                    **{"seeds": [config.fresh_seeds[0]], "no_training": False},
                }
            )
            cell = expand(one)[0].cell
            legal = {p.name for p in objectives.entry(cell.objective.name).parameters}
            space = {
                f"{owner}.{parameter}": ranges[parameter]
                for owner, ranges in config.space.items()
                for parameter in ranges
                if owner in ("budget", name) or (owner == "objective" and parameter in legal)
            }
            yield Method(sampler, augmentation, space)


def _set(matrix: MatrixConfig, method: Method, values: Values) -> MatrixConfig:
    """The matrix of one method with these values, ``owner.parameter``."""
    name, params = (
        (method.sampler, {})
        if isinstance(method.sampler, str)
        else (method.sampler["name"], {k: v for k, v in method.sampler.items() if k != "name"})
    )
    budget: Values = {}
    common = dict(matrix.objective_parameters)
    for key, value in values.items():
        owner, _, parameter = key.rpartition(".")
        {"budget": budget, "objective": common}.get(owner, params)[parameter] = value
    return matrix.model_copy(
        update={
            "samplers": [{"name": name, **params}],
            "augmentations": [method.augmentation],
            "objective_parameters": common,
            "budget": matrix.budget.model_copy(update=budget),
            "no_training": False,
        }
    )


def _distribution(allowed: Range) -> Any:
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


def _dev(records: list[RunRecord]) -> float:
    """Mean dev score over a trial's cells; NaN unless all are done."""
    if any(r.status != "done" for r in records):
        return math.nan
    return sum(float(r.cost.get("dev_best", math.nan)) for r in records) / len(records)


def _append(path: Path, line: str) -> None:
    """Add a line; what a full disk left of one before it, which says nothing, is dropped."""
    before = path.read_bytes() if path.is_file() else b""
    write_atomically(path, before[: before.rfind(b"\n") + 1] + line.encode())
