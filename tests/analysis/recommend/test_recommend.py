"""``nsbench recommend`` from a CSV: resumable to the byte, honest, and its files run."""

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from nsbench.analysis.recommend.arms import IN_BATCH, Arm, mined
from nsbench.analysis.recommend.given import RecommendGiven
from nsbench.analysis.recommend.plan import Plan, Shape
from nsbench.analysis.recommend.recommendation import Told, recommended
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.matrix.config import load_config
from nsbench.benchmarks.matrix.expand import expand

PLAN = Plan(
    arms=(IN_BATCH, mined(2), Arm("bm25, 2", "bm25", {"k": 2})),
    shape=Shape(3, (1, 1, 1), temperatures=False, curves=True, fresh=3, finalists=1),
    steps=16,
    learning_rate=0.03,
    minutes=60.0,
    spent=1.0,
    per_step=0.01,
    per_score=0.1,
)


TIMES = 10


class Killed(Exception):
    """Stands for a process that ends at some moment."""


def _run(pairs: Path, to: Path, killed_after: int = 10**6) -> Told:
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) > killed_after:
            raise Killed(line)

    to.mkdir(parents=True, exist_ok=True)
    if not (to / "plan.json").is_file():
        PLAN.write(to / "plan.json")
    given = RecommendGiven(data=str(pairs), to=to, model="words", minutes=60, least=60)
    return recommended(given, say)


def _bytes(folder: Path) -> dict[str, str]:
    names = ("recommendation.*", "audit.*", "figures/*", "data/*/*", "*.toml", "*.sh", "*.py")
    found = [p for name in names for p in folder.glob(name) if p.is_file()]
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(found)
    }


@pytest.fixture(scope="module")
def whole(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    told = _run(pairs, folder)
    assert told.outcome == "learned"
    assert told.decision is not None
    assert told.sentence in (folder / "recommendation.md").read_text("utf-8").replace("\\", "")
    return folder


def test_the_pages_say_what_was_decided(whole: Path) -> None:
    found = json.loads((whole / "recommendation.json").read_text("utf-8"))
    methods = {m["recipe"]["name"]: m for m in found["methods"]}
    assert {"no training", "in_batch", "closed form"} < set(methods)
    assert methods["in_batch"]["mean"] > methods["no training"]["mean"] + 5
    assert len(methods["in_batch"]["scores"]) == 3
    low, high = found["promise"][1:]
    assert low <= found["chosen"]["mean"] <= high
    assert {c["x"] for c in found["curves"]} == {"negatives per anchor", "margin, share of s_pos"}
    assert (whole / "figures/number_of_negatives.svg").is_file()
    page = (whole / "recommendation.html").read_text("utf-8")
    assert "What was not tried" in page


def test_a_killed_one_gives_the_same_bytes(pairs: Path, whole: Path, tmp_path: Path) -> None:
    for moment in (0, 2, 5, 9):  # in the race, the decision and the curves
        with pytest.raises(Killed):
            _run(pairs, tmp_path / "broken", killed_after=moment)
    _run(pairs, tmp_path / "broken")
    assert _bytes(tmp_path / "broken") == _bytes(whole)
    cells = {p.parent.name for p in (tmp_path / "broken").glob("*/runs/*/record.json")}
    _run(pairs, tmp_path / "broken")
    assert {p.parent.name for p in (tmp_path / "broken").glob("*/runs/*/record.json")} == cells


def test_what_is_handed_over_is_usable(whole: Path) -> None:
    matrix = load_config(str(whole / "recipe.toml"))
    cells = [planned.cell for planned in expand(matrix)]
    assert {c.sampler.name for c in cells} >= {"in_batch", "no_training"}
    compile((whole / "train.py").read_text("utf-8"), "train.py", "exec")
    assert (whole / "mine.sh").read_text("utf-8").startswith("#!/bin/sh\n")


def test_another_question_in_the_same_folder_is_refused(pairs: Path, whole: Path) -> None:
    given = RecommendGiven(data=str(pairs), to=whole, model="words", minutes=61, least=60)
    with pytest.raises(ValueError, match=r"minutes = 60.0, not 61.0"):
        recommended(given)


def test_few_pairs_are_too_little_to_tell(pairs: Path, tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("".join(pairs.open().readlines()[:31]))
    told = recommended(RecommendGiven(data=str(path), to=tmp_path / "out", model="words"))
    assert told.outcome == "too little to tell"
    found = json.loads((tmp_path / "out/recommendation.json").read_text("utf-8"))
    assert 500 < found["pairs_that_would_do"] < 2000
    assert f"{found['pairs_that_would_do']:,} pairs would" in told.sentence
    assert not (tmp_path / "out/race").exists()


@pytest.mark.slow
def test_shuffled_positives_teach_nothing(tmp_path: Path) -> None:
    data = datasets.make("planted", rows=600, seed=6)()
    path = tmp_path / "noise.csv"
    shifted = [*data.positive[1:], data.positive[0]]
    rows = [
        f'"{data.texts[a]}","{data.texts[p]}"\n' for a, p in zip(data.anchor, shifted, strict=True)
    ]
    path.write_text("anchor,positive\n" + "".join(rows))
    told = _run(path, tmp_path / "out")
    assert told.outcome == "nothing can be learned"
    assert "Nothing here can be learned" in told.sentence


def _killed(pairs: Path, to: Path, lines: int) -> int:
    """Start the command, kill it after some lines of output; return how many there were."""
    command = [sys.executable, "-m", "nsbench.analysis.cli.main", "recommend", str(pairs)]
    command += ["--model", "words", "--minutes", "60", "--least", "60", "--out", str(to)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = 0
        for seen, _ in enumerate(process.stderr, 1):
            if seen == lines:
                process.kill()
                break
        process.stderr.close()
        process.wait()
    return seen


@pytest.mark.slow
def test_killed_at_ten_random_moments(pairs: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        PLAN.write(folder / "plan.json")
    given = RecommendGiven(data=str(pairs), to=whole, model="words", minutes=60, least=60)
    said: list[str] = []
    recommended(given, said.append)
    draw = random.Random(7)
    for _ in range(TIMES):
        _killed(pairs, broken, draw.randrange(1, len(said)))
    recommended(given.model_copy(update={"to": broken}))
    assert _bytes(broken) == _bytes(whole)
