"""A new sampler is one file, and a plugin is the same file elsewhere: both in a real process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

EVERY_OTHER = '''"""Keep every other candidate of the ranking.

Source: an example of a sampler of one's own, from this project's README.
"""

from dataclasses import dataclass

from nsbench.samplers import Selection, SimilarityContext, at_least{imports}


{decorator}@dataclass(frozen=True)
class EveryOther:
    """Keep each candidate whose rank is a multiple of a step.

    Args:
        step: Distance between kept ranks, >= 1.
    """

    step: int = 2

    def __post_init__(self) -> None:
        at_least("every_other", "step", self.step, 1)

    def __call__(self, context: SimilarityContext) -> Selection:
        return Selection(mask=context.negative_mask & (context.ranks() % self.step == 0))
'''

MATRIX = """
schema = 1
name = "mine"
samplers = ["in_batch", { name = "every_other", step = [2, 4] }]
encoders = [{ name = "static", dimension = 16 }]
data = [{ name = "planted", rows = 200 }]
seeds = [1, 2]
[budget]
steps = 5
batch_size = 16
"""


def nsbench(*arguments: str, path: Path, check: bool = True) -> str:
    code = "from nsbench.analysis.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(path), "COLUMNS": "200"},
        cwd=path,
    )
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


@pytest.mark.slow
def test_one_new_file_reaches_list_contract_matrix_leaderboard_and_figures(tmp_path: Path) -> None:
    for folder in ("samplers", "benchmarks", "analysis"):
        shutil.copytree(ROOT / folder, tmp_path / "nsbench" / folder)
    text = EVERY_OTHER.format(imports=", register", decorator='@register("every_other")\n')
    assert len(text.splitlines()) < 40
    (tmp_path / "nsbench" / "samplers" / "every_other.py").write_text(text)

    rows = json.loads(nsbench("list", "samplers", "--json", path=tmp_path))
    mine = next(r for r in rows if r["name"] == "every_other")
    assert mine["parameters"][0]["default"] == 2
    assert "one's own" in mine["source"]

    contract = (
        "from nsbench.samplers import samplers\n"
        "from nsbench.samplers.testing import check_sampler\n"
        "assert 'every_other' in samplers\n"
        "check_sampler('every_other')\n"
    )
    subprocess.run(
        [sys.executable, "-c", contract],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )

    (tmp_path / "m.toml").write_text(MATRIX)
    nsbench("run", "m.toml", "--out", "out", "--workers", "1", path=tmp_path)
    nsbench("leaderboard", "out", path=tmp_path)
    board = (tmp_path / "out" / "leaderboard.csv").read_text()
    assert "every_other(step=4)" in board
    nsbench("plot", "out", path=tmp_path)
    drawn = list((tmp_path / "out" / "figures").glob("*.csv"))
    assert any("every_other" in p.read_text() for p in drawn)


def plugin(folder: Path, module: str, code: str) -> None:
    """Write a distribution with a sampler entry point, as pip would leave it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[nsbench.samplers]\n{module}_sampler = {module}:EveryOther\n"
    )


def test_plugin_is_found_by_its_entry_point_and_named_as_provider(tmp_path: Path) -> None:
    plugin(tmp_path, "goodplugin", EVERY_OTHER.format(imports="", decorator=""))
    rows = json.loads(nsbench("list", "samplers", "--json", path=tmp_path))
    mine = next(r for r in rows if r["name"] == "goodplugin_sampler")
    assert mine["provider"] == "goodplugin"


def test_broken_plugin_is_reported_and_takes_nobody_down(tmp_path: Path) -> None:
    plugin(tmp_path, "badplugin", "import does_not_exist\n")
    rows = json.loads(nsbench("list", "samplers", "--json", path=tmp_path))
    assert "in_batch" in {r["name"] for r in rows}
    shown = nsbench("doctor", path=tmp_path, check=False)
    assert "badplugin" in shown
    assert "does_not_exist" in shown
