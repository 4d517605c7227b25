"""Rewrite generated tables of documents: ``python -m tools.readme README.md docs/laws.md``."""

import ast
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nsbench.analysis.statistics.verdicts import BASELINE, BETTER, EQUIVALENT, UNDECIDED, WORSE
from nsbench.analysis.tables.boards import leading, verdict_table
from nsbench.analysis.tables.method_names import method_names
from nsbench.analysis.tables.text import markdown_lines, records, with_ends
from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.matrix.config import suites
from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import Entry, Registry, samplers

ROOT = Path(__file__).resolve().parent.parent
BOARDS = sorted((ROOT / "results").glob("board-*"))
_VERDICTS = (BETTER, EQUIVALENT, UNDECIDED, WORSE)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _short(source: str) -> str:
    """Authors and year of a source, linked to its first address."""
    address = re.search(r"https?://[^\s;]*[^\s;.,]", source)
    ours = source.startswith("ours")
    authors = r"\b[A-Z][\w-]+ (?:et al\.|and [A-Z][\w-]+),? (?:19|20)\d\d\b"
    name = re.search(authors, source) if ours else re.match(r".{3,90}?\b(?:19|20)\d\d\b", source)
    unnamed = "ours" if ours else source.split(".")[0]
    words = name[0] if name else unnamed
    linked = f"[{words}]({address[0]})" if address and (name or not ours) else words
    return f"ours, cf. {linked}" if ours and name else linked


def _parameters(entry: Entry[Any]) -> str:
    return ", ".join(
        f"`{p.name}`" if p.required else f"`{p.name}={p.default}`" for p in entry.parameters
    )


def _own(registry: Registry[Any]) -> list[Entry[Any]]:
    """Return the entries of this package."""
    return [entry for entry in registry if entry.provider.startswith("nsbench.")]


def _cells(entry: Entry[Any]) -> tuple[str, str, str, str]:
    """Return name, idea, parameters and source of an entry."""
    source = _cell(_short(entry.source))
    return f"`{entry.name}`", _cell(entry.summary), _cell(_parameters(entry)), source


def sampler_table() -> str:
    """Return every sampler with idea, objective, pool, parameters and source."""
    rows = []
    for entry in _own(samplers):
        instance = entry.cls()
        pairing = []
        for attribute, default in (("objective", "info_nce"), ("pool", "in_batch")):
            value = getattr(instance, attribute, default)
            pairing.append(value if isinstance(value, str) else value[0])
        name, idea, *rest = _cells(entry)
        rows.append((name, idea, *(f"`{p}`" for p in pairing), *rest))
    columns = ("sampler", "which negatives", "objective", "pool", "parameters", "source")
    return "\n".join(markdown_lines(columns, rows))


def law_table(tests: Path) -> str:
    """Return every sampler and objective with the tests that name it.

    Args:
        tests: The folder of tests. A test belongs to a component if it quotes its name or uses
            its class, or if its file is named after the component's module.

    The contract suite, which covers all of them, is not repeated.
    """
    functions = [
        (path, node.name, ast.get_source_segment(text, node) or "", decorators(text, node))
        for path in sorted(tests.glob("**/test_*.py"))
        if path.parent.name == "samplers" or path.name.startswith("test_objectives")
        for text in [path.read_text("utf-8")]
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    rows = []
    components = [("sampler", e) for e in _own(samplers)]
    components += [("objective", e) for e in _own(objectives)]
    for kind, entry in components:
        module = entry.cls.__module__.rsplit(".", 1)[1]
        speaks = re.compile(rf"[\"']{entry.name}[\"'\[]|\b{entry.cls.__name__}\(")
        found = [
            name.removeprefix("test_").replace("_", " ")
            for path, name, body, marks in functions
            if speaks.search(body + marks)
            or (kind == "sampler" and path.name == f"test_{module}.py")
        ]
        rows.append((f"{kind} `{entry.name}`", "; ".join(dict.fromkeys(found))))
    return "\n".join(markdown_lines(("component", "what its tests say"), rows))


def decorators(text: str, node: ast.FunctionDef) -> str:
    """Source of a function's decorators."""
    return "".join(ast.get_source_segment(text, mark) or "" for mark in node.decorator_list)


def plain_table(registry: Registry[Any]) -> str:
    """Return name, idea, parameters and source of a registry's entries of this package."""
    columns = (registry.kind, "what it does", "parameters", "source")
    return "\n".join(markdown_lines(columns, map(_cells, _own(registry))))


def plugin_table() -> str:
    """Return the entries of other packages, of every kind."""
    rows = [
        (registry.kind, f"`{e.name}`", _cell(e.summary), _parameters(e), f"`{e.provider}`")
        for registry in (samplers, objectives, augmentations, candidates, encoders, datasets)
        for e in registry
        if not e.provider.startswith("nsbench.")
    ]
    columns = ("kind", "name", "what it does", "parameters", "package")
    return "\n".join(markdown_lines(columns, rows))


def suite_table() -> str:
    """Return every suite of this package, with the question it answers."""
    rows = [(f"`{name}`", _cell(question)) for name, question in suites().items()]
    return "\n".join(markdown_lines(("suite", "question"), rows))


def board_table(folders: Sequence[Path] = BOARDS) -> str:
    """Return a line for each comparison of the tuned boards: verdicts, and the largest gain.

    Args:
        folders: Published boards.
    """
    rows = []
    for place, part in leading(verdict_table(folders)).groupby("place", sort=False):
        base = part[part["tuned_verdict"] == BASELINE]
        if base.empty:
            continue
        counts = part["tuned_verdict"].value_counts()
        told = " / ".join(str(counts.get(v, 0)) for v in _VERDICTS)
        better = part.assign(name=method_names(part))[part["tuned_verdict"] == BETTER]
        gain = [
            f"`{r['name']}` {with_ends(r, 'tuned_difference', form='{:+.2f}')}"
            for r in records(better.nlargest(1, "tuned_difference"))
        ]
        name = str(place).removeprefix("board-")
        label = str(part["encoder"].iloc[0])
        layers = re.search(r"\blayers=(\d+)", label)
        cut = f"MiniLM, {layers[1]} layers" if layers else "MiniLM"
        encoder = cut if label.startswith("transformer") else "static"
        score = f"{base['tuned_mean'].iloc[0]:.2f}"
        rows.append((name, encoder, part["family"].iloc[0], score, told, *(gain or [""])))
    columns = ("board", "encoder", "tasks", "`in_batch`", " / ".join(_VERDICTS), "largest gain")
    return "\n".join(markdown_lines(columns, rows))


def rewrite(text: str, tests: Path = Path("tests")) -> str:
    """Return the document with every ``<!-- table: NAME -->`` section made again.

    Args:
        text: The document.
        tests: The folder of tests, for the table of laws.

    Raises:
        ValueError: If a section names no table.
    """
    makers: dict[str, Callable[[], str]] = {
        "samplers": sampler_table,
        "laws": lambda: law_table(tests),
        "augmentations": lambda: plain_table(augmentations),
        "objectives": lambda: plain_table(objectives),
        "candidates": lambda: plain_table(candidates),
        "plugins": plugin_table,
        "suites": suite_table,
        "boards": board_table,
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
