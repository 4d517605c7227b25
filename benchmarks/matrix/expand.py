"""Expand a checked configuration into its cells."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, cast

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.data._load import has_tests, load_data
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.evaluation.local_tasks import development_task, evaluation_tasks
from nsbench.benchmarks.evaluation.mteb.tasks import absent_tasks
from nsbench.benchmarks.matrix.config import ConfigError, Entry, MatrixConfig, View, grid
from nsbench.benchmarks.matrix.naming import label_of, labelled
from nsbench.benchmarks.matrix.plugin_code import of_cell, plugin_code, provided
from nsbench.benchmarks.matrix.skip import too_large, why_skip
from nsbench.benchmarks.mining.guides import guide_fingerprint
from nsbench.benchmarks.mining.judge import scorer_fingerprint
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records.cell import (
    Budget,
    Cell,
    Choice,
    Evaluation,
    Planned,
    make,
    named,
    resolve,
)
from nsbench.benchmarks.records.local_task import OWN
from nsbench.benchmarks.regimes import check_labels, regimes
from nsbench.benchmarks.regimes._labels import entailment_data
from nsbench.samplers import EXTRAS, Pairing, Registry, named_within, samplers, suggest

NO_TRAINING = "no_training"
RANDOM = "random"
"""Fingerprint of an encoder whose weights are drawn with the cell's seed."""
Views = tuple[tuple[Choice, ...], tuple[Choice, ...]]


def _choices(registry: Registry[Any], entries: list[Entry]) -> list[Choice]:
    out: list[Choice] = []
    for entry in entries:
        name, params = named(entry, registry.kind)
        label = label_of(params, registry.kind, name)
        combinations = grid(params, _list_valued(registry, name))
        out.extend(labelled([resolve(registry, name, c) for c in combinations], label))
    return out


def _list_valued(registry: Registry[Any], name: str) -> frozenset[str]:
    """Return the parameters whose value is a list: only a list of lists is a grid for them."""
    entry = registry.entry(name)
    required: frozenset[str] = entry.attribute("list_parameters", frozenset())  # have no default
    return required | {p.name for p in entry.parameters if isinstance(p.default, tuple | list)}


def _encoder_choices(entries: list[Entry]) -> list[Choice]:
    """Return encoders by registered name; other names are folders or hub names."""
    out: list[Choice] = []
    for entry in entries:
        name, params = named(entry, "encoder")
        label = label_of(params, "encoder", name)
        if name not in encoders:
            looks_like_source = "/" in name or Path(name).is_dir() or name.startswith("bert-")
            close = suggest(name, encoders.names())
            if not looks_like_source and close.startswith("Did you mean"):
                encoders.entry(name)
            params = {"source": name} | params
            name = "transformer"
        out.extend(labelled([resolve(encoders, name, c) for c in grid(params)], label))
    return out


def _one_view(view: View) -> list[tuple[Choice, ...]]:
    parts = view if isinstance(view, list) else [view]
    return [tuple(c) for c in product(*(_choices(augmentations, [part]) for part in parts))]


def _views(entry: View) -> list[Views]:
    """Return the pairs of views that one entry of the augmentation axis describes."""
    if isinstance(entry, list):
        if len(entry) != 2:
            raise ConfigError(f"augmentation {entry!r}: a list names view 1 and view 2")
        entry = {"view1": entry[0], "view2": entry[1]}
    if isinstance(entry, dict) and ("view1" in entry or "view2" in entry):
        extra = set(entry) - {"view1", "view2"}
        if extra:
            raise ConfigError(f"augmentation {entry!r}: unknown key {sorted(extra)[0]!r}")
        first = _one_view(entry.get("view1", "none"))
        return list(product(first, _one_view(entry.get("view2", "none"))))
    return [((choice,), (choice,)) for choice in _choices(augmentations, [entry])]


def _paired(registry: Registry[Any], pairing: Pairing, common: Mapping[str, Any]) -> Choice:
    name, params = (pairing, {}) if isinstance(pairing, str) else pairing
    legal = {p.name for p in registry.entry(name).parameters}
    shared = {k: v for k, v in common.items() if k in legal}
    return resolve(registry, name, shared | dict(params))


