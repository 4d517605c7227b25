"""Our loss inside sentence-transformers is the engine's; callbacks; metric-learning miners."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from made_data import doubled, pairs_of
from made_trainer import trainer_for
from made_training import method, trained

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.encoders import Encoder, encoders
from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer
from nsbench.benchmarks.mining.dataset import MineSettings
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.training.optimizer import Optimizer
from nsbench.samplers import make, parse_choice
from nsbench.samplers.testing import make_context

pytest.importorskip("sentence_transformers")

from running import python

from nsbench.benchmarks.adapters._batch import token_hash
from nsbench.benchmarks.adapters.pytorch_metric_learning import PmlMiner
from nsbench.benchmarks.adapters.sentence_transformers import (
    DifficultyCallback,
    NegativeSamplingLoss,
    Remine,
)

ROOT = Path(__file__).resolve().parents[3]
ROWS = 24


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return doubled(ROWS)


def static(data: TrainingData, dimension: int = 8, seed: int = 1) -> Any:
    return to_sentence_transformer(
        encoders.make("static", dimension=dimension).build(data.texts, seed)
    )


def columns(data: TrainingData, negatives: bool) -> list[list[str]]:
    places = [data.anchor, data.positive]
    if negatives:
        places += list(data.negatives.T)
    return [[data.texts[i] for i in place] for place in places]


def by_engine(
    data: TrainingData, sampler: str, objective: str, encoder: Encoder, monkeypatch: Any
) -> tuple[float, torch.Tensor]:
    """Loss and gradient of the engine's first and only step, its batch being all rows."""
    gradients: list[torch.Tensor] = []
    step = Optimizer.step

    def watched(self: Optimizer, factor: float) -> torch.Tensor:
        grads = [p.grad for p in self.parameters]
        gradients.extend(
            (g.to_dense() if g.is_sparse else g).clone() for g in grads if g is not None
        )
        return step(self, factor)

    monkeypatch.setattr(Optimizer, "step", watched)
    name, params = parse_choice(sampler)
    kind, given = parse_choice(objective)
    made = objectives.make(kind, **given)
    step_once = method(
        make(name, **params),
        objective=made,
        directions=str(getattr(made, "views", "one")),
        steps=1,
        batch_size=data.rows,
        precision="fp32",
        max_length=128,
    )
    found = trained(encoder, data, step_once, every=1)
    return float(found.training["loss"][0]), torch.cat([g.flatten() for g in gradients])


PAIRINGS = [
    ("in_batch", "info_nce"),
    ("hard[k=4]", "info_nce[temperature=0.1]"),
    ("semi_hard[margin=0.3]", "triplet"),
    ("band[low=0.1,high=0.6]", "nt_xent"),
    ("median_triplet", "truncated_triplet"),
    ("debiased", "debiased"),
    ("hard_debiased", "hard_debiased"),
    ("hard_reweighted", "info_nce"),
    ("text_dedup[threshold=0.3]", "info_nce"),
    ("fn_cancel[mode=attraction]", "info_nce"),
    ("mixed[hardest=8,pairs=4,with_anchor=0]", "info_nce"),
]


