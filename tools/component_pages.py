"""Write a page per augmentation, objective, pool and encoder.

    python -m tools.component_pages docs

Pages are functions of the registries and of the published leaderboards alone; samplers, whose pages
have pictures, are in `tools.sampler_pages`.
"""

import inspect
import sys
from pathlib import Path
from typing import Any

from nsbench.analysis.tables.text import markdown_lines
from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import Entry, Registry
from tools.sampler_pages import cell, index, prose, results, used

KINDS: dict[str, tuple[str, Registry[Any]]] = {
    "augmentations": ("Augmentations, one by one", augmentations),
    "objectives": ("Objectives, one by one", objectives),
    "candidates": ("Candidate pools, one by one", candidates),
    "encoders": ("Encoders, one by one", encoders),
}


def page(entry: Entry[Any], kind: str) -> str:
    """Return the page of one component: idea, advice, parameters, cost, source, results."""
    words = (inspect.getdoc(entry.cls) or "").partition("\nArgs:")[0].strip()
    module = inspect.getmodule(entry.cls)
    rows = [
        (
            f"`{p.name}`",
            p.type,
            "required" if p.required else f"`{p.default!r}`",
            cell(p.description),
        )
        for p in entry.parameters
    ]
    table = markdown_lines(("parameter", "type", "default", "meaning"), rows)
    parts = [
        f"# {entry.name}",
        prose(words),
        used(entry, kind),
        "\n".join(table) if rows else "It takes no parameters.",
        cost(entry, kind),
        "## The idea and its source",
        prose((module.__doc__ or "").strip() if module else ""),
        results(entry, kind),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def cost(entry: Entry[Any], kind: str) -> str:
    """Return what a component needs in addition to the encoder's passes, as far as it says so."""
    needs = entry.attribute("needs", frozenset())
    said = []
    if isinstance(needs, frozenset) and needs:
        said.append(f"It reads {', '.join(f'`{n}`' for n in sorted(needs))}.")
    if kind == "augmentations":
        drawn = bool(entry.attribute("stochastic", False))
        said.append("Every step draws again." if drawn else "It draws nothing.")
    return " ".join(said)


def write_pages(docs: Path) -> list[Path]:
    """Write the pages of all kinds that ship here, and an index of each kind.

    Args:
        docs: Folder of the documentation.

    Returns:
        The files.
    """
    written = []
    for kind, (title, registry) in KINDS.items():
        folder = docs / "components" / kind
        folder.mkdir(parents=True, exist_ok=True)
        ours = [entry for entry in registry if entry.provider.startswith("nsbench.")]
        files = {f"{entry.name}.md": page(entry, kind) for entry in ours}
        files["index.md"] = index(title, ours, kind)
        for stale in set(folder.glob("*.md")) - {folder / name for name in files}:
            stale.unlink()
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
            written.append(folder / name)
    return written


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
