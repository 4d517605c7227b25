"""Fills the Hugging Face cache with all that a matrix names, where there is a network.

The manifest names every file by its place in the cache, size and SHA-256, so that another machine
can say what it lacks, byte for byte, before anything trains.
"""

import json
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nsbench.benchmarks import hub
from nsbench.benchmarks.data import _hub, datasets
from nsbench.benchmarks.data._records import sha256
from nsbench.benchmarks.encoders import _sources, encoders
from nsbench.benchmarks.evaluation.local_tasks import development_task, evaluation_tasks, files
from nsbench.benchmarks.evaluation.mteb.requests import Named
from nsbench.benchmarks.evaluation.mteb.tasks import load, missing_data, resolve
from nsbench.benchmarks.matrix.config import MatrixConfig
from nsbench.benchmarks.matrix.expand import expand_axes, label_sources
from nsbench.benchmarks.records.cell import make
from nsbench.benchmarks.records.local_task import LocalTask

PACKAGE, LOCAL = "package:", "local:"
_SOURCE = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:@| at revision )(?P<commit>[0-9a-f]{40})")


def fetch(config: MatrixConfig) -> Iterator[dict[str, Any]]:
    """Load everything once through the same code that a run uses, so that the cache holds it.

    Yields:
        One a thing, after it was loaded: ``kind``, ``name``; ``repository`` on the hub with its
        ``commit``, empty where there is none; ``revision``, a hash of the content for encoders and
        data, and ``repository@revision`` for evaluation tasks; ``licence``, empty where nothing
        says it; ``files``, each with ``path`` (below the cache, ``package:`` below the installed
        packages, ``local:`` below the working folder, or absolute), ``bytes`` and ``sha256``.

    Raises:
        ValueError: If something cannot be had.
    """
    encoder_choices, data_choices = expand_axes(config)
    for choice in encoder_choices:
        spec = make(encoders, choice)
        spec.check()
        folder = _folder(spec)
        yield {
            "kind": "encoder",
            "name": str(choice),
            **(origin := _origin(getattr(spec, "source", ""), folder)),
            "revision": str(spec.fingerprint()),
            "licence": _licences(origin, "model") or _licence(folder and folder / "README.md"),
            "files": _listed([] if folder is None else list(folder.rglob("*"))),
        }
    for choice in (*data_choices, *label_sources(config)):
        _hub.opened.clear()
        dataset = make(datasets, choice)
        data = dataset()
        opened, tables = list(_hub.opened), list(_hub.opened.values())
        origin = _of_hub([str(source) for source, _ in opened])
        local = getattr(dataset, "path", "") if choice.name == "file" else ""
        yield {
            "kind": "data",
            "name": str(choice),
            **origin,
            "revision": data.revision or data.digest,
            "licence": _licences(origin, "dataset"),
            "files": _listed([*_tables(tables), *_below(local)]),
        }
    for request in resolve(_tasks(config)):
        loaded = load(request)
        held = _tables(_held(getattr(loaded.task, "dataset", None)))
        read = files(request) if isinstance(request, LocalTask) else held
        yield {
            "kind": "task",
            "name": request.name,
            **_of_hub([] if isinstance(request, LocalTask) else [loaded.source]),
            "revision": str(loaded.source),
            "licence": str(getattr(loaded.task.metadata, "license", "") or ""),
            "files": _listed(read),
        }


def lacking(config: MatrixConfig) -> Iterator[tuple[str, str, str]]:
    """Return everything that a run of the matrix would miss, fetching nothing; call it offline.

    Yields:
        Kind, name and, where it is missing, why; an empty string where it is there.
    """
    encoder_choices, data_choices = expand_axes(config)
    things: list[tuple[str, Any, Any]] = [("encoder", c, encoders) for c in encoder_choices]
    things += [("data", c, datasets) for c in (*data_choices, *label_sources(config))]
    for kind, choice, registry in things:
        try:
            make(registry, choice).check()
        except (ValueError, OSError) as error:
            yield kind, str(choice), str(error)
        else:
            yield kind, str(choice), ""
    for request in resolve(_tasks(config)):
        yield "task", request.name, "; ".join(map(str, missing_data([request])))


