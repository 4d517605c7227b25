"""Pools of cells that may be compared, and their scores as one array (methods, seeds, tasks).

A pool shares encoder, data, regime, steps and batch size. Within it, a method is a sampler with its
augmentation, objective, candidates and what else of the budget varies. Untrained encoders have no
budget and no augmentation, so they join every pool of their encoder and data.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.read.load import Results, defaults_only
from nsbench.analysis.statistics.stats import Array, seed_means
from nsbench.analysis.tables.machines import comparable_seconds
from nsbench.benchmarks.records import MEAN_METRIC

POOL_KEYS = ("encoder", "data", "regime", "steps", "batch_size")
METHOD_KEYS = ("sampler", "augmentation", "objective", "candidates", "budget")
COSTS = ("encodes_train", "encodes_mining", "encodes", "tokens_seen", "negatives_per_anchor")
MATCHES = ("steps", "encodes")
AGGREGATES = ("all", "mean")
TOLERANCE = 0.1
"""Encoder passes may be off by this share and still count as the same."""
_TELLING = ("once", "seed", "status", "planned", "key", "run_date")


@dataclass(frozen=True)
class Pool:
    """Methods that may be compared with each other.

    Attributes:
        shared: Value of each of `POOL_KEYS`.
        methods: Value of each of `METHOD_KEYS` and ``sampler_name``, one per method.
        seeds: Seeds, ascending.
        tasks: Tasks, by name.
        scores: Main scores as stored, shape (M, S, T); NaN where missing.
        cells: One row per cell, with its ``method`` (index into ``methods``), ``complete``:
            whether it has a finite score for every task, and ``unranked``: whether it lacks some
            because it only ranks documents.
        notes: What a reader must know about it, one line each.
    """

    shared: Mapping[str, Any]
    methods: tuple[Mapping[str, Any], ...]
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    scores: Array
    cells: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Words for what all methods share."""
        parts = [str(self.shared["encoder"]), f"on {self.shared['data']}"]
        parts += [str(self.shared["regime"])] if self.shared["regime"] else []
        if self.shared.get("encodes"):
            parts.append(f"about {self.shared['encodes']:,.0f} encoder passes")
        elif self.shared["steps"]:
            parts.append(f"{self.shared['steps']:g} steps of {self.shared['batch_size']:g}")
        return ", ".join(parts)


def pools(results: Results, *, match: str = "steps", aggregate: str = "all") -> list[Pool]:
    """Return every pool of the results, in order of name.

    Of a tuning study, cells that stand for untuned defaults alone are left out: they are in
    ``tables/tuned.csv``.

    Args:
        results: As loaded.
        match: The equal cost of a pool's methods. ``steps``: optimizer steps of one batch size.
            ``encodes``: encoder passes with mining and attacks, of each method's budgets the one
            nearest to what all can reach; off by more than `TOLERANCE`, it is left out with a note.
        aggregate: ``all`` takes a task's main score; ``mean`` the mean over the sub-sets of a
            year's STS task, if it has them.

    Raises:
        ValueError: If an option is unknown, or no cell has scores by sub-set.
    """
    for name, value, legal in (("match", match, MATCHES), ("aggregate", aggregate, AGGREGATES)):
        if value not in legal:
            raise ValueError(f"{name} is {value!r}; known: {', '.join(legal)}")
    chosen = results.scores if aggregate == "all" else _by_parts(results.scores)
    scores = _Main(chosen, several_splits(results))
    cells = _with_keys(results.cells[~results.cells["key"].isin(defaults_only(results))])
    cells["once"] = cells["untrained"] & cells["key"].isin(_of_fixed_weights(results))
    cells["unranked"] = cells["key"].isin(_unranked(results))
    if match == "encodes":
        return _matched(cells, scores)
    free = _untrained(cells)
    out, taken = [], set()
    trained = np.flatnonzero(~cells["untrained"].to_numpy(dtype=bool))
    group = cells[list(POOL_KEYS)].take(trained).groupby(list(POOL_KEYS), dropna=False).ngroup()
    for number in range(int(group.max()) + 1 if len(group) else 0):
        members = trained[group.to_numpy() == number]
        shared = {k: cells[k].iloc[members[0]] for k in POOL_KEYS}
        place = (shared["encoder"], shared["data"])
        taken.add(place)
        out.append(_pool(shared, cells, [*free.get(place, ()), *members], scores))
    for place, members in free.items():
        if place not in taken:
            shared = {k: cells[k].iloc[members[0]] for k in POOL_KEYS}
            out.append(_pool(shared, cells, members, scores))
    return out


def _of_fixed_weights(results: Results) -> set[str]:
    """Return the keys of cells whose encoder does not depend on the seed before it is trained."""
    inputs = {cell.key: cell.cell.get("inputs") or {} for cell in results.loaded}
    return {k for k, given in inputs.items() if given.get("encoder", "random") != "random"}


