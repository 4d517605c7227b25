"""Names, summaries and parameters of the components that ship here, read without importing them."""

import ast
import importlib
from pathlib import Path
from typing import Any


def shipped(package: str) -> list[dict[str, Any]]:
    """Return a row for each class that the modules of a package register, sorted by name.

    Returns:
        ``name``, ``summary`` and ``parameters`` (``name``, ``required``, ``default``).

    Raises:
        LookupError: If something cannot be read from the source alone.
    """
    rows = []
    for path in sorted(_place(package).glob("*.py")):
        if path.stem.startswith("_") or path.stem == "testing":
            continue
        module = _Module(path)
        for cls in module.classes.values():
            for name in module.names_of(cls):
                summary = (ast.get_docstring(cls) or "").split("\n", 1)[0]
                fields = module.fields(cls)
                rows.append({"name": name, "summary": summary, "parameters": fields})
    return sorted(rows, key=lambda row: str(row["name"]))


def _place(name: str) -> Path:
    """Return the folder of a package, or the file of a module, importing neither."""
    _, package, *rest = name.split(".")
    top = importlib.import_module(f"nsbench.{package}")
    place = Path(top.__path__[0]).joinpath(*rest)
    return place if place.is_dir() else place.with_suffix(".py")


class _Module:
    """The source of a module: its classes and constants."""

    def __init__(self, path: Path) -> None:
        path = path / "__init__.py" if path.is_dir() else path
        tree = ast.parse(path.read_text("utf-8"))
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self._path = path
        self._sources: dict[str, tuple[str, str]] = {}
        self._constants: dict[str, ast.expr] = {}
        for found in ast.walk(tree):  # under TYPE_CHECKING too
            if isinstance(found, ast.ImportFrom):
                for alias in found.names:
                    self._sources[alias.asname or alias.name] = found.module or "", alias.name
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self._constants[node.targets[0].id] = node.value
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                self._constants[ast.unparse(node.target)] = node.value

    def names_of(self, cls: ast.ClassDef) -> list[str]:
        """Return the names that a class is registered under."""
        calls = [d for d in cls.decorator_list if isinstance(d, ast.Call)]
        return [
            str(ast.literal_eval(call.args[0]))
            for call in calls
            if ast.unparse(call.func).rpartition(".")[2] == "register"
        ]

    def fields(self, cls: ast.ClassDef) -> list[dict[str, Any]]:
        """Return the parameters of a dataclass, those of its bases first."""
        found: dict[str, dict[str, Any]] = {}
        for base in cls.bases:
            module, inner = self._find(base)
            if inner and "dataclass" in "".join(map(ast.unparse, inner.decorator_list)):
                found |= {row["name"]: row for row in module.fields(inner)}
        for node in cls.body:
            if not isinstance(node, ast.AnnAssign) or "ClassVar" in ast.unparse(node.annotation):
                continue
            name, value = ast.unparse(node.target), node.value
            if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
                given = {k.arg: k.value for k in value.keywords}
                if "init" in given:  # computed, not given
                    continue
                factory = given.get("default_factory")
                empty = {"dict": ast.Dict([], []), "list": ast.List([])}
                value = empty[ast.unparse(factory)] if factory else given.get("default")
            default = None if value is None else self._value(value)
            found[name] = {"name": name, "required": value is None, "default": default}
        return list(found.values())

    def _find(self, base: ast.expr) -> tuple["_Module", ast.ClassDef | None]:
        """Return the class that a base names, and its module; no class for one from elsewhere."""
        name = ast.unparse(base).partition("[")[0]
        if name in self.classes:
            return self, self.classes[name]
        source, original = self._sources.get(name, ("", ""))
        if not source.startswith("nsbench."):
            return self, None
        return _Module(_place(source))._find(ast.Name(original))

    def _value(self, node: ast.expr) -> Any:
        """Return a default: a literal, or a constant of this or another module."""
        if isinstance(node, ast.Name) and node.id in self._constants:
            return self._value(self._constants[node.id])
        if isinstance(node, ast.Name) and node.id in self._sources:
            source, original = self._sources[node.id]
            return _Module(_place(source))._value(ast.Name(original))
        try:
            return ast.literal_eval(node)
        except ValueError:
            raise LookupError(f"{self._path}: {ast.unparse(node)} is no literal") from None
