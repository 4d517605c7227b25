"""The house keeps its own rules: imports run one way, the wheel holds what it should."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("samplers", "benchmarks", "analysis")
MAY_IMPORT = {
    "samplers": {"samplers"},
    "benchmarks": {"samplers", "benchmarks"},
    "analysis": {"samplers", "benchmarks", "analysis"},
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    for path in modules(package):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "nsbench" and len(parts) > 1:
                assert parts[1] in MAY_IMPORT[package], f"{path} imports {name}"


def test_samplers_need_torch_and_the_standard_library_only() -> None:
    allowed = {"torch", "nsbench", *sys.stdlib_module_names}
    for path in modules("samplers"):
        if path.name == "testing.py":
            continue  # the contract suite may ask for pytest-like helpers
        for name in imported(path):
            assert name.split(".")[0] in allowed, f"{path} imports {name}"


def test_only_the_adapter_imports_mteb() -> None:
    for package in PACKAGES:
        for path in modules(package):
            if path.name in ("mteb_adapter.py", "mteb_tasks.py"):
                continue
            assert not any(n.split(".")[0] == "mteb" for n in imported(path)), path


def test_analysis_leaves_torch_alone() -> None:
    code = "import sys, nsbench.analysis, nsbench.analysis.load; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_bare_folder_names_cannot_make_a_second_registry() -> None:
    code = "import samplers"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "import nsbench.samplers" in done.stderr


def test_packages_list_matches_the_tree() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    listed = set(settings["tool"]["setuptools"]["packages"])
    there = {
        "nsbench." + ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert listed == there


@pytest.mark.slow
def test_wheel_contains_nsbench_only_and_all_of_it(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(ROOT)],
        check=True,
    )
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    code = {n for n in names if ".dist-info/" not in n}
    assert all(n.startswith("nsbench/") for n in code)
    wanted = {
        "nsbench/" + str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".toml", ".j2") or path.name == "py.typed"
    }
    assert wanted <= code


def test_nothing_personal_is_committed() -> None:
    done = subprocess.run(
        ["git", "grep", "-nIE", r"/work/|/root/|/home/[a-z]+/|\.library"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    hits = [line for line in done.stdout.splitlines() if not line.startswith("tests/test_house.py")]
    assert not hits, hits