def _unranked(results: Results) -> set[str]:
    """Return the keys of cells that ranked documents, and had other tests that they left out."""
    return {str(c.key) for c in results.loaded if c.record and c.record.evaluation.get("unranked")}


def _untrained(cells: pd.DataFrame) -> dict[Any, list[int]]:
    """Return rows of the untrained cells by encoder and data, sorted."""
    free: dict[Any, list[int]] = {}
    for row in np.flatnonzero(cells["untrained"].to_numpy(dtype=bool)):
        free.setdefault((cells["encoder"].iloc[row], cells["data"].iloc[row]), []).append(int(row))
    return {place: free[place] for place in sorted(free)}


def _matched(cells: pd.DataFrame, scores: "_Main") -> list[Pool]:
    """Return a pool per encoder, data and regime: of every method the budget nearest in passes."""
    keys = [k for k in POOL_KEYS if k not in ("steps", "batch_size")]
    free, out = _untrained(cells), []
    for key, members in cells[~cells["untrained"]].groupby(keys, sort=True, dropna=False):
        shared = dict(zip(keys, key, strict=True)) | {"steps": np.nan, "batch_size": np.nan}
        chosen, target, notes = _nearest(members)
        same = cells.take(free.get((shared["encoder"], shared["data"]), []))
        both = pd.concat([same, chosen])
        pool = _pool(shared, both, range(len(both)), scores)
        matched = {**pool.shared, "encodes": target}
        out.append(replace(pool, shared=matched, notes=(*notes, *pool.notes)))
    return out


def _nearest(members: pd.DataFrame) -> tuple[pd.DataFrame, float, list[str]]:
    """Return the cells of each method's budget nearest to the passes that all can reach.

    Also the passes they are matched on, and a note for each method that has no near budget.
    """
    if "encodes" not in members or members["encodes"].isna().all():
        return members.iloc[:0], float("nan"), ["no cell counts its encoder passes"]
    own, budgets = list(METHOD_KEYS), [*METHOD_KEYS, "steps", "batch_size"]
    passes = members.groupby(budgets, dropna=False)["encodes"].mean().dropna().reset_index()
    target = float(passes.groupby(own, dropna=False)["encodes"].max().min())
    passes["off"] = passes["encodes"] / target - 1
    nearest = passes.loc[passes["off"].abs().groupby([passes[k] for k in own]).idxmin()]
    near = nearest[nearest["off"].abs() <= TOLERANCE]
    notes = [
        f"{row['sampler']} x {row['augmentation']} is left out: its nearest budget takes "
        f"{row['encodes']:,.0f} encoder passes, {abs(row['off']):.0%} "
        f"{'above' if row['off'] > 0 else 'below'} the {target:,.0f} that all can reach"
        for row in nearest[nearest["off"].abs() > TOLERANCE].to_dict("records")
    ]
    return members.merge(near[budgets], on=budgets, how="inner"), target, notes


def _by_parts(scores: pd.DataFrame) -> pd.DataFrame:
    """Return scores in which the mean over sub-sets is the main one of every task that has it."""
    mean = scores["metric"] == MEAN_METRIC
    tasks = set(scores.loc[mean, "task"])
    if not tasks:
        raise ValueError(
            f"aggregate is 'mean', but no score is a {MEAN_METRIC}: these cells have no task with "
            "sub-sets, or were scored before those were recorded"
        )
    main = scores["main"].astype(bool)
    return scores.assign(main=(main & ~scores["task"].isin(tasks)) | mean)


def marginal(pool: Pool) -> Pool:
    """Return the pool averaged over augmentations, over complete blocks only.

    A block is an augmentation that every sampler with any score has a complete seed for. The
    untrained encoder does not depend on the augmentation and counts in every block. Where there is
    no such block, the augmentation that most samplers have is taken alone, and those without it
    have no mean.
    """
    keys = [k for k in METHOD_KEYS if k != "augmentation"]
    has_seed = [not np.isnan(m).all() for m in seed_means(pool.scores)]
    families: dict[tuple[Any, ...], dict[str, int]] = {}
    for index, method in enumerate(pool.methods):
        family = families.setdefault(tuple(method[k] for k in keys), {})
        family[str(method["augmentation"])] = index
    trained = {f: a for f, a in families.items() if not pool.methods[min(a.values())]["untrained"]}
    scored = {f: a for f, a in trained.items() if any(has_seed[i] for i in a.values())}
    names = sorted({a for blocks in trained.values() for a in blocks})
    whole = [n for n in names if all(n in a and has_seed[a[n]] for a in scored.values())]
    notes = [_incomplete(n, scored, has_seed) for n in names if n not in whole]
    if not whole and scored:
        with_it = {n: sum(n in a and has_seed[a[n]] for a in scored.values()) for n in names}
        whole = [max(names, key=lambda n: with_it[n])]
        notes = [
            f"no augmentation has every method: means are those of {whole[0]}, without "
            f"{len(scored) - with_it[whole[0]]} of {len(scored)} methods"
        ]
    scores, methods = [], []
    for by_name in families.values():
        first = pool.methods[min(by_name.values())]
        used = list(by_name.values()) if first["untrained"] else [by_name.get(n) for n in whole]
        parts = [pool.scores[i] for i in used if i is not None]
        gap = np.full(pool.scores.shape[1:], np.nan)
        scores.append(np.mean(parts, axis=0) if parts and len(parts) == len(used) else gap)
        methods.append({**first, "augmentation": f"mean of {len(whole)}"})
    place = {family: i for i, family in enumerate(families)}
    where = [place[tuple(pool.methods[i][k] for k in keys)] for i in pool.cells["method"]]
    return replace(
        pool,
        methods=tuple(methods),
        scores=np.array(scores),
        cells=pool.cells.assign(method=where),
        notes=tuple(notes),
    )


