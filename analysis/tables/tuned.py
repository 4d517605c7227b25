"""Boards: defaults and tuned settings side by side, with verdicts, from a tuning study.

Methods are compared within one encoder and one data set, family by family of tasks: a mean is never
over tasks that some method lacks. Defaults are compared with the baseline's defaults, tuned methods
with the tuned baseline, of the same augmentation where there is one.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nsbench.analysis.read.load import Results
from nsbench.analysis.statistics.comparisons import paired
from nsbench.analysis.statistics.stats import Array, spread, t_half_width
from nsbench.analysis.statistics.verdicts import MARGIN
from nsbench.analysis.tables import text
from nsbench.analysis.tables.judging import add_verdicts, alarm_text, alarms_by_key
from nsbench.analysis.tables.pools import main_scores, several_splits
from nsbench.benchmarks.records import RecordError, read_json
from nsbench.samplers._cache import cached

KINDS = ("default", "tuned")
LABELS = ("sampler", "augmentation", "objective", "candidates", "encoder", "data")
FIRST, LAST = ("no_training", "linear_projection"), ("oracle",)
"""Samplers that open and close a board at any score."""
ALL_TASKS = "all tasks"
_OF_KIND = (
    *("mean", "low", "high", "std", "rank", "difference", "difference_low", "difference_high"),
    *("verdict", "more_seeds", "n_seeds", "n_failed", "n_missing", "n_skipped", "alarms"),
)
COLUMNS = (
    *("family", "n_tasks", *LABELS, "baseline"),
    *(f"{kind}_{name}" for kind in KINDS for name in _OF_KIND),
    *("gain", "gain_low", "gain_high", "gain_seeds", "trials", "different_settings"),
    *("failed_trials", "tuning_seconds", "dev_default", "dev_tuned", "setting", "skip"),
    "tuned_scores",
)


@cached(1)  # the leaderboard, tuned.csv and early.csv show one
def tuned_table(results: Results) -> tuple[pd.DataFrame, list[str]]:
    """Return one row per method and family of every tuning study among the results' folders.

    Returns:
        Columns `COLUMNS`, in points. Means are over fresh seeds with Student's intervals;
        ``gain`` is tuned less default, paired by seed; the columns of differences and verdicts are
        those of `add_verdicts`, to the method named in ``baseline``. Untrained rows come first and
        the oracle last, the others by tuned mean. And one line for every ``tuning.json`` that
        cannot be read.
    """
    parts: list[pd.DataFrame] = []
    notes: list[str] = []
    for root in results.roots:
        if (root / "tuning.json").is_file():
            try:
                parts += _Board(results, root).tables()
            except (RecordError, KeyError, TypeError, ValueError) as error:
                notes.append(f"{root / 'tuning.json'} is not a tuning study: {error}")
    columns = list(COLUMNS)
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return table[columns], notes


def write_tuned(results: Results, out: Path) -> list[Path]:
    """Write ``tables/tuned.csv`` and ``.md`` if a study is among the results."""
    table, notes = tuned_table(results)
    if table.empty and not notes:
        return []
    return text.write_tables(
        out, {"tuned.csv": text.csv_text(table), "tuned.md": document(table, notes)}
    )


def tuned_keys(results: Results) -> list[dict[str, Any]]:
    """Return the methods of every tuning study, with the keys of their fresh cells.

    Raises:
        RecordError: If a ``tuning.json`` cannot be read.
    """
    roots = [root for root in results.roots if (root / "tuning.json").is_file()]
    return [method for root in roots for method in read_json(root / "tuning.json")["methods"]]


class _Board:
    """One study: its methods, and the cells of each of them by seed."""

    def __init__(self, results: Results, root: Path) -> None:
        tuning = read_json(root / "tuning.json")
        self.methods: list[dict[str, Any]] = tuning["methods"]
        self.alarms = alarms_by_key(results)
        self.status = {str(c.key): c.status for c in results.loaded}
        self.scores = 100.0 * main_scores(results.scores, several_splits(results))
        listed = tuning.get("families") or [{"name": ALL_TASKS, "tasks": ["own"]}]
        given = {str(f["name"]): list(f["tasks"]) for f in listed}
        named = {task for tasks in given.values() for task in tasks}
        rest = [t for t in self.scores.columns if t not in named]
        self.families = {f: rest if t == ["own"] else list(t) for f, t in given.items()}
        self.seconds: dict[str, float] = defaultdict(float)
        for trial in _trials(root):
            self.seconds[trial["method"]] += float(trial.get("seconds", 0.0))
        own = {str(k) for m in self.methods for kind in KINDS for k in m[kind]}
        free = [c for c in results.loaded if c.key not in own]
        seeds = max((len(m["default"]) for m in self.methods), default=0)
        self.methods = [*_untrained(free, seeds), *self.methods]

    def tables(self) -> list[pd.DataFrame]:
        """Return the rows of each family, encoder and data set."""
        out = []
        places = list(dict.fromkeys((m["encoder"], m["data"]) for m in self.methods))
        for family, tasks in self.families.items():
            columns = [t for t in tasks if t in self.scores.columns]
            whole = self.scores[columns].mean(axis=1, skipna=False)
            if len(columns) < len(tasks):  # a task that no cell has a score on
                whole = pd.Series(np.nan, index=self.scores.index)
            for place in places:
                same = [m for m in self.methods if (m["encoder"], m["data"]) == place]
                lent = self._lent(same)
                table = self._table([*lent, *same], whole).drop(index=range(len(lent)))
                out.append(table.assign(family=family, n_tasks=len(tasks)))
        return out

    def _lent(self, methods: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the study's first baseline of the encoder, if its objective is none of theirs.

        Graded pairs, for one, cannot be contrasted; their methods are compared with those of the
        study's first data set.
        """
        encoders = {m["encoder"] for m in methods}
        plain = [m for m in self.methods if m["sampler"] == "in_batch" and m["encoder"] in encoders]
        own = {m["objective"] for m in methods if m["sampler"] == "in_batch"}
        return [] if not plain or plain[0]["objective"] in own else plain[:1]

    def _table(self, methods: Sequence[dict[str, Any]], values: "pd.Series[float]") -> pd.DataFrame:
        base = [_baseline(methods, m) for m in methods]
        table = pd.DataFrame([{name: m[name] for name in LABELS} for m in methods])
        here = methods[-1]["data"]
        names = [_label(m) + ("" if m["data"] == here else f" on {m['data']}") for m in methods]
        table["baseline"] = ["" if b is None else names[b] for b in base]
        arrays = {}
        for kind in KINDS:
            means = np.array([values.reindex([str(k) for k in m[kind]]) for m in methods])
            arrays[kind] = means
            own = pd.DataFrame(index=table.index)
            own["mean"] = [_mean(row) for row in means]
            half = np.array([float(t_half_width(_there(row), 0.95)[0]) for row in means])
            own["low"], own["high"] = own["mean"] - half, own["mean"] + half
            own["std"] = spread(means)
            add_verdicts(own, means, base, MARGIN)
            own["n_seeds"] = (~np.isnan(means)).sum(axis=1)
            counted = [self._counts(m[kind], row) for m, row in zip(methods, means, strict=True)]
            own = own.assign(**{n: [c[n] for c in counted] for n in counted[0]})
            table = table.join(own[list(_OF_KIND)].add_prefix(f"{kind}_"))
        table = table.join(_gains(methods, arrays["tuned"], arrays["default"]))
        table["tuned_scores"] = [_listed(row) for row in arrays["tuned"]]
        for name in ("trials", "different_settings", "failed_trials"):
            table[name] = [m.get(name, 0) for m in methods]
        skipped = table["skip"] = [m.get("skip", "") for m in methods]
        table.loc[[bool(why) for why in skipped], "failed_trials"] = 0  # a skip is no failure
        table["tuning_seconds"] = [self.seconds[m["method"]] for m in methods]
        for kind in KINDS:
            table[f"dev_{kind}"] = [_points(m.get(f"dev_{kind}")) for m in methods]
        table["setting"] = [_setting(m) for m in methods]
        final = [float(v) for v in table["tuned_mean"]]
        order = sorted(range(len(methods)), key=lambda i: _order(methods[i], final[i]))
        return table.loc[order]

    def _counts(self, keys: Sequence[str], row: Array) -> dict[str, Any]:
        """Return how many of some cells failed, are missing or were skipped, and their alarms."""
        status = [self.status.get(str(k), "pending") for k in dict.fromkeys(keys)]
        unscored = int(np.isnan(row).sum()) if len(status) == len(row) else 0
        done = [str(k) for k in dict.fromkeys(keys) if self.status.get(str(k)) == "done"]
        missing = sum(s in ("pending", "running") for s in status)
        skipped = status.count("skipped")
        failed = max(status.count("failed"), unscored - missing - skipped)
        rung = alarm_text([self.alarms.get(k, ()) for k in done])
        return {"n_failed": failed, "n_missing": missing, "n_skipped": skipped, "alarms": rung}


