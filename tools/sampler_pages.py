"""Write a page of documentation per sampler: ``python -m tools.sampler_pages docs/samplers``.

Each page has a picture of the sampler's choice in one fixed row. Pages and pictures are functions
of the registry alone; the site is built from them.
"""

import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from nsbench.analysis.tables.text import markdown_lines
from nsbench.benchmarks.difficulty.statistics import flatten
from nsbench.samplers import Entry, Sampler, SimilarityContext, append_synthetic, samplers
from tools.groups import FURTHER, GROUPS, group_of
from tools.measured import measured, used_in

POSITIVE = 0.606  # between two candidates
CANDIDATES = 40
# Smaller than the defaults, which are made for batches larger than this row.
SHOWN: Mapping[str, dict[str, Any]] = {
    "ambiguous": {"k": 6, "a": 200.0},
    "band": {"low": 0.1, "high": 0.4},
    "drop_band": {"low": 0.1, "high": 0.4},
    "easiest": {"k": 10},
    "hard": {"k": 10},
    "random": {"k": 10},
    "distance_weighted": {"k": 8, "dimensions": 8},
    "positive_aware": {"k": 10},
    "fn_cancel": {"top_k": 4},
    "mixed": {"hardest": 6, "pairs": 4, "with_anchor": 2},
    "noise": {"times": 4.0},
}


def fixed_row() -> SimilarityContext:
    """Return one anchor, its positive, and 40 candidates whose similarities fall evenly.

    The three hardest mean the same as the anchor, and a guide and the token overlap say so; the
    second and fifth share a trusted cluster with it. Centres of clusters are three candidates.
    """
    s = torch.linspace(0.85, -0.15, CANDIDATES)
    similarity = torch.cat([torch.tensor([POSITIVE]), s])[None]
    draw = torch.Generator().manual_seed(3)
    anchor = torch.nn.functional.normalize(torch.randn(1, 8, generator=draw), dim=1)
    noise = torch.randn(CANDIDATES + 1, 8, generator=draw)
    noise = torch.nn.functional.normalize(noise - (noise @ anchor.T) * anchor, dim=1)
    cosine = similarity.T
    candidates = cosine * anchor + (1 - cosine.square()).sqrt() * noise
    place = torch.arange(CANDIDATES + 1)
    same = ((place >= 1) & (place <= 3))[None]
    near = same | (place == 6)[None]
    return SimilarityContext(
        similarity=similarity,
        positive=torch.zeros(1, dtype=torch.int64),
        negative_mask=(place > 0)[None],
        progress=torch.tensor(0.5),
        generator=torch.Generator().manual_seed(5),
        temperature=0.1,
        anchors=anchor,
        candidates=candidates,
        guide_similarity=torch.where(near, 0.95, similarity - 0.05),
        truth=same,
        token_overlap=torch.where(same, 0.9, 0.1),
        support_similarity=(similarity + 0.03).clamp(max=1),
        cluster_match=torch.stack([same, near]),
        own_negative=((place >= 4) & (place <= 9))[None],
        rows=place,
        frequency=torch.where(place % 5 == 0, 0.03, 0.01),
        of_positive=place > CANDIDATES,
        centres=candidates[[2, 12, 30]],
        lower=candidates[[1, 8, 20]],
    )


