"""A folder of wheels for a GPU machine without a network: nsbench and what that machine lacks.

    python -m tools.wheels OUT [--python 3.12] [--extras gpu ...] [--have FILE]

``FILE`` is what ``pip list --format=freeze`` prints there; packages that it names are left out,
regardless of their version. With the extra ``gpu``, faiss-gpu takes the place of faiss-cpu: the two
write the same files. On the machine: ``pip install --no-index --no-deps OUT/*.whl``.
"""

import argparse
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CPU, GPU = "faiss-cpu", "gpu"
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")


def wanted(project: Mapping[str, Any], extras: Sequence[str]) -> list[str]:
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
    return [n for n in needs if GPU not in extras or Requirement(n).name != CPU]


def lacking(report: Mapping[str, Any], have: str) -> list[str]:
    """Return what of pip's report a machine lacks, as ``name==version``.

    Args:
        report: Of ``pip install --dry-run --report``.
        have: What ``pip list --format=freeze`` prints there.
    """
    lines = (line.split("==")[0].strip() for line in have.splitlines())
    there = {canonicalize_name(name) for name in lines if name}
    found = [item["metadata"] for item in report["install"]]
    return [
        f"{m['name']}=={m['version']}" for m in found if canonicalize_name(m["name"]) not in there
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
        needs = wanted(project, given.extras)
    except ValueError as error:
        parser.error(str(error))
    have = given.have.read_text(encoding="utf-8") if given.have else ""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    there = ["--only-binary=:all:", "--python-version", given.python, "--implementation", "cp"]
    there += [f"--platform={name}_x86_64" for name in PLATFORMS]
    asked = ["install", "--dry-run", "--ignore-installed", "--target=unused", "--report=-"]
    report = subprocess.run([*pip, *asked, *there, *needs], check=True, stdout=subprocess.PIPE)
    missing = lacking(json.loads(report.stdout), have)
    given.out.mkdir(parents=True, exist_ok=True)
    to = str(given.out)
    if missing:
        subprocess.run([*pip, "download", "--no-deps", "--dest", to, *there, *missing], check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", to, str(ROOT)], check=True)
    sys.stdout.write("".join(f"{path.name}\n" for path in sorted(given.out.glob("*.whl"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