@pytest.mark.parametrize("negatives", [False, True])
@pytest.mark.parametrize(("sampler", "objective"), PAIRINGS)
def test_first_loss_and_gradient_are_the_engines(
    data: TrainingData,
    sampler: str,
    objective: str,
    negatives: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if sampler.startswith("mixed") and negatives:
        pytest.skip("mixing draws in the order of rows, which differs")
    rows = data if negatives else replace(data, negatives=np.zeros((data.rows, 0), np.int64))
    encoder = encoders.make("static", dimension=24).build(data.texts, seed=1)
    model = to_sentence_transformer(encoder)
    loss = NegativeSamplingLoss(model, sampler, objective)
    total = loss([model.preprocess(c) for c in columns(rows, negatives)])
    total.backward()
    weight = next(model.parameters())
    expected, gradient = by_engine(rows, sampler, objective, encoder, monkeypatch)
    if sampler.startswith("mixed"):  # it draws, in another order of rows
        assert float(total.detach()) == pytest.approx(expected, rel=0.1)
        return
    assert float(total.detach()) == pytest.approx(expected, abs=1e-5)
    assert gradient.abs().max() > 1e-4
    torch.testing.assert_close(weight.grad.flatten(), gradient, atol=1e-5, rtol=1e-4)


def test_a_transformer_has_the_engines_loss_and_gradient(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = encoders.make("tiny", pooling="cls").build(data.texts, seed=2)
    model = to_sentence_transformer(encoder)
    model.eval()  # ours has its dropout off unless a view asks for it
    # Weights, no threshold: similarities of this model are within 1e-5, and rounding would choose.
    loss = NegativeSamplingLoss(model, "hard_reweighted")
    total = loss([model.preprocess(c) for c in columns(data, True)])
    total.backward()
    expected, gradient = by_engine(data, "hard_reweighted", "info_nce", encoder, monkeypatch)
    assert float(total.detach()) == pytest.approx(expected, abs=1e-5)
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(found.norm(), gradient.norm(), rtol=1e-3, atol=1e-5)
    # The optimizer holds the parameters in another order.
    torch.testing.assert_close(found.sort().values, gradient.sort().values, atol=1e-5, rtol=1e-3)


def test_it_is_sentence_transformers_own_loss_for_plain_in_batch(data: TrainingData) -> None:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    plain = datasets.make("planted", rows=12, seed=9)()
    model = static(plain, dimension=24)
    features = [model.preprocess(c) for c in columns(plain, False)]
    mine = NegativeSamplingLoss(model, "in_batch", "info_nce[temperature=0.05]")
    theirs = MultipleNegativesRankingLoss(model, scale=20.0)
    assert float(mine(features).detach()) == pytest.approx(
        float(theirs([dict(f) for f in features], torch.zeros(0)).detach()), abs=1e-5
    )


def test_known_pairs_of_other_batches_are_masked(data: TrainingData) -> None:
    model = static(data, dimension=24)
    anchors, positives = columns(data, False)
    batch = [model.preprocess(anchors[:4]), model.preprocess(positives[4:8])]
    z = [torch.nn.functional.normalize(torch.randn(4, 8), dim=1) for _ in batch]
    extra = ([anchors[0]], [positives[6]])  # anchor 0's positive is column 2 of this batch
    free, masked = (
        loss._contrasted(z, loss._facts(batch))[1].negative_mask
        for loss in (NegativeSamplingLoss(model), NegativeSamplingLoss(model, pairs=extra))
    )
    changed = (free != masked).nonzero().tolist()
    assert [0, 2] in changed
    assert all(anchors[i] == anchors[0] and positives[4 + j] == positives[6] for i, j in changed)


def test_token_hash_sees_words_and_order_and_no_padding(data: TrainingData) -> None:
    encoder = encoders.make("tiny").build(data.texts, seed=2)
    model = to_sentence_transformer(encoder)
    words = data.texts[0].split()
    alone = token_hash(model.preprocess([data.texts[0]]))
    long = token_hash(model.preprocess([data.texts[0], " ".join(data.texts[:3])]))
    assert alone[0] == long[0]
    assert long[0] != long[1]
    turned = token_hash(model.preprocess([" ".join(reversed(words))]))
    assert turned[0] != alone[0]
    flat = static(data)
    hashes = token_hash(flat.preprocess([*data.texts[:3], data.texts[0], ""]))
    assert hashes[0] == hashes[3]
    assert len(set(hashes.tolist())) == 4


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("incremental", "needs cluster_match"),
        ("oracle", "needs truth"),
        ("guided", "needs a guide"),
        ("hrad", "Did you mean 'hard'"),
    ],
)
def test_what_a_loss_cannot_see_is_refused(sampler: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NegativeSamplingLoss(None, sampler)


def test_a_guide_masks_what_it_finds_closer_than_the_positive(data: TrainingData) -> None:
    model = static(data)
    guide = static(data, dimension=16, seed=2)
    features = [model.preprocess(c) for c in columns(data, False)]
    loss = NegativeSamplingLoss(model, "guided", guide=guide)
    z = [torch.randn(ROWS, 8) for _ in features]
    _, context, selection = loss._contrasted(z, loss._facts(features))
    own = context.guide_similarity
    above = own > own.gather(1, context.positive[:, None])
    torch.testing.assert_close(selection.mask, context.negative_mask & ~above)
    assert not any("guide" in name for name, _ in loss.named_parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_remining_feeds_what_the_model_finds_now(data: TrainingData, tmp_path: Path) -> None:
    model = static(data)
    settings = MineSettings(shortage="pad_random", negatives=2)
    with pytest.raises(ValueError, match="choose pad_random or error"):
        Remine(model, data, MineSettings(shortage="drop"), every=2)
    remine = Remine(model, data, settings, every=2)
    first = dict(remine.negatives)
    loss = NegativeSamplingLoss(model, "bm25[keep='own']", "info_nce")
    sizes = {"max_steps": 5, "per_device_train_batch_size": 8}
    trainer = trainer_for(model, remine.dataset, loss, tmp_path, **sizes)
    trainer.add_callback(remine)
    measured = DifficultyCallback(loss, trainer, every=2)
    trainer.add_callback(measured)
    trainer.train()
    assert remine.refreshes == 3  # at the start, after steps 2 and 4
    assert remine.negatives != first
    now = trainer.train_dataset[0]
    key = now["anchor"], now["positive"]
    assert [now["negative_1"], now["negative_2"]] == remine.negatives[key]
    logged = [r for r in trainer.state.log_history if "neg/neg_sim_mean" in r]
    assert [r["step"] for r in logged] == [1, 3, 5]
    assert logged[0]["neg/chosen"] <= 2
    table = pd.read_parquet(tmp_path / "difficulty.parquet")
    assert sorted(table["step"].unique()) == [0, 2, 4]
    assert {"margin", "violation", "effective_negatives"} <= set(table["quantity"])


def few_rows() -> TrainingData:
    """Three rows with two other documents each; the first anchor knows two of the three."""
    texts = ("france", "paris", "hamlet", "shakespeare", "planet", "jupiter")
    return pairs_of(texts, [(0, 1), (2, 3), (4, 5), (0, 3)], "few")


def test_mining_again_never_gives_a_positive_where_the_corpus_is_used_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = few_rows()
    model = static(data)
    known = set(zip(data.anchor.tolist(), data.positive.tolist(), strict=True))
    pairs = {(data.texts[a], data.texts[p]) for a, p in known}
    remine = Remine(model, data, MineSettings(shortage="pad_random", negatives=2), every=2)
    rows = remine.dataset[:]
    assert rows["anchor"] == ["hamlet", "planet"]
    assert rows["positive"] == ["shakespeare", "jupiter"]
    for name in ("negative_1", "negative_2"):
        assert not pairs & set(zip(rows["anchor"], rows[name], strict=True))
    counts = remine.report["counts"]
    assert (counts["rows"], counts["rows_written"], counts["negatives"]) == (4, 2, 4)
    assert "2 of 4 rows of few are left out" in caplog.text
    remine.mine()
    assert len(remine.dataset) == 2
    with pytest.raises(ValueError, match="no row of few has 3 texts"):
        Remine(model, data, MineSettings(shortage="pad_random", negatives=3), every=2)


@pytest.mark.slow
def test_the_example_trains_and_starts_where_the_engine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ROOT / "examples" / "sentence_transformers_loss.py"
    done = python(str(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    last = done.stdout.strip().splitlines()[-1].split()
    first, end = float(last[1]), float(last[3].rstrip(","))
    assert end < first - 0.1
    rows = datasets.make("planted", rows=256)()
    encoder = encoders.make("static", dimension=64).build(rows.texts, seed=1)
    expected, _ = by_engine(rows, "semi_hard[margin=0.2]", "info_nce", encoder, monkeypatch)
    assert first == pytest.approx(expected, abs=1e-4)  # it prints four places


@pytest.mark.parametrize("layout", ["one", "both"])
@pytest.mark.parametrize(
    ("miner", "arguments"),
    [
        ("MultiSimilarityMiner", {"epsilon": 0.5}),
        ("TripletMarginMiner", {"type_of_triplets": "semihard", "margin": 0.5}),
        ("BatchHardMiner", {}),
    ],
)
def test_metric_learning_miners_choose_legal_negatives(
    miner: str, arguments: dict[str, Any], layout: str
) -> None:
    pytest.importorskip("pytorch_metric_learning")
    sampler = PmlMiner(miner, arguments)
    chosen = 0
    for seed in range(4):
        context = make_context(6, 12, needs={"anchors", "candidates"}, seed=seed, layout=layout)
        mask = sampler(context).mask
        assert not (mask & ~context.negative_mask).any()
        chosen += int(mask.sum())
        if miner == "BatchHardMiner" and layout == "one":
            ranks = context.ranks()[mask]
            assert (ranks <= 2).all()  # the hardest, but for what is masked afterwards
    assert chosen > 0


def test_wrong_miners_are_refused() -> None:
    pytest.importorskip("pytorch_metric_learning")
    with pytest.raises(ValueError, match="Did you mean 'BatchHardMiner'"):
        PmlMiner("BatchHardMinr")
    with pytest.raises(ValueError, match="arguments do not fit BatchHardMiner"):
        PmlMiner("BatchHardMiner", {"hardness": 2})


def test_a_miner_is_a_sampler_of_the_loss(data: TrainingData) -> None:
    pytest.importorskip("pytorch_metric_learning")
    model = static(data)
    loss = NegativeSamplingLoss(model, PmlMiner("BatchHardMiner"), "triplet[margin=0.5]")
    total = loss([model.preprocess(c) for c in columns(data, False)])
    total.backward()
    assert total.item() > 0
    assert next(model.parameters()).grad.abs().sum() > 0