def _trials(root: Path) -> list[dict[str, Any]]:
    path = root / "trials.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.endswith("}")]


def _untrained(loaded: Sequence[Any], seeds: int) -> list[dict[str, Any]]:
    """Return the cells that take no step as methods; one evaluated once counts at every seed."""
    found: dict[tuple[str, ...], list[Any]] = {}
    for cell in sorted(loaded, key=lambda c: int(c.cell.get("seed", 0))):
        if not (cell.cell.get("budget") or {}).get("steps"):
            labels = cell.cell["labels"]
            found.setdefault(tuple(labels[n] for n in LABELS), []).append(cell)
    out = []
    for labels, cells in found.items():
        keys = [str(c.key) for c in cells]
        skipped = all(c.status == "skipped" for c in cells)
        every = keys * seeds if len(keys) == 1 else keys
        blank = {"augmentation": "", "objective": "", "candidates": ""}
        out.append(
            {
                **{n: v for n, v in zip(LABELS, labels, strict=True) if n not in blank},
                **{"method": labels[0], "values": {}, "default": every, "tuned": every},
                "skip": cells[0].info if skipped else "",
                **blank,
            }
        )
    return out


def _baseline(methods: Sequence[Mapping[str, Any]], method: Mapping[str, Any]) -> int | None:
    """Return the baseline of the method's augmentation, else the first of all.

    Baselines are the rows of `in_batch` with the objective and the candidates of its first row;
    they themselves are compared with that one.
    """
    plain = [m for m in methods if m["sampler"] == "in_batch"]
    if not plain:
        return None
    alike = [m for m in plain if all(m[n] == plain[0][n] for n in ("objective", "candidates"))]
    same = [m for m in alike if m["augmentation"] == method["augmentation"]]
    return methods.index(plain[0] if method in alike or not same else same[0])


