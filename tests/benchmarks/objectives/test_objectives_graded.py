"""`cosent` and `angle`: pairs in the order of their grades."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_losses import Row, embedded, every, expect_agreement, expect_loops, raws
from made_training import method, opened, unbroken, world_of

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.objectives._embedded import losses_of
from nsbench.benchmarks.objectives.angle import angle_between
from nsbench.benchmarks.testing.objectives import gradient, objective_cases
from nsbench.benchmarks.training.of_rows import OfRows
from nsbench.samplers import SimilarityContext
from nsbench.samplers.testing import make_context, two_views


@pytest.mark.parametrize("scale", [20.0, 1.0])
def test_cosent_equals_nested_loops(scale: float) -> None:
    def formula(row: Row, context: SimilarityContext, rows: list[Row]) -> float:
        grade = context.require("grade").tolist()
        there = [r for r in rows if r.negatives]
        total = 1.0
        for i in there:
            for j in there:
                if grade[i.number] > grade[j.number]:
                    total += math.exp(scale * (j.s_pos - i.s_pos))
        return math.log(total)

    expect_loops(objectives.make("cosent", scale=scale), formula)


@pytest.mark.parametrize(
    ("name", "given", "theirs"),
    [
        ("cosent", {}, "CoSENTLoss"),
        ("angle", {"inner_weight": 0.0}, "AnglELoss"),
    ],
)
def test_agreement_with_sentence_transformers(
    name: str, given: dict[str, Any], theirs: str
) -> None:
    losses = pytest.importorskip("sentence_transformers").sentence_transformer.losses
    loss = getattr(losses, theirs)(None)
    for seed in range(3):
        raw = raws(9, seed=seed)
        grade = torch.randint(0, 4, (9,), generator=torch.Generator().manual_seed(seed)).float()
        batch, context, selection = embedded(raw)  # with ties among the grades
        made = objectives.make(name, **given)
        mine = losses_of(made, batch, context.replace(grade=grade), selection).mean()
        there = loss.compute_loss_from_embeddings(raw, grade)
        expect_agreement(mine, there, raw)


def test_angles_are_products_of_complex_halves() -> None:
    one, two = two_views(5, dimensions=6)
    found = angle_between(one, two)
    for row in range(5):
        total = 0j
        for k in range(3):
            z = complex(one[row, k], one[row, 3 + k])
            w = complex(two[row, k], two[row, 3 + k])
            total += z * w.conjugate()
        assert float(found[row]) == pytest.approx(abs(total.real + total.imag), rel=1e-4)
    longer = (torch.nn.functional.pad(view[:, :5], (0, 1)) for view in (one, two))
    assert torch.equal(angle_between(one[:, :5], two[:, :5]), angle_between(*longer))


def test_law_pairs_of_one_grade_cost_nothing_and_the_right_order_little() -> None:
    context = make_context(6, 20, needs={"grade"})
    selection = every(context)
    made = objectives.make("cosent")
    alike = context.replace(grade=torch.ones(6))
    assert (made(context.similarity, alike, selection) == 0).all()
    right = context.replace(grade=context.positive_similarity)
    wrong = context.replace(grade=-context.positive_similarity)
    assert made(context.similarity, right, selection)[0] < math.log(1 + 15)
    assert made(context.similarity, wrong, selection)[0] > math.log(1 + 15)


def test_law_cosent_is_blind_to_monotone_changes_of_the_grades_and_to_negatives() -> None:
    for context, selection in objective_cases(objectives.make("cosent")):
        made = objectives.make("cosent")
        bent = context.replace(grade=torch.exp(3 * context.require("grade")))
        one, two = (gradient(made, c, selection) for c in (context, bent))
        assert torch.equal(one, two)
        used = torch.zeros_like(selection.mask).scatter(1, context.positive[:, None], True)
        assert (one[~used] == 0).all()


def pairs(tmp_path: Path, **given: Any) -> Any:
    path = tmp_path / "pairs.csv"
    plain = datasets.make("planted", rows=60)()
    lines = ["sentence1,sentence2,score"]
    for row in range(60):
        one, two = plain.texts[plain.anchor[row]], plain.texts[plain.positive[(row * 7) % 60]]
        lines.append(f'"{one}","{two}",{row % 6}')
    path.write_text("\n".join(lines))
    return datasets.make("file", path=str(path), **given)


def test_graded_pairs_are_read_with_their_scores(tmp_path: Path) -> None:
    whole = pairs(tmp_path, views="graded")()
    assert whole.grade.tolist() == [row % 6 for row in range(60)]
    few = pairs(tmp_path, views="graded", limit=20, seed=3)()
    for row in range(20):
        text = few.texts[few.anchor[row]], few.texts[few.positive[row]], few.grade[row]
        assert text in {
            (whole.texts[a], whole.texts[p], g)
            for a, p, g in zip(whole.anchor, whole.positive, whole.grade, strict=True)
        }
    others = replace(whole, grade=whole.grade + 1)
    assert len({whole.digest, others.digest, replace(whole, grade=None).digest}) == 3


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("sentence1,sentence2\na,b\n", {}, "views is 'graded', but the pair has no score"),
        ("sentence1,sentence2,score\na,b,x\n", {}, "score must be a number"),
        ("sentence1,sentence2,score\na,b,inf\n", {}, "score must be finite"),
        ("text\na\n", {}, "views = 'graded' is set, but rows of text"),
        ("sentence1,sentence2,score\na,b,1\n", {"min_score": 2}, "views is 'graded', which keeps"),
    ],
)
def test_what_is_not_graded_is_refused(
    tmp_path: Path, text: str, given: dict[str, Any], message: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        datasets.make("file", path=str(path), views="graded", **given)()


@pytest.mark.parametrize("name", ["cosent", "angle"])
def test_a_training_on_graded_pairs_learns_their_order_and_resumes(
    tmp_path: Path, name: str
) -> None:
    data = pairs(tmp_path, views="graded")()

    def begun() -> Any:
        encoder = encoders.make("static", dimension=16).build(data.texts, 0)
        return opened(encoder, data, method(objective=name, steps=60, learning_rate=0.02))

    whole = unbroken(begun, after=7)
    losses = whole.result().training["loss"]
    assert np.isfinite(losses).all()
    assert losses[-10:].mean() < losses[:10].mean() - 0.3


def test_grades_are_those_of_the_anchors_rows(tmp_path: Path) -> None:
    data = pairs(tmp_path, views="graded")()
    encoder = encoders.make("static", dimension=16).build(data.texts, 0)
    world = world_of(encoder, data)
    under = OfRows(objectives.make("cosent"), world.data, world.device)
    rows = torch.tensor([5, 9, 33])
    found = under.read(rows, torch.tensor([0, 1, 2, 0, 1, 2]))["grade"]
    assert found.tolist() == [5, 3, 3, 5, 3, 3]
    with pytest.raises(ValueError, match="needs graded pairs, and planted has none"):
        OfRows(objectives.make("cosent"), datasets.make("planted", rows=20)(), world.device)
