"""Components of one's own: a file by path, a written skeleton, an installed package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from running import COMMAND, python

from nsbench.benchmarks.cli.plugins import check_plugin as check_command
from nsbench.benchmarks.cli.plugins import plugin_paths
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.testing.data import DATA_SETS
from nsbench.benchmarks.testing.encoders import ENCODERS
from nsbench.benchmarks.testing.plugins import check_plugin, new_sampler
from nsbench.samplers import PLUGIN_PATH, UnknownNameError, samplers
from nsbench.samplers._plugins import load_plugin_paths
from nsbench.samplers.testing import ContractError

ROOT = Path(__file__).resolve().parents[3]


def run(*command: str, path: str = "", cwd: Path, ok: bool = True) -> str:
    """A Python process that has ``path`` before its own packages."""
    env = {k: v for k, v in os.environ.items() if k != PLUGIN_PATH}
    done = python(*command, cwd=cwd, env=env | {"PYTHONPATH": path, "COLUMNS": "200"})
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


NSBENCH = ("-c", COMMAND)


def test_plugin_path_may_stand_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.touch()
    two.touch()
    monkeypatch.setenv(PLUGIN_PATH, "a.module")
    words = ["nsbench", "--plugin-path", str(one), "run", "m.toml"]
    words += [f"--plugin-path={two}", "-o", "x"]
    plugin_paths(words)
    assert words == ["nsbench", "run", "m.toml", "-o", "x"]
    assert os.environ[PLUGIN_PATH].split(os.pathsep) == ["a.module", str(one), str(two)]
    with pytest.raises(ValueError, match="there is no such file"):
        plugin_paths(["nsbench", "list", "--plugin-path", "missing.py"])
    with pytest.raises(ValueError, match="needs a file"):
        plugin_paths(["nsbench", "list", "--plugin-path"])


@pytest.mark.slow
def test_a_written_sampler_works_as_it_stands(tmp_path: Path) -> None:
    files = new_sampler("my_own", tmp_path)
    assert [f.name for f in files] == ["my_own.py", "test_my_own.py"]
    said = run(*NSBENCH, "check-plugin", "my_own", "--plugin-path", "my_own.py", cwd=tmp_path)
    assert "laws hold" in said
    assert "broken" not in said
    assert "2 passed" in run("-m", "pytest", "-q", "test_my_own.py", cwd=tmp_path)
    rows = run(*NSBENCH, "list", "samplers", "--json", "--plugin-path", "my_own.py", cwd=tmp_path)
    assert "my_own" in {row["name"] for row in json.loads(rows)}
    (tmp_path / "m.toml").write_text(
        'schema = 1\nsamplers = ["my_own"]\nseeds = [1, 2]\nno_training = false\n'
        'encoders = [{ name = "static", dimension = 8 }]\n'
        'data = [{ name = "planted", rows = 80 }]\n'
        "[budget]\nsteps = 2\nbatch_size = 8\n"
    )
    said = run(
        *NSBENCH, "run", "m.toml", "--workers", "2", "--plugin-path", "my_own.py", cwd=tmp_path
    )
    assert "2 done" in said  # worker processes know it, too


def test_a_skeleton_is_never_written_over(tmp_path: Path) -> None:
    new_sampler("my_own", tmp_path)
    (tmp_path / "my_own.py").write_text("mine")
    with pytest.raises(ValueError, match="is there already"):
        new_sampler("my_own", tmp_path)
    assert (tmp_path / "my_own.py").read_text() == "mine"
    for name in ("MyOwn", "../x", "class", "a b"):
        with pytest.raises(ValueError, match="lower case with underscores"):
            new_sampler(name, tmp_path)
    with pytest.raises(ValueError, match="there is a sampler 'hard' already"):
        new_sampler("hard", tmp_path)


def test_check_plugin_names_every_law_and_the_nearest_name() -> None:
    verdicts = list(check_plugin("in_batch"))
    assert {v.kind for v in verdicts} == {"sampler"}
    assert len({v.law for v in verdicts}) == len(verdicts) > 10
    assert not any(v.problem for v in verdicts)
    with pytest.raises(UnknownNameError, match="Did you mean 'semi_hard'"):
        list(check_plugin("semihard"))


BROKEN = '''
from dataclasses import dataclass
from nsbench.samplers import Selection, register

@register("takes_the_positive")
@dataclass(frozen=True)
class TakesThePositive:
    """Keep everything, the positive as well."""

    def __call__(self, context):
        return Selection(mask=context.similarity > -2)
'''


def test_a_broken_law_is_told_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "takes_it.py").write_text(BROKEN)
    monkeypatch.setenv(PLUGIN_PATH, str(tmp_path / "takes_it.py"))
    load_plugin_paths()
    try:
        with pytest.raises(typer.Exit) as ended:
            check_command("takes_the_positive")
    finally:
        del samplers._entries["takes_the_positive"]
    assert ended.value.exit_code == 1
    said = capsys.readouterr().out
    assert "broken" in said
    assert "ok" in said


def test_a_plugin_file_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad_plugin.py"
    path.write_text("import does_not_exist\n")
    monkeypatch.setenv(PLUGIN_PATH, str(path))
    for _ in range(2):  # it is not taken for imported
        with pytest.raises(ValueError, match=r"bad_plugin.py cannot be imported.*does_not_exist"):
            load_plugin_paths()


@pytest.mark.parametrize(("name", "given"), [("static", {"dimension": 8}), ("tiny", {})])
def test_encoders_keep_their_contract(name: str, given: dict[str, int]) -> None:
    ENCODERS.check(name, **given)


def test_planted_keeps_the_contract_of_data() -> None:
    DATA_SETS.check("planted", rows=60)


def test_contracts_of_data_and_encoders_see_what_is_broken() -> None:
    from dataclasses import replace

    import numpy as np

    made = datasets.make("planted", rows=20)

    class Broken:
        def __init__(self, **changes: object) -> None:
            self.changes = changes

        def check(self) -> None: ...

        def tests(self) -> list[object]:
            return []

        def dev(self) -> None:
            return None

        def __call__(self) -> object:
            return replace(made(), **self.changes)  # type: ignore[arg-type]

    data = made()
    out = np.full(data.rows, len(data.texts))
    for changes, message in (
        ({"anchor": out}, "anchor points outside"),
        ({"texts": ("", *data.texts[1:])}, "empty or no strings"),
        ({"negatives": data.positive[:, None]}, "as a negative"),
    ):
        with pytest.raises(ContractError, match=message):
            DATA_SETS.check(Broken(**changes))  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_example_package_reaches_every_table(tmp_path: Path) -> None:
    """Installed from its own folder: list, contract, matrix, leaderboard, report, docs table."""
    import shutil

    source = tmp_path / "plugin"
    shutil.copytree(ROOT / "examples" / "plugin", source)
    site = str(tmp_path / "site")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    if subprocess.run([*pip[:3], "--version"], capture_output=True, check=False).returncode:
        pytest.skip("no pip in this environment")
    subprocess.run([*pip, "--target", site, str(source)], check=True, cwd=tmp_path)
    rows = json.loads(run(*NSBENCH, "list", "--json", path=site, cwd=tmp_path))
    for kind, name in (
        ("samplers", "every_other"),
        ("objectives", "margin_softplus"),
        ("augmentations", "keep_first"),
    ):
        (mine,) = [row for row in rows[kind] if row["name"] == name]
        assert mine["provider"] == "nsbench-example"
        said = run(*NSBENCH, "check-plugin", name, path=site, cwd=tmp_path)
        assert "broken" not in said
    assert "3 passed" in run("-m", "pytest", "-q", str(source / "tests"), path=site, cwd=tmp_path)
    matrix = str(source / "matrix.toml")
    run(*NSBENCH, "run", matrix, "-o", "out", "--workers", "1", path=site, cwd=tmp_path)
    # The records alone are enough for what follows: no plugin is installed for it.
    run(*NSBENCH, "leaderboard", "out", cwd=tmp_path)
    board = (tmp_path / "out" / "leaderboard.csv").read_text()
    assert "every_other(step=4)" in board
    assert "margin_softplus" in board
    run(*NSBENCH, "report", "out", cwd=tmp_path)
    assert "every_other" in (tmp_path / "out" / "report.html").read_text()
    document = tmp_path / "table.md"
    document.write_text("<!-- table: plugins -->\n<!-- end -->\n")
    run("-m", "tools.readme", str(document), path=f"{site}{os.pathsep}{ROOT}", cwd=tmp_path)
    text = document.read_text()
    assert "every_other" in text
    assert "nsbench-example" in text
    assert "keep_first" in text
