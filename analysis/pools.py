"""Pools of cells that may be compared, and their scores as one array (methods, seeds, tasks).

A pool shares encoder, data, regime, steps and batch size. Within it, a method is a sampler with its
augmentation, objective, candidates and what else of the budget varies. Untrained encoders have no
budget and no augmentation of their own, so they join every pool of their encoder and data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.load import Results
from nsbench.analysis.stats import Array, seed_means
from nsbench.benchmarks.records import MEAN_METRIC

POOL_KEYS = ("encoder", "data", "regime", "steps", "batch_size")
METHOD_KEYS = ("sampler", "augmentation", "objective", "candidates", "budget")
COSTS = ("encodes_train", "encodes_mining", "encodes", "tokens_seen", "negatives_per_anchor")
MATCHES = ("steps", "encodes")
AGGREGATES = ("all", "mean")
TOLERANCE = 0.1
"""Encoder passes may be off by this share and still count as the same."""
SECONDS = ("seconds_train", "seconds_evaluate", "wall_s")


@dataclass(frozen=True)
class Pool:
    """Methods that may be compared with each other.

    Attributes:
        shared: Value of each of `POOL_KEYS`.
        methods: Value of each of `METHOD_KEYS` and ``sampler_name``, one per method.
        seeds: Seeds, ascending.
        tasks: Tasks, by name.
        scores: Main scores as stored, shape (M, S, T); NaN where missing.
        cells: One row per cell, with its ``method`` (index into ``methods``) and ``complete``:
            whether it has a finite score for every task.
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
        """What all methods share, in words."""
        parts = [str(self.shared["encoder"]), f"on {self.shared['data']}"]
        parts += [str(self.shared["regime"])] if self.shared["regime"] else []
        if self.shared.get("encodes"):
            parts.append(f"about {self.shared['encodes']:,.0f} encoder passes")
        elif self.shared["steps"]:
            parts.append(f"{self.shared['steps']:g} steps of {self.shared['batch_size']:g}")
        return ", ".join(parts)


def pools(results: Results, *, match: str = "steps", aggregate: str = "all") -> list[Pool]:
    """Every pool of the results, in order of name.

    Args:
        results: As loaded.
        match: What methods of a pool spend alike. ``steps``: optimizer steps of one batch size.
            ``encodes``: encoder passes, mining and attacks counted; of each method's budgets the
            one nearest to what all can reach is taken, and it is left out, with a note, if that
            is off by more than `TOLERANCE`.
        aggregate: ``all`` takes a task's main score; ``mean`` the mean over the sub-sets of a
            year's STS task, where a task has them.

    Raises:
        ValueError: If an option is unknown, or no cell has scores by sub-set.
    """
    for name, value, legal in (("match", match, MATCHES), ("aggregate", aggregate, AGGREGATES)):
        if value not in legal:
            raise ValueError(f"{name} is {value!r}; known: {', '.join(legal)}")
    scores = results.scores if aggregate == "all" else _by_parts(results.scores)
    cells = _with_keys(results.cells)
    if match == "encodes":
        return _matched(cells, scores)
    untrained = cells["untrained"]
    out = []
    groups = cells[~untrained].groupby(list(POOL_KEYS), sort=True, dropna=False)
    for key, members in groups:
        shared = dict(zip(POOL_KEYS, key, strict=True))
        same = (cells["encoder"] == shared["encoder"]) & (cells["data"] == shared["data"])
        out.append(_pool(shared, pd.concat([cells[untrained & same], members]), scores))
    taken = {(p.shared["encoder"], p.shared["data"]) for p in out}
    for (encoder, data), members in cells[untrained].groupby(["encoder", "data"], sort=True):
        if (encoder, data) not in taken:
            first = members.iloc[0]
            shared = {k: first[k] for k in POOL_KEYS}
            out.append(_pool(shared, members, scores))
    return out


def _matched(cells: pd.DataFrame, scores: pd.DataFrame) -> list[Pool]:
    """One pool per encoder, data and regime: of every method the budget nearest in passes."""
    keys = [k for k in POOL_KEYS if k not in ("steps", "batch_size")]
    out = []
    for key, members in cells[~cells["untrained"]].groupby(keys, sort=True, dropna=False):
        shared = dict(zip(keys, key, strict=True)) | {"steps": np.nan, "batch_size": np.nan}
        chosen, target, notes = _nearest(members)
        same = (cells["encoder"] == shared["encoder"]) & (cells["data"] == shared["data"])
        pool = _pool(shared, pd.concat([cells[cells["untrained"] & same], chosen]), scores)
        matched = {**pool.shared, "encodes": target}
        out.append(replace(pool, shared=matched, notes=(*notes, *pool.notes)))
    return out


