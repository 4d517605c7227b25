"""The house keeps its own rules: rooms, floors, sizes, and a wheel that holds what it should."""

import ast
import io
import re
import subprocess
import sys
import tokenize
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from running import python

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("samplers", "benchmarks", "analysis")
MAY_IMPORT = {
    "samplers": {"samplers"},
    "benchmarks": {"samplers", "benchmarks"},
    "analysis": {"samplers", "benchmarks", "analysis"},
}

FLOORS = {
    "benchmarks": (
        ("device", "files", "hub", "keys", "precision", "seeds"),  # loose modules, no torch
        ("records",),
        ("data", "objectives", "search"),
        ("augmentations", "regimes"),
        ("encoders",),
        ("contrast",),
        ("difficulty",),
        ("mining",),
        ("evaluation",),
        ("candidates",),
        ("matrix",),
        ("training",),
        ("runs",),
        ("adapters", "audit", "export", "testing"),
        ("cli",),
    ),
    "analysis": (
        ("statistics",),
        ("read",),
        ("tables",),
        ("figures",),
        ("report",),
        ("recommend",),
        ("cli",),
    ),
}
"""A room imports its own files and rooms of lower floors, wherever an import stands."""

LINES_OF_A_FILE = 400
LINES_OF_A_FUNCTION = 60
PARAMETERS = 8
EXCEPTIONS: dict[str, str] = {
    "benchmarks/search/kernel.py:_scores": "a Triton kernel: its arguments are pointers and sizes",
    "benchmarks/search/kernel.py:scan_kernel": "a Triton kernel",
    "benchmarks/search/kernel.py:maxima_kernel": "a Triton kernel",
    "benchmarks/search/kernel.py:collect_kernel": "a Triton kernel",
}
"""``path:function`` that is longer or wider, with the reason."""


STATE = {
    "analysis/figures/registry.py:_registered",
    "benchmarks/adapters/_progress.py:_counted",
    "benchmarks/cli/main.py:extra_kinds",
    "benchmarks/cli/matrix.py:after_run",
    "benchmarks/data/_hub.py:opened",
    "benchmarks/hub.py:_silent",
    "benchmarks/records/claims.py:_held",
    "benchmarks/records/claims.py:_watched",
    "benchmarks/runs/cell_log.py:_before",
    "benchmarks/runs/cell_log.py:_open",
    "benchmarks/search/kernel.py:_chosen",
    "samplers/_plugins.py:_imported",
}
"""Module-level collections that are filled later: registers and state, none of them a cache."""


@cache
def modules() -> dict[str, Path]:
    """Import name of every module of the product."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[f"nsbench.{name}"] = path
    return found


def imported(path: Path) -> set[str]:
    """Modules that a file imports, inside functions and under ``TYPE_CHECKING`` too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path} has a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in modules() else node.module)
    return names


def room_of(module: str) -> tuple[str, str]:
    """Package and room: ``nsbench.benchmarks.data.file`` lies in benchmarks, data."""
    _, package, *rest = module.split(".")
    return package, rest[0] if rest else ""


def arrows() -> list[tuple[str, str]]:
    """Every import of one of our modules by another."""
    return [
        (module, name)
        for module, path in modules().items()
        for name in sorted(imported(path))
        if name.startswith("nsbench.") and name != module
    ]


def test_packages_import_one_way() -> None:
    for module, name in arrows():
        package = room_of(module)[0]
        assert room_of(name)[0] in MAY_IMPORT[package], f"{module} imports {name}"


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_import_lower_floors_only(package: str) -> None:
    floor = {room: n for n, rooms in enumerate(FLOORS[package]) for room in rooms}
    seen = 0
    for module, name in arrows():
        (home, mine), (there, other) = room_of(module), room_of(name)
        if home != package or there != package or mine == other or not mine or not other:
            continue
        seen += 1
        assert floor[other] < floor[mine], f"{module} (floor {floor[mine]}) imports {name}"
    assert seen > 50


@pytest.mark.parametrize("package", FLOORS)
def test_every_module_lies_in_a_room_and_every_room_says_what_for(package: str) -> None:
    rooms = [room for rooms in FLOORS[package] for room in rooms]
    loose = [path.stem for path in (ROOT / package).glob("*.py") if path.stem != "__init__"]
    assert set(loose) <= set(FLOORS[package][0])
    assert len(loose) <= 8
    folders = [path.name for path in (ROOT / package).iterdir() if list(path.glob("*.py"))]
    assert sorted([*folders, *loose]) == sorted(rooms)
    for name in folders:
        text = ast.get_docstring(ast.parse((ROOT / package / name / "__init__.py").read_text()))
        assert text
        assert text.split("\n")[0].endswith("."), f"{package}/{name} has no one-line purpose"


def test_no_module_imports_itself_through_others() -> None:
    below = defaultdict(set)
    for module, name in arrows():
        if not module.startswith(f"{name}."):  # a package's own face, which imports the module
            below[module].add(name)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in sorted(below[module]):
                visit(name, (*path, module))
            done.add(module)

    for module in modules():
        visit(module, ())


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in modules().values()
        if (count := len(path.read_text("utf-8").splitlines())) > LINES_OF_A_FILE
    }
    assert long == {}


def code_lines(text: str) -> set[int]:
    """Numbers of the lines that hold code: no comments, no docstrings, no blank lines."""
    empty = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in empty:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            found -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return found


