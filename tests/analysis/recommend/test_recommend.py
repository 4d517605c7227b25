"""``nsbench recommend`` from a CSV: resumable to the byte, honest, and its files run."""

import csv
import hashlib
import json
import random
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from nsbench.analysis.recommend.arms import IN_BATCH, Arm, mined
from nsbench.analysis.recommend.cells import Trainings
from nsbench.analysis.recommend.given import RecommendGiven
from nsbench.analysis.recommend.plan import Plan, Shape, read_plan
from nsbench.analysis.recommend.published import differences, publish, rebuild
from nsbench.analysis.recommend.recommendation import prepared, recommended, settled
from nsbench.analysis.recommend.stored import write_trainings
from nsbench.analysis.recommend.story import Told
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.matrix.config import load_config
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.records import RecordError

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

    return recommended(_given(pairs, _planned(to)), say)


def _planned(to: Path) -> Path:
    """A folder with the plan of these tests."""
    to.mkdir(parents=True, exist_ok=True)
    if not (to / "plan.json").is_file():
        PLAN.write(to / "plan.json")
    return to


def _given(pairs: Path | str, to: Path, minutes: float = 60) -> RecommendGiven:
    return RecommendGiven(data=str(pairs), to=to, model="words", minutes=minutes, least=60)


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
    for fixed in ("no training", "closed form"):  # without steps, but the words are drawn
        assert len(set(methods[fixed]["scores"])) == 3
    low, high = found["promise"][1:]
    assert low <= found["chosen"]["mean"] <= high
    assert {c["x"] for c in found["curves"]} == {"negatives per anchor", "margin, share of s_pos"}
    assert (whole / "figures/number_of_negatives.svg").is_file()
    page = (whole / "recommendation.html").read_text("utf-8")
    assert "What was not tried" in page
    steps = found["chosen"]["recipe"]["sampler"] != "linear_projection"
    assert ("16 steps, learning rate" in page) is steps


def test_a_killed_one_gives_the_same_bytes(
    pairs: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moment in (0, 2, 5, 9):  # in the race, the decision and the curves
        with pytest.raises(Killed):
            _run(pairs, tmp_path / "broken", killed_after=moment)
    _run(pairs, tmp_path / "broken")
    assert _bytes(tmp_path / "broken") == _bytes(whole)
    cells = {p.parent.name for p in (tmp_path / "broken").glob("*/runs/*/record.json")}
    monkeypatch.chdir(tmp_path)
    _run(pairs, Path("broken"))
    assert {p.parent.name for p in (tmp_path / "broken").glob("*/runs/*/record.json")} == cells


def test_what_is_handed_over_is_usable(whole: Path) -> None:
    matrix = load_config(str(whole / "recipe.toml"))
    cells = [planned.cell for planned in expand(matrix)]
    assert {c.sampler.name for c in cells} >= {"in_batch", "no_training"}
    compile((whole / "train.py").read_text("utf-8"), "train.py", "exec")
    assert (whole / "mine.sh").read_text("utf-8").startswith("#!/bin/sh\n")


class Counted(Trainings):
    """A clock on which every training that takes steps costs 1000 seconds."""

    seconds = 0.0

    def left(self) -> float:
        return self.seconds - 1000 * sum(e.arm.trains for e in self.ended.values())


def _short_of_time(pairs: Path, to: Path, trainings: float) -> Told:
    """Recommend with time for so many trainings in race and decision."""
    to.mkdir()
    slow = replace(PLAN, per_step=0.0, per_score=1000.0).write(to / "plan.json")
    ready = prepared(_given(pairs, to))
    clock = Counted(ready.trainings.setting)
    clock.ended |= ready.trainings.ended
    clock.seconds = 1000 * trainings - clock.left()
    told = settled(ready.facts, clock, slow, lambda line: None)
    write_trainings(clock, to)
    return told


def test_a_race_out_of_time_ends_and_a_rerun_gives_the_same_bytes(
    pairs: Path, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    told = _short_of_time(pairs, to, 7.5)  # the least decision takes six
    assert told.outcome == "learned"
    plan = read_plan(to / "plan.json")
    assert (plan.raced, plan.fresh, plan.curves) == ((0, 2), 3, False)
    found = json.loads((to / "recommendation.json").read_text("utf-8"))
    assert found["left_out_for_time"] == ["bm25, 2"]
    assert {m["recipe"]["name"] for m in found["methods"]} >= {"in_batch", "mined, 2"}
    assert "the race ended in rung 1" in (to / "recommendation.md").read_text("utf-8")
    before = _bytes(to)
    recommended(_given(pairs, to))  # with all the time of the world
    assert _bytes(to) == before


def test_without_a_decision_it_is_undecided_and_more_minutes_go_on(
    pairs: Path, tmp_path: Path
) -> None:
    to = tmp_path / "out"
    told = _short_of_time(pairs, to, 1.5)
    assert told.outcome == "undecided"
    assert told.sentence.startswith("Undecided: the 60 minutes were used up")
    assert not (to / "recipe.toml").exists()
    before = _bytes(to)
    assert recommended(_given(pairs, to)).outcome == "undecided"
    assert _bytes(to) == before
    with pytest.raises(ValueError, match=r"minutes = 60.0, not 59.0"):
        recommended(_given(pairs, to, minutes=59))
    assert recommended(_given(pairs, to, minutes=900)).outcome == "learned"
    assert (to / "recipe.toml").is_file()


def test_a_published_one_is_made_again_without_the_texts(whole: Path, tmp_path: Path) -> None:
    publish(whole, tmp_path / "one")
    assert differences(tmp_path / "one") == []
    for name in ("recommendation.md", "recommendation.json", "train.py", "recipe.toml"):
        assert (tmp_path / "one" / name).read_bytes() == (whole / name).read_bytes()
    assert not (tmp_path / "one/data").exists()
    (tmp_path / "one/recommendation.md").write_text("changed")
    (tmp_path / "one/figures/margin.csv").unlink()
    assert [line.rpartition("/")[2] for line in differences(tmp_path / "one")] == [
        "margin.csv is not stored",
        "recommendation.md differs",
    ]
    rebuild(tmp_path / "one")
    assert differences(tmp_path / "one") == []
    table = (tmp_path / "one/trainings.csv").read_text("utf-8").splitlines()
    kept = [line for line in table if not line.startswith("decision,in_batch")]
    (tmp_path / "one/trainings.csv").write_text("\n".join(kept))
    with pytest.raises(RecordError, match="has no row of"):
        differences(tmp_path / "one")


def test_another_question_in_the_same_folder_is_refused(pairs: Path, whole: Path) -> None:
    with pytest.raises(ValueError, match=r"minutes = 60.0, not 61.0"):
        recommended(_given(pairs, whole, minutes=61))


def test_few_pairs_are_too_little_to_tell(pairs: Path, tmp_path: Path) -> None:
    path = tmp_path / "few.csv"
    path.write_text("".join(pairs.open().readlines()[:31]))
    told = recommended(RecommendGiven(data=str(path), to=tmp_path / "out", model="words"))
    assert told.outcome == "too little to tell"
    found = json.loads((tmp_path / "out/recommendation.json").read_text("utf-8"))
    assert 500 < found["pairs_that_would_do"] < 2000
    assert f"{found['pairs_that_would_do']:,} pairs would" in told.sentence
    assert not (tmp_path / "out/race").exists()


def test_the_locked_part_tells_classes_too(tmp_path: Path) -> None:
    draw, path = random.Random(3), tmp_path / "classes.csv"
    words = [[f"{c}{i}" for i in range(30)] for c in "abcd"]
    rows: list[tuple[str, str]] = []
    for _ in range(80):
        rows += [(" ".join(draw.choices(own, k=5)), f"intent {c}") for c, own in enumerate(words)]
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    told = _run(path, tmp_path / "out")
    found = json.loads((tmp_path / "out/recommendation.json").read_text("utf-8"))
    assert all(set(m["further"]) == {"classes"} for m in found["methods"])
    assert found["chosen"]["further"]["classes"] > 90
    assert "accuracy on classes" in (tmp_path / "out/recommendation.md").read_text("utf-8")
    assert told.decision is not None
    publish(tmp_path / "out", tmp_path / "published")
    stored = (tmp_path / "published/recommendation.json").read_bytes()
    assert stored == (tmp_path / "out/recommendation.json").read_bytes()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("some/pairs.csv", "pairs"),
        ("some/pairs[1].csv", "pairs[1]"),
        ("file[path=some/graded.jsonl, min_score=4]", "graded"),
        ("planted[rows=20]", "planted"),
        ("hub[path=owner/sets, revision=0]", "sets"),
    ],
)
def test_a_recommendation_has_the_name_of_its_data(data: str, name: str) -> None:
    assert RecommendGiven(data=data).name == name


