"""Says what is here and what is missing before anything trains, with lines that mend it."""

import os
import platform
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import Literal

from packaging.requirements import Requirement

from nsbench.benchmarks import hub

Level = Literal["ok", "note", "bad"]
FAISS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cu11", "faiss-gpu-cuvs")
"""Builds of faiss, which all install the folder ``faiss``: one only can be there."""
FOR_DEVELOPERS = ("dev", "docs", "browser")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ``ok``, ``note`` (works, but worth knowing) or ``bad`` (something will fail).
        text: What was found.
        fix: Lines for a shell that mend it; may be empty.
    """

    level: Level
    text: str
    fix: tuple[str, ...] = ()


def examine(config: str = "") -> Iterator[Finding]:
    """Check the installation and, if one is named, what a matrix needs.

    Nothing is fetched: while this runs, the hub is off for this process, which should end with it.
    """
    asked = not hub.offline()
    reached = asked and hub.answers()
    hub.switch_off(silent=asked and not reached)
    yield Finding("ok", f"python {platform.python_version()}")
    yield from packages()
    yield from faiss_builds()
    yield from _device()
    yield from _cache(asked, reached)
    yield from _plugins()
    if config:
        yield from _matrix(config, reached)


def packages(owner: str = "nsbench") -> Iterator[Finding]:
    """Every package that ``owner`` asks for, and those of its extras."""
    try:
        needed = [Requirement(text) for text in requires(owner) or ()]
        extras = metadata(owner).get_all("Provides-Extra") or []
    except PackageNotFoundError:
        yield Finding(
            "bad", f"{owner} is not installed, only found as files", ("pip install -e .",)
        )
        return
    needed = [r for r in needed if r.name not in FAISS]  # `faiss_builds` reports on them
    for requirement in needed:
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            problem = _problem(requirement)
            plain = f"{requirement.name}{requirement.specifier}"
            fix = (f"pip install {shlex.quote(plain)}",) if problem else ()
            found = problem or f"{requirement.name} {version(requirement.name)}"
            yield Finding("bad" if problem else "ok", found, fix)
    for extra in extras:
        if extra in FOR_DEVELOPERS:
            continue
        asked = [r for r in needed if _of_extra(r, extra)]
        if not asked:
            continue
        problems = [p for p in map(_problem, asked) if p]
        if problems:
            # What is absent is only not used; what is there in another version will be, and fails.
            wrong = any(_installed(r) and _problem(r) for r in asked)
            level: Level = "bad" if wrong else "note"
            fix = (f"pip install '{owner}[{extra}]'",)
            yield Finding(level, f"extra {extra}: {'; '.join(problems)}", fix)
        else:
            there = ", ".join(
                f"{r.name} {version(r.name)} ({r.specifier or 'any version'})" for r in asked
            )
            yield Finding("ok", f"extra {extra}: {there}")


def faiss_builds() -> Iterator[Finding]:
    """Report the build of faiss, and if it can use a CUDA device that torch sees."""
    import torch

    there = [name for name in FAISS if _installed(Requirement(name))]
    device = torch.cuda.is_available()
    change = (f"pip uninstall -y {' '.join(there)}", f"pip install {FAISS[1 if device else 0]}")
    if not there:
        yield Finding("bad", "faiss is not installed", change[1:])
        return
    if len(there) > 1:
        text = f"{' and '.join(there)} are installed, and overwrite each other's files: keep one"
        yield Finding("bad", text, change)
        return
    about = f"{there[0]} {version(there[0])}"
    try:
        import faiss

        seen = getattr(faiss, "get_num_gpus", lambda: 0)()
    except Exception as error:  # a GPU build looks for the libraries of its CUDA
        yield Finding("bad", f"{about} cannot be imported: {error}")
        return
    if device and not seen:
        text = f"{about} cannot use the GPU: backend 'faiss' is refused there"
        yield Finding("note", f"{text}, k-means runs on the CPU", change)
    else:
        yield Finding("ok", about + (f", {seen} GPU" if seen else ""))


def _installed(requirement: Requirement) -> bool:
    try:
        version(requirement.name)
    except PackageNotFoundError:
        return False
    return True


def _of_extra(requirement: Requirement, extra: str) -> bool:
    marker = requirement.marker
    return (
        marker is not None
        and not marker.evaluate({"extra": ""})
        and marker.evaluate({"extra": extra})
    )


def _problem(requirement: Requirement) -> str:
    """Return the reason why an installed version will not do, or an empty string."""
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(found, prereleases=True):
        return ""
    return f"{requirement.name} {found} is installed, {requirement.specifier} is needed"


def _device() -> Iterator[Finding]:
    import torch

    if torch.cuda.is_available():
        yield Finding("ok", f"device: {torch.cuda.get_device_name()}")
    else:
        yield Finding("ok", f"device: CPU, {os.cpu_count()} cores")


def _cache(asked: bool, reached: bool) -> Iterator[Finding]:
    home = hub.home()
    if not asked:
        yield Finding("note", f"HF_HUB_OFFLINE is set: only what is in the cache {home} is used")
    elif reached:
        yield Finding("ok", f"the hub answers; cache in {home}")
    else:
        fix = ("export HF_HUB_OFFLINE=1",)
        text = f"{hub.why_off()}: only what is in the cache {home} can be used"
        yield Finding("note", text, fix)
    there = home
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK):
        fix = ("export HF_HOME=/a/folder/that/can/be/written",)
        yield Finding("note", f"the cache {home} cannot be written", fix)


def _plugins() -> Iterator[Finding]:
    from nsbench.benchmarks.matrix.plugin_code import REGISTRIES

    for registry in REGISTRIES:
        entries = list(registry)
        ours = [e for e in entries if not e.code]
        by = sorted({e.provider for e in entries if e.code})
        more = f", {len(entries) - len(ours)} from {', '.join(by)}" if by else ""
        yield Finding("ok", f"{len(ours)} {registry.kind}s{more}")
        for name, reason in registry.broken.items():
            text = f"plugin {registry.kind} {name!r} cannot be imported: {reason}"
            yield Finding("bad", text)


def _matrix(config: str, reached: bool) -> Iterator[Finding]:
    from nsbench.benchmarks.cli.prefetch import lacking
    from nsbench.benchmarks.device import pick_device
    from nsbench.benchmarks.encoders.products import slow_bf16
    from nsbench.benchmarks.evaluation.evaluate import check_dev
    from nsbench.benchmarks.matrix.expand import expand
    from nsbench.benchmarks.matrix.tune_file import named_matrix
    from nsbench.benchmarks.runs.checking import precisions

    try:
        settings = named_matrix(config)
        things = list(lacking(settings))
    except (ValueError, OSError) as error:
        yield Finding("bad", str(error))
        return
    optional = settings.evaluation.missing == "skip"
    missing = False
    for kind, name, reason in things:
        of_hub = "not in the cache" in reason
        if not reason:
            yield Finding("ok", f"{kind} {name}")
        elif kind == "task" and optional:
            yield Finding("note", f"{kind} {name} is left out: {reason}")
        elif reached and of_hub:
            yield Finding("note", f"{kind} {name} is not in the cache and will be fetched")
        else:
            missing = True
            yield Finding("bad", f"{kind} {name}: {reason}", fetching(config) if of_hub else ())
    if note := slow_bf16(precisions(settings), pick_device(settings.run.device)):
        yield Finding("note", note)
    if missing or any(reason and kind != "task" for kind, _, reason in things):
        return
    try:
        planned = expand(settings)
        dev = planned[0].cell.evaluation.dev
        if dev not in ("", "own"):
            check_dev(dev)
    except (ValueError, OSError) as error:
        yield Finding("bad", str(error))
        return
    skipped = sum(bool(p.skip) for p in planned)
    yield Finding("ok", f"{settings.name}: {len(planned)} cells, {skipped} skipped with a reason")


def fetching(config: str) -> tuple[str, ...]:
    """Lines that fill a cache elsewhere and bring it here."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    return (
        f"nsbench prefetch {shlex.quote(config)} --manifest manifest.json   # with a network",
        f'rsync -a "$HF_HOME/" HERE:{home}/   # from there to here; then:',
        f"nsbench prefetch {shlex.quote(config)} --check --manifest manifest.json",
    )


def fixes(findings: Iterable[Finding]) -> list[str]:
    """The lines of all findings that are bad, each once, in order."""
    lines: dict[str, None] = {}
    for finding in findings:
        if finding.level == "bad":
            lines.update(dict.fromkeys(finding.fix))
    return list(lines)
