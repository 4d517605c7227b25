"""From pairs to a recipe: audit, parts, plan, race, decision, and the files that are handed over.

Every stage leaves its result on disk before the next one begins, so that a run that was stopped
goes on where it was, with the same plan and the same bytes.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.analysis.recommend.arms import IN_BATCH, UNTRAINED, mined, short_list
from nsbench.analysis.recommend.audit_page import write_audit
from nsbench.analysis.recommend.cells import Ended, Setting, run
from nsbench.analysis.recommend.decide import decide, query_gaps, too_little
from nsbench.analysis.recommend.given import Given, Material, RecommendGiven, material
from nsbench.analysis.recommend.hand_over import hand_over
from nsbench.analysis.recommend.plan import EPOCHS, Plan, make_plan, read_plan
from nsbench.analysis.recommend.race import Say, curves, race, seconds
from nsbench.analysis.recommend.recommendation_page import write_story
from nsbench.analysis.recommend.story import Story, Told
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.records import read_json

BATCH = 64
RATES = {"static": (1e-3, 3e-3, 1e-2, 3e-2), "transformer": (1e-5, 3e-5, 1e-4)}
"""Learning rates by kind of encoder; in_batch chooses one on dev, for all."""
PROBE_STEPS = 32


def recommended(given: RecommendGiven, say: Say = lambda line: None) -> Told:
    """Audit, race and decide, and write everything into the folder of the recommendation.

    Args:
        given: Options.
        say: Told what happens, one line at a time.

    Raises:
        ValueError: If the data cannot be used, the time is too short, or the folder holds another
            recommendation.
    """
    ready = prepared(given, say)
    setting, audit, parts, found = ready.setting, ready.audit, ready.parts, ready.found
    plan, least, folder, name = ready.plan, ready.least, setting.folder, given.name
    if plan is None:
        story = Story(name, audit, parts, None, (), None, (), least, given.least, found.notes, {})
        return write_story(story, folder)
    path = folder / "plan.json"
    rungs, plan = race(setting, plan, path, say)
    if not plan.fresh:
        plan = plan.after_race(seconds(rungs)).write(path)
    finalists = [p.arm for p in rungs[-1].places if p.kept]
    decision = decide(setting, plan, finalists, say)
    if plan.curves is None:
        plan = plan.after_decision(seconds(rungs) + _spent(folder / "decision")).write(path)
    drawn = curves(setting, plan, say) if plan.curves else []
    story = Story(
        *(name, audit, parts, plan, rungs, decision, drawn, least, given.least),
        found.notes,
        _cost(folder),
    )
    model = _model_name(found)
    files = hand_over(setting, plan, decision, model=model)
    told = write_story(story, folder)
    return Told(told.outcome, told.sentence, folder, (*told.files, *files), decision)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is known before the race.

    Attributes:
        setting: What all arms share.
        found: The data and models.
        audit: The audit as plain data.
        parts: Queries, documents and pairs of each part.
        plan: The plan as written; ``None`` where the pairs are too few for a race.
        least: See `too_little`.
    """

    setting: Setting
    found: Material
    audit: Mapping[str, Any]
    parts: Mapping[str, Any]
    plan: Plan | None
    least: tuple[float, int]


def prepared(given: RecommendGiven, say: Say = lambda line: None) -> Prepared:
    """Audit, divide and plan, or read what was written; nothing races.

    Args:
        given: Options.
        say: Told what happens, one line at a time.

    Raises:
        ValueError: As `recommended` does.
    """
    start = time.monotonic()
    folder = given.folder("recommend")
    found = material(given)
    _claim(folder, given, found)
    for note in found.notes:
        say(note)
    audit, parts = _audited(folder, given, found)
    setting = Setting(folder, found.encoder, given.device, _batch(parts))
    if _too_few(parts):
        locked, rows = parts["test"]["queries"], audit["facts"]["rows"]
        least = too_little(np.zeros(0), locked, rows, wanted=given.least)
        return Prepared(setting, found, audit, parts, None, least)
    plan, least = _planned(setting, given, audit, parts, start, say)
    return Prepared(setting, found, audit, parts, plan, least)


