"""The release workflow, as far as a machine without its runner can follow it."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))


def steps() -> list[dict[str, Any]]:
    return list(WORKFLOW["jobs"]["build"]["steps"])


def shell(command: str, **env: str) -> int:
    """A step's line as the runner gives it to bash, in the repository."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    call = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", command]
    done = subprocess.run(call, cwd=ROOT, env=os.environ | {"PATH": path} | env, check=False)
    return done.returncode


def test_only_a_tag_releases_and_only_after_the_checks() -> None:
    assert WORKFLOW[True] == {"push": {"tags": ["v*"]}}  # YAML reads the key "on" as a truth value
    publish = WORKFLOW["jobs"]["publish"]
    assert publish["needs"] == "build"
    assert publish["permissions"] == {"id-token": "write"}
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert all(("run" in step) != ("uses" in step) for step in steps())


def test_the_targets_that_are_made_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    named = [w for s in steps() for w in re.findall(r"^make (.*)$", s.get("run", ""), re.MULTILINE)]
    targets = {word for line in named for word in line.split()}
    assert {"check", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_a_tag_that_is_not_the_version_stops_the_release_first() -> None:
    (step,) = [s for s in steps() if s.get("name") == "The tag is the version"]
    assert next(s for s in steps() if "run" in s) == step  # before what takes long
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    assert shell(step["run"], GITHUB_REF_NAME=f"v{version[1]}") == 0
    assert shell(step["run"], GITHUB_REF_NAME=f"v{version[1]}.1") != 0
    assert shell(step["run"], GITHUB_REF_NAME=version[1]) != 0


def built(tree: Path, out: Path) -> Path:
    """The wheel that pip makes of a tree or an sdist."""
    words = ["pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(out), str(tree)]
    subprocess.run([sys.executable, "-m", *words], check=True)
    (wheel,) = out.glob("*.whl")
    return wheel


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as file:
        return {n: file.read(n) for n in file.namelist() if not n.endswith("/RECORD")}


@pytest.mark.slow
def test_the_wheel_of_the_sdist_is_that_of_the_tree_and_runs_alone(tmp_path: Path) -> None:
    """`python -m build` makes the wheel out of the sdist: what that leaves out is lost."""
    tree = tmp_path / "tree"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tree)], check=True)
    make = "from setuptools import build_meta; build_meta.build_sdist('dist')"
    subprocess.run([sys.executable, "-c", make], cwd=tree, check=True, capture_output=True)
    (sdist,) = (tree / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as file:
        assert not [n for n in file.getnames() if "/tests" in n]
    wheel = built(sdist, tmp_path / "of-sdist")
    assert content(wheel) == content(built(tree, tmp_path / "of-tree"))
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "alone")
    code = "import nsbench.analysis as a; from nsbench.analysis.cli.main import main"
    code += "; print(a.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; main()", "run", "smoke"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "alone")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "alone") in done.stdout.splitlines()[0]
    assert "done in out" in done.stdout
