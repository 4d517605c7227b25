"""The command line ``nsbench``, without the commands that read results."""

import errno
import gc
import importlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.table import Table

from nsbench.benchmarks.cli import check as cli_check
from nsbench.benchmarks.cli import folder
from nsbench.benchmarks.cli import matrix as cli_matrix
from nsbench.benchmarks.cli.console import INTERRUPTED, USAGE, err, escaped, out, settle_hub
from nsbench.benchmarks.cli.matrix import Config, matrices
from nsbench.benchmarks.cli.names import shipped
from nsbench.benchmarks.cli.plugins import plugin_paths
from nsbench.benchmarks.files import FULL, StorageError, write_atomically
from nsbench.benchmarks.keys import visible
from nsbench.benchmarks.matrix.config import matrix_model, names_hub, suites
from nsbench.benchmarks.records import ResultsFolder
from nsbench.samplers import PLUGIN_PATH, Registry, UnknownNameError, one_of, suggest

PACKAGES = {
    "samplers": "nsbench.samplers",
    "augmentations": "nsbench.benchmarks.augmentations",
    "objectives": "nsbench.benchmarks.objectives",
    "candidates": "nsbench.benchmarks.candidates",
    "regimes": "nsbench.benchmarks.regimes",
    "encoders": "nsbench.benchmarks.encoders",
    "datasets": "nsbench.benchmarks.data",
}
"""Kinds of components, with the package that holds each and its registry."""

AGAIN = "interrupted; run the same command again to continue"