def _label(method: Mapping[str, Any]) -> str:
    return " x ".join(v for n in LABELS[:3] if (v := method[n]))


def _order(method: Mapping[str, Any], mean: float) -> tuple[Any, ...]:
    name = str(method["sampler"]).partition("(")[0]
    if name in FIRST:
        return (0, FIRST.index(name), 0.0, "")
    return (2 if name in LAST else 1, int(np.isnan(mean)), -np.nan_to_num(mean), _label(method))


def _gains(methods: Sequence[Mapping[str, Any]], tuned: Array, default: Array) -> pd.DataFrame:
    """Return tuned less default by method, with the intervals of paired differences."""
    found = paired(tuned, default)
    changed = np.array([m["default"] != m["tuned"] for m in methods])
    gain = {
        "gain": np.where(changed, found.difference, 0.0),
        "gain_low": np.where(changed, found.low, np.nan),
        "gain_high": np.where(changed, found.high, np.nan),
    }
    unknown = np.isnan(tuned).all(axis=1) | np.isnan(default).all(axis=1)
    gain["gain"] = np.where(unknown, np.nan, gain["gain"])
    return pd.DataFrame({**gain, "gain_seeds": found.n})


def _mean(row: Array) -> float:
    return float("nan") if np.isnan(row).all() else float(np.nanmean(row))


