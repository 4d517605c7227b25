"""Says what is here and what is missing before anything trains."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

Level = Literal["ok", "note", "bad"]
NEEDED = ("torch", "transformers", "mteb", "datasets", "pandas", "pyarrow", "scipy", "faiss-cpu")


def examine(config: str = "") -> Iterator[tuple[Level, str]]:
    """Check the installation and, if one is named, a matrix file.

    Args:
        config: Path of a matrix file or name of a suite; empty to check the installation only.

    Yields:
        A level and a sentence.
    """
    yield "ok", f"python {platform.python_version()}"
    for name in NEEDED:
        try:
            yield "ok", f"{name} {version(name)}"
        except PackageNotFoundError:
            yield "bad", f"{name} is not installed: pip install {name}"
    yield from _device()
    yield from _hub()
    yield from _plugins()
    if config:
        yield from _matrix(config)


def _device() -> Iterator[tuple[Level, str]]:
    import torch

    if torch.cuda.is_available():
        yield "ok", f"device: {torch.cuda.get_device_name()}"
    else:
        yield "ok", f"device: CPU, {os.cpu_count()} cores"


def _hub() -> Iterator[tuple[Level, str]]:
    from nsbench.benchmarks.encoders import _sources

    home = os.environ.get("HF_HOME", "the default folder")
    if _sources.offline():
        yield "note", f"HF_HUB_OFFLINE is set: only what is in the cache ({home}) can be loaded"
    else:
        yield "ok", f"the hub may be used; cache in {home}"


def _plugins() -> Iterator[tuple[Level, str]]:
    from nsbench.benchmarks.augmentations import augmentations
    from nsbench.benchmarks.objectives import objectives
    from nsbench.samplers import samplers

    for registry in (samplers, objectives, augmentations):
        names = registry.names()
        yield "ok", f"{len(names)} {registry.kind}s"
        for name, reason in registry.broken.items():
            yield "bad", f"plugin {registry.kind} {name!r} cannot be imported: {reason}"


def _called(task: Any) -> str:
    return str(getattr(task, "name", task))


def _matrix(config: str) -> Iterator[tuple[Level, str]]:
    from nsbench.benchmarks.config import load_config
    from nsbench.benchmarks.evaluate import check_available, check_dev, check_tasks
    from nsbench.benchmarks.local_tasks import development_task, evaluation_tasks
    from nsbench.benchmarks.matrix import expand

    try:
        settings = load_config(config)
        tasks = evaluation_tasks(settings.evaluation.tasks)
        dev = development_task(settings.evaluation.dev, tasks)
        names = [t for t in tasks if t != "own"]
        check_tasks(names)
        if dev not in ("", "own"):
            check_dev(dev)
    except (ValueError, OSError) as error:
        yield "bad", str(error)
        return
    missing = check_available(names)
    for line in missing:
        yield "bad", line
    if names and not missing:
        yield "ok", f"evaluation data of {', '.join(map(_called, names))}"
    try:
        planned = expand(settings)
    except (ValueError, FileNotFoundError) as error:
        yield "bad", str(error)
        return
    skipped = sum(bool(p.skip) for p in planned)
    yield "ok", f"{settings.name}: {len(planned)} cells, {skipped} of them skipped with a reason"
