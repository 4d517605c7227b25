"""The commands ``nsbench check-plugin`` and ``nsbench new``, and the option ``--plugin-path``."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from nsbench.benchmarks.cli.console import SOME_FAILED, escaped, out
from nsbench.samplers import PLUGIN_PATH

new = typer.Typer(help="Write a file to start from.", no_args_is_help=True, rich_markup_mode=None)


def check_plugin(
    name: Annotated[
        str, typer.Argument(help="A sampler, objective, augmentation, encoder or data set.")
    ],
) -> None:
    """Run the contract suite over a component; exit code 1 if a law is broken."""
    from nsbench.benchmarks.testing.plugins import check_plugin as check

    broken = laws = 0
    for verdict in check(name):
        laws += 1
        broken += bool(verdict.problem)
        mark = "[red]broken[/]" if verdict.problem else "[green]ok[/]"
        out.print(f"{mark}  {escaped(verdict.law)}", soft_wrap=True)
        if verdict.problem:
            out.print(f"        {escaped(verdict.problem)}", soft_wrap=True)
    out.print(f"{name}: {laws - broken} of {laws} laws hold")
    if broken:
        raise typer.Exit(SOME_FAILED)


@new.command()
def sampler(
    name: Annotated[str, typer.Argument(help="Lower case with underscores: my_sampler.")],
    to: Annotated[Path, typer.Option("--to", help="Folder of the two files.")] = Path(),
) -> None:
    """Write NAME.py with a working sampler, and test_NAME.py with its tests."""
    from nsbench.benchmarks.testing.plugins import new_sampler

    module, test = new_sampler(name, to)
    out.print(f"wrote {module} and {test}", soft_wrap=True)
    out.print(f"next: nsbench check-plugin {name} --plugin-path {module}", soft_wrap=True)
    out.print(f"      python -m pytest {test}", soft_wrap=True)
    out.print(f"      nsbench run matrix.toml --plugin-path {module}", soft_wrap=True)


def plugin_paths(arguments: list[str]) -> None:
    """Move every ``--plugin-path X`` from the arguments to the environment, for workers too.

    The option may come before or after the command.
    """
    found = []
    named = re.compile(r"--plugin-path(=|$)").match
    while (place := next((i for i, a in enumerate(arguments) if named(a)), 0)) > 0:
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
        before = os.environ.get(PLUGIN_PATH, "")
        os.environ[PLUGIN_PATH] = os.pathsep.join(filter(None, [before, *found]))