def _listed(row: Array) -> str:
    """Return scores with blanks between; nothing where there is none."""
    return "" if np.isnan(row).all() else " ".join(f"{v:.4f}" for v in row)


def _there(row: Array) -> Array:
    return row[~np.isnan(row)][None]


def _points(value: Any) -> float:
    return float("nan") if value is None else 100.0 * float(value)


def _setting(method: Mapping[str, Any]) -> str:
    if "trials" not in method:
        return ""
    parts = [f"{k}={_short(v)}" for k, v in sorted(method["values"].items())]
    return ", ".join(parts) or "defaults"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def document(table: pd.DataFrame, notes: Sequence[str]) -> str:
    """Return a board in Markdown, a section per family, encoder and data set."""
    lines = [
        "# Defaults and tuned settings",
        "",
        "In points; brackets hold 95 % intervals over fresh seeds. Every method had the same "
        "number of trials, judged on development data alone; test scores were read once, at the "
        "end. Differences and verdicts are to the baseline in the same setting, default or "
        f"tuned, and hold together; the margin of equivalence is {MARGIN:g} points. The cost is "
        "the seconds of a method's trials on the machine that ran them.",
    ]
    places = ["family", "encoder", "data"]
    for place, part in table.groupby(places, sort=False):
        title = ", ".join(text.markdown_text(x) for x in place)
        lines += ["", f"## {title}", ""]
        unfinished = int(part["tuned_n_missing"].sum() + part["default_n_missing"].sum())
        if unfinished:
            lines += [f"A part of the board: {unfinished} cells have not run.", ""]
        if lent := [b for b in dict.fromkeys(part["baseline"]) if " on " in b]:
            lines += [f"The baseline is {text.markdown_text(lent[0])}.", ""]
        lines += _section(part)
    lines += ["", *(f"- {text.markdown_text(n)}" for n in notes)]
    return "\n".join(lines).rstrip() + "\n"


def _section(part: pd.DataFrame) -> list[str]:
    headings = (
        *("sampler", "augmentation", "objective", "default", "to baseline", "tuned"),
        *("to baseline", "gain", "seeds", "trials", "cost", "setting", "remarks"),
    )
    rows = [
        [
            *(row["sampler"], row["augmentation"], row["objective"]),
            *(cell for kind in KINDS for cell in _of_kind(row, kind)),
            text.with_ends(row, "gain", form="{:+.2f}"),
            *(f"{row['tuned_n_seeds']}", f"{row['trials']}", f"{row['tuning_seconds']:.0f} s"),
            *(row["setting"], _remarks(row)),
        ]
        for row in text.records(part)
    ]
    return text.markdown_lines(headings, [[text.markdown_text(c) for c in row] for row in rows])


def _of_kind(row: Mapping[str, Any], kind: str) -> tuple[str, str]:
    mean = text.with_interval(row[f"{kind}_mean"], row[f"{kind}_low"], row[f"{kind}_high"])
    difference = text.with_ends(row, f"{kind}_difference", form="{:+.2f}")
    return mean, f"{row[f'{kind}_verdict']} {difference}".strip()


def _remarks(row: Mapping[str, Any]) -> str:
    """Return what failed, is missing or rang, in words."""
    found = [f"skipped: {row['skip']}"] if row["skip"] else []
    for kind in KINDS:
        for name in ("failed", "missing"):
            if number := row[f"{kind}_n_{name}"]:
                found.append(f"{number} {kind} cells {name}")
    if number := row["failed_trials"]:
        found.append(f"{number} trial{'s' * (number > 1)} without a dev score")
    return "; ".join([*found, *([row["tuned_alarms"]] if row["tuned_alarms"] else [])])