def _fingerprints(cell_data: Choice, encoder: Choice) -> dict[str, str]:
    """Return hashes of the data and weights of a cell; raise if they are missing here."""
    spec = make(encoders, encoder)
    spec.check()
    found = {"data": load_data(cell_data).digest, "encoder": str(spec.fingerprint())}
    arithmetic = getattr(spec, "arithmetic", 1)
    return found if arithmetic == 1 else found | {"arithmetic": str(arithmetic)}


def _label_digest(regime: Choice, data: Choice) -> dict[str, str]:
    """Return the hash of the entailment pairs; raise if they or their labels are missing."""
    source = entailment_data(regime, data)
    if source is None:
        return {}
    pairs = load_data(source)
    check_labels(regime.name, pairs)
    return {"nli": pairs.digest}


def _pool_inputs(pool: Choice, data: Choice) -> dict[str, str]:
    """Return what the pool says decides its candidates for these data, in addition to settings."""
    inputs = getattr(make(candidates, pool), "inputs", None)
    return {} if inputs is None else dict(inputs(load_data(data)))


def _guide(key: str, choice: Choice) -> dict[str, str]:
    """Return the hash of the weights of the guide that a component, or one in it, names."""
    named = named_within(choice.params, "guide")
    return {key: guide_fingerprint(named)} if named else {}


def _files(choice: Choice, sampler: Any) -> dict[str, str]:
    """Hash of the files that a sampler reads, and of its teacher's and its scorer's weights."""
    found = {"sampler": str(sampler.fingerprint())} if hasattr(sampler, "fingerprint") else {}
    teacher = str(choice.params.get("teacher") or "")
    scorer = named_within(choice.params, "scorer")
    found |= {"scorer": scorer_fingerprint(scorer)} if scorer else {}
    return found | ({"teacher": guide_fingerprint(teacher)} if teacher else {})


def _of_extras(sampler: Choice, objective: Choice, encoder: Choice) -> dict[str, str]:
    """Return the arithmetic of the extras that a cell reads, where it is not the first."""
    needs: set[str] = set()
    for registry, choice in ((samplers, sampler), (objectives, objective)):
        needs |= set(getattr(make(registry, choice), "needs", ()))
    special = bool(getattr(encoders.entry(encoder.name).cls, "special_tokens", True))
    told = [
        f"{name} {extra.arithmetic}"
        for name, extra in sorted(EXTRAS.items())
        if name in needs and extra.arithmetic > 1 and (special or not extra.of_specials)
    ]
    return {"extras": ", ".join(told)} if told else {}


def _synonyms(views: Views) -> dict[str, str]:
    """Return the hash of the files that augmentations read, such as tables of synonyms."""
    read = [make(augmentations, c) for view in views for c in view]
    found = {a.fingerprint() for a in read if hasattr(a, "fingerprint")} - {""}
    return {"augmentations": " ".join(sorted(found))} if found else {}


def _of_sums(views: Views, encoder: Choice) -> dict[str, str]:
    """Return the arithmetic of augmentations of an encoder that sums tokens, after the first."""
    if not encoders.entry(encoder.name).attribute("sums_tokens", False):
        return {}
    made = ((c, augmentations.entry(c.name)) for view in views for c in view)
    numbers = {c.name: entry.attribute("arithmetic_of_sums", 1) for c, entry in made}
    told = [f"{name} {number}" for name, number in sorted(numbers.items()) if number > 1]
    return {"views": ", ".join(told)} if told else {}


def expand_axes(config: MatrixConfig) -> tuple[list[Choice], list[Choice]]:
    """Return the encoders and the data sets of a matrix.

    Raises:
        ValueError: If a name or parameter is not legal.
    """
    found = [c for part in config.products for c in _encoder_choices(part.encoders)]
    data = [c for part in config.products for c in _choices(datasets, part.data)]
    return _once(found), _once(data)


def _once(choices: list[Choice]) -> list[Choice]:
    return [c for i, c in enumerate(choices) if c not in choices[:i]]


def label_sources(config: MatrixConfig) -> list[Choice]:
    """Return the further data sets from which the matrix's regimes take their labels."""
    data = _choices(datasets, config.data)
    found = [entailment_data(r, data[0]) for r in _choices(regimes, config.regimes)]
    return [c for i, c in enumerate(found) if c and c not in data and c not in found[:i]]