def test_functions_are_short_and_take_few_parameters() -> None:
    found = {}
    for path in modules().values():
        text = path.read_text("utf-8")
        lines = code_lines(text)
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef):
                continue
            given = node.args
            names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            names += [a.arg for a in (given.vararg, given.kwarg) if a]
            wide = len([n for n in names if n not in ("self", "cls")])
            size = len(lines & set(range(node.lineno, (node.end_lineno or 0) + 1)))
            if size > LINES_OF_A_FUNCTION or wide > PARAMETERS:
                found[f"{path.relative_to(ROOT)}:{node.name}"] = (size, wide)
    assert {name: size for name, size in found.items() if name not in EXCEPTIONS} == {}
    assert set(EXCEPTIONS) <= set(found), "an exception that is none any more"


def filled_later(tree: ast.Module) -> Iterator[str]:
    """Names of the empty collections that a module makes when it is imported."""
    kinds = r"(\w+\.)?(set|dict|list|deque|\w*[dD]ict|Weak\w+)\(.*\)"
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        if re.fullmatch(rf"{{}}|\[\]|{kinds}", ast.unparse(node.value)):
            yield ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)


def test_what_a_process_remembers_is_bounded_and_known_by_name() -> None:
    found = set()
    for path in modules().values():
        text, where = path.read_text("utf-8"), path.relative_to(ROOT)
        caches = re.findall(r"\blru_cache\b|import functools|functools import .*\bcache\b", text)
        assert not caches, f"{where} caches without samplers/_cache.py: {caches}"
        found |= {f"{where}:{name}" for name in filled_later(ast.parse(text))}
    assert found == STATE


LATE = {
    "samplers/_inner.py": "the registry of samplers imports it",
    "benchmarks/objectives/_inner.py": "the registry of objectives imports it",
    "benchmarks/search/exact.py": "faiss and Triton are optional",
    "benchmarks/search/fused.py": "Triton is optional",
    "benchmarks/runs/executors/base.py": "torch: a run is planned without it",
    "benchmarks/runs/executors/beside.py": "torch, in the process that trains",
    "benchmarks/runs/executors/local.py": "torch, in the process that trains",
    "benchmarks/runs/executors/team.py": "torch: executors are listed without it",
}
"""Files outside of the rooms of commands that import modules of ours inside functions, and why."""


def test_imports_inside_functions_spare_something() -> None:
    late = re.compile(r"^ {4,}(?:from|import) nsbench\b", re.M)
    found = set()
    for path in modules().values():
        text = re.sub(r"^if TYPE_CHECKING:\n(?: .*\n|\n)*", "", path.read_text("utf-8"), flags=re.M)
        code = re.sub(r'""".*?"""', "", text, flags=re.S)
        if late.search(code) and not {"cli", "recommend"} & {*path.relative_to(ROOT).parts}:
            found.add(str(path.relative_to(ROOT)))
    assert found == set(LATE)


MAY_WATCH_THE_CLOCK = {
    "tests/running.py": "`until`: the one loop that waits, with a limit that only a hang reaches",
    "tests/test_fuzz.py": "random input for as many seconds as asked for, at least once",
    "tests/benchmarks/runs/test_faults_of_workers.py": "Ctrl-C at some moments; any will do",
}
"""Tests that sleep or read a clock, with the reason why a slow machine changes no outcome."""


def test_no_test_depends_on_the_clock() -> None:
    found = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        calls = r"\bsleep\(|\b(?:monotonic|perf_counter)\(\)|timeout=(?!HANG\b)"
        calls += r"|wait_for_function"  # polls by eval, which the report's policy forbids
        hits = re.findall(calls, path.read_text("utf-8"))
        if hits and path != Path(__file__):
            found[str(path.relative_to(ROOT))] = hits
    assert found.keys() - MAY_WATCH_THE_CLOCK.keys() == set(), found
    assert MAY_WATCH_THE_CLOCK.keys() <= found.keys(), "an exception that is none any more"


def test_samplers_need_torch_and_the_standard_library_only() -> None:
    allowed = {"torch", "nsbench", *sys.stdlib_module_names}
    for path in (ROOT / "samplers").glob("*.py"):
        for name in imported(path):
            assert name.split(".")[0] in allowed, f"{path} imports {name}"


def test_only_its_own_room_imports_mteb() -> None:
    for module, path in modules().items():
        if not module.startswith("nsbench.benchmarks.evaluation.mteb."):
            assert not any(n.split(".")[0] == "mteb" for n in imported(path)), path


def test_what_reads_results_leaves_torch_alone() -> None:
    cheap = [f"nsbench.benchmarks.{name}" for name in FLOORS["benchmarks"][0]]
    cheap += [m for m in modules() if m.startswith(("nsbench.benchmarks.records", "nsbench.an"))]
    code = f"import sys, importlib\nfor m in {cheap}: importlib.import_module(m)\n"
    code += "sys.exit(' '.join({'torch', 'mteb'} & set(sys.modules)) or 0)"
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_bare_folder_names_cannot_make_a_second_registry(package: str) -> None:
    done = python("-c", f"import {package}", cwd=ROOT)
    assert done.returncode != 0
    assert f"import nsbench.{package}" in done.stderr


def test_packages_are_found() -> None:
    code = "import sys, setuptools; setuptools.setup = lambda **k: print(*k['packages'])\n"
    code += "exec(open('setup.py').read())"
    done = python("-c", code, cwd=ROOT, check=True)
    there = {name for name, path in modules().items() if path.name == "__init__.py"}
    assert set(done.stdout.split()) == {"nsbench", *there}


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
        if path.suffix in (".py", ".toml", ".j2", ".js") or path.name == "py.typed"
    }
    assert wanted | {"nsbench/__init__.py"} <= code


def test_nothing_personal_is_committed() -> None:
    done = subprocess.run(
        ["git", "grep", "-nIE", r"/work/|/root/|/home/[a-z]+/|\.library|farm-(bench|studio)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    hits = [x for x in done.stdout.splitlines() if not x.startswith("tests/test_house.py")]
    assert not hits, hits
