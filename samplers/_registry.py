"""One generic registry for everything that is chosen by name.

Built-ins register themselves with a decorator and are found by importing every module of their
folder whose name has no leading underscore. Plugins are entry points of the same group name.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from nsbench.samplers._cache import cached
from nsbench.samplers._plugins import code_digest, load_plugin_paths
from nsbench.samplers._ranges import check_when_made, suggest

T = TypeVar("T")


class UnknownNameError(ValueError):
    """A name that no registry, suite or column knows."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a registered class, read from its dataclass fields and docstring."""

    name: str
    type: str
    default: Any
    required: bool
    description: str


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A registered class with what its docstrings say about it."""

    name: str
    cls: type[T]
    provider: str

    @property
    def summary(self) -> str:
        """First line of the class's docstring."""
        return (inspect.getdoc(self.cls) or "").strip().split("\n", 1)[0]

    @property
    def source(self) -> str:
        """The paragraph of the module's (or class's) docstring that opens with ``Source:``."""
        module = inspect.getmodule(self.cls)
        for text in (inspect.getdoc(self.cls), module.__doc__ if module else None):
            found = re.search(r"^\s*Source:\s*(.+?)(?:\n\s*\n|\Z)", text or "", re.S | re.M)
            if found:
                return " ".join(found.group(1).split())
        return ""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Parameters in declaration order."""
        if not is_dataclass(self.cls):
            return ()
        described, hints = _stated(self.cls)
        out = []
        for item in fields(self.cls):
            if not item.init:
                continue
            default = item.default
            if default is MISSING and item.default_factory is not MISSING:
                default = item.default_factory()
            hint = hints[item.name]
            out.append(
                Parameter(
                    name=item.name,
                    type=hint.__name__
                    if isinstance(hint, type)
                    else str(hint).replace("typing.", ""),
                    default=None if default is MISSING else default,
                    required=default is MISSING,
                    description=described.get(item.name, ""),
                )
            )
        return tuple(out)

    @property
    def code(self) -> str:
        """SHA-256 of the source of a plugin; empty for what ships with this package."""
        cls: Any = self.cls
        return code_digest(cls)

    def attribute(self, name: str, default: Any) -> Any:
        """A class attribute such as ``needs``, or the default where the author left it out."""
        return getattr(self.cls, name, default)


class Registry(Generic[T]):
    """Names of one kind of component.

    Args:
        kind: Name of one component in messages: ``"sampler"``.
        package: Import name of the folder that is walked for built-ins; also the entry-point
            group unless ``group`` is given.
        group: Entry-point group for plugins.
    """

    def __init__(self, kind: str, package: str, group: str | None = None) -> None:
        self.kind = kind
        self.package = package
        self.group = group or package
        self.broken: dict[str, str] = {}
        self._entries: dict[str, Entry[T]] = {}
        self._loaded = False

    def register(self, name: str, *, provider: str | None = None) -> Callable[[type[T]], type[T]]:
        """Class decorator that claims ``name``.

        Raises:
            ValueError: If the name is taken by another class; both claimants are named.
        """

        def claim(cls: type[T]) -> type[T]:
            who = provider or cls.__module__
            old = self._entries.get(name)
            if old is not None and old.cls is not cls:
                raise ValueError(
                    f"two {self.kind}s claim the name {name!r}: "
                    f"{old.cls.__module__}.{old.cls.__qualname__} ({old.provider}) and "
                    f"{cls.__module__}.{cls.__qualname__} ({who})"
                )
            if old is None and is_dataclass(cls):
                check_when_made(cls, name)
            self._entries[name] = Entry(name, cls, who)
            return cls

        return claim

    def component(self, name: str) -> Callable[[type[T]], type[T]]:
        """As `register`, for a class that is to be a frozen dataclass if it is none yet."""

        def claim(cls: type[T]) -> type[T]:
            made = {"__init__", "__dataclass_fields__"} & vars(cls).keys()
            return self.register(name)(cls if made else dataclass(frozen=True)(cls))

        return claim

    def load(self) -> None:
        """Import the built-ins of the folder, then the plugins, once, on first use."""
        if self._loaded:
            return
        self._loaded = True
        package = importlib.import_module(self.package)
        for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
            if not module.startswith("_") and module != "testing":
                importlib.import_module(f"{self.package}.{module}")
        for point in sorted(entry_points(group=self.group), key=lambda p: p.name):
            self._load_plugin(point)
        load_plugin_paths()

    def _load_plugin(self, point: EntryPoint) -> None:
        provider = point.dist.name if point.dist else point.value
        try:
            cls = point.load()
        except (Exception, SystemExit) as error:  # a broken plugin takes no other down
            self.broken[point.name] = f"{provider}: {type(error).__name__}: {error}"
            return
        self.register(point.name, provider=provider)(cls)

    def names(self) -> list[str]:
        """All names, sorted."""
        self.load()
        return sorted(self._entries)

    def __iter__(self) -> Iterator[Entry[T]]:
        return (self.entry(name) for name in self.names())

    def __contains__(self, name: object) -> bool:
        self.load()
        return name in self._entries

    def entry(self, name: str) -> Entry[T]:
        """Look a name up.

        Raises:
            UnknownNameError: With the nearest right name and the full list.
        """
        self.load()
        if name not in self._entries:
            if name in self.broken:
                raise UnknownNameError(
                    f"the {self.kind} {name!r} comes from a plugin that failed to import: "
                    f"{self.broken[name]}"
                )
            raise UnknownNameError(
                f"no {self.kind} is called {name!r}. {suggest(name, self._entries)}"
            )
        return self._entries[name]

    def parameters(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The full parameters of ``name``: defaults overridden by ``given``.

        Raises:
            ValueError: If ``given`` has a key the class does not know, or lacks a required one.
        """
        entry = self.entry(name)
        legal = {p.name: p for p in entry.parameters}
        for key in given:
            if key not in legal:
                known = suggest(key, legal) if legal else "It takes none."
                raise ValueError(f"{self.kind} {name!r} has no parameter {key!r}. {known}")
        missing = [p.name for p in legal.values() if p.required and p.name not in given]
        if missing:
            raise ValueError(f"{self.kind} {name!r} needs the parameter {missing[0]!r}")
        return {p.name: given.get(p.name, p.default) for p in legal.values()}

    def make(self, name: str, /, **given: Any) -> T:
        """Construct the component of a name.

        Raises:
            UnknownNameError: If none has that name.
            ValueError: If a parameter is unknown or out of its range.
        """
        return self.entry(name).cls(**self.parameters(name, given))

    def read(self, text: str) -> T:
        """Construct the component that ``name`` or ``name[parameter=value,...]`` names.

        Raises:
            ValueError: If it cannot be read, is unknown, or a parameter is.
        """
        name, given = parse_choice(text)
        return self.make(name, **given)