def expand(config: MatrixConfig, *, refuse: bool = True) -> list[Planned]:
    """Return all cells of a matrix, in a fixed order, each once.

    Raises:
        ValueError: If a name or parameter is not legal, or data or weights cannot be had here.
    """
    out: dict[str, Planned] = {}
    for part in config.products:
        for planned in _product(part):
            out.setdefault(planned.cell.key, planned)
    if refuse:
        refuse_untested(config.evaluation.tasks, expand_axes(config)[1])
        _refuse_impossible(list(out.values()))
    return list(out.values())


def _product(config: MatrixConfig) -> Iterator[Planned]:
    """Make the cells of one product; those that take no step several times."""
    axes = _axes(config)
    untrained, identity = resolve(regimes, "unsupervised", {}), resolve(augmentations, "none", {})
    no_views = (identity,), (identity,)
    for encoder, data, (sampler, pairing), pair, regime, budget in product(
        axes.encoders, axes.data, axes.samplers, axes.views, axes.regimes, axes.budgets
    ):
        limits, seeds = config.limits, config.seeds
        inputs = axes.inputs(encoder, data, regime)
        if not pairing.trains:
            pair, budget, regime, limits = no_views, Budget(steps=0), untrained, [0]
            inputs = axes.inputs(encoder, data, regime)
            if inputs["encoder"] != RANDOM or not pairing.embeds:  # the same at every seed
                seeds = seeds[:1]
        if all(p.kind == "entailment" for p in make(regimes, regime).phases(budget)):
            pair = no_views  # there is one view of each text
        first = Cell(
            sampler=sampler,
            view1=pair[0],
            view2=pair[1],
            objective=pairing.objectives[0],
            candidates=pairing.pools[0],
            encoder=encoder,
            data=data,
            budget=budget,
            evaluation=axes.evaluation,
            difficulty_every=config.difficulty.every,
            seed=0,
            inputs=inputs | _synonyms(pair) | _of_sums(pair, encoder) | pairing.guide,
            regime=regime,
        )
        pairs = product(pairing.objectives, pairing.pools)
        paired = [_paired_cell(first, o, p, axes) for o, p in pairs]
        large = {limit: too_large(replace(first, limit=limit)) for limit in limits}
        for limit, seed, (cell, skip) in product(limits, seeds, paired):
            one = replace(cell, seed=seed, limit=limit)
            yield Planned(one, skip or large[limit])


def refuse_untested(tasks: Iterable[object], data: Iterable[Choice]) -> None:
    """Raise ConfigError if the data sets' own tests are asked for, and none of them has any."""
    every = list(data)
    if OWN in tasks and not any(map(has_tests, every)):
        raise ConfigError(
            f"evaluation.tasks names {OWN!r}, and no data set of the matrix has tests: "
            f"{', '.join(map(str, every))}; name other tasks, or write tasks = [] to train without "
            "a score"
        )


def untested(tasks: Iterable[object], data: Iterable[Choice]) -> str:
    """Return words for the data sets without tests, if own tests are asked for among others."""
    names = list(tasks)
    bare = [str(choice) for choice in data if not has_tests(choice)] if OWN in names else []
    if not bare or names == [OWN]:  # their cells are skipped, and the reason is said
        return ""
    return (
        f"evaluation.tasks names {OWN!r}; without tests are {', '.join(bare)}: such cells are "
        "scored on the other tasks alone"
    )


def _refuse_impossible(planned: Sequence[Planned]) -> None:
    """Raise ConfigError if every cell that would train is skipped, with the first reason."""
    trained = [p for p in planned if p.cell.budget.steps]
    if trained and all(p.skip for p in trained):
        reasons = list(dict.fromkeys(p.skip for p in trained))
        more = f", and {len(reasons) - 1} more reasons" if len(reasons) > 1 else ""
        raise ConfigError(f"no cell of the matrix can train: {reasons[0]}{more}")


