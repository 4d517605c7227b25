"""The pages of a recommendation: recipe, reasons, certainty, what was not tried, and cost."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from nsbench.analysis.recommend import pictures
from nsbench.analysis.recommend.cells import FURTHER
from nsbench.analysis.recommend.decide import TOO_LITTLE, UNDECIDED, Decision, Final
from nsbench.analysis.recommend.page import Block, Code, Says, Section, Table, write_pages
from nsbench.analysis.recommend.plan import USED, Plan
from nsbench.analysis.recommend.race import finalists
from nsbench.analysis.recommend.story import Story, Told
from nsbench.analysis.statistics.verdicts import MARGIN
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import pretty_json

NOT_TRIED = (
    "Objectives other than InfoNCE, augmentations, batches composed by a batcher, queues and "
    "memories, negatives mined again during training, and cross-encoders as judges. `nsbench list "
    "samplers` names what a matrix file can add to recipe.toml. The learning rate was chosen for "
    "in_batch and is the same for all; a method that needs another one is not seen at its best."
)


def write_story(story: Story, folder: Path) -> Told:
    """Write ``recommendation.md``, ``.html`` and ``.json``."""
    sentence, outcome = _sentence(story)
    pages = write_pages(
        folder,
        "recommendation",
        f"Recommendation for {story.facts['name']}",
        _sections(story, folder),
    )
    write_atomically(folder / "recommendation.json", pretty_json(_plain(story, sentence, outcome)))
    files = (*pages, folder / "audit.html")
    return Told(outcome, sentence, folder, files, story.decision)


def _sentence(story: Story) -> tuple[str, str]:
    if story.decision is not None:
        return story.decision.sentence(), story.decision.outcome
    if story.plan is not None:
        return _out_of_time(story, story.plan), UNDECIDED
    return (
        f"Too little to tell: the test part of these pairs shows no difference under "
        f"{story.facts['least_difference']:.0f} points; about "
        f"{story.facts['pairs_that_would_do']:,} pairs would show one of "
        f"{story.facts['wanted']:g}.",
        TOO_LITTLE,
    )


def _out_of_time(story: Story, plan: Plan) -> str:
    """The sentence of a race without a decision."""
    first = finalists(story.rungs)[0]
    score = next(
        p.score for rung in reversed(story.rungs) for p in rung.places if p.arm.name == first.name
    )
    need = (plan.spent + story.slowness * plan.whole()) / USED / 60
    return (
        f"Undecided: the {plan.minutes:g} minutes were used up before the decision. On dev, "
        f"{first.name} leads with {score:.2f} points. About {max(need, plan.minutes + 1):.0f} "
        "minutes would do as things are."
    )


def _plain(story: Story, sentence: str, outcome: str) -> dict[str, Any]:
    decision = story.decision
    out: dict[str, Any] = {
        "outcome": outcome,
        "sentence": sentence,
        "least_difference": round(story.facts["least_difference"], 3),
        **{name: story.facts[name] for name in ("pairs_that_would_do", "parts", "notes")},
        "cost": dict(story.cost),
        "left_out_for_time": [arm.name for arm in story.left_out],
    }
    if decision is None or story.plan is None:
        return out
    return out | {
        "chosen": decision.chosen.plain(),
        "methods": [f.plain() for f in decision.finals],
        "other_queries": [round(v, 4) for v in decision.by_queries],
        "promise": [round(v, 4) for v in decision.promise],
        "seeds": list(decision.seeds),
        "steps": story.plan.steps,
        "learning_rate": story.plan.learning_rate,
        "curves": [vars(c) for c in story.curves],
    }


def _sections(story: Story, folder: Path) -> list[Section]:
    sentence, _ = _sentence(story)
    opening: list[Block] = [Says(sentence, strong=True), *map(Says, story.facts["notes"])]
    decision = story.decision
    if decision is None and story.plan is None:
        return [Section("", opening), _parts(story), _next(story)]
    if decision is None:
        race = [Section("The race", _race(story)), _parts(story), _not_tried(story)]
        return [Section("", opening), *race, _cost(story), _next(story)]
    return [
        Section("", [*opening, *_what(story, decision)]),
        Section("Why", _why(decision)),
        Section("How sure", _sure(story, decision)),
        Section("The race", _race(story)),
        *([Section("Curves", _curves(story, folder))] if story.curves else []),
        _parts(story),
        _not_tried(story),
        _cost(story),
        _next(story),
    ]


def _what(story: Story, decision: Decision) -> list[Block]:
    arm, plan = decision.chosen.arm, story.plan
    assert plan is not None
    trained = [
        ("objective", f"info_nce, temperature {arm.temperature:g}"),
        ("training", f"{plan.steps} steps, learning rate {plan.learning_rate:g}"),
    ]
    rows = [
        ("recipe", arm.shown),
        *(trained if arm.trains else [("training", "one pass over the pairs, no steps")]),
        (
            "score on the locked part",
            f"{decision.promise[0]:.2f} points of nDCG@10; one more training: "
            f"{decision.promise[1]:.2f} to {decision.promise[2]:.2f}",
        ),
    ]
    return [Table(("", "use"), tuple(rows))]


def _interval(pair: tuple[float, float]) -> str:
    gap, half = pair
    if not math.isfinite(half):
        return "" if not math.isfinite(gap) else f"{gap:+.2f}"
    return f"{gap:+.2f} [{gap - half:.2f}, {gap + half:.2f}]"


def _why(decision: Decision) -> list[Block]:
    def row(final: Final) -> tuple[object, ...]:
        return (
            final.arm.name,
            f"{final.mean:.2f}",
            _interval(final.to_baseline),
            final.verdict,
            _interval(final.to_untrained),
            final.learned,
            f"{final.passes:,}",
            *(f"{final.further[name]:.2f}" for name in further),
        )

    further = list(decision.chosen.further)
    decides = Says("nDCG@10 decides; the other scores of the locked part are for information.")
    columns = (
        *("method", "nDCG@10", "difference to in_batch", "verdict", "difference to untrained"),
        *("verdict on it", "encoder passes", *(FURTHER[name][1] for name in further)),
    )
    return [
        Table(columns, tuple(map(row, decision.finals))),
        Says(
            f"Points on the locked part, means over {len(decision.seeds)} fresh seeds that took no "
            "part in the race. Intervals of differences hold all at once, with 95 % confidence. "
            f"Equivalent: the whole interval is within {MARGIN:g} points."
        ),
        *([decides] if further else []),
    ]


def _sure(story: Story, decision: Decision) -> list[Block]:
    low, high = decision.by_queries
    least = story.facts["least_difference"]
    blocks: list[Block] = [
        Says(
            f"The locked part has {decision.queries:,} queries, and was read in this decision "
            "alone. The verdicts are about these queries, and seeds are what varies."
        )
    ]
    if decision.chosen.verdict != "baseline":
        says = "leaves out 0, so it would hold" if low > 0 or high < 0 else "holds 0, so it may not"
        blocks.append(
            Says(
                f"With other queries of the same kind, the difference to in_batch is between "
                f"{low:.2f} and {high:.2f} points (95 %). The interval {says} there."
            )
        )
    blocks.append(
        Says(
            f"With {decision.queries:,} queries, a difference between two models under "
            f"{least:.1f} points would be missed more often than one time in five."
        )
    )
    return blocks


def _race(story: Story) -> list[Block]:
    blocks: list[Block] = []
    for number, rung in enumerate(story.rungs, 1):
        seeds = "1 seed" if len(rung.seeds) == 1 else f"{len(rung.seeds)} seeds"
        rows = tuple(
            (
                p.arm.name,
                f"{p.score:.2f}" if math.isfinite(p.score) else p.ended[0].reason,
                "yes" if p.kept else "no",
            )
            for p in rung.places
        )
        text = f"Rung {number}: {rung.steps} steps, {seeds}, scored on the dev part."
        blocks.append(Says(text))
        if rows:
            blocks.append(Table(("recipe", "dev nDCG@10", "goes on"), rows))
    if story.left_out:
        names = "; ".join(arm.name for arm in story.left_out)
        blocks.append(
            Says(
                f"Trainings took longer than planned, so the race ended in rung "
                f"{len(story.rungs)}, and the best recipe until then went into the decision. Not "
                f"run in that rung: {names}."
            )
        )
    return blocks


def _not_tried(story: Story) -> Section:
    blocks: list[Block] = [Says(NOT_TRIED)]
    plan = story.plan
    if plan is not None and plan.shape.temperatures and not plan.temperatures:
        blocks.insert(0, Says("Several temperatures, for which time did not suffice."))
    return Section("What was not tried", blocks)


def _curves(story: Story, folder: Path) -> list[Block]:
    blocks: list[Block] = []
    for number, curve in enumerate(story.curves):
        table = pd.DataFrame(curve.points, columns=["setting", "seed", "score"])
        draw = partial(pictures.curve, x=curve.x, title=curve.title)
        name = ("number_of_negatives", "margin")[number]
        blocks.append(pictures.drawn(folder, name, table, draw, f"{curve.title}, on the dev part"))
    return blocks


def _parts(story: Story) -> Section:
    rows = tuple(
        (name, *(f"{p[n]:,}" for n in ("queries", "documents", "pairs", "left_out", "beyond")))
        for name, p in sorted(story.facts["parts"].items(), key=lambda x: -x[1]["queries"])
    )
    shares = story.facts["false_negatives"]["by_swaps"]
    text = "False negatives were not measurable: " + story.facts["false_negatives"]["why_not"]
    if shares:
        text = (
            f"Of random candidates, {shares[0]['low']:.2%} to {shares[0]['high']:.2%} would pass "
            "as the given positive"
        )
    columns = ("part", "queries", "documents", "relevant pairs", "queries left out", "beyond most")
    return Section(
        "The data",
        [
            Table(columns, rows),
            Says(f"{text}. The audit is in audit.html."),
            Says(
                "No text is in two parts. A query is left out of a test if its text is one of the "
                "documents there. Queries beyond the most that a part may have were drawn out."
            ),
        ],
    )


def _cost(story: Story) -> Section:
    cost, plan = story.cost, story.plan
    assert plan is not None
    text = (
        f"{cost['trainings']:,} trainings with {cost['steps']:,} steps and "
        f"{cost['encoder_passes']:,} encoder passes together; {cost['not_done']:,} were skipped or "
        f"failed. The plan was made for {plan.minutes:g} minutes."
    )
    return Section("What it cost", [Says(text)])


def _next(story: Story) -> Section:
    if story.decision is None and story.plan is not None:
        text = "Run it again with more --minutes in the same folder: it goes on where it stopped."
        return Section("What next", [Says(text)])
    if story.decision is None:
        return Section("What next", [Says("Collect more pairs. audit.html says what these hold.")])
    return Section(
        "What next",
        [
            Code(
                "nsbench run recipe.toml      # the recipe next to in_batch, as a matrix\n"
                "sh mine.sh                   # its negatives as a data set\n"
                "python train.py              # train it with sentence-transformers"
            )
        ],
    )
