"""The console entry: adds the commands that read results to the command line that makes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nsbench.analysis.cli import recommend as cli_recommend
from nsbench.analysis.cli import results as cli_results
from nsbench.analysis.cli.negatives import negatives
from nsbench.analysis.cli.results import Baseline, Folder, Margin
from nsbench.benchmarks.cli.console import echo
from nsbench.benchmarks.records.shared import no_collection

if TYPE_CHECKING:
    from nsbench.analysis.read.load import Results

Folders = Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders to merge.")]
Out = Annotated[Path | None, typer.Option(help="Where to write; the first folder without it.")]
Names = Annotated[
    list[str] | None, typer.Option("--figure", metavar="NAME", help="Only this figure; repeatable.")
]

Quantities = Annotated[
    list[str] | None,
    typer.Option(
        "--quantity", metavar="NAME", help="Difficulty quantity to draw; repeatable, or 'all'."
    ),
]

Match = Annotated[str, typer.Option(help="What compared methods spend alike: steps, or encodes.")]
Aggregate = Annotated[
    str, typer.Option(help="STS12 to 16 over all pairs of a year (all), or by sub-set (mean).")
]

Tables = Annotated[
    Literal["auto", "all", "board"],
    typer.Option(
        help="With the tables made from every cell's difficulty (all), without (board), or with "
        "them up to 5,000 cells (auto)."
    ),
]
By = Annotated[
    Literal["seed", "query"],
    typer.Option(
        help="Verdicts shown: paired by seed, or by query of the retrieval tests "
        "(tables/by_query.md)."
    ),
]
Texts = Annotated[
    bool, typer.Option("--texts/--no-texts", help="Show texts of the data, or only their numbers.")
]
MOST_CELLS = 5_000
ON_SCREEN = 5
"""Encoders, data sets and budgets that are printed, the first ones."""


@no_collection()  # until all that was read is gone again: it is looked through otherwise
def leaderboard(
    folders: Folders,
    baseline: Baseline = "in_batch",
    match: Match = "steps",
    aggregate: Aggregate = "all",
    tables: Tables = "auto",
    by: By = "seed",
    margin: Margin = 0.5,
    out: Out = None,
) -> None:
    """Rank all methods: leaderboard.csv, leaderboard_samplers.csv, scores.csv, tables/."""
    from nsbench.analysis.cli.screen import show_alarms, show_by_query, show_leaderboard
    from nsbench.analysis.read.difficulty import CellTables, load_difficulty
    from nsbench.analysis.read.load import load_results
    from nsbench.analysis.tables.agreement import write_agreement
    from nsbench.analysis.tables.alarms import alarm_table, write_alarms
    from nsbench.analysis.tables.bands import write_bands
    from nsbench.analysis.tables.by_query import query_table, write_by_query
    from nsbench.analysis.tables.false_negatives import write_false_negatives
    from nsbench.analysis.tables.leaderboard import make_leaderboard
    from nsbench.analysis.tables.pools import pools
    from nsbench.analysis.tables.predictors import write_predictors
    from nsbench.analysis.tables.sources import write_sources
    from nsbench.analysis.tables.tuned import write_tuned
    from nsbench.analysis.tables.write import write_leaderboard
    from nsbench.benchmarks.records import PROBE_COLUMNS

    target = out or folders[0]
    results = load_results(folders)
    every = pools(results, match=match, aggregate=aggregate)
    board = make_leaderboard(results, baseline=baseline, margin=margin, every=every)
    written = write_leaderboard(results, board, target)
    written += write_bands(every, board, target) + write_tuned(results, target)
    queries, unscored = query_table(results, every, board)
    written += write_by_query(queries, target)
    cells, unread = int((results.cells["status"] == "done").sum()), list(unscored)
    if tables == "all" or (tables == "auto" and cells <= MOST_CELLS):
        difficulty, bad = load_difficulty(results, ("mean", "count"), compact=True)
        probes = CellTables(results, "probe", PROBE_COLUMNS)
        written += write_false_negatives(results, board, target, difficulty)
        written += write_predictors(every, difficulty, target)
        written += write_sources(difficulty, target)
        written += write_agreement(every, probes, target)
        unread += [*bad, *probes.left_out.values()]
    elif tables == "auto":
        echo(
            f"the tables of difficulty are left as they are: they would read files of {cells:,} "
            "cells (--tables all makes them)",
            to_err=True,
        )
    alarms = alarm_table(results)
    written += write_alarms(alarms, target)
    if by == "query":
        show_by_query(queries)
    else:
        show_leaderboard(board, pools=ON_SCREEN)
    show_alarms(alarms)
    if "tuned.md" in {path.name for path in written}:
        echo(f"defaults against tuned settings: {target / 'tables' / 'tuned.md'}")
    _say_left_out(results, unread)
    for path in written:
        echo(f"wrote {path}", to_err=True)


def plot(
    folder: Folder,
    figure: Names = None,
    quantity: Quantities = None,
    baseline: Baseline = "in_batch",
    margin: Margin = 0.5,
    out: Out = None,
) -> None:
    """Draw figures as SVG and PNG, each next to the CSV it was drawn from."""
    from nsbench.analysis.figures.pictures import gather, unread, write_figures
    from nsbench.analysis.figures.registry import figure_kind
    from nsbench.analysis.read.load import load_results
    from nsbench.analysis.tables.leaderboard import make_leaderboard

    for name in figure or ():
        figure_kind(name)
    results = load_results(folder)
    board = make_leaderboard(results, baseline=baseline, margin=margin)
    material, bad = gather(results, board, quantities=quantity or ())
    written = write_figures(material, out or folder, figure or ())
    _say_left_out(results, [*bad, *unread(material)])
    for path in written:
        if path.suffix == ".png":
            echo(f"wrote {path}", to_err=True)
    if not written:
        echo("nothing to draw: no finished cell has what these figures show", to_err=True)


def report(
    folders: Folders,
    baseline: Baseline = "in_batch",
    margin: Margin = 0.5,
    texts: Texts = True,
    out: Out = None,
) -> None:
    """Write report.html: one self-contained page with everything in it."""
    from nsbench.analysis.read.load import load_results
    from nsbench.analysis.report.page import write_report

    results = load_results(folders)
    path = write_report(results, out or folders[0], baseline=baseline, margin=margin, texts=texts)
    _say_left_out(results)
    echo(f"wrote {path}", to_err=True)


def after_run(folder: Path) -> None:
    """Print the findings of a results folder, unless it is so large that they would take long."""
    from nsbench.analysis.cli.screen import show_findings
    from nsbench.analysis.read.load import load_results
    from nsbench.analysis.tables.leaderboard import make_leaderboard

    if sum(1 for _ in (folder / "runs").iterdir()) > MOST_CELLS:
        return
    results = load_results(folder)
    done = results.cells[results.cells["status"] == "done"]
    names = {*done["sampler"], *done["sampler_name"]}
    if "in_batch" in names:
        show_findings(make_leaderboard(results), pools=ON_SCREEN)


def listed() -> list[dict[str, Any]]:
    """Figures by name with their summaries, for ``nsbench list figures``."""
    from nsbench.analysis.figures.registry import figures

    return [{"name": name, "summary": kind.summary} for name, kind in figures().items()]


def add_commands(app: typer.Typer) -> typer.Typer:
    """Add this package's commands to a command line."""
    app.command()(leaderboard)
    app.command()(plot)
    app.command()(report)
    app.command()(negatives)
    cli_results.add_commands(app)
    cli_recommend.add_commands(app)
    return app


def main() -> None:
    """Run ``nsbench``."""
    from nsbench.benchmarks.cli import main as cli
    from nsbench.benchmarks.cli import matrix as cli_matrix

    cli_matrix.after_run[:] = [after_run]
    cli.extra_kinds["figures"] = listed
    cli.add_groups()
    cli.run_app(add_commands(cli.app))


def _say_left_out(results: "Results", more: Sequence[str] = ()) -> None:
    for line in (*results.conflicts, *results.left_out, *more):
        echo(f"left out: {line}", to_err=True)


if __name__ == "__main__":
    main()
