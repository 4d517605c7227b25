"""docs/faults.md and docs/laws.md name tests and commits that exist; no row is left out."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import samplers

ROOT = Path(__file__).resolve().parent.parent
ROWS = {"M": 16, "N": 11, "A": 7, "E": 13, "S": 7, "R": 22}
"""Rows of each part."""


def rows() -> dict[str, tuple[str, str]]:
    """Tests and commit of each row, by its name."""
    text = (ROOT / "docs" / "faults.md").read_text("utf-8")
    lines = re.findall(r"^\| ([A-Z]\d+) \| .+? \| (`.+`) \| ([0-9a-f]{8}) \|$", text, re.M)
    return {name: (tests, commit) for name, tests, commit in lines}


@cache
def named_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_no_row_is_left_out() -> None:
    wanted = [f"{part}{n}" for part, count in ROWS.items() for n in range(1, count + 1)]
    assert list(rows()) == wanted


def laws() -> dict[str, str]:
    """Tests of each law of docs/laws.md, by the components that it is of."""
    text = (ROOT / "docs" / "laws.md").read_text("utf-8")
    table = text.partition("## Laws of the methods of 2022 to 2026")[2]
    return dict(re.findall(r"^\| (?!methods|---)(.+?) \| .+? \| (`.+`) \|$", table, re.M))


def test_laws_are_of_components_that_exist() -> None:
    registries = (samplers, objectives, candidates)
    there = {entry.name for registry in registries for entry in registry}
    named = {name for row in laws() for name in re.findall(r"`(\w+)`", row)}
    assert len(laws()) > 30
    assert named <= there, named - there


def test_every_row_names_tests_that_exist() -> None:
    cells = {row: cell for row, (cell, _) in rows().items()} | laws()
    for row, cell in cells.items():
        for named in cell.split("<br>"):
            file, *tests = re.findall(r"`(.+?)`", named)
            path = ROOT / "tests" / file
            assert path.is_file(), f"{row}: {file}"
            there = named_in(path)
            assert set(tests) <= there, f"{row}: {file} has no {tests}"
            assert any(name.startswith("test_") for name in there)


def test_every_row_names_a_commit_of_this_history() -> None:
    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    if git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("no history here")
    known = {commit[:8] for commit in git("rev-list", "HEAD").split()}
    assert {row: commit for row, (_, commit) in rows().items() if commit not in known} == {}