def verify(manifest: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Compare the cache with a manifest, byte for byte.

    Yields:
        Name and problem of every file that is missing or another.
    """
    for row in manifest:
        for file in row["files"]:
            path = _found(file["path"])
            if not path.is_file():
                yield row["name"], f"{file['path']} is missing"
            elif path.stat().st_size != file["bytes"] or sha256([path]) != file["sha256"]:
                yield row["name"], f"{file['path']} is another file than the manifest's"


def read_manifest(path: Path) -> list[dict[str, Any]]:
    """Read what `fetch` gave.

    Raises:
        ValueError: If it is no manifest.
    """
    try:
        rows = json.loads(path.read_bytes())
        assert all({"kind", "name", "files"} <= row.keys() for row in rows)
    except (ValueError, TypeError, AttributeError, AssertionError) as error:
        raise ValueError(f"{path} is no manifest of nsbench prefetch: {error}") from None
    return list(rows)


def _tasks(config: MatrixConfig) -> list[Named]:
    tasks = evaluation_tasks(config.evaluation.tasks)
    dev = development_task(config.evaluation.dev, tasks)
    return [t for t in (*tasks, dev) if t not in ("own", "")]


def _home() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HOME)


def _folder(spec: Any) -> Path | None:
    source = getattr(spec, "source", "")
    return _sources.locate(source, getattr(spec, "revision", "") or None) if source else None


def _origin(source: str, folder: Path | None) -> dict[str, str]:
    """Repository and commit of an encoder that lies in the cache of the hub."""
    if folder is None or folder.parent.name != "snapshots":
        return {"repository": "", "commit": ""}
    return {"repository": source, "commit": folder.name}


def _of_hub(sources: Iterable[str]) -> dict[str, str]:
    """Repositories and commits of data sets, apart by spaces: ``owner/name@commit`` or as words."""
    found = [_SOURCE.search(source) for source in sources]
    pairs = dict.fromkeys((m["repository"], m["commit"]) for m in found if m)
    return {
        "repository": " ".join(repository for repository, _ in pairs),
        "commit": " ".join(commit for _, commit in pairs),
    }


def _licences(origin: Mapping[str, str], kind: str) -> str:
    """Return what the cards of repositories on the hub say, each licence once."""
    from huggingface_hub import hf_hub_download

    found: dict[str, None] = {}
    pairs = zip(origin["repository"].split(), origin["commit"].split(), strict=True)
    for name, commit in pairs:
        with suppress(OSError, ValueError):  # it has no card, or that is not in the cache
            card = hf_hub_download(
                name, "README.md", repo_type=kind, revision=commit, endpoint=hub.address()
            )
            found.setdefault(_licence(Path(card)))
    return " ".join(licence for licence in found if licence)


def _licence(card: Path | None) -> str:
    from huggingface_hub import metadata_load

    if card is None or not card.is_file():
        return ""
    with suppress(Exception):  # a card is its author's: what cannot be read says nothing
        said = (metadata_load(card) or {}).get("license", "")
        return " ".join(s for s in (said if isinstance(said, list) else [said]) if type(s) is str)
    return ""


def _held(value: Any) -> list[Any]:
    """All `datasets.Dataset` in the containers of a task."""
    if hasattr(value, "cache_files") and hasattr(value, "info"):
        return [value]
    inside = value.values() if isinstance(value, Mapping) else ()
    return [table for part in inside for table in _held(part)]


def _tables(tables: Iterable[Any]) -> list[Path]:
    return [Path(file["filename"]) for table in tables for file in table.cache_files]


def _below(local: str) -> list[Path]:
    path = Path(local).expanduser()
    return [] if not local else sorted(path.rglob("*")) if path.is_dir() else [path]


def _listed(paths: Iterable[Path]) -> list[dict[str, Any]]:
    out = []
    for path in sorted({p for p in paths if p.is_file()}):
        size, digest = path.stat().st_size, sha256([path])
        out.append({"path": _named(path), "bytes": size, "sha256": digest})
    return out


def _named(path: Path) -> str:
    """A file as another machine finds it: below the cache, in a package, or as it was named."""
    if path.absolute().is_relative_to(_home().absolute()):
        return path.absolute().relative_to(_home().absolute()).as_posix()
    for folder in _package_folders():
        if path.is_relative_to(folder):
            return PACKAGE + path.relative_to(folder).as_posix()
    return path.as_posix() if path.is_absolute() else LOCAL + path.as_posix()


def _found(name: str) -> Path:
    """Return the place of a file of a manifest, present or not, on this machine."""
    if name.startswith(LOCAL):
        return Path(name.removeprefix(LOCAL))
    if name.startswith(PACKAGE):
        places = [folder / name.removeprefix(PACKAGE) for folder in _package_folders()]
        return next((p for p in places if p.is_file()), places[0])
    return _home() / name


def _package_folders() -> list[Path]:
    named = [Path(p) for p in sys.path if Path(p).name in ("site-packages", "dist-packages")]
    return [*named, Path(sysconfig.get_path("purelib"))]
