"""``nsbench negatives``: what samplers chose on a shared batch, next to each other."""

from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nsbench.analysis.cli.results import Folder
from nsbench.benchmarks.cli.console import echo, escaped, out
from nsbench.samplers import suggest

if TYPE_CHECKING:
    from rich.table import Table

    from nsbench.analysis.read.load import Results
    from nsbench.analysis.tables.negatives import Chosen, Negative

Samplers = Annotated[
    list[str] | None,
    typer.Option("--sampler", metavar="NAME", help="Sampler to show; repeatable, two by default."),
]
_MADE = -1


def negatives(
    folder: Folder,
    sampler: Samplers = None,
    augmentation: Annotated[
        str, typer.Option(help="Augmentation of the cells; the first without it.")
    ] = "",
    seed: Annotated[int | None, typer.Option(help="Seed; the lowest without it.")] = None,
    moment: Annotated[
        Literal["first", "last"],
        typer.Option(help="The first batch, which all models see alike, or the last."),
    ] = "first",
    anchors: Annotated[int, typer.Option(help="Anchors to show.", min=1, max=32)] = 3,
    most: Annotated[int, typer.Option(help="Negatives of each, heaviest first.", min=1)] = 5,
    texts: Annotated[
        bool, typer.Option("--texts/--no-texts", help="Show texts, or only their numbers.")
    ] = True,
) -> None:
    """Show what samplers chose as negatives on a batch that all cells share."""
    from nsbench.analysis.read.load import load_results
    from nsbench.analysis.tables.negatives import MARKS, NegativeTables, chosen

    results = load_results(folder)
    tables = NegativeTables(results, texts=texts)
    cells = pick(results, set(tables), sampler or [], augmentation, seed)
    found: dict[str, list[Chosen]] = {}
    for name, key in cells.items():
        found[name] = chosen(tables[key], moment, anchors=anchors, most=most)
    for line in tables.left_out:
        echo(f"left out: {line}", to_err=True)
    places = sorted({c.place for each in found.values() for c in each})[:anchors]
    for place in places:
        by_name = {n: next((c for c in cs if c.place == place), None) for n, cs in found.items()}
        for line in _about(next(c for c in by_name.values() if c is not None)):
            out.print(escaped(line), soft_wrap=True)
        out.print(_table(by_name))
    if any(n.marks for each in found.values() for c in each for n in c.negatives):
        told = "; ".join(f"{name}: {words}" for name, words in MARKS.items())
        echo(f"! probably false. {told}.")


def pick(
    results: "Results",
    there: set[str],
    names: list[str],
    augmentation: str,
    seed: int | None,
) -> dict[str, str]:
    """Return the key of each sampler's cell by its label: of those named, or of the first two.

    Raises:
        ValueError: If no cell fits; the message names the legal values.
    """
    cells = results.cells[results.cells["key"].isin(there)]
    if cells.empty:
        raise ValueError(
            f"no cell in {results.roots[0]} has recorded choices: they are kept since texts and "
            "similarities are recorded; run the matrix again to have them"
        )
    known = sorted({*cells["sampler"], *cells["sampler_name"]})
    for name in names:
        if name not in known:
            raise ValueError(
                f"no cell with choices has the sampler {name!r}. {suggest(name, known)}"
            )
    if names:
        cells = cells[cells["sampler"].isin(names) | cells["sampler_name"].isin(names)]
    for column, value in (("augmentation", augmentation), ("seed", seed)):
        legal = sorted(cells[column].unique())
        if value in ("", None):
            value = "none" if "none" in legal else legal[0]
        if value not in legal:
            listed = ", ".join(str(v) for v in legal)
            raise ValueError(f"no such cell has {column} {value!r}; known: {listed}")
        cells = cells[cells[column] == value]
    first = cells.drop_duplicates("sampler")
    wanted = names or ["in_batch"]

    def place(label: str, name: str) -> int:
        return min((wanted.index(n) for n in (label, name) if n in wanted), default=len(wanted))

    order = [place(*pair) for pair in zip(first["sampler"], first["sampler_name"], strict=True)]
    first = first.assign(_order=order).sort_values("_order", kind="stable")
    found = dict(zip(first["sampler"], first["key"], strict=True))
    return found if names else dict(list(found.items())[:2])


def _about(one: "Chosen") -> list[str]:
    """Lines on an anchor and its positive."""
    again, positive = one.positive == one.anchor, _named(one.positive_text, one.positive)
    return [
        f"\nanchor {one.place + 1}: {_named(one.text, one.anchor)}",
        f"positive, similarity {one.positive_similarity:.2f}: "
        + ("the same text, seen again" if again else positive),
    ]


def _named(text: str, number: int) -> str:
    if number == _MADE:
        return "(made, no text)"
    return text or f"text {number}"


def _table(by_name: "dict[str, Chosen | None]") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, expand=True)
    columns = []
    for name, one in by_name.items():
        counts = "chose nothing here" if one is None else f"{one.count} of {one.candidates}"
        table.add_column(f"{escaped(name)}: {counts}", ratio=1, overflow="fold")
        columns.append([] if one is None else [_line(n) for n in one.negatives])
    for row in zip_longest(*columns, fillvalue=""):
        table.add_row(*row)
    return table


def _line(one: "Negative") -> str:
    marks = f"[bold]! {escaped(', '.join(one.marks))}[/bold]\n" if one.marks else ""
    numbers = f"sim {one.similarity:.2f}, rank {one.rank}, weight {one.weight:.1%}"
    return f"{marks}{numbers}\n  {escaped(_named(one.text, one.number))}"