def _paired_cell(first: Cell, objective: Choice, pool: Choice, axes: "_Axes") -> tuple[Cell, str]:
    """Return the cell with an objective and a pool, and why it is skipped: for all its seeds."""
    guides = _guide("pool_guide", pool) | _guide("objective_guide", objective)
    extras = _of_extras(first.sampler, objective, first.encoder)
    inputs = {**first.inputs, **guides, **extras, **_pool_inputs(pool, first.data)}
    cell = replace(first, objective=objective, candidates=pool, inputs=inputs)
    if code := plugin_code(of_cell(cell), axes.plugins):
        cell = replace(cell, inputs={**cell.inputs, **code})
    return cell, why_skip(cell)


@dataclass(frozen=True)
class _Axes:
    """The values on every axis of a matrix, with the fingerprints of data, weights and code."""

    encoders: list[Choice]
    data: list[Choice]
    samplers: list[tuple[Choice, "_Pairings"]]
    views: list[Views]
    regimes: list[Choice]
    budgets: list[Budget]
    evaluation: Evaluation
    fingerprints: dict[tuple[str, str], dict[str, str]]
    labels: dict[tuple[str, str], dict[str, str]]
    plugins: Any

    def inputs(self, encoder: Choice, data: Choice, regime: Choice) -> dict[str, str]:
        """Return the hashes of what a cell starts from, without augmentations and guides."""
        plain = str(data.plain())
        labels = self.labels.get((str(regime.plain()), plain), {})
        return self.fingerprints[str(encoder.plain()), plain] | labels


def _axes(config: MatrixConfig) -> _Axes:
    views = [pair for entry in config.augmentations for pair in _views(entry)]
    entries: list[Entry] = list(config.samplers)
    if config.no_training and NO_TRAINING in samplers and NO_TRAINING not in entries:
        entries.insert(0, NO_TRAINING)
    chosen = _choices(samplers, entries)
    forced_objectives = _choices(objectives, config.objectives)
    forced_pools = _choices(candidates, config.candidates)
    known = {p.name for entry in objectives for p in entry.parameters}
    for name in config.objective_parameters:
        if name not in known:
            raise ConfigError(
                f"objective_parameters: no objective has {name!r}. {suggest(name, known)}"
            )
    budgets = [Budget(**c) for c in grid(config.budget.model_dump())]
    evaluation = _evaluation(config)
    encoder_choices, data_choices = expand_axes(config)
    regime_choices = _choices(regimes, config.regimes)
    return _Axes(
        encoders=encoder_choices,
        data=data_choices,
        views=views,
        regimes=regime_choices,
        budgets=budgets,
        evaluation=evaluation,
        fingerprints={
            (str(e.plain()), str(d.plain())): _fingerprints(d, e)
            for e, d in product(encoder_choices, data_choices)
        },
        labels={
            (str(r.plain()), str(d.plain())): _label_digest(r, d)
            for r, d in product(regime_choices, data_choices)
        },
        plugins=provided(),
        samplers=[(c, _pairings(config, c, forced_objectives, forced_pools)) for c in chosen],
    )


@dataclass(frozen=True)
class _Pairings:
    """Pairings that hold in every cell of a sampler."""

    trains: bool
    embeds: bool
    objectives: list[Choice]
    pools: list[Choice]
    guide: dict[str, str]


def _pairings(
    config: MatrixConfig, sampler: Choice, objectives_: list[Choice], pools: list[Choice]
) -> _Pairings:
    instance = make(samplers, sampler)
    trains = bool(getattr(instance, "trains", True))
    pairing = cast(Pairing, getattr(instance, "objective", "info_nce"))
    pool = cast(Pairing, getattr(instance, "pool", "in_batch"))
    return _Pairings(
        trains,
        not getattr(instance, "ranks", ""),
        (trains and objectives_) or [_paired(objectives, pairing, config.objective_parameters)],
        (trains and pools) or [_paired(candidates, pool, {})],
        _guide("guide", sampler) | _files(sampler, instance),
    )


def _evaluation(config: MatrixConfig) -> Evaluation:
    given = config.evaluation.model_dump()
    tasks = evaluation_tasks(given.pop("tasks"))
    dev = development_task(given.pop("dev"), tasks)
    absent = absent_tasks(tasks) if given.pop("missing") == "skip" else ()
    return Evaluation(**given, tasks=tasks, dev=dev, absent=absent)
