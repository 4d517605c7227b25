"""Several boards side by side: verdicts by method, and whether difficulty predicts quality.

Reads what `nsbench rebuild` makes of published boards, ``tables/tuned.csv`` and
``tables/early.csv``, and nothing else. One board is one folder; its comparison groups (encoder,
data) stay apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats as scipy_stats

from nsbench.analysis.statistics.verdicts import MARGIN
from nsbench.analysis.tables import text
from nsbench.analysis.tables.predictors import fisher_interval
from nsbench.analysis.tables.transfer import LEAST_METHODS, transfer_table
from nsbench.analysis.tables.transfer import lines as transfer_lines
from nsbench.analysis.tables.tuned import FIRST, KINDS, LABELS, LAST
from nsbench.analysis.tables.views import lines as view_lines
from nsbench.analysis.tables.views import view_table
from nsbench.benchmarks.keys import visible
from nsbench.benchmarks.records import RecordError
from nsbench.benchmarks.records.names import settings_of

NOT_RUN = "not run"
_GROUP = ["board", "encoder", "data"]
_ALIKE = ["encoder", "data", "augmentation"]
_METHOD = ("sampler", "augmentation", "objective", "candidates")
_TEXTS = (*LABELS, "family", "baseline", "setting", "skip", *(f"{k}_verdict" for k in KINDS))
VERDICT_COLUMNS = (
    *("board", "encoder", "data", "family", "n_tasks", *_METHOD, "baseline"),
    *(f"{k}_{c}" for k in KINDS for c in ("mean", "difference", "difference_low")),
    *(f"{k}_{c}" for k in KINDS for c in ("difference_high", "verdict", "n_seeds", "n_missing")),
    *("gain", "trials", "tuning_seconds", "setting", "skip"),
)
PREDICTION_COLUMNS = (
    *("setting", "held_out", "n_groups", "n_methods", "statistic", "sign", "rho_elsewhere"),
    *("rho", "rho_low", "rho_high", "best_in_hindsight", "rho_in_hindsight"),
)


def verdict_table(folders: Sequence[Path]) -> pd.DataFrame:
    """Return the rows of every board under each other, `VERDICT_COLUMNS`.

    Raises:
        RecordError: If a folder has no ``tables/tuned.csv``, or one of another shape.
    """
    parts = [_read(f, "tuned.csv", VERDICT_COLUMNS[1:]).assign(board=f.name) for f in folders]
    whole = pd.concat(parts, ignore_index=True)
    return whole[list(VERDICT_COLUMNS)]


def prediction_table(folders: Sequence[Path]) -> pd.DataFrame:
    """Return how well early statistics rank methods on a board that they were not chosen on.

    Within each group (encoder, data, augmentation) of a board, every statistic is correlated
    (Spearman) over the methods with their final mean. The groups of a board are averaged by
    Fisher's z, each weighing by its methods less 3. The statistic with the largest mean on the
    other boards, each board once, is taken with its sign to the board held out.

    Returns:
        `PREDICTION_COLUMNS`, one row per setting and board: ``rho_elsewhere`` is what the statistic
        was chosen by, ``rho`` its correlation on the board held out (sign turned so that above 0
        is as foretold) with Fisher's interval over methods, one of several groups counting once,
        and ``rho_in_hindsight`` the largest that any statistic has there.
    """
    early = pd.concat(
        [_read(f, "early.csv", ("setting", *LABELS, "score")).assign(board=f.name) for f in folders]
    )
    rows = []
    for setting in KINDS:
        z, sizes = _correlations(early[early["setting"] == setting])
        z = z.dropna(axis=1)  # statistics that every group has and that vary in it
        for board, own in z.iterrows() if len(z) > 1 and not z.empty else ():
            elsewhere, there = np.tanh(z.drop(index=board).mean(axis=0)), np.tanh(own)
            chosen, best = elsewhere.abs().idxmax(), there.abs().idxmax()
            sign = float(np.sign(elsewhere[chosen]))
            groups, methods = sizes[str(board)]
            low, high = fisher_interval(sign * there[chosen], methods)
            rows.append(
                (
                    *(setting, board, groups, methods, chosen, sign, elsewhere[chosen]),
                    *(sign * there[chosen], low, high, best, there[best]),
                )
            )
    return pd.DataFrame(rows, columns=list(PREDICTION_COLUMNS))


def texts(verdicts: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, str]:
    """Return the files of a summary by name, such as ``boards.csv``."""
    transfer, views = transfer_table(leading(verdicts)), view_table(placed(verdicts))
    return {
        "boards.csv": text.csv_text(verdicts),
        "boards.md": _document(
            verdicts, predictions, [transfer_lines(transfer), view_lines(views)]
        ),
        "difficulty.csv": text.csv_text(predictions),
        "transfer.csv": text.csv_text(transfer),
        "views.csv": text.csv_text(views),
    }


def _read(folder: Path, name: str, columns: Sequence[str]) -> pd.DataFrame:
    path = folder / "tables" / name
    if not path.is_file():
        raise RecordError(f"{folder} is no published board: it has no tables/{name}")
    table = text.plain_cells(pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, str)))
    if absent := [c for c in columns if c not in table]:
        raise RecordError(f"{path} lacks the columns {', '.join(absent)}")
    for column in table.columns:
        if not pd.api.types.is_numeric_dtype(table[column]):
            table[column] = table[column].fillna("")
    return table


def _correlations(early: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, tuple[int, int]]]:
    """Return Fisher's z of the correlation with the score, by board and statistic, and its sizes.

    Of each board: its groups with enough methods, and how many methods these have among them.
    """
    first = list(early.columns).index("score") + 1
    statistics = [c for c in early.columns[first:] if c != "board"]
    found: dict[str, pd.Series[float]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for board, whole in early.groupby("board", sort=False):
        groups = [g for _, g in whole.groupby(_ALIKE, sort=False) if len(g) >= LEAST_METHODS]
        if not groups:
            continue
        weights = [len(group) - 3 for group in groups]
        rho = pd.DataFrame([{s: _rho(g[s], g["score"]) for s in statistics} for g in groups])
        weighed = _z(rho).mul(weights, axis=0).sum(axis=0, skipna=False)
        found[str(board)] = weighed / sum(weights)
        methods = pd.concat(groups).drop_duplicates(["sampler", "objective", "candidates"])
        sizes[str(board)] = len(groups), len(methods)
    return pd.DataFrame(found).T, sizes


def _rho(values: "pd.Series[float]", score: "pd.Series[float]") -> float:
    there = values.notna()
    if there.sum() < LEAST_METHODS or np.ptp(values[there].to_numpy()) < 1e-12:
        return float("nan")
    return float(scipy_stats.spearmanr(values[there], score[there]).statistic)


def _z(rho: pd.DataFrame) -> pd.DataFrame:
    return rho.clip(-0.999, 0.999).apply(np.arctanh)


def _document(
    verdicts: pd.DataFrame, predictions: pd.DataFrame, further: Sequence[Sequence[str]]
) -> str:
    lines = [
        "# Methods by board",
        "",
        "Verdict and difference to the baseline in points, tuned against tuned, over fresh seeds "
        f"(columns `tuned_verdict`, `tuned_difference` of boards.csv; margin {MARGIN:g} points). "
        "A cell is empty where the board does not have the method; intervals, defaults and costs "
        "are in boards.csv.",
    ]
    first = leading(verdicts)
    tasks = dict(zip(first["board"], first["family"], strict=True))
    lines += ["", "## All boards, the first family of tasks of each", ""]
    lines += [
        ", ".join(f"{text.markdown_text(b)}: {text.markdown_text(f)}" for b, f in tasks.items())
        + ". Rows of the baseline's augmentation.",
        "",
        *_wide(first, ("sampler", "objective"))[0],
    ]
    for family, part in verdicts.groupby("family", sort=False):
        table, left = _wide(part, ("sampler", "augmentation", "objective"))
        lines += ["", f"## {text.markdown_text(family)}", "", *table]
        if left:
            lines += [
                "",
                f"Listed and not run ({len(left)}): {text.markdown_text('; '.join(left))}.",
            ]
    lines += ["", "# Does difficulty predict quality?", ""]
    lines += [
        "Statistics of the negatives in the first tenth of training, chosen on the other boards "
        "and tried on the one held out (difficulty.csv).",
        "",
    ]
    lines += text.markdown_lines(
        ("setting", "board held out", "methods", "statistic", "elsewhere", "here", "in hindsight"),
        [[text.markdown_text(c) for c in row] for row in _predicted(predictions)],
    )
    for section in further:
        lines += ["", *section]
    return "\n".join(lines) + "\n"


def leading(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the first family of each board, of its baseline's augmentation.

    Column ``place`` names the group of a row: its board, and what sets it apart from others.
    """
    parts = []
    for place, group in verdicts.groupby(_GROUP, sort=False):
        families = verdicts.loc[verdicts["board"] == place[0], "family"]
        first = group[group["family"] == families.iloc[0]]
        own = first.loc[first["tuned_verdict"] == "baseline", "augmentation"]
        here = first["augmentation"].isin(["", *own[:1]]) if len(own) else first["family"] != ""
        parts.append(first[here])
    whole = pd.concat(parts)
    places = dict.fromkeys(FIRST, 0) | dict.fromkeys(LAST, 2)
    order = whole["sampler"].str.partition("(")[0].map(places).fillna(1)
    return placed(pd.DataFrame(whole.iloc[np.argsort(order, kind="stable")]))


