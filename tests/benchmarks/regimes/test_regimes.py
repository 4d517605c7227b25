"""Regimes: their phases, labels, losses, few-shot, and whole cells of each."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from made_data import pairs_of, put
from made_losses import loss_of
from running import planned_of
from torch.nn import functional

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.matrix.config import ConfigError, parse_config
from nsbench.benchmarks.records.cell import Budget
from nsbench.benchmarks.regimes import Phase, check_labels, regimes
from nsbench.benchmarks.testing.augmentations import small_encoder
from nsbench.benchmarks.training.regime import few_shot, phase_data
from nsbench.benchmarks.training.supervision import EntailmentHead, Supervision
from nsbench.samplers import SimilarityContext
from nsbench.samplers.testing import refuses_illegal_parameters

NAMES = ("joint", "joint_unsup", "sup_unsup", "supervised", "unsupervised")
WORDS = ("boat", "dog", "house", "cake", "river", "child", "train", "road", "song", "cup")


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, Any]:
    """A file of entailment pairs, as a data set."""
    rows = []
    for i, word in enumerate(WORDS):
        for j, other in enumerate(WORDS):
            label = ("entailment", "contradiction", "neutral")[(i + j) % 3]
            one, two = f"a {word} and a {other} number {i}", f"{label} of {word} number {j}"
            rows.append({"premise": one, "hypothesis": two, "label": label})
    return {"name": "file", "path": str(put(tmp_path / "pairs.jsonl", rows)), "nli": "pairs"}


def labelled(rows: int = 6, nli: list[int] | None = None) -> TrainingData:
    classes = [i % 3 for i in range(rows)] if nli is None else nli
    texts = [f"text {i}" for i in range(2 * rows)]
    return pairs_of(texts, [(i, i + rows) for i in range(rows)], nli=np.array(classes, np.int64))


def test_names() -> None:
    assert tuple(regimes.names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_and_refusals(name: str) -> None:
    entry = regimes.entry(name)
    assert entry.summary.endswith(".")
    assert entry.source
    assert all(p.description for p in entry.parameters)
    refuses_illegal_parameters(regimes.make(name))


@pytest.mark.parametrize("nli", [3, "no such/thing", {"path": "x"}, ["file"]])
def test_nli_must_name_a_data_set(nli: Any) -> None:
    with pytest.raises(ValueError, match=r"nli is .* must be the name of a data set"):
        regimes.make("supervised", nli=nli)


def test_phases_take_the_first_budget_from_the_regime() -> None:
    budget = Budget(steps=10, batch_size=8, learning_rate=1e-3)
    given = {"steps": 4, "learning_rate": 0.1}
    first, second = regimes.make("sup_unsup", **given).phases(budget)
    assert (first.kind, first.nli) == ("entailment", True)
    assert (first.budget.steps, first.budget.batch_size) == (4, 8)
    assert first.budget.learning_rate == 0.1
    assert second == Phase("contrast", budget)
    (only,) = regimes.make("supervised").phases(budget)
    assert only.budget == budget


@pytest.mark.parametrize(("variant", "weight"), [("paper", 0.15), ("official", 0.6)])
def test_joint_weights_are_those_of_paper_and_code(variant: str, weight: float) -> None:
    for name in ("joint", "joint_unsup"):
        phase = regimes.make(name, variant=variant).phases(Budget())[0]
        assert phase.kind == "joint"
        assert phase.weight == pytest.approx(weight)


def test_head_sees_the_features_of_its_variant() -> None:
    u, v = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, -5.0]])
    for variant, features in (
        ("paper", [1, -2, 3, -5, 2, 3]),
        ("official", [1, -2, 3, -5, 2, 3, 9, 4]),
    ):
        head = EntailmentHead(2, variant)
        assert head.linear.in_features == len(features)
        expected = head.linear(torch.tensor([features], dtype=torch.float))
        torch.testing.assert_close(head(u, v), expected)


def supervision(joint: bool, weight: float = 0.15) -> Supervision:
    given: dict[str, Any] = {"variant": "paper", "weight": weight, "joint": joint, "seed": 0}
    return Supervision(small_encoder("tiny"), labelled(), **given)


def test_supervised_loss_is_cross_entropy_of_the_rows_labels() -> None:
    one = supervision(joint=False)
    raw = [torch.randn(3, 16), torch.randn(3, 16)]
    rows = torch.tensor([4, 0, 2])
    expected = functional.cross_entropy(one.head(*raw), torch.tensor([1, 0, 2]))
    torch.testing.assert_close(one.loss(raw, rows), expected)
    assert one.total(torch.tensor(float("nan")), expected) is not None


def test_joint_classifies_view_1_and_keeps_premises_from_hypotheses() -> None:
    both = supervision(joint=True)
    premises, hypotheses = torch.tensor([0, 1, 2]), torch.tensor([6, 7, 8])
    one, two = both.texts(premises, hypotheses)
    assert one.tolist() == two.tolist() == [0, 1, 2, 6, 7, 8]
    view1, view2 = torch.randn(6, 16), torch.randn(6, 16)
    rows = torch.tensor([0, 1, 2])
    expected = functional.cross_entropy(both.head(view1[:3], view1[3:]), rows % 3)
    torch.testing.assert_close(both.loss([view1, view2], rows), expected)
    one_way = both.apart(torch.ones(6, 8, dtype=torch.bool), 3)  # 2 columns of a store
    block = torch.block_diag(torch.ones(3, 3), torch.ones(3, 3)).bool()
    assert torch.equal(one_way[:, :6], block)
    assert one_way[:, 6:].all()
    two_way = both.apart(torch.ones(12, 12, dtype=torch.bool), 3)
    assert torch.equal(two_way, block.repeat(2, 2))
    loss = both.total(torch.tensor(2.0), torch.tensor(1.0))
    assert float(loss) == pytest.approx(1.3)


def test_joint_loss_is_the_mean_over_both_sides_of_nt_xent() -> None:
    torch.manual_seed(0)
    z1 = functional.normalize(torch.randn(6, 5), dim=1)
    z2 = functional.normalize(torch.randn(6, 5), dim=1)

    def nt_xent(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """The formula in loops, averaged over 2N anchors."""
        z = torch.cat([a, b])
        n, total = len(a), torch.zeros(())
        for i in range(2 * n):
            j = (i + n) % (2 * n)
            others = torch.stack([z[i] @ z[k] / 0.1 for k in range(2 * n) if k != i])
            total = total - z[i] @ z[j] / 0.1 + others.logsumexp(0)
        return total / (2 * n)

    both, z = supervision(joint=True), torch.cat([z1, z2])
    positive = (torch.arange(12) + 6) % 12
    barred = torch.eye(12, dtype=torch.bool).scatter(1, positive[:, None], True)
    context = SimilarityContext(z @ z.T, positive, both.apart(~barred, 3), temperature=0.1)
    loss = loss_of("nt_xent", context, temperature=0.1)
    expected = (nt_xent(z1[:3], z2[:3]) + nt_xent(z1[3:], z2[3:])) / 2
    torch.testing.assert_close(loss.mean(), expected)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (replace(labelled(), nli=None), "needs entailment labels, and the data set made has none"),
        (labelled(nli=[0, 1, 2, 3, 4, 5]), r"the labels of made are 0, 1, 2, 3"),
        (labelled(nli=[-1] * 6), "the labels of made are -1"),
        (labelled(nli=[1] * 6), "at least two of the entailment classes"),
    ],
)
def test_labels_that_are_no_entailment_are_refused(data: TrainingData, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_labels("supervised", data)


def test_few_shot_sets_are_nested_and_fill_a_batch() -> None:
    data = labelled(60)
    small = few_shot(data, 5, batch_size=8, seed=3)
    large = few_shot(data, 20, batch_size=8, seed=3)
    assert small.rows == 10
    assert large.rows == 20
    assert len(small.texts) == 10  # 5 anchors and 5 positives
    assert set(small.texts) <= set(large.texts)
    for made in (small, large):
        for anchor, positive, label in zip(made.anchor, made.positive, made.nli, strict=True):
            number = int(made.texts[anchor].split()[1])
            assert made.texts[positive] == f"text {number + 60}"
            assert label == number % 3
    assert small.digest != few_shot(data, 5, batch_size=8, seed=4).digest
    assert few_shot(data, 0, batch_size=8, seed=3) is data
    assert few_shot(data, 60, batch_size=8, seed=3) is data


def test_few_shot_keeps_negatives_and_meanings() -> None:
    data = replace(
        labelled(4),
        negatives=np.array([[5, -1], [4, 6], [-1, -1], [7, 4]]),
        meaning=np.arange(8),
        nli=None,
    )
    made = few_shot(data, 2, batch_size=2, seed=0)
    for row in range(made.rows):
        old = int(made.texts[made.anchor[row]].split()[1])
        texts = [made.texts[i] if i >= 0 else None for i in made.negatives[row]]
        assert texts == [f"text {i}" if i >= 0 else None for i in data.negatives[old]]
    assert [f"text {m}" for m in made.meaning] == list(made.texts)


def test_contrast_takes_the_texts_of_entailment_pairs_one_by_one() -> None:
    rows = phase_data(Phase("contrast", Budget()), labelled(4), None)
    assert rows.rows == 8
    assert np.array_equal(rows.anchor, rows.positive)


def matrix(small: Any, **changes: Any) -> dict[str, Any]:
    cut = ["none", {"name": "feature_cutoff", "rate": 0.2}]
    return small(**{"augmentations": [cut], "objectives": ["nt_xent"]} | changes)


def test_every_regime_runs_and_records_its_cost(
    run_matrix: Any, small: Any, pairs: dict[str, Any]
) -> None:
    raw = matrix(
        small,
        regimes=[
            "unsupervised",
            *({"name": n, "nli": pairs} for n in NAMES if n != "unsupervised"),
            {"name": "sup_unsup", "nli": pairs, "steps": 3, "variant": "official"},
        ],
    )
    folder, records = run_matrix(raw)
    assert [r.status for r in records] == ["done"] * 6, [r.reason for r in records]
    cost = {r.cell["labels"]["regime"].split("(")[0]: r.cost for r in records[:5]}
    # 6 steps of 16 rows: a joint step encodes premises and hypotheses in two views each.
    assert cost["unsupervised"]["passes"] == cost["supervised"]["passes"] == 6 * 32
    assert cost["joint"]["passes"] == 6 * 64
    assert cost["sup_unsup"]["passes"] == 12 * 32
    assert cost["joint_unsup"]["passes"] == 6 * 96
    assert records[5].cost["steps"] == 9
    assert len({r.weights for r in records}) == 6
    for paths in folder.folders():
        cell = json.loads(paths.cell.read_text())
        table = pd.read_parquet(paths.difficulty)
        labelled_too = "entailment_accuracy" in set(table["quantity"])
        assert labelled_too == (cell["regime"]["name"] != "unsupervised")
        losses = pd.read_csv(paths.training)
        assert losses["step"].tolist() == list(range(len(losses)))


def test_first_phase_leaves_batches_of_the_second_alone(pairs: dict[str, Any], small: Any) -> None:
    raw = matrix(small, regimes=["unsupervised", "joint"], data=[pairs])
    planned = planned_of(raw | {"evaluation": {"tasks": []}})
    assert len({p.cell.key for p in planned}) == 2
    assert "nli" in planned[1].cell.inputs
    assert "nli" not in planned[0].cell.inputs


def test_supervised_cells_do_not_multiply_with_augmentations(
    small: Any, pairs: dict[str, Any]
) -> None:
    raw = matrix(
        small,
        augmentations=["none", "token_cutoff", "feature_cutoff"],
        regimes=[{"name": "supervised", "nli": pairs}, {"name": "joint", "nli": pairs}],
    )
    planned = planned_of(raw)
    assert [p.cell.regime.name for p in planned] == ["supervised", *["joint"] * 3]
    assert planned[0].cell.augmentation == "none"
    shown = planned[0].cell.labels["regime"]
    assert shown == f"supervised(nli=file(nli=pairs, path={pairs['path']}))"


def test_label_sources_are_known_before_a_run(small: Any, pairs: dict[str, Any]) -> None:
    from nsbench.benchmarks.matrix.expand import label_sources

    named = [{"name": n, "nli": pairs} for n in ("joint", "sup_unsup")]
    config = parse_config(matrix(small, regimes=["unsupervised", *named, "supervised"]))
    (source,) = label_sources(config)
    assert source.name == "file"


def test_classes_are_learned(run_matrix: Any, small: Any, pairs: dict[str, Any]) -> None:
    raw = matrix(small, regimes=[{"name": "supervised", "nli": pairs}])
    raw["budget"] = {"steps": 60, "batch_size": 32, "learning_rate": 0.05}
    folder, (record,) = run_matrix(raw)
    assert record.status == "done", record.traceback
    table = pd.read_parquet(next(iter(folder.folders())).difficulty).set_index("quantity")
    accuracy = table.loc["entailment_accuracy", "mean"]
    assert accuracy.iloc[-1] > 0.9 > accuracy.iloc[0]


def test_limit_is_an_axis_and_part_of_the_key(run_matrix: Any, small: Any) -> None:
    _, records = run_matrix(matrix(small, limits=[1, 10, 0]))
    assert [r.status for r in records] == ["done"] * 3, [r.reason for r in records]
    assert len({r.key for r in records}) == 3
    limits = [r.cell["labels"]["data"].partition(", ")[2] for r in records]
    assert limits == ["1 rows", "10 rows", ""]
    one_text = records[0]
    assert one_text.cost["empty_rows"] == 6 * 32  # planted rows are pairs; both views anchor
    assert "empty_rows" in {a["name"] for a in one_text.alarms}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"regimes": ["supervised"]}, "needs entailment labels, and the data set .* has none"),
        ({"regimes": [{"name": "joint", "nli": "planted"}]}, "needs entailment labels"),
        ({"regimes": ["supervized"]}, "Did you mean 'supervised'"),
        ({"regimes": [{"name": "joint", "weight": -1}]}, r"joint: weight must be in \[0, 1000\]"),
        ({"regimes": [{"name": "sup_unsup", "nli": "plantd"}]}, "Did you mean 'planted'"),
        ({"limits": [-1]}, "limits.0 is -1"),
    ],
)
def test_what_cannot_train_is_refused_before_it_does(
    small: Any, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises((ValueError, ConfigError), match=words):
        planned_of(matrix(small, **changes))


def test_pair_labels_that_are_no_entailment_are_refused(tmp_path: Path, small: Any) -> None:
    path = tmp_path / "scored.jsonl"
    path.write_text('{"premise": "a", "hypothesis": "b", "label": "4.2"}\n' * 20)
    data = {"name": "file", "path": str(path), "nli": "pairs"}
    with pytest.raises(ValueError, match="label"):
        planned_of(matrix(small, regimes=[{"name": "joint", "nli": data}]))


def test_joint_with_another_pool_is_skipped_with_its_reason(
    small: Any, pairs: dict[str, Any]
) -> None:
    regimes = ["unsupervised", {"name": "joint", "nli": pairs}]
    raw = matrix(small, regimes=regimes, candidates=["memory"])
    (skip,) = (planned.skip for planned in planned_of(raw) if planned.skip)
    assert "premises" in skip


def test_adversarial_runs_with_and_without_labels(
    run_matrix: Any, small: Any, pairs: dict[str, Any]
) -> None:
    raw = matrix(
        small,
        augmentations=[["none", "adversarial"]],
        regimes=["unsupervised", {"name": "joint", "nli": pairs}],
        encoders=[{"name": "static", "dimension": 16}, {"name": "tiny", "dimension": 16}],
    )
    _, records = run_matrix(raw)
    assert [r.status for r in records] == ["done"] * 4, [r.traceback for r in records]
    for record in records:
        assert record.cost["passes_attack"] == record.cost["passes"] / 2
        assert not [a for a in record.alarms if a["name"].startswith("noop")]


def test_scores_may_pool_otherwise_than_training(run_matrix: Any, small: Any) -> None:
    raw = matrix(small, encoders=[{"name": "tiny", "dimension": 16, "pooling": "mean"}])
    scores, weights = [], []
    for pooling in ("", "mean", "last2_mean"):
        folder, records = run_matrix(raw | {"evaluation": {"pooling": pooling}})
        assert records[-1].status == "done", records[-1].traceback
        paths = next(p for p in folder.folders() if records[-1].key in p.folder.name)
        scores.append(paths.scores.read_text())
        weights.append(records[-1].weights)
    assert len(set(weights)) == 1
    assert scores[0] == scores[1] != scores[2]
