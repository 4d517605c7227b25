"""Your own components: import files and modules by name, and hash their code."""

import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path

from nsbench.samplers._cache import cached

PLUGIN_PATH = "NSBENCH_PLUGIN_PATH"
"""Variable with files and modules of your own components, joined by the path separator."""
OURS = __name__.partition(".")[0]
_imported: set[str] = set()


def load_plugin_paths() -> None:
    """Import what the environment variable ``NSBENCH_PLUGIN_PATH`` names, each once.

    Raises:
        ValueError: If a file or module is not there or fails to import.
    """
    for name in filter(None, os.environ.get(PLUGIN_PATH, "").split(os.pathsep)):
        if name in _imported:
            continue
        _imported.add(name)
        try:
            _import(name)
        except Exception as error:
            _imported.discard(name)
            what = str(error) if isinstance(error, FileNotFoundError) else repr(error)
            raise ValueError(f"the plugin {name} cannot be imported: {what}") from error


def _import(name: str) -> None:
    path = Path(name).expanduser()
    if path.suffix != ".py":
        importlib.import_module(name)
        return
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    module_name = path.stem
    if module_name in sys.modules:  # a library, or another plugin file, is called so
        module_name += "_" + hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and docstrings look it up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise


@cached(256)  # of the code as it was imported: a later edit is not what runs
def code_digest(cls: type) -> str:
    """SHA-256 over the source that a class comes from; empty for what ships with this package.

    Of a class in a package, all files of the whole package count; of one in a single module, that
    file. What these import from elsewhere does not.
    """
    parts = cls.__module__.split(".")
    if parts[0] == OURS:
        return ""
    names = (".".join(parts[: i + 1]) for i in range(len(parts)))
    modules = [sys.modules[name] for name in names if name in sys.modules]
    # The topmost one with a file: a namespace over it may belong to many packages.
    package = next((m for m in modules if getattr(m, "__file__", None)), None)
    folders = [Path(p) for p in getattr(package, "__path__", ())]
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if _counts(p.relative_to(folder))):
            if path.is_file():
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
                digest.update(path.read_bytes() + b"\0")
    if not folders:
        source = getattr(package, "__file__", None)
        text = Path(source).read_bytes() if source else cls.__qualname__.encode()
        digest.update(text)
    return digest.hexdigest()


def _counts(path: Path) -> bool:
    hidden = any(part.startswith((".", "__pycache__")) for part in path.parts)
    return not hidden and path.suffix not in (".pyc", ".pyo")
