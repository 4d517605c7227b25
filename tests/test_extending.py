"""A new sampler, objective or encoder is one file; a plugin is the same file elsewhere."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import python

ROOT = Path(__file__).resolve().parent.parent

EVERY_OTHER = '''"""Keep every other candidate of the ranking.

Source: an example of a sampler in one file.
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

HEAD = 'schema = 1\nname = "mine"\nseeds = [1, 2]\ndata = [{ name = "planted", rows = 200 }]\n'
STATIC = 'encoders = [{ name = "static", dimension = 16 }]\n'
TAIL = "[budget]\nsteps = 5\nbatch_size = 16\n"


def nsbench(*arguments: str, path: Path, check: bool = True) -> str:
    code = "from nsbench.analysis.cli.main import main; main()"
    done = python(
        "-c",
        code,
        *arguments,
        env=os.environ | {"PYTHONPATH": str(path), "PYTHONSAFEPATH": "1", "COLUMNS": "200"},
        cwd=path,
    )
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


SOFT_MARGIN = '''"""Softplus of the mean similarity gap.

Source: an example of an objective in one file.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nsbench.benchmarks.objectives import register
from nsbench.samplers import Selection, SimilarityContext, in_range


@register("soft_margin")
@dataclass(frozen=True)
class SoftMargin:
    """Compare the positive with every chosen negative.

    Args:
        sharpness: Slope at 0, in [0.1, 100].
    """

    sharpness: float = 10.0

    def __post_init__(self) -> None:
        in_range("soft_margin", "sharpness", self.sharpness, 0.1, 100)

    def __call__(
        self, similarity: Tensor, context: SimilarityContext, selection: Selection
    ) -> Tensor:
        s_pos = similarity.gather(1, context.positive[:, None])
        loss = torch.nn.functional.softplus(self.sharpness * (similarity - s_pos).float())
        weight = selection.mask.float()
        if selection.log_weight is not None:
            weight = weight * selection.log_weight.masked_fill(~selection.mask, 0).exp()
        return (loss * weight).sum(dim=1)
'''

MAX_POOLED = '''"""Token embeddings, max pooled.

Source: an example of an encoder in one file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.encoders import Encoder, register
from nsbench.benchmarks.encoders._vocabulary import word_tokenizer
from nsbench.samplers import at_least


class MaxPooledEncoder(Encoder):
    """Largest value of each dimension over the embeddings of a text's tokens."""

    has_positions = False
    special_tokens = False
    max_length = 128

    def __init__(self, tokenizer: object, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        self.tokenizer, self.width, self.dimension = tokenizer, dimension, dimension
        self.values = nn.Parameter(torch.randn(len(tokenizer), dimension, generator=generator))

    def forward(self, view: TokenView) -> Tensor:
        states = self.values[view.ids]  # (B, L, d)
        states = states if view.scale is None else states * view.scale
        states = states if view.shift is None else states + view.shift
        return states.masked_fill(~view.mask[:, :, None], -torch.inf).amax(dim=1)


@register("max_pooled")
@dataclass(frozen=True)
class MaxPooled:
    """A random token table, max pooled.

    Args:
        dimension: Width of the table, >= 2.
    """

    dimension: int = 16
    has_positions: ClassVar[bool] = False

    def __post_init__(self) -> None:
        at_least("max_pooled", "dimension", self.dimension, 2)

    def check(self) -> None:
        """Nothing can be missing."""

    def fingerprint(self) -> str:
        return "random"

    def build(self, corpus: Sequence[str], seed: int) -> MaxPooledEncoder:
        generator = torch.Generator().manual_seed(seed)
        tokenizer = word_tokenizer(corpus, special_tokens=False)
        return MaxPooledEncoder(tokenizer, self.dimension, generator)
'''


@dataclass(frozen=True)
class Extension:
    """One file that adds one component.

    Attributes:
        kind: What lists call it: ``samplers``, ``objectives`` ...
        name: Name of the component.
        path: The file, inside the package.
        code: Its text.
        parameter: Its first parameter and default, as lists show them.
        matrix: The matrix file's lines that use it.
        shown: How the leaderboard names one of its settings.
    """

    kind: str
    name: str
    path: str
    code: str
    parameter: tuple[str, float]
    matrix: str
    shown: str


EXTENSIONS = (
    Extension(
        "samplers",
        "every_other",
        "samplers/every_other.py",
        EVERY_OTHER.format(imports=", register", decorator='@register("every_other")\n'),
        ("step", 2),
        'samplers = ["in_batch", { name = "every_other", step = [2, 4] }]\n' + STATIC,
        "every_other(step=4)",
    ),
    Extension(
        "objectives",
        "soft_margin",
        "benchmarks/objectives/soft_margin.py",
        SOFT_MARGIN,
        ("sharpness", 10.0),
        'samplers = ["in_batch"]\nobjectives = ["info_nce", "soft_margin"]\n' + STATIC,
        "soft_margin",
    ),
    Extension(
        "encoders",
        "max_pooled",
        "benchmarks/encoders/max_pooled.py",
        MAX_POOLED,
        ("dimension", 16),
        'samplers = ["in_batch", "hard"]\nencoders = [{ name = "max_pooled", dimension = 8 }]\n',
        "max_pooled(dimension=8)",
    ),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages with one more file for each extension."""
    root = tmp_path_factory.mktemp("tree")
    for folder in ("samplers", "benchmarks", "analysis"):
        shutil.copytree(ROOT / folder, root / "nsbench" / folder)
    for extension in EXTENSIONS:
        (root / "nsbench" / extension.path).write_text(extension.code)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("added", EXTENSIONS, ids=lambda e: e.name)
def test_one_new_file_reaches_list_contract_matrix_leaderboard_and_figures(
    tree: Path, added: Extension, tmp_path: Path
) -> None:
    assert len(added.code.splitlines()) < 70
    rows = json.loads(nsbench("list", added.kind, "--json", path=tree))
    (mine,) = (row for row in rows if row["name"] == added.name)
    first = mine["parameters"][0]
    assert (first["name"], first["default"]) == added.parameter
    assert "in one file" in mine["source"]

    said = nsbench("check-plugin", added.name, path=tree)
    assert "laws hold" in said
    assert "broken" not in said

    matrix, out = str(tmp_path / "m.toml"), str(tmp_path / "out")
    Path(matrix).write_text(HEAD + added.matrix + TAIL)
    nsbench("run", matrix, "--out", out, "--workers", "1", path=tree)
    nsbench("leaderboard", out, path=tree)
    assert added.shown in (tmp_path / "out" / "leaderboard.csv").read_text()
    nsbench("plot", out, path=tree)
    drawn = list((tmp_path / "out" / "figures").glob("*.csv"))
    assert any(added.name in p.read_text() for p in drawn)


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


def test_broken_plugin_is_reported_and_the_others_stay(tmp_path: Path) -> None:
    plugin(tmp_path, "badplugin", "import does_not_exist\n")
    rows = json.loads(nsbench("list", "samplers", "--json", path=tmp_path))
    assert "in_batch" in {r["name"] for r in rows}
    shown = nsbench("doctor", path=tmp_path, check=False)
    assert "badplugin" in shown
    assert "does_not_exist" in shown
