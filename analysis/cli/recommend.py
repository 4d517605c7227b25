"""The commands ``nsbench audit`` and ``nsbench recommend``."""

import typer

from nsbench.analysis.recommend.given import Given, RecommendGiven, material
from nsbench.benchmarks.cli.console import echo
from nsbench.benchmarks.cli.options import command_from


@command_from(Given)
def audit(given: Given) -> None:
    """Audit pairs: facts, difficulty of candidates, false negatives, suspicious texts."""
    from nsbench.analysis.recommend.audit_page import write_audit
    from nsbench.benchmarks.cli.console import err

    with err.status("reading data and models"):
        found = material(given)
    for note in found.notes:
        echo(note, to_err=True)
    with err.status("comparing rows"):
        made = found.audited(given.seed)
    folder = given.folder("audit")
    pages = write_audit(made, folder, given.name)
    for line in made.lines():
        echo(line)
    for path in pages:
        echo(f"wrote {path}", to_err=True)


@command_from(RecommendGiven)
def recommend(given: RecommendGiven) -> None:
    """Find negatives, number and margin for pairs: audit, race, decide, and hand over a recipe."""
    from nsbench.analysis.recommend.recommendation import recommended

    told = recommended(given, lambda line: echo(line, to_err=True))
    echo(told.sentence)
    for path in told.files:
        echo(f"wrote {path}", to_err=True)


def add_commands(app: typer.Typer) -> None:
    """Add these commands to a command line."""
    app.command()(audit)
    app.command()(recommend)