@cached(1024)
def _stated(cls: type) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what a class says of its parameters: descriptions and types by name."""
    return _described_arguments(inspect.getdoc(cls) or ""), typing.get_type_hints(cls)


def _described_arguments(doc: str) -> dict[str, str]:
    """``{name: description}`` out of the ``Args:`` section of a Google-style docstring."""
    found = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", doc, re.M)
    out: dict[str, str] = {}
    name = ""
    for line in (found.group(1) if found else "").splitlines():
        head = re.match(r"^ {4}(\w+)(?: \([^)]*\))?: (.*)$", line)
        if head:
            name, out[head[1]] = head[1], head[2].strip()
        elif name and line.strip():
            out[name] += " " + line.strip()
    return out


def parse_choice(text: str) -> tuple[str, dict[str, Any]]:
    """Read ``name[a=1,b=x]`` from a command line into a name and its parameters.

    Raises:
        ValueError: If the brackets or a parameter cannot be read.
    """
    found = re.fullmatch(r"\s*([\w./-]+)\s*(?:\[(.*)\])?\s*", text, re.S)
    if not found:
        raise ValueError(f"cannot read {text!r}: write name or name[parameter=value,...]")
    params: dict[str, Any] = {}
    parts = re.split(r",(?![^\[]*\])", found[2] or "")  # commas inside brackets belong to a value
    for part in filter(None, (p.strip() for p in parts)):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"cannot read {part!r} in {text!r}: write parameter=value")
        try:
            params[key.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            params[key.strip()] = value.strip()
    return found[1], params


def named_within(params: Mapping[str, Any], parameter: str) -> str:
    """Name that a component has in a parameter, or the component that it holds; empty if none.

    Args:
        params: Of the outer component, by name.
        parameter: Such as ``guide``.

    Raises:
        ValueError: If the held component's name cannot be read.
    """
    while parameter not in params:
        held = params.get("inner") or params.get("then")
        if not isinstance(held, str):
            return ""
        params = parse_choice(held)[1]
    return str(params[parameter] or "")
