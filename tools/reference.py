"""Write the reference of matrix files, commands and columns: ``python -m tools.reference docs``.

Keys come from the model of matrix files, commands from the command line itself, and columns from
`tools.columns`; tests hold that all three are complete.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import typer
from pydantic import BaseModel

from nsbench.analysis.cli.main import add_commands
from nsbench.analysis.tables.text import markdown_lines
from nsbench.benchmarks.cli import main as cli
from nsbench.benchmarks.matrix.config import BudgetConfig, matrix_model
from nsbench.benchmarks.records.cell import Budget
from tools.columns import COLUMNS
from tools.sampler_pages import cell

WIDTH = 100
_KINDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true`, `false`",
    "string": "text",
    "null": "none",
}


def described(model: type) -> dict[str, str]:
    """Descriptions of a model's fields, from its ``Attributes:`` section."""
    out: dict[str, str] = {}
    for part in model.__mro__:
        text = inspect.cleandoc(part.__doc__ or "").partition("Attributes:")[2]
        name = ""
        for line in text.splitlines():
            if found := re.fullmatch(r"    (\w+): (.*)", line):
                name, first = found.groups()
                if name not in out:
                    out[name] = first
                else:
                    name = ""
            elif name and line.startswith("        "):
                out[name] += f" {line.strip()}"
    return out


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield every key of a matrix file with its default, legal values and meaning.

    Args:
        model: The model of the file, or of one of its tables.
        prefix: Name of the table with a dot.
    """
    schema = model.model_json_schema(by_alias=True)
    words = described(model) | (described(Budget) if issubclass(model, BudgetConfig) else {})
    whole = inspect.cleandoc(model.__doc__ or "").partition("\n")[0]
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{prefix}{name}.")
            continue
        key = field.alias or name
        part = schema["properties"][key]
        default = "required" if field.is_required() else f"`{_value(field.get_default())}`"
        text = field.description or words.get(name, whole)
        yield f"`{prefix}{key}`", default, legal(part, schema), cell(text)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return _value(list(value))
    return "[" + ", ".join(map(_value, value)) + "]" if isinstance(value, list) else f"{value}"


def legal(part: dict[str, Any], schema: dict[str, Any]) -> str:
    """Return the legal values of a key in words, from its JSON Schema."""
    if "$ref" in part:
        return legal(schema["$defs"][part["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(legal(p, schema) for p in part["anyOf"]))
    if "enum" in part or "const" in part:
        return ", ".join(f"`{v}`" for v in part.get("enum", [part.get("const")]))
    if part.get("type") == "array":
        return f"list of {legal(part.get('items', {}), schema)}"
    pattern = str(part.get("pattern", ""))
    if found := re.fullmatch(r"\^\(([\w|]+)\)\$", pattern):
        return ", ".join(f"`{v}`" if v else "empty" for v in found[1].split("|"))
    kind = _KINDS.get(str(part.get("type")), "table")
    ends = [
        f"{sign} {part[name]:,.12g}"
        for name, sign in (
            ("minimum", ">="),
            ("exclusiveMinimum", ">"),
            ("maximum", "<="),
            ("exclusiveMaximum", "<"),
        )
        if name in part
    ]
    text = ", ".join([kind, *ends])
    return f"{text}, matching `{pattern}`".replace("|", "\\|") if pattern else text


def matrix_page() -> str:
    """Return the page of all keys of a matrix file."""
    rows = keys(matrix_model())
    return "\n".join(
        [
            "# Reference: matrix files",
            "",
            "All keys of a matrix file, generated from the model that checks it (`nsbench schema` "
            "prints the same as JSON Schema). A dot stands for a table: `budget.steps` is `steps` "
            "under `[budget]`. In `budget`, a list multiplies the matrix.",
            "",
            *markdown_lines(("key", "default", "legal values", "meaning"), rows),
            "",
        ]
    )


def commands_page() -> str:
    """Return the page of all commands, as their ``--help`` prints them."""
    if not cli.app.registered_groups:
        cli.add_groups()
    app = add_commands(cli.app) if not _has(cli.app, "leaderboard") else cli.app
    group = typer.main.get_command(app)
    parts = ["# Reference: commands", "", "What `nsbench COMMAND --help` prints, generated.", ""]
    for path, command in _commands(group, ()):
        name = " ".join(path)
        context = click.Context(command, info_name=f"nsbench {name}", terminal_width=WIDTH)
        parts += [f"## {name}", "", "```text", command.get_help(context).rstrip(), "```", ""]
    return "\n".join(parts)


def _has(app: typer.Typer, name: str) -> bool:
    callbacks = [command.callback for command in app.registered_commands]
    return any(c is not None and c.__name__ == name for c in callbacks)


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def columns_page() -> str:
    """Return the page of the columns of every table that nsbench writes."""
    parts = ["# Reference: columns", "", "Points are 100 times a score.", ""]
    for title, table in COLUMNS.items():
        rows = [(f"`{name}`", cell(text)) for name, text in table.items()]
        parts += [f"## {title}", "", *markdown_lines(("column", "meaning"), rows), ""]
    return "\n".join(parts)


PAGES = {
    "reference-matrix.md": matrix_page,
    "reference-commands.md": commands_page,
    "reference-columns.md": columns_page,
}


def write_pages(docs: Path) -> list[Path]:
    """Write the pages into the folder of the documentation; return their paths."""
    for name, made in PAGES.items():
        (docs / name).write_text(made(), "utf-8")
    return [docs / name for name in PAGES]


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
