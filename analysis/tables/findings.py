"""Findings of one comparison group, in sentences to act on.

One function writes them for the terminal, for Markdown and for the report, out of the columns of
the leaderboards and nothing else, so that no sentence can gainsay a table.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from nsbench.analysis.statistics import verdicts
from nsbench.analysis.tables.judging import alarms_in
from nsbench.analysis.tables.method_names import method_names
from nsbench.analysis.tables.text import counted, gap, records, some

if TYPE_CHECKING:
    from nsbench.analysis.tables.leaderboard import PoolStatistics

_NAMED = 8
_OF_AXIS = 4


def findings(
    rows: pd.DataFrame,
    samplers: pd.DataFrame,
    statistics: "PoolStatistics",
    axes: pd.DataFrame | None = None,
) -> list[str]:
    """Sentences on one comparison group, the one to act on first.

    Args:
        rows: Its rows by sampler and augmentation.
        samplers: Its rows over augmentations.
        statistics: What they rest on.
        axes: Its rows of the marginal leaderboards of further axes, see `axis_table`.
    """
    if not rows["mean"].notna().any():
        return ["No method has a score on every task yet."]
    averaged = rows["augmentation"].nunique() > 1 and bool(samplers["mean"].notna().any())
    table = samplers if averaged else rows[rows["mean"].notna()]
    table = table.assign(method=method_names(table))
    table = table.sort_values(["rank", "sampler"], kind="stable")
    base, margin = _base(table, statistics.baseline), f"{statistics.margin:g} points"
    out = [_advice(table, base, statistics.n_tasks, averaged)]
    told = _key(_first_better(table))
    for verdict, text in (
        (verdicts.BETTER, f"Also better than {base}"),
        (verdicts.EQUIVALENT, f"Equivalent to {base} within {margin}"),
        (verdicts.WORSE, f"Worse than {base}"),
    ):
        part = [r for r in records(table[table["verdict"] == verdict]) if _key(r) != told]
        if part:
            out.append(f"{text}: {some([_named(r) for r in part], _NAMED)}.")
    open_ = records(table[table["verdict"] == verdicts.UNDECIDED])
    if open_:
        names = [f"{_method(r)} ({further_seeds(r['more_seeds'])} would decide)" for r in open_[:1]]
        names += [f"{_method(r)} ({_count(r['more_seeds'])})" for r in open_[1:]]
        out.append(f"Nothing here is decided about {some(names, _NAMED)}.")
    silent = table[(table["verdict"] == verdicts.NO_VERDICT) & table["mean"].notna()]
    for few, why in (
        (
            silent[silent["difference"].notna()],
            f"it takes {verdicts.LEAST_SEEDS} seeds shared with {base}",
        ),
        (silent[silent["difference"].isna()], f"there is no {base} to compare with"),
    ):
        if len(few):
            out.append(f"No verdict on {some([_method(r) for r in records(few)], _NAMED)}: {why}.")
    out += [] if axes is None else _axes(records(axes), statistics.margin)
    return [text for text in (*out, *_alarms(records(table), base)) if text]


def _alarms(rows: Sequence[dict[str, Any]], base: str) -> list[str]:
    """The alarms of the baseline, which all methods may share, then those of single methods."""
    common = _common(rows)
    out = [f"Alarms in the cells of {base} too: {', '.join(sorted(common))}."] if common else []
    told = [f"{_method(row)}: {', '.join(own)}" for row in rows if (own := _own(row, common))]
    return [*out, f"Alarms rang: {some(told, _NAMED, '; ')}."] if told else out


def _common(rows: Sequence[dict[str, Any]]) -> set[str]:
    """Alarms of the baselines, with their counts."""
    return {a for row in rows if row["verdict"] == verdicts.BASELINE for a in _own(row, set())}


def _own(row: dict[str, Any], common: set[str]) -> list[str]:
    """Alarms of a row that are not common."""
    return [alarm for alarm in alarms_in(str(row["alarms"])) if alarm not in common]


def _advice(table: pd.DataFrame, base: str, n_tasks: int, averaged: bool) -> str:
    """Use the best of the methods that are better than the baseline, quiet ones before others."""
    tasks = counted(n_tasks, "task")
    better = table[table["verdict"] == verdicts.BETTER]
    if better.empty:
        judged = table["verdict"].isin([verdicts.WORSE, verdicts.EQUIVALENT, verdicts.UNDECIDED])
        first = records(table.head(1))[0]
        top = f"The highest mean is that of {_method(first)}, {first['mean']:.1f} points"
        if not judged.any():
            return f"{top}; no method has a verdict against {base} on {tasks}."
        return f"No method is significantly better than {base} on {tasks}. {top}."
    common = _common(records(table))
    row = _first_better(table)
    own = _own(row, common)
    ahead = records(table[table["rank"] < row["rank"]])
    higher = next((r for r in ahead if r["verdict"] == verdicts.BASELINE), None)
    lead = f"Use {_method(row)}:"
    if own or higher:
        lead = f"{_method(row)} is {'better' if higher else 'best'}:"
    text = lead + f" {_points(row)} over {base} on {tasks}, {row['n_seeds']} seeds"
    over = str(row["augmentation"]).removeprefix("mean of ")
    text += f", mean over {over} augmentation{'' if over == '1' else 's'}" if averaged else ""
    if own:
        text += f"; but its cells ring alarms, {', '.join(own)}: look at them before you use it"
    text += "."
    if higher:
        text += f" A higher mean is that of {_method(higher)}, {higher['mean']:.1f} points."
    if alike := _alike(table, row):
        text += f" Not significantly different from it: {some(alike, _NAMED)}."
    if not own:
        text += " Its cells ring no alarm" + (f" that {base} does not ring." if common else ".")
    if loud := [_method(r) for r in ahead if _own(r, common)]:
        text += f" Ranked above it, but with alarms: {some(loud, _NAMED)}."
    return text


def _base(table: pd.DataFrame, baseline: str) -> str:
    """The baseline in words; with several of them, such as one an objective, which one counts."""
    several = table[table["verdict"] == verdicts.BASELINE]["method"].nunique() > 1
    return f"{baseline} of the same setting" if several else baseline


def _first_better(table: pd.DataFrame) -> dict[str, Any]:
    """The best method that is better than the baseline, quiet ones before others; or nothing."""
    common = _common(records(table))
    rows = records(table[table["verdict"] == verdicts.BETTER])
    return next((r for r in rows if not _own(r, common)), rows[0] if rows else {})


def _alike(table: pd.DataFrame, row: dict[str, Any]) -> list[str]:
    """Methods that share a letter with a row, the row itself left out."""
    own = set(letters(str(row["group"])))
    return [
        _method(r)
        for r in records(table)
        if own & set(letters(str(r["group"]))) and _key(r) != _key(row)
    ]


def letters(group: str) -> list[str]:
    """The letters of a row: ``"abc1"`` has ``a``, ``b`` and ``c1``."""
    out: list[str] = []
    for character in group:
        if character.isdigit():
            out[-1] += character
        else:
            out.append(character)
    return out


def _axes(rows: Sequence[dict[str, Any]], margin: float) -> list[str]:
    """Sentences on the values of the axes, the first few of each."""
    out: list[str] = []
    for axis in dict.fromkeys(r["axis"] for r in rows):
        told = [t for r in rows if r["axis"] == axis and (t := _axis(r, margin))]
        out += told[:_OF_AXIS]
        if left := len(told[_OF_AXIS:]):
            out.append(f"And {left} more of the axis {axis}: see its leaderboard_*.csv.")
    return out


def _axis(row: dict[str, Any], margin: float) -> str:
    """One value of a further axis against the axis's baseline, and whether samplers agree."""
    verdict, name = row["verdict"], f"{row['axis']} {row['value']}"
    blocks = counted(row["n_blocks"], "setting")
    place = f"{row['baseline']}, over {blocks} and {row['n_seeds']} seeds"
    points = _points(row)
    if verdict == verdicts.WORSE:  # the other way round
        low, high = -row["difference_high"], -row["difference_low"]
        turned = {"difference": -row["difference"], "difference_low": low, "difference_high": high}
        points = _points(turned).lstrip("+")
    if verdict in (verdicts.BETTER, verdicts.WORSE):
        word = "adds" if verdict == verdicts.BETTER else "lowers the score by"
        text = f"{name[0].upper()}{name[1:]} {word} {points} against {place}"
    elif verdict == verdicts.EQUIVALENT:
        text = f"{name[0].upper()}{name[1:]} is equivalent to {place}, within {margin:g} points"
    elif verdict == verdicts.UNDECIDED:
        more = further_seeds(row["more_seeds"])
        text = f"Nothing is decided about {name} against {place}: {more} would"
    else:
        return ""
    p = row["interaction_p"]
    if pd.isna(p):
        return f"{text}."
    if p <= 0.05:
        return (
            f"{text}; it depends on the sampler: {row['effect_low']:+.1f} with "
            f"{row['effect_low_sampler']}, {row['effect_high']:+.1f} with "
            f"{row['effect_high_sampler']}."
        )
    return f"{text}; no sampler's effect is significantly different from another's."


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    """Names that no two rows of a group share."""
    names = ("sampler", "augmentation", "objective", "candidates", "budget")
    return tuple(str(row.get(name, "")) for name in names)


def _method(row: dict[str, Any]) -> str:
    """The method's name, and the augmentation where the row is of one."""
    augmentation = str(row["augmentation"])
    free = augmentation in ("", "none") or augmentation.startswith("mean of ")
    return str(row["method"]) if free else f"{row['method']} with {augmentation}"


def _points(row: dict[str, Any]) -> str:
    """A difference with its interval, in so many places that no end rounds to 0."""
    low, high = row["difference_low"], row["difference_high"]
    places = next((n for n in (1, 2, 3) if min(abs(low), abs(high)) >= 0.5 * 10**-n), 3)
    return f"{row['difference']:+.{places}f} points ({low:.{places}f} to {high:.{places}f})"


def _named(row: dict[str, Any]) -> str:
    return f"{_method(row)} ({gap(row['difference'])})"


def further_seeds(more: Any) -> str:
    """Return how many seeds an undecided verdict lacks, in words."""
    return f"{_count(more)} more seed{'' if not pd.isna(more) and more == 1 else 's'}"


def _count(more: Any) -> str:
    return f"over {verdicts.MOST_SEEDS}" if pd.isna(more) else f"{more}"
