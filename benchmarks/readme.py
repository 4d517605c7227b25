"""Rewrites the generated tables of a document from the registries, between marked lines."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import Entry, Registry, samplers


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _short(source: str) -> str:
    """Authors and year of a source, linked to its first address."""
    address = re.search(r"https?://\S+", source)
    name = re.match(r"(.{3,90}?\b(?:19|20)\d\d\b)", source)
    words = name[1] if name else source.split(".")[0][:60]
    return f"[{words}]({address[0].rstrip('.')})" if address else words


def _parameters(entry: Entry[Any]) -> str:
    return ", ".join(
        f"`{p.name}`" if p.required else f"`{p.name}={p.default}`" for p in entry.parameters
    )


def sampler_table() -> str:
    """Name, idea, source, objective, pool and parameters of every sampler that ships here."""
    rows = [
        "| sampler | which negatives | objective | pool | parameters | source |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for entry in samplers:
        if not entry.provider.startswith("nsbench."):
            continue
        instance = entry.cls()
        pairing = []
        for attribute, default in (("objective", "info_nce"), ("pool", "in_batch")):
            value = getattr(instance, attribute, default)
            pairing.append(value if isinstance(value, str) else value[0])
        rows.append(
            f"| `{entry.name}` | {_cell(entry.summary)} | `{pairing[0]}` | `{pairing[1]}` | "
            f"{_cell(_parameters(entry))} | {_cell(_short(entry.source))} |"
        )
    return "\n".join(rows)


def plain_table(registry: Registry[Any]) -> str:
    """Name, idea, parameters and source of everything in a registry that ships here."""
    rows = [
        f"| {registry.kind} | what it does | parameters | source |",
        "| --- | --- | --- | --- |",
    ]
    rows += [
        f"| `{entry.name}` | {_cell(entry.summary)} | {_cell(_parameters(entry))} | "
        f"{_cell(_short(entry.source))} |"
        for entry in registry
        if entry.provider.startswith("nsbench.")
    ]
    return "\n".join(rows)


def rewrite(text: str) -> str:
    """The document with every ``<!-- table: NAME -->`` section renewed.

    Raises:
        ValueError: If a section names no table.
    """
    makers: dict[str, Callable[[], str]] = {
        "samplers": sampler_table,
        "augmentations": lambda: plain_table(augmentations),
        "objectives": lambda: plain_table(objectives),
        "candidates": lambda: plain_table(candidates),
    }

    def fill(found: re.Match[str]) -> str:
        if found[1] not in makers:
            raise ValueError(f"no table is called {found[1]!r}; known: {', '.join(makers)}")
        return f"<!-- table: {found[1]} -->\n{makers[found[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", fill, text, flags=re.S)


def main(paths: list[str]) -> None:
    """Rewrite the documents in place."""
    for path in map(Path, paths):
        path.write_text(rewrite(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
