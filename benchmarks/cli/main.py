"""The command line: list, describe, doctor; `cli_matrix` and `cli.main` add to it."""

import atexit
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.table import Table

from nsbench.benchmarks.cli import check as cli_check
from nsbench.benchmarks.cli import folder
from nsbench.benchmarks.cli import matrix as cli_matrix
from nsbench.benchmarks.cli.console import INTERRUPTED, USAGE, err, escaped, out, settle_hub
from nsbench.benchmarks.cli.matrix import Config, matrices
from nsbench.benchmarks.files import StorageError, write_atomically
from nsbench.benchmarks.records import ResultsFolder

KINDS = (
    "samplers",
    "augmentations",
    "objectives",
    "candidates",
    "regimes",
    "encoders",
    "datasets",
    "suites",
)

app = typer.Typer(
    name="nsbench",
    help="Benchmark negative samplers and augmentations for text embeddings.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (cli_matrix.run, folder.status, folder.retry, folder.gc):
    app.command()(_command)

extra_kinds: dict[str, Callable[[], list[dict[str, Any]]]] = {}
"""Further things that `list` can show, added by the packages that know them."""


def run_app(application: typer.Typer = app) -> None:
    """Run the command line; a wrong value is one sentence and exit code 2, not a traceback."""
    try:
        plugin_paths(sys.argv)
        application()
    except (ValueError, FileNotFoundError, StorageError, ModuleNotFoundError) as error:
        err.print(f"[bold red]error:[/] {escaped(str(error))}", soft_wrap=True)
        sys.exit(USAGE)
    except KeyboardInterrupt:
        err.print("interrupted; run the same command again to go on where it stopped")
        sys.exit(INTERRUPTED)


@app.callback()
def options(
    plugin_path: Annotated[
        list[str] | None,
        typer.Option(
            "--plugin-path",
            metavar="FILE.py",
            help="Components of your own: a file, or a module's name; repeatable, anywhere.",
        ),
    ] = None,
) -> None:
    """Benchmark negative samplers and augmentations for text embeddings."""


def plugin_paths(arguments: list[str]) -> None:
    """Take every ``--plugin-path X`` out of the arguments into the environment.

    It may stand before or behind the command, and worker processes read it from there.
    """
    found = []
    while (place := next((i for i, a in enumerate(arguments) if _names_plugin(a)), 0)) > 0:
        _, equals, value = arguments.pop(place).partition("=")
        if not equals:
            if place >= len(arguments):
                raise ValueError("--plugin-path needs a file: --plugin-path my_sampler.py")
            value = arguments.pop(place)
        path = Path(value).expanduser()
        if path.suffix == ".py" and not path.is_file():
            raise ValueError(f"--plugin-path {value}: there is no such file")
        found.append(str(path.resolve()) if path.suffix == ".py" else value)
    if found:
        from nsbench.samplers import PLUGIN_PATH  # and so torch, which many commands do not need

        before = os.environ.get(PLUGIN_PATH, "")
        os.environ[PLUGIN_PATH] = os.pathsep.join(filter(None, [before, *found]))


def _names_plugin(argument: str) -> bool:
    return argument == "--plugin-path" or argument.startswith("--plugin-path=")


def _registry(kind: str) -> Any:
    if kind == "samplers":
        from nsbench.samplers import samplers as registry

        return registry
    import importlib

    module = {"datasets": "data"}.get(kind, kind)
    return getattr(importlib.import_module(f"nsbench.benchmarks.{module}"), kind)


def _rows(kind: str) -> list[dict[str, Any]]:
    if kind in extra_kinds:
        return extra_kinds[kind]()
    if kind == "suites":
        from nsbench.benchmarks.matrix.config import suites

        return [{"name": n, "summary": d} for n, d in suites().items()]
    rows = []
    for entry in _registry(kind):
        row = {
            "name": entry.name,
            "summary": entry.summary,
            "source": entry.source,
            "provider": entry.provider,
            "parameters": [
                {
                    "name": p.name,
                    "type": p.type,
                    "default": p.default,
                    "required": p.required,
                    "description": p.description,
                }
                for p in entry.parameters
            ],
        }
        if kind == "samplers":
            row |= _pairing(entry)
        rows.append(row)
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
    """What `list` can show."""
    return [*KINDS, *extra_kinds]


@app.command(name="list")
def list_(
    kind: Annotated[
        str,
        typer.Argument(help="What to list; default everything.", autocompletion=lambda: kinds()),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """List samplers, augmentations, objectives, pools, encoders, data sets, suites, figures."""
    from nsbench.samplers import one_of

    if kind:
        one_of("list", "kind", kind, kinds())
    rows = {k: _rows(k) for k in ([kind] if kind else kinds())}
    if as_json:
        out.print_json(json.dumps(rows[kind] if kind else rows, default=str))
        return
    for title, entries in rows.items():
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
    """Explain a component (idea, source, parameters), or the negatives of a cell's first step."""
    from nsbench.samplers import UnknownNameError, suggest

    if (Path(name) / "cell.json").is_file():
        from nsbench.benchmarks.cli.models import describe_cell

        describe_cell(Path(name))
        return
    found, known = False, set()
    for kind in (*KINDS, *extra_kinds):
        for row in _rows(kind):
            known.add(row["name"])
            if row["name"] != name:
                continue
            found = True
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
    if not found:
        raise UnknownNameError(f"nothing is called {name!r}. {suggest(name, known)}")


@app.command()
def reproduce(
    suite: Annotated[str, typer.Argument(help="A suite with published numbers.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", "-o", help="Its results folder; default out/SUITE.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the table here.")] = None,
) -> None:
    """Compare our numbers with the paper's: seed spread, and a verdict for every row."""
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
    """Say what is installed, whether the hub answers, and what a matrix lacks; fetches nothing."""
    cli_check.diagnose(config)


@app.command()
def schema() -> None:
    """Print the JSON Schema of matrix files, for editors that check TOML by one."""
    from nsbench.benchmarks.matrix.config import MatrixConfig

    text = json.dumps(MatrixConfig.model_json_schema(by_alias=True), indent=1)
    typer.echo(text)


@app.command()
def prefetch(
    config: Config,
    out_file: Annotated[
        Path | None, typer.Option("--manifest", help="Write what was fetched as JSON.")
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Fetch nothing, say what is missing; compare a manifest."),
    ] = False,
) -> None:
    """Fill the Hugging Face cache with all that a matrix names; run it where there is a network."""
    if check:
        cli_check.check_cache(config, out_file)
        return
    from nsbench.benchmarks.cli.prefetch import fetch
    from nsbench.benchmarks.matrix.config import load_config, names_hub

    settings, rows = load_config(config), []
    if names_hub(settings):
        settle_hub()
    for row in fetch(settings):
        rows.append(row)
        out.print(escaped(f"{row['kind']:8} {row['name']}  {row['revision']}"), soft_wrap=True)
    if out_file is not None:
        write_atomically(out_file, json.dumps(rows, indent=1) + "\n")


def add_groups() -> None:
    """Add the commands that have modules of their own."""
    from nsbench.benchmarks.cli import mine as cli_mine
    from nsbench.benchmarks.cli import models as cli_models
    from nsbench.benchmarks.cli import plugins as cli_plugins

    app.command()(cli_mine.mine)
    app.command()(cli_models.evaluate)
    app.command()(cli_models.export)
    app.command()(cli_plugins.check_plugin)
    app.add_typer(cli_plugins.new, name="new")


def main() -> None:
    """Entry point without the analysis commands."""
    add_groups()
    run_app(app)


def command(run: Callable[[], None] = main) -> NoReturn:
    """Run the command line and end this process at once.

    Unloading torch and its like takes more than a second, in which nothing is left to be done.

    Args:
        run: The entry point.
    """
    code = 0
    try:
        run()
    except SystemExit as ended:
        if ended.code is not None and not isinstance(ended.code, int):
            raise
        code = ended.code or 0
    threading._shutdown()  # type: ignore[attr-defined]  # joins threads, as an interpreter does
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # nobody reads any more
        code = code or 1
    os._exit(code)