def weights(sampler: Sampler) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return similarity and weight of every candidate of `fixed_row`, with those that were made.

    Returns:
        ``(N,)`` similarities and ``(N,)`` weights, 0 for what is not chosen; attracted ones are
        negative.
    """
    context = fixed_row()
    make = getattr(sampler, "synthesize", None)
    if make is not None:
        context = append_synthetic(context, torch.nn.functional.normalize(make(context), dim=-1))
    selection = flatten(sampler(context))
    weight = selection.mask[0].double()
    if selection.log_weight is not None:
        weight = torch.where(selection.mask[0], selection.log_weight[0].double().exp(), 0.0)
    if selection.attract is not None:
        weight = torch.where(selection.attract[0], -1.0, weight)
    return context.similarity[0, 1:].numpy(), weight[1:].numpy()


def draw(name: str, sampler: Sampler, path: Path) -> None:
    """Draw the row as an SVG: chosen candidates filled, their height the weight."""
    similarity, weight = weights(sampler)
    height = np.where(weight < 0, 0.5, np.sqrt(np.clip(weight, 0, None)))
    height = height / max(1.0, height.max())
    figure, ax = plt.subplots(figsize=(7, 1.5), layout="constrained")
    left = weight == 0
    ax.vlines(similarity[left], 0, 0.12, color="0.8", linewidth=3)
    made = np.arange(len(weight)) >= CANDIDATES
    for where, colour, label in (
        ((weight > 0) & ~made, "#0072B2", "negative"),
        ((weight > 0) & made, "#CC79A7", "made"),
        (weight < 0, "#009E73", "attracted"),
    ):
        if where.any():
            ax.vlines(similarity[where], 0, height[where], color=colour, linewidth=3, label=label)
    ax.axvline(POSITIVE, color="#D55E00", linestyle="--", label="positive")
    ax.set(xlim=(1.0, -0.25), ylim=(0, 1.1), yticks=[], xlabel="similarity to the anchor (cosine)")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
    for side in ("left", "top", "right"):
        ax.spines[side].set_visible(False)
    with plt.rc_context({"svg.hashsalt": name}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def page(entry: Entry[Any], picture: str) -> str:
    """Return the page of one sampler: idea, picture, words, parameters, source, laws."""
    instance = entry.cls()
    module = inspect.getmodule(entry.cls)
    words = (inspect.getdoc(entry.cls) or "").partition("\nArgs:")[0].strip()
    idea = (module.__doc__ or "").strip() if module else ""
    rows = [
        (f"`{p.name}`", p.type, f"`{p.default!r}`", cell(p.description)) for p in entry.parameters
    ]
    table = markdown_lines(("parameter", "type", "default", "meaning"), rows)
    needs = ", ".join(f"`{n}`" for n in sorted(getattr(instance, "needs", ()))) or "similarities"
    return "\n\n".join(
        part
        for part in [
            f"# {entry.name}",
            prose(words),
            used(entry, "samplers"),
            picture,
            "\n".join(table) if rows else "It takes no parameters.",
            f"It reads {needs}. Paired with the objective `{_name(instance, 'objective')}` and the "
            f"pool `{_name(instance, 'pool')}` unless a matrix says otherwise."
            if getattr(instance, "trains", True)
            else "It takes no step, so it has no objective, no pool and no augmentation.",
            "## The idea and its source",
            prose(idea),
            results(entry, "samplers"),
            "Its tests are listed in [the table of laws](../laws.md).",
        ]
        if part
    )


def used(entry: Entry[Any], kind: str) -> str:
    """Return the group of a component and when to use its members."""
    group = group_of(kind, entry.name)
    return f"**{group.title}**" + (f": use when {group.use}" if group.use else "")


def results(entry: Entry[Any], kind: str) -> str:
    """Return the section on published verdicts; empty without any."""
    table = measured(kind, entry.name)
    if not table:
        folders = ", ".join(f"`results/{name}`" for name in used_in(kind, entry.name))
        said = f"Used in {folders}; compared with nothing else there." if folders else ""
        return f"## Measured\n\n{said or 'No published result has it yet.'}"
    what = "same augmentation, means over augmentations" if kind == "samplers" else "same settings"
    return (
        f"## Measured\n\nDifferences in points to the baseline of each matrix ({what}), with "
        "simultaneous 95 % intervals; the cost is a cell's, relative to the baseline's. Seconds "
        f"depend on the machine.\n\n{table}"
    )


def index(title: str, entries: Iterable[Entry[Any]], kind: str) -> str:
    """Return the index of the pages of a kind, by group."""
    entries = list(entries)
    groups = dict.fromkeys([*(g.title for g in GROUPS[kind]), FURTHER])
    lines = [f"# {title}"]
    for heading in groups:
        inside = [e for e in entries if group_of(kind, e.name).title == heading]
        if inside:
            use = group_of(kind, inside[0].name).use
            lines += ["", f"## {heading}", "", *([f"Use when {use}", ""] if use else [])]
            lines += [f"- [`{e.name}`]({e.name}.md): {prose(e.summary)}" for e in inside]
    return "\n".join(lines) + "\n"


def _name(instance: Any, attribute: str) -> str:
    value = getattr(instance, attribute, {"objective": "info_nce", "pool": "in_batch"}[attribute])
    return str(value if isinstance(value, str) else value[0])


def prose(text: str) -> str:
    """Return a docstring's text as Markdown: code in single ticks, addresses as links."""
    parts = text.replace("``", "`").split("`")  # every second one is code, which stays
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    text = "`".join(parts)
    return re.sub(r"(?<![<(\[])(https?://[^\s;]+[^\s;.,])", r"<\1>", text)


def cell(text: str) -> str:
    """Return `prose` for the cell of a table."""
    return prose(text).replace("|", "\\|").replace("\n", " ")


def write_pages(folder: Path, *, pictures: bool = True) -> list[Path]:
    """Write a page and a picture for every sampler that ships here, and an index.

    Args:
        folder: Where; made if missing.
        pictures: Draw them, too.

    Returns:
        The pages, without the index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    ours = [entry for entry in samplers if entry.provider.startswith("nsbench.")]
    for entry in ours:
        shown, picture = SHOWN.get(entry.name, {}), ""
        sampler = samplers.make(entry.name, **shown)
        if getattr(sampler, "trains", True):
            if pictures:
                draw(entry.name, sampler, folder / f"{entry.name}.svg")
            given = ", ".join(f"`{k}={v}`" for k, v in shown.items())
            said = f" with {given}" if given else ""
            picture = (
                f"![What {entry.name} takes out of one row]({entry.name}.svg)\n\nWhat it takes out "
                f"of 40 candidates of one anchor{said}; grey ones are left, height is weight."
            )
        path = folder / f"{entry.name}.md"
        path.write_text(page(entry, picture) + "\n", "utf-8")
        written.append(path)
    text = index("Samplers, one by one", ours, "samplers")
    (folder / "index.md").write_text(text, "utf-8")
    return written


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