def _nearest(members: pd.DataFrame) -> tuple[pd.DataFrame, float, list[str]]:
    """The cells of each method's budget nearest to the passes that every method can reach.

    Returns:
        The cells, the passes they are matched on, and a note for each method that has none near.
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
    """Scores in which the mean over sub-sets is the main one of every task that has it."""
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
    """The pool averaged over augmentations, over complete blocks only.

    A block is an augmentation that every sampler with any score has a complete seed for. The
    untrained encoder does not depend on the augmentation and counts in every block.
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
    cells["budget"] = [
        "" if free else ", ".join(f"{c.removeprefix('p_train_')}={row[c]}" for c in settings)
        for free, row in zip(cells["untrained"], cells[settings].to_dict("records"), strict=True)
    ]
    return cells


def _pool(shared: Mapping[str, Any], cells: pd.DataFrame, scores: pd.DataFrame) -> Pool:
    keys = [*METHOD_KEYS, "sampler_name", "untrained"]
    methods = cells[keys].drop_duplicates().sort_values(keys, kind="stable").to_dict("records")
    place = {tuple(m[k] for k in keys): i for i, m in enumerate(methods)}
    cells = cells.assign(method=[place[tuple(r)] for r in cells[keys].itertuples(index=False)])
    notes: list[str] = []
    cells = _one_per_seed(cells, notes)
    main = main_scores(scores[scores["key"].isin(cells["key"])])
    tasks = tuple(sorted(main.columns))
    seeds = tuple(sorted(int(s) for s in cells["seed"].unique()))
    array = np.full((len(methods), len(seeds), len(tasks)), np.nan)
    whole = set(main.index[main.notna().all(axis=1)])
    cells["complete"] = cells["key"].isin(whole)
    for row in cells.to_dict("records"):
        if row["key"] in main.index:
            array[row["method"], seeds.index(row["seed"])] = main.loc[row["key"]].to_numpy()
    named = tuple({str(k): v for k, v in m.items()} for m in methods)
    return Pool(shared, named, seeds, tasks, array, cells, tuple(notes))


def _one_per_seed(cells: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Of several cells for one method and seed, the finished, planned, latest one."""
    date = cells["run_date"].fillna("") if "run_date" in cells else pd.Series("", cells.index)
    order = cells.assign(_done=cells["status"] == "done", _date=date)
    order = order.sort_values(["method", "seed", "_done", "planned", "_date", "key"])
    for _, same in order.groupby(["method", "seed"], sort=True):
        if len(same) > 1:
            last = same.iloc[-1]
            notes.append(
                f"{len(same)} cells stand for {last['sampler']} x {last['augmentation']}, seed "
                f"{last['seed']}; {last['key']} is used, {', '.join(same['key'][:-1])} is not"
            )
    chosen = order.drop_duplicates(["method", "seed"], keep="last")
    return chosen.drop(columns=["_done", "_date"]).reset_index(drop=True)


def main_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Main scores with one row per cell key and one column per task.

    A task with several subsets counts as their mean; a cell that lacks one has NaN. Where a task
    has a test split, other splits (a dev split that chose the checkpoint) do not count.
    """
    main = scores[scores["main"].astype(bool)]
    if main.empty:
        return pd.DataFrame()
    tested = main.groupby("task")["split"].transform(lambda s: (s == "test").any())
    main = main[~tested | (main["split"] == "test")]
    finite = main.assign(value=main["value"].where(np.isfinite(main["value"].astype(float))))
    wide = finite.pivot_table(
        index="key",
        columns=["task", "split", "subset"],
        values="value",
        aggfunc="first",
        dropna=False,
    )
    wide = wide.reindex(columns=[c for c in wide.columns if wide[c].notna().any()])
    tasks: Sequence[str] = sorted({c[0] for c in wide.columns})
    means = {t: wide[t].to_numpy(dtype=float).mean(axis=1) for t in tasks}
    return pd.DataFrame(means, index=wide.index)
