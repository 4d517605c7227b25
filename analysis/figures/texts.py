"""Picture of few-shot training: score against the number of training texts.

Source: Yan et al. 2021, ConSERT, section 4 (few-shot setting).
https://aclanthology.org/2021.acl-long.393
"""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from nsbench.analysis.figures.drawing import Material, counts, finish, interval_line
from nsbench.analysis.figures.registry import figure
from nsbench.analysis.figures.style import look

_ROWS = r", (\d+) rows"
ALL = 0
"""Means all texts, as in a matrix file."""


def collect_few_texts(material: Material) -> Iterator[tuple[str, pd.DataFrame]]:
    """Mean score and t interval by number of texts, of methods trained on several numbers of them.

    One picture per encoder, data and regime; a method is a sampler with an augmentation.
    """
    rated = material.board.rows[material.board.rows["mean"].notna()]
    rows = rated[rated["sampler"] != "no_training"]
    untrained = rated[rated["sampler"] == "no_training"]
    limit = rows["data"].str.extract(_ROWS, expand=False).fillna(str(ALL)).astype(int)
    rows = rows.assign(limit=limit, data=rows["data"].str.replace(_ROWS, "", regex=True))
    shared = [c for c in ("encoder", "data", "regime") if c in rows]
    columns = ["sampler", "augmentation", "limit", "mean", "ci_low", "ci_high", "n_seeds"]
    groups = rows.groupby(shared, sort=True, dropna=False)
    for key, part in groups:
        if part["limit"].nunique() < 2:
            continue
        names = [str(k) for k in key if isinstance(k, str) and k]
        floor = untrained[untrained["encoder"] == part["encoder"].iloc[0]]["mean"]
        table = part[[*columns, "n_tasks"]].assign(
            place=part["limit"].where(part["limit"] != ALL, 10 * part["limit"].max()),
            untrained=floor.mean(),
            shared=", on ".join(names[:2]),
        )
        order = ["sampler", "augmentation", "place"]
        yield ("" if groups.ngroups == 1 else ", ".join(names)), table.sort_values(order)


@figure(collect_few_texts)
def few_texts(table: pd.DataFrame, ax: Axes) -> Axes:
    """Mean score against the number of training texts: few-shot."""
    several = table.groupby("sampler")["augmentation"].nunique().max() > 1
    lines = table.groupby(["sampler", "augmentation"], sort=False)
    for (sampler, augmentation), part in lines:
        label = f"{sampler}({augmentation})" if several else str(sampler)
        interval_line(ax, part["place"], part, look(label), label=label)
    floor = float(table["untrained"].iloc[0])
    if floor == floor:
        ax.axhline(floor, color="0.6", linestyle=":", label="untrained")
    ticks = table.drop_duplicates("place").sort_values("place")
    ax.set_xscale("log")
    names = ["all" if n == ALL else f"{n:,}" for n in ticks["limit"]]
    ax.set_xticks(ticks["place"].tolist(), names)
    ax.minorticks_off()
    ax.set(xlabel="training texts (rows)", ylabel="mean score (points)")
    return finish(
        ax,
        table,
        title="How much few texts give",
        caption=f"{counts(table)}, 95 % t intervals. {table['shared'].iloc[0]}",
        entries=lines.ngroups + 1,
    )
