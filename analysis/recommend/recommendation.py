"""From pairs to a recipe: audit, parts, plan, race, decision, and the files that are handed over.

Every stage leaves its result on disk before the next one begins, so that a run that was stopped
goes on where it was, with the same plan and the same bytes.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.analysis.recommend.arms import IN_BATCH, UNTRAINED, mined, short_list
from nsbench.analysis.recommend.audit_page import write_audit
from nsbench.analysis.recommend.cells import DECISION, RACE, Ended, Setting, Trainings, is_drawn
from nsbench.analysis.recommend.decide import UNDECIDED, decide, query_gaps, too_little
from nsbench.analysis.recommend.given import (
    ONE_TEXT,
    Given,
    Material,
    RecommendGiven,
    graded_pairs,
    material,
)
from nsbench.analysis.recommend.hand_over import hand_over
from nsbench.analysis.recommend.plan import EPOCHS, PLAN, Plan, make_plan, read_plan
from nsbench.analysis.recommend.race import Say, curves, finalists, race, slowness
from nsbench.analysis.recommend.recommendation_page import write_story
from nsbench.analysis.recommend.stored import write_trainings
from nsbench.analysis.recommend.story import Story, Told
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.records import read_json

BATCH = 64
RATES = {"static": (1e-3, 3e-3, 1e-2, 3e-2), "transformer": (1e-5, 3e-5, 1e-4)}
"""Learning rates by kind of encoder; in_batch chooses one on dev, for all."""
PROBE_STEPS = 32
PREPARED = "prepared.json"
"""File of all that is known before the race; it holds no text of the data."""


def recommended(given: RecommendGiven, say: Say = lambda line: None) -> Told:
    """Audit, race and decide, and write everything into the folder of the recommendation.

    Raises:
        ValueError: If the data cannot be used, the time is too short, or the folder holds another
            recommendation.
    """
    ready = prepared(given, say)
    trainings, folder, plan = ready.trainings, ready.trainings.setting.folder, ready.plan
    if plan is None:
        return write_story(Story(ready.facts, None, (), None, (), {}), folder)
    before = sum(e.seconds.get("total", 0.0) for e in trainings.ended.values())
    trainings.begin(60 * plan.minutes - plan.spent - max(0.0, _recorded(folder) - before))
    told = settled(ready.facts, trainings, plan, say)
    write_trainings(trainings, folder)
    return told


def settled(facts: Mapping[str, Any], trainings: Trainings, plan: Plan, say: Say) -> Told:
    """Race, decide and write everything; ``facts`` are the content of ``prepared.json``."""
    setting, path = trainings.setting, trainings.setting.folder / PLAN
    rungs, plan = race(trainings, plan, path, say)
    decision, plan = decide(trainings, plan, path, finalists(rungs), say)
    if decision is None:
        plan = replace(plan, curves=False).write(path)
    drawn, plan = curves(trainings, plan, path, say)
    slow = slowness(trainings, plan)
    story = Story(facts, plan, rungs, decision, drawn, _cost(trainings), slow)
    files = hand_over(setting, plan, decision, model=facts["model"]) if decision else []
    told = write_story(story, setting.folder)
    return replace(told, files=(*told.files, *files))


def _recorded(folder: Path) -> float:
    """Seconds of all trainings that are on disk."""
    records = [
        read_json(p) for s in (RACE, DECISION) for p in folder.glob(f"{s}/runs/*/record.json")
    ]
    return float(sum(r["seconds"].get("total", 0.0) for r in records))


@dataclass(frozen=True, eq=False)
class Prepared:
    """The state before the race.

    Attributes:
        trainings: Those that chose the learning rate.
        facts: The content of ``prepared.json``.
        plan: The plan as written; ``None`` where the pairs are too few for a race.
    """

    trainings: Trainings
    facts: Mapping[str, Any]
    plan: Plan | None


def prepared(given: RecommendGiven, say: Say = lambda line: None) -> Prepared:
    """Audit, divide and plan, or read what was written; nothing races.

    Raises:
        ValueError: As `recommended` does.
    """
    start = time.monotonic()
    folder = given.folder("recommend")
    found = material(given)
    if found.one_text:
        raise ValueError(
            f"{given.data}: pairs of two texts, or texts with a label, are needed. {ONE_TEXT}"
        )
    _claim(folder, given, found)
    for note in found.notes:
        say(note)
    audit, parts = _audited(folder, given, found)
    setting = Setting(folder, found.encoder, given.device, _batch(parts))
    trainings, plan = Trainings(setting), None
    train, dev, locked = (parts[name]["queries"] for name in ("train", "dev", "test"))
    if train < 32 or min(dev, locked) < 8:  # to train on, or to compare on
        rows = audit["facts"]["rows"]
        least = too_little(np.zeros(0), locked, rows, wanted=given.least)
    else:
        plan, least = _planned(trainings, given, audit, parts, start, say)
    shares = audit["false_negatives"]
    facts = {
        "name": given.name,
        "model": _model_name(found),
        **setting.plain(),
        "parts": parts,
        "false_negatives": {"by_swaps": shares["by_swaps"], "why_not": shares["why_not"]},
        "least_difference": least[0],
        "pairs_that_would_do": least[1],
        "wanted": given.least,
        "notes": list(found.notes),
    }
    write_atomically(folder / PREPARED, pretty_json(facts))
    return Prepared(trainings, facts, plan)


def _claim(folder: Path, given: Given, found: Material) -> None:
    """Write what is asked into the folder, or refuse one that holds something else."""
    asked = given.model_dump(mode="json", exclude={"to", "data", "read", "corpus"})
    asked |= {"digest": found.told.digest, "encoder": found.encoder}
    path = folder / "asked.json"
    if path.is_file():
        before = read_json(path)
        for key, value in asked.items():
            if before.get(key, "") != value and not (key == "minutes" and _goes_on(folder, value)):
                raise ValueError(
                    f"{folder} holds a recommendation with {key} = {before.get(key)!r}, not "
                    f"{value!r}: choose another folder with --out"
                )
        if before == asked:
            return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, pretty_json(asked))


def _goes_on(folder: Path, minutes: float) -> bool:
    """Give a plan more minutes if its time ran out before the decision; False for any other."""
    told, path = folder / "recommendation.json", folder / PLAN
    plan = read_plan(path)
    if plan is None or not told.is_file() or read_json(told)["outcome"] != UNDECIDED:
        return False
    if minutes > plan.minutes:
        plan.longer(minutes).write(path)
    return minutes >= plan.minutes


def _audited(folder: Path, given: Given, found: Material) -> tuple[Any, Any]:
    """The audit and the parts, made once."""
    from nsbench.benchmarks.audit.parts import has_classes, write_parts

    done = folder / "data" / "parts.json"
    if not done.is_file():
        made = found.audited(given.seed)
        write_audit(made, folder, given.name)
        written = write_parts(
            found.told,
            made.split,
            folder / "data",
            classes=has_classes(found.told),
            seed=given.seed,
            graded=graded_pairs(given),
        )
        write_atomically(done, pretty_json({name: vars(w) for name, w in written.items()}))
    return read_json(folder / "audit.json"), read_json(done)


def _batch(parts: Mapping[str, Any]) -> int:
    """Pairs of a step: a power of two, and at least eight batches in the data."""
    batch = BATCH
    while batch > 8 and 8 * batch > parts["train"]["queries"]:
        batch //= 2
    return batch


def _planned(
    trainings: Trainings,
    given: RecommendGiven,
    audit: Mapping[str, Any],
    parts: Mapping[str, Any],
    start: float,
    say: Say,
) -> tuple[Plan | None, tuple[float, int]]:
    """The plan of the folder, or one made from a few timed trainings, and `too_little`."""
    setting = trainings.setting
    kind = "static" if setting.encoder["name"] == "static" else "transformer"

    def probe(arm: Any, rate: float) -> Ended:
        (ended,) = trainings.run(RACE, arm, steps=PROBE_STEPS, learning_rate=rate, seeds=(1,))
        if ended.status != "done":
            raise ValueError(f"{arm.name} cannot be trained here: {ended.reason}")
        return ended

    none = probe(UNTRAINED, RATES[kind][0])
    tried = [probe(IN_BATCH, rate) for rate in RATES[kind]]
    best = max(range(len(tried)), key=lambda i: (tried[i].score, -i))
    locked, rows = parts["test"]["queries"], audit["facts"]["rows"]
    gaps = query_gaps([tried[best]], [none])
    least = too_little(gaps, locked, rows, wanted=given.least)
    if least[0] > given.least:
        return None, least
    hard = probe(mined(4), RATES[kind][best])
    plan = read_plan(setting.folder / PLAN)
    if plan is not None:
        return plan, least
    evaluate = min(e.seconds["evaluate"] for e in tried[1:])
    per_step = (tried[-1].seconds["train"] + 2 * hard.seconds["train"]) / 3 / PROBE_STEPS
    plan = make_plan(
        short_list(audit, given.guide),
        minutes=given.minutes,
        spent=time.monotonic() - start,
        per_step=per_step,
        per_score=1.3 * evaluate,
        learning_rate=RATES[kind][best],
        most_steps=EPOCHS * max(1, parts["train"]["queries"] // setting.batch_size),
    )
    say(
        f"plan: {len(plan.arms)} recipes, {plan.steps} steps of {setting.batch_size}, learning "
        f"rate {plan.learning_rate:g}, in {given.minutes:g} minutes"
    )
    return plan.write(setting.folder / PLAN), least


def _cost(trainings: Trainings) -> dict[str, int]:
    """Counts over all trainings."""
    done = [e for e in trainings.ended.values() if e.status == "done"]
    return {
        "trainings": len(done),
        "not_done": len(trainings.ended) - len(done),
        "steps": int(sum(e.cost.get("steps", 0) for e in done)),
        "encoder_passes": int(sum(e.cost.get("passes", 0) for e in done)),
    }


def _model_name(found: Material) -> str:
    """The model as ``nsbench mine --model`` takes it; empty for random word vectors."""
    entry = found.encoder
    if is_drawn(entry):
        return ""
    if entry["name"] == "transformer" and set(entry) == {"name", "source"}:
        return str(entry["source"])
    inside = ",".join(f"{k}={v}" for k, v in entry.items() if k != "name")
    return f"{entry['name']}[{inside}]"
