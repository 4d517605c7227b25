"""A folder of wheels for a GPU machine without a network: nsbench and what that machine lacks.

    python -m tools.wheels OUT [--python 3.12] [--extras gpu ...] [--have FILE]

``FILE`` is what ``pip list --format=freeze`` prints there; packages that it names are left out,
regardless of their version, and so is what only they need. With the extra ``gpu``, faiss-gpu takes
the place of faiss-cpu: the two write the same files. Versions are those of ``constraints.txt``. On
the machine: ``pip install --no-index --no-deps OUT/*.whl``.
"""

import argparse
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CPU, GPU = "faiss-cpu", "gpu"
GLIBC = (39, 35, 34, 31, 28, 27, 24, 17)  # minor versions whose wheels a recent Linux runs


def wanted(project: Mapping[str, Any], extras: Sequence[str]) -> list[Requirement]:
    """Return the requirements of a project and some of its extras.

    Args:
        project: The table ``project`` of its pyproject.toml.
        extras: Names.

    Raises:
        ValueError: If there is no such extra.
    """
    optional = project["optional-dependencies"]
    for extra in extras:
        if extra not in optional:
            raise ValueError(f"there is no extra {extra!r}: {', '.join(optional)}")
    needs = [*project["dependencies"], *(need for extra in extras for need in optional[extra])]
    found = [Requirement(need) for need in needs]
    return [r for r in found if GPU not in extras or r.name != CPU]


def named(have: str) -> set[str]:
    """Return the packages that ``pip list --format=freeze`` names."""
    lines = (line.split("==")[0].strip() for line in have.splitlines())
    return {canonicalize_name(name) for name in lines if name}


def needs_of(metadata: str, python: str, extras: Sequence[str] = ()) -> list[Requirement]:
    """Return what a wheel needs on Linux.

    Args:
        metadata: Text of its ``METADATA``.
        python: Version there, such as ``3.12``.
        extras: Its extras that are wanted.
    """
    there = {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }
    lines = HeaderParser().parsestr(metadata).get_all("Requires-Dist") or []
    return [
        found
        for found in map(Requirement, lines)
        if found.marker is None
        or any(found.marker.evaluate(there | {"extra": extra}) for extra in ("", *extras))
    ]


def closure(
    first: Sequence[Requirement],
    have: set[str],
    fetch: Callable[[Sequence[Requirement]], Mapping[str, str]],
    python: str,
) -> None:
    """Fetch wheels, then what they need, until nothing is missing.

    Args:
        first: What is asked for.
        have: Names of what is there.
        fetch: Gets wheels of some requirements, and gives their ``METADATA`` by name.
        python: Version there.
    """
    there, wave = set(have), list(first)
    while wave:
        merged: dict[str, Requirement] = {}
        for each in wave:
            name = canonicalize_name(each.name)
            if name not in there:
                known = merged.setdefault(name, each)
                known.specifier &= each.specifier
                known.extras |= each.extras
        there |= merged.keys()
        found = fetch(list(merged.values())) if merged else {}
        wave = [
            need
            for name, metadata in found.items()
            for need in needs_of(metadata, python, sorted(merged[name].extras))
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the wheels and print their names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("out", type=Path)
    parser.add_argument("--python", default="3.12", help="version on that machine")
    parser.add_argument("--extras", nargs="*", default=[GPU])
    parser.add_argument("--have", type=Path, help="file of what is installed there")
    given = parser.parse_args(arguments)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        first = wanted(project, given.extras)
    except ValueError as error:
        parser.error(str(error))
    have = named(given.have.read_text(encoding="utf-8") if given.have else "")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    to = ["--no-deps", f"--constraint={ROOT / 'constraints.txt'}", "--only-binary=:all:"]
    to += ["--dest", str(given.out), "--implementation=cp", "--python-version", given.python]
    to += [f"--platform=manylinux_2_{minor}_x86_64" for minor in GLIBC]
    to += ["--platform=manylinux2014_x86_64", "--platform=manylinux1_x86_64"]

    def fetch(needs: Sequence[Requirement]) -> dict[str, str]:
        before = set(given.out.glob("*.whl"))
        plain = [f"{need.name}{need.specifier}" for need in needs]
        subprocess.run([*pip, "download", *to, *plain], check=True)
        return dict(map(described, sorted(set(given.out.glob("*.whl")) - before)))

    given.out.mkdir(parents=True, exist_ok=True)
    if any(given.out.iterdir()):
        parser.error(f"{given.out} is not empty")
    closure(first, have, fetch, given.python)
    wheel = ["wheel", "--no-deps", "--wheel-dir", str(given.out), str(ROOT)]
    subprocess.run([*pip, *wheel], check=True)
    sys.stdout.write("".join(f"{path.name}\n" for path in sorted(given.out.glob("*.whl"))))
    return 0


def described(wheel: Path) -> tuple[str, str]:
    """Return a wheel's normalised name and its ``METADATA``."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = (n for n in file.namelist() if n.endswith(".dist-info/METADATA"))
        return canonicalize_name(wheel.name.split("-")[0]), file.read(name).decode()


if __name__ == "__main__":
    sys.exit(main())