app = typer.Typer(
    name="nsbench",
    help="Benchmark negative samplers and augmentations for text embeddings.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # which would swallow brackets: planted[rows=200]
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (cli_matrix.run, folder.status, folder.retry, folder.gc):
    app.command()(_command)

extra_kinds: dict[str, Callable[[], list[dict[str, Any]]]] = {}
"""Further kinds that `list` can show, added by the packages that hold them."""


def run_app(application: typer.Typer = app) -> None:
    """Run the command line; print an error of usage or of a file as one sentence, with exit code 2.

    Ctrl-C gives one sentence too, and exit code 130.
    """
    if sys.stdout is None:
        _complain("standard output is closed: give it a place, such as > out.txt")
    warnings.formatwarning = _shown
    try:
        plugin_paths(sys.argv)
        application()
    except SystemExit as end:
        if isinstance(end.__context__, OSError):  # typer makes a quiet end of a closed pipe
            _complain(_said(end.__context__))
        if _interrupted(end):
            err.print(AGAIN)
        _flush()
        raise
    except OSError as error:
        _complain(_said(error))
    except (ValueError, ModuleNotFoundError, RuntimeError) as error:
        _complain(str(error))
    except KeyboardInterrupt:
        err.print(AGAIN)
        sys.exit(INTERRUPTED)
    finally:
        if "triton" not in sys.modules:  # which prints a warning for every object that is left
            gc.freeze()  # no search for cycles among torch's objects at the end: 0.7 s


_plain_warning = warnings.formatwarning


def _shown(*about: Any, **more: Any) -> str:
    """Return a warning as text on which no terminal acts: libraries quote names in them."""
    return visible(_plain_warning(*about, **more))


def _interrupted(end: BaseException) -> bool:
    """Return whether typer made this end of Ctrl-C, about which nothing has been said yet."""
    if getattr(end, "code", None) != INTERRUPTED:
        return False
    return isinstance(getattr(end.__context__, "__cause__", None), KeyboardInterrupt)


def _complain(text: str) -> NoReturn:
    with suppress(OSError):
        err.print(f"[bold red]error:[/] {escaped(text)}", soft_wrap=True)
    sys.exit(USAGE)


def _said(error: OSError) -> str:
    """Return an error of a file as a sentence."""
    if isinstance(error, BrokenPipeError) or error.errno == errno.EPIPE:
        _give_up_output()
        return "standard output was closed before all was written"
    if isinstance(error, StorageError) or error.strerror is None:
        return str(error)
    if error.errno in FULL and error.filename is None:
        return f"{error.strerror}. Nothing that was finished is lost: make room, then run it again"
    where = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
    return ": ".join([*map(str, where[:1]), error.strerror])


def _flush() -> None:
    """Write what is left of standard output, while an error of it can still be told.

    Raises:
        SystemExit: With exit code 2 if it was closed, or its disk is full.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        text = _said(error)
        _give_up_output()
        _complain(
            f"cannot write standard output: {error.strerror}" if error.errno in FULL else text
        )


def _give_up_output() -> None:
    """Let Python not try once more at its end to write what cannot be written."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.close(nothing)


def _version(asked: bool) -> None:
    if asked:
        import nsbench

        typer.echo(f"nsbench {nsbench.__version__}")
        raise typer.Exit


@app.callback()
def options(
    plugin_path: Annotated[
        list[str] | None,
        typer.Option(
            "--plugin-path",
            metavar="FILE.py",
            help="Your own components: a file, or a module's name; repeatable, anywhere.",
        ),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """Benchmark negative samplers and augmentations for text embeddings."""


def _plugins(kind: str) -> bool:
    """Return whether something that does not ship here may have registered a component."""
    return bool(os.environ.get(PLUGIN_PATH) or entry_points(group=f"nsbench.{kind}"))


def _short_rows(kind: str) -> list[dict[str, Any]]:
    """Return name, summary and parameters of all components; imports them for plugins only."""
    if kind in PACKAGES and not _plugins(kind):
        with suppress(LookupError):
            return shipped(PACKAGES[kind])
    return _rows(kind)


def _rows(kind: str) -> list[dict[str, Any]]:
    """Return all that is known of the components of a kind, which are imported for it."""
    if kind in extra_kinds:
        return extra_kinds[kind]()
    if kind == "suites":
        return [{"name": n, "summary": d} for n, d in suites().items()]
    rows = []
    registry: Registry[Any] = getattr(importlib.import_module(PACKAGES[kind]), kind)
    for entry in registry:
        row = {
            "name": entry.name,
            "summary": entry.summary,
            "source": entry.source,
            "provider": entry.provider,
            "parameters": [asdict(p) for p in entry.parameters],
        }
        rows.append(row | _pairing(entry) if kind == "samplers" else row)
    return rows


def _pairing(entry: Any) -> dict[str, Any]:
    required = [p for p in entry.parameters if p.required]
    instance = None if required else entry.cls()

    def name(attribute: str, default: str) -> str:
        value = getattr(instance or entry.cls, attribute, default)
        return str(value if isinstance(value, str) else value[0])

    return {
        "objective": name("objective", "info_nce"),
        "pool": name("pool", "in_batch"),
        "needs": sorted(getattr(instance or entry.cls, "needs", ())),
    }


def kinds() -> list[str]:
    """Return the kinds that `list` can show."""
    return [*PACKAGES, "suites", *extra_kinds]


@app.command(name="list")
def list_(
    kind: Annotated[
        str,
        typer.Argument(help="Kind to list; default all.", autocompletion=lambda: kinds()),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """List samplers, augmentations, objectives, pools, encoders, data sets, suites, figures."""
    if kind:
        one_of("list", "kind", kind, kinds())
    wanted = [kind] if kind else kinds()
    if as_json:
        rows = {k: _rows(k) for k in wanted}
        out.print_json(json.dumps(rows[kind] if kind else rows, default=str))
        return
    for title in wanted:
        entries = _short_rows(title)
        table = Table("name", "idea", "parameters", title=title, title_justify="left")
        for row in entries:
            shown = ", ".join(
                p["name"] if p["required"] else f"{p['name']}={p['default']}"
                for p in row.get("parameters", [])
            )
            table.add_row(row["name"], escaped(row["summary"]), escaped(shown))
        out.print(table)


@app.command()
def describe(
    name: Annotated[
        str, typer.Argument(help="Name of any component or suite, or the folder of a cell.")
    ],
) -> None:
    """Print all that is known of a component, or the negatives of a cell's first step."""
    if (Path(name) / "cell.json").is_file():
        from nsbench.benchmarks.cli.models import describe_cell

        describe_cell(Path(name))
        return
    names = {kind: [row["name"] for row in _short_rows(kind)] for kind in kinds()}
    found = [kind for kind, there in names.items() if name in there]
    if not found:
        known = {known for there in names.values() for known in there}
        raise UnknownNameError(f"nothing is called {name!r}. {suggest(name, known)}")
    for kind in found:
        row = next(row for row in _rows(kind) if row["name"] == name)
        out.print(f"[bold]{escaped(name)}[/] ({kind})  {escaped(row['summary'])}")
        for key in ("source", "provider", "objective", "pool"):
            if row.get(key):
                out.print(f"  {key}: {escaped(str(row[key]))}", soft_wrap=True)
        for p in row.get("parameters", []):
            default = "required" if p["required"] else f"default {p['default']!r}"
            out.print(
                f"  {p['name']} ({escaped(str(p['type']))}, {escaped(default)}): "
                f"{escaped(p['description'])}",
                soft_wrap=True,
            )


@app.command()
def reproduce(
    suite: Annotated[str, typer.Argument(help="A suite with published numbers.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="Its results folder; default out/SUITE.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the table here.")] = None,
) -> None:
    """Compare our numbers with the paper's: spread over seeds, and a verdict for every row."""
    from nsbench.benchmarks.matrix.reproduce import compare, load_paper, table_csv

    paper = load_paper(suite)
    report = compare(paper, ResultsFolder(out_dir or Path("out") / suite))
    table = Table("row", "score", "paper", "ours", "sd", "n", "verdict", title=paper.title)
    for row in report.rows:
        table.add_row(*map(escaped, row.shown()))
    out.print(table)
    for note in report.notes:
        out.print(f"[yellow]note[/]  {escaped(note)}", soft_wrap=True)
    for source in paper.sources:
        out.print(f"source: {escaped(source)}", soft_wrap=True)
    if csv is not None:
        write_atomically(csv, table_csv(report))


@app.command()
def doctor(
    config: Annotated[
        str, typer.Argument(help="A matrix file or suite to check.", autocompletion=matrices)
    ] = "",
) -> None:
    """Print what is installed, whether the hub answers, and what a matrix lacks; fetch nothing."""
    cli_check.diagnose(config)


@app.command()
def schema() -> None:
    """Print the JSON Schema of matrix files, for editors that check TOML by one."""
    typer.echo(json.dumps(matrix_model().model_json_schema(by_alias=True), indent=1))


@app.command()
def prefetch(
    config: Config,
    out_file: Annotated[
        Path | None,
        typer.Option("--manifest", help="Write what was fetched here, as JSON."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Fetch nothing; print what is missing; compare a manifest."),
    ] = False,
) -> None:
    """Fetch all that a matrix or a tuning study names into the cache; needs a network."""
    if check:
        cli_check.check_cache(config, out_file)
        return
    from nsbench.benchmarks.cli.prefetch import fetch
    from nsbench.benchmarks.matrix.tune_file import named_matrix

    settings, rows = named_matrix(config), []
    if names_hub(settings):
        settle_hub()
    for row in fetch(settings):
        rows.append(row)
        out.print(escaped(f"{row['kind']:8} {row['name']}  {row['revision']}"), soft_wrap=True)
    if out_file is not None:
        write_atomically(out_file, json.dumps(rows, indent=1) + "\n")


def add_groups() -> None:
    """Add the commands of further modules."""
    from nsbench.benchmarks.cli import mine as cli_mine
    from nsbench.benchmarks.cli import models as cli_models
    from nsbench.benchmarks.cli import plugins as cli_plugins

    app.command()(cli_mine.mine)
    app.command()(cli_models.evaluate)
    app.command()(cli_models.export)
    app.command()(cli_models.average)
    app.command()(cli_plugins.check_plugin)
    app.add_typer(cli_plugins.new, name="new")


def main() -> None:
    """Run ``nsbench`` without the analysis commands."""
    add_groups()
    run_app(app)