def _incomplete(
    name: str, scored: Mapping[Any, Mapping[str, int]], has_seed: Sequence[bool]
) -> str:
    lacking = [str(f[0]) for f, a in scored.items() if name not in a or not has_seed[a[name]]]
    return (
        f"the mean over augmentations leaves out {name}: "
        f"no complete seed for {', '.join(dict.fromkeys(lacking))}"
    )


def _with_keys(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with the columns of `POOL_KEYS`, `METHOD_KEYS` and ``untrained``."""
    cells = cells.copy()
    blank = pd.Series(np.nan, index=cells.index)
    cells["steps"] = pd.to_numeric(cells.get("p_train_steps", blank), errors="coerce")
    cells["batch_size"] = pd.to_numeric(cells.get("p_train_batch_size", blank), errors="coerce")
    cells["untrained"] = (cells["sampler_name"] == "no_training") | (cells["steps"] == 0)
    cells.loc[cells["untrained"], ["objective", "candidates"]] = ""  # it has none
    trained = cells[~cells["untrained"]]
    settings = [
        str(c)
        for c in cells.columns
        if c.startswith("p_train_")
        and c not in ("p_train_steps", "p_train_batch_size")
        and trained[c].nunique(dropna=False) > 1
    ]
    told: dict[tuple[Any, ...], str] = {}
    budgets = []
    for free, *values in zip(
        cells["untrained"], *(cells[c].tolist() for c in settings), strict=True
    ):
        if (key := (free, *values)) not in told:
            pairs = zip(settings, values, strict=True)
            text = ", ".join(f"{c.removeprefix('p_train_')}={v}" for c, v in pairs)
            told[key] = "" if free else text
        budgets.append(told[key])
    cells["budget"] = budgets
    return cells


def _pool(
    shared: Mapping[str, Any], table: pd.DataFrame, rows: Sequence[int], scores: "_Main"
) -> Pool:
    """Return the pool of some rows of the table of cells."""
    keys = [*METHOD_KEYS, "sampler_name", "untrained"]
    cells = table[[*keys, *(c for c in _TELLING if c in table)]].take(np.asarray(rows, dtype=int))
    cells["row"] = rows
    methods = cells[keys].drop_duplicates().sort_values(keys, kind="stable").to_dict("records")
    place = {tuple(m[k] for k in keys): i for i, m in enumerate(methods)}
    cells["method"] = [place[r] for r in zip(*(cells[k].tolist() for k in keys), strict=True)]
    notes: list[str] = []
    cells = _one_per_seed(cells, notes)
    keys, main, undefined = scores.of(scores.keys.get_indexer(pd.Index(cells["key"])))
    if undefined:
        notes.append(
            f"no method has a finite score on {', '.join(undefined)}: left out of every mean"
        )
    tasks = tuple(main)
    seeds = tuple(sorted(int(s) for s in cells["seed"].unique()))
    array = np.full((len(methods), len(seeds), len(tasks)), np.nan)
    whole = np.zeros(len(cells), dtype=bool)
    if len(keys):
        values = np.stack([main[t] for t in tasks], axis=1) if tasks else np.empty((len(keys), 0))
        at = np.searchsorted(seeds, cells["seed"].to_numpy(dtype=np.int64)[keys])
        array[cells["method"].to_numpy()[keys], at] = values  # (cells with a score, T)
        whole[keys] = ~np.isnan(values).any(axis=1)
        for method in set(cells.loc[cells["once"], "method"]):
            empty = np.isnan(array[method]).all(axis=1)  # (S,)
            if not empty.all():  # evaluated at one seed, and the same at all others
                array[method, empty] = array[method, np.flatnonzero(~empty)[0]]
    named = tuple({str(k): v for k, v in m.items()} for m in methods)
    own = {"method": cells["method"].to_numpy(), "complete": whole}
    cells = table.take(cells["row"].to_numpy()).reset_index(drop=True).assign(**own)
    cells, note = comparable_seconds(cells)
    notes += [note] if note else []
    return Pool(shared, named, seeds, tasks, array, cells, tuple(notes))


def _one_per_seed(cells: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Keep, of several cells for one method and seed, the finished, planned, latest one."""
    date = cells["run_date"].fillna("") if "run_date" in cells else ""
    order = cells.assign(_done=cells["status"] == "done", _date=date)
    order = order.sort_values(["method", "seed", "_done", "planned", "_date", "key"])
    doubled = order[order.duplicated(["method", "seed"], keep=False)]
    for _, same in doubled.groupby(["method", "seed"], sort=True):
        last = same.iloc[-1]
        notes.append(
            f"{len(same)} cells stand for {last['sampler']} x {last['augmentation']}, seed "
            f"{last['seed']}; {last['key']} is used, {', '.join(same['key'][:-1])} is not"
        )
    return order.drop_duplicates(["method", "seed"], keep="last")


def several_splits(results: Results) -> frozenset[str]:
    """Return the tasks that mteb scores on several splits, as the records of the cells say."""
    said = [c.record.evaluation.get("splits") for c in results.loaded if c.record is not None]
    return frozenset(str(task) for found in said if isinstance(found, Mapping) for task in found)


def main_scores(scores: pd.DataFrame, several: Collection[str] = ()) -> pd.DataFrame:
    """Return main scores with one row per cell key and one column per task.

    A task with several subsets counts as their mean; a cell that lacks one has NaN. If a task has
    a test split, other splits (a dev split that chose the checkpoint) do not count, unless mteb's
    own score is over several splits.

    Args:
        scores: As `Results` has them.
        several: Tasks of which all splits count, see `several_splits`.
    """
    main = _Main(scores, several)
    keys, means, _ = main.of(np.arange(len(main.keys)))
    return pd.DataFrame(means, index=main.keys[keys].rename("key")) if len(keys) else pd.DataFrame()


class _Main:
    """The main scores of many cells, indexed to select those of some quickly.

    Args:
        scores: As `nsbench.analysis.read.scores.score_table` makes them, or some of them.
        several: Tasks of which all splits count; of others only the test split, if there is one.
    """

    def __init__(self, scores: pd.DataFrame, several: Collection[str] = ()) -> None:
        self._several = frozenset(several)
        self.keys: pd.Index = scores["key"].cat.categories
        main = scores[scores["main"].to_numpy(dtype=bool)]
        parts = main.groupby(["task", "split", "subset"], observed=True, sort=True)
        self._parts = [tuple(map(str, part)) for part in parts.size().index]
        cell, part = main["key"].cat.codes.to_numpy(), parts.ngroup().to_numpy()
        value = main["value"].to_numpy(dtype=float)
        finite = np.isfinite(value)
        self._values = np.full((len(self.keys), len(self._parts)), np.nan)
        self._values[cell[~finite], part[~finite]] = np.inf
        first = np.flatnonzero(finite)[::-1]  # of several finite values the first stays
        self._values[cell[first], part[first]] = value[first]

    def of(self, cells: Any) -> tuple[Any, dict[str, Array], list[str]]:
        """Return which of some cells have main scores, and these by task, in order of name.

        Also the names of tasks, or of their parts, that no cell has a finite score on.

        Args:
            cells: Places in ``keys``, each at most once; below 0 for a cell that has no scores.
        """
        there = np.flatnonzero(cells >= 0)
        values = self._values[cells[there]]
        met = self._counted(~np.isnan(values).all(axis=0))
        scored = ~np.isnan(values[:, met]).all(axis=1)
        values = np.where(np.isfinite(values), values, np.nan)[scored]
        of_task: dict[str, list[int]] = {}
        nowhere = []
        for column in np.flatnonzero(met).tolist():
            if np.isnan(values[:, column]).all():
                nowhere.append(self._parts[column])
            else:
                of_task.setdefault(self._parts[column][0], []).append(column)
        means = {t: values[:, columns].mean(axis=1) for t, columns in of_task.items()}
        undefined = [t if t not in of_task else f"{t} ({s}, {sub})" for t, s, sub in nowhere]
        return there[scored], means, sorted(set(undefined))

    def _counted(self, met: Any) -> Any:
        """Return the parts that count of those met: with a test split no other, but `several`."""
        tested = {t for (t, s, _), m in zip(self._parts, met, strict=True) if m and s == "test"}
        dev = [t in tested - self._several and s != "test" for t, s, _ in self._parts]
        return met & ~np.array(dev, dtype=bool)