def _claim(folder: Path, given: Given, found: Material) -> None:
    """Write what is asked into the folder, or refuse one that holds something else."""
    asked = given.model_dump(mode="json", exclude={"to", "data", "read", "corpus"})
    asked |= {"digest": found.told.digest, "encoder": found.encoder}
    path = folder / "asked.json"
    if path.is_file():
        before = read_json(path)
        for key, value in asked.items():
            if before.get(key) != value:
                raise ValueError(
                    f"{folder} holds a recommendation with {key} = {before.get(key)!r}, not "
                    f"{value!r}: choose another folder with --out"
                )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, pretty_json(asked))


def _audited(folder: Path, given: Given, found: Material) -> tuple[Any, Any]:
    """The audit and the parts, made once."""
    from nsbench.benchmarks.audit.audit import audit
    from nsbench.benchmarks.audit.parts import has_classes, write_parts

    done = folder / "data" / "parts.json"
    if not done.is_file():
        made = audit(found.data, found.model, found.guide, told=found.told, seed=given.seed)
        write_audit(made, folder, given.name)
        classes = has_classes(found.told)
        written = write_parts(
            found.told, made.split, folder / "data", classes=classes, seed=given.seed
        )
        write_atomically(done, pretty_json({name: vars(w) for name, w in written.items()}))
    return read_json(folder / "audit.json"), read_json(done)


def _batch(parts: Mapping[str, Any]) -> int:
    """Pairs of a step: a power of two, and at least eight batches in the data."""
    batch = BATCH
    while batch > 8 and 8 * batch > parts["train"]["queries"]:
        batch //= 2
    return batch


def _too_few(parts: Mapping[str, Any]) -> bool:
    """True where there are too few pairs to train on, or to compare on."""
    few = min(parts["dev"]["queries"], parts["test"]["queries"])
    return bool(parts["train"]["queries"] < 32 or few < 8)


def _planned(
    setting: Setting,
    given: RecommendGiven,
    audit: Mapping[str, Any],
    parts: Mapping[str, Any],
    start: float,
    say: Say,
) -> tuple[Plan | None, tuple[float, int]]:
    """The plan of the folder, or one made from a few timed trainings, and `too_little`."""
    kind = "static" if setting.encoder["name"] == "static" else "transformer"

    def probe(arm: Any, rate: float) -> Ended:
        (ended,) = run(setting, "race", arm, steps=PROBE_STEPS, learning_rate=rate, seeds=(1,))
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
    plan = read_plan(setting.folder / "plan.json")
    if plan is not None:
        return plan, least
    hard = probe(mined(4), RATES[kind][best])
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
    return plan.write(setting.folder / "plan.json"), least


def _records(folder: Path) -> list[dict[str, Any]]:
    return [read_json(p) for p in sorted(folder.glob("runs/*/record.json"))]


def _spent(folder: Path) -> float:
    return float(sum(r["seconds"].get("total", 0.0) for r in _records(folder)))


def _cost(folder: Path) -> dict[str, int]:
    """Counts over all cells."""
    every = [r for name in ("race", "decision") for r in _records(folder / name)]
    done = [r for r in every if r["status"] == "done"]
    return {
        "trainings": len(done),
        "not_done": len(every) - len(done),
        "steps": int(sum(r["cost"].get("steps", 0) for r in done)),
        "encoder_passes": int(sum(r["cost"].get("passes", 0) for r in done)),
    }


def _model_name(found: Material) -> str:
    """The model as ``nsbench mine --model`` takes it; empty for random word vectors."""
    entry = found.encoder
    if entry["name"] == "static" and not entry.get("source"):
        return ""
    if entry["name"] == "transformer" and set(entry) == {"name", "source"}:
        return str(entry["source"])
    inside = ",".join(f"{k}={v}" for k, v in entry.items() if k != "name")
    return f"{entry['name']}[{inside}]"