def test_the_locked_part_tells_grades_too(pairs: Path, tmp_path: Path) -> None:
    two = [(row["anchor"], row["positive"]) for row in csv.DictReader(pairs.open())]
    path = tmp_path / "graded.csv"
    rows = [f'"{a}","{p}",5\n' for a, p in two]
    rows += [f'"{a}","{p}",{i % 3}\n' for i, ((a, _), (_, p)) in enumerate(pairwise(two))]
    path.write_text("sentence1,sentence2,score\n" + "".join(rows))
    told = recommended(_given(f"file[path={path}, min_score=5]", _planned(tmp_path / "out")))
    assert told.outcome == "learned"
    found = json.loads((tmp_path / "out/recommendation.json").read_text("utf-8"))
    assert all(set(m["further"]) == {"grades"} for m in found["methods"])
    page = (tmp_path / "out/recommendation.md").read_text("utf-8")
    assert "Spearman correlation with the grades" in page


def test_rows_of_one_text_are_refused_and_scored_pairs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "graded.csv"
    lines = [f"what is {i},number {i} is what,{5 if i % 2 else 1}\n" for i in range(60)]
    path.write_text("sentence1,sentence2,score\n" + "".join(lines))
    with pytest.raises(ValueError, match=r"graded\.csv: pairs of two texts.*min_score=4"):
        recommended(_given(path, tmp_path / "out"))
    for wrong, why in (("views=graded", "rows with grades are no pairs"), ("views=text", "pairs")):
        with pytest.raises(ValueError, match=why):
            recommended(_given(f"file[path={path}, {wrong}]", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    told = recommended(_given(f"file[path={path}, min_score=4]", tmp_path / "read"))
    assert json.loads((tmp_path / "read/audit.json").read_text("utf-8"))["facts"]["rows"] == 30
    assert told.outcome == "too little to tell"


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
    given = _given(pairs, whole)
    said: list[str] = []
    recommended(given, said.append)
    draw = random.Random(7)
    for _ in range(TIMES):
        _killed(pairs, broken, draw.randrange(1, len(said)))
    recommended(given.model_copy(update={"to": broken}))
    assert _bytes(broken) == _bytes(whole)