def placed(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a column ``place``: their board, and what sets their group apart."""
    groups = list(zip(*(verdicts[c] for c in _GROUP), strict=True))
    names = {g: _group_name(g, list(dict.fromkeys(groups))) for g in dict.fromkeys(groups)}
    return verdicts.assign(place=[names[g] for g in groups])


def _wide(part: pd.DataFrame, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return methods by group, each cell a verdict and the points; and the methods without any."""
    groups = list(dict.fromkeys(zip(*(part[c] for c in _GROUP), strict=True)))
    methods: dict[tuple[str, ...], dict[Any, str]] = {}
    for row in text.records(part):
        name = tuple(str(row[c]) for c in names)
        place = (row["board"], row["encoder"], row["data"])
        methods.setdefault(name, {})[place] = _cell(row)
    heads = [_group_name(group, groups) for group in groups]
    ran = {n: c for n, c in methods.items() if {*c.values()} != {NOT_RUN}}
    rows = [
        [text.markdown_text(c) for c in (*name, *(cells.get(g, "") for g in groups))]
        for name, cells in ran.items()
    ]
    lines = text.markdown_lines((*names, *(text.markdown_text(h) for h in heads)), rows)
    return lines, [" x ".join(n) for n in methods if n not in ran]


def _cell(row: Mapping[str, Any]) -> str:
    if pd.isna(row["tuned_mean"]):
        return NOT_RUN if row["tuned_n_missing"] else "skipped"
    if pd.isna(row["tuned_difference"]):
        return f"{row['tuned_verdict']} {row['tuned_mean']:.2f}"
    return f"{row['tuned_verdict']} {row['tuned_difference']:+.2f}"


def _group_name(group: tuple[str, str, str], groups: Sequence[tuple[str, str, str]]) -> str:
    """Return a board's name, with what sets the group apart where it has several."""
    board = [g for g in groups if g[0] == group[0]]
    values = [list(dict.fromkeys(g[i] for g in board)) for i in (1, 2)]
    apart = [_apart(v, all_) for v, all_ in zip(group[1:], values, strict=True) if len(all_) > 1]
    return visible(", ".join([group[0], *apart]))


def _apart(label: str, labels: Sequence[str]) -> str:
    """Return a label without the settings that all labels of its component share.

    Where nothing is left, it says which settings of the others it has at their defaults, or which
    file it is.
    """
    name, parts = _parts(label)
    same = [own for other, own in map(_parts, labels) if other == name]
    shared = set.intersection(*map(set, same))
    told = [_file(p) for p in parts if p not in shared]
    if len(same) == 1:
        told = [_file(p) for p in parts if p.startswith("path=")]
    if not told:
        others = [p.partition("=")[0] for own in same for p in own if p not in shared]
        told = [f"{setting}=default" for setting in dict.fromkeys(others)]
    return f"{name}({', '.join(told)})" if told else name


def _file(setting: str) -> str:
    """Return a setting without the folders of a path."""
    return (
        f"{setting.partition('=')[0]}={setting.rpartition('/')[2]}" if "/" in setting else setting
    )


def _parts(label: str) -> tuple[str, list[str]]:
    name, _, inside = label.partition("(")
    return name, settings_of(inside.removesuffix(")"))


def _predicted(predictions: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for row in text.records(predictions):
        yield (
            *(row["setting"], row["held_out"], f"{row['n_methods']}", row["statistic"]),
            *(f"{row['rho_elsewhere']:+.2f}", text.with_ends(row, "rho", form="{:+.2f}")),
            f"{row['best_in_hindsight']} {row['rho_in_hindsight']:+.2f}",
        )
