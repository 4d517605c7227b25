"""Build the options of a command from a pydantic model of its settings."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import typer
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Option:
    """Metadata of a field that is an option; a field without any is ``--its-name``.

    Attributes:
        names: Names such as ``--out`` and ``-o``; empty for ``--its-name``.
        metavar: Word that stands for the value in the help; empty for typer's.
        complete: Returns the values that start with some letters, for completion in a shell.
    """

    names: tuple[str, ...] = ()
    metavar: str = ""
    complete: Callable[[str], list[str]] | None = None


class Argument(Option):
    """Metadata of a field that is a positional argument, which has no further names."""


def command_from(
    model: type[Model],
) -> Callable[[Callable[[Model], None]], Callable[..., None]]:
    """Turn a function of a settings model into a function that typer makes a command of.

    Every field becomes an option, or an argument if its annotation holds an `Argument`. The
    description is the help, ``ge`` and ``le`` are the range, a ``bool`` is a flag, and a list or
    ``tuple[X, ...]`` is a repeatable option. The model checks the values once more: what it
    refuses is an error of usage that names the option.
    """

    def decorate(function: Callable[[Model], None]) -> Callable[..., None]:
        parameters = [_parameter(name, field) for name, field in model.model_fields.items()]
        parameters.append(_CONTEXT)

        @wraps(function)
        def command(**values: Any) -> None:
            context = values.pop(_CONTEXT.name, None)
            if context is not None:  # called by typer, which fills in what was not given
                source_of = context.get_parameter_source
                values = {k: v for k, v in values.items() if source_of(k).name != "DEFAULT"}
            function(_checked(model, values))

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


_CONTEXT = inspect.Parameter(
    "_context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
)  # knows which options were given


def _checked(model: type[Model], given: dict[str, Any]) -> Model:
    """Return the settings made from the options that were given."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        field = model.model_fields.get(name)
        shown = name if field is None else f"'{_names(name, field)[0]}'"
        message = first["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(message, param_hint=shown or None) from None


def _names(name: str, field: FieldInfo) -> tuple[str, ...]:
    """Return the words that give a field on the command line, the first for messages."""
    if any(isinstance(item, Argument) for item in field.metadata):
        return (name,)
    found = next((item.names for item in field.metadata if isinstance(item, Option)), ())
    return found or (f"--{name.replace('_', '-')}",)


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """Return the parameter of a command that typer reads for a field."""
    shown = next((x for x in field.metadata if isinstance(x, Option)), Option())
    words: dict[str, Any] = {
        "help": field.description,
        "min": _bound(field, "ge"),
        "max": _bound(field, "le"),
        "metavar": shown.metavar or None,
        "autocompletion": shown.complete,
    }
    positional = isinstance(shown, Argument)
    made = typer.Argument(**words) if positional else typer.Option(*_names(name, field), **words)
    kind, several = _kind(field.annotation)
    default = inspect.Parameter.empty if field.is_required() else field.get_default()
    if several and not field.is_required():
        kind, default = kind | None, None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, made]
    )


def _bound(field: FieldInfo, name: str) -> float | None:
    return next((getattr(x, name) for x in field.metadata if hasattr(x, name)), None)


def _kind(annotation: Any) -> tuple[Any, bool]:
    """Return a field's type as typer understands it, and whether the option is repeatable."""
    parts = get_args(annotation)
    if get_origin(annotation) in (list, tuple):
        return list[parts[0]], True  # type: ignore[valid-type]
    if get_origin(annotation) in (Union, UnionType):
        several = [_kind(part) for part in parts if part is not type(None)]
        if several[0][1]:
            return several[0]
    return annotation, False
