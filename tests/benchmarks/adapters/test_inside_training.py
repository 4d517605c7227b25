"""The loss inside a trainer: identity of texts, guides, resume, wrappers, caching, gathering."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_trainer import trainer_for
from running import HANG

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer
from nsbench.benchmarks.mining.dataset import MineSettings
from nsbench.benchmarks.seeds import seed_for

pytest.importorskip("sentence_transformers")

from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses

from nsbench.benchmarks.adapters._batch import token_hash
from nsbench.benchmarks.adapters._identity import Carrying, text_hashes, wrapping_tokens
from nsbench.benchmarks.adapters.sentence_transformers import (
    CachedNegativeSamplingLoss,
    DifficultyCallback,
    NegativeSamplingLoss,
    ProgressCallback,
    Remine,
)

ROWS = 16
Texts = list[list[str]]


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return datasets.make("planted", rows=ROWS, seed=4)()


@pytest.fixture(scope="module")
def texts(data: TrainingData) -> Texts:
    """Anchors and positives, with a double anchor, a doubled positive and a swapped pair."""
    columns = [[data.texts[i] for i in place] for place in (data.anchor, data.positive)]
    columns[0][1] = columns[0][0]
    columns[1][3] = columns[1][2]
    columns[0][5], columns[1][6] = columns[1][4], columns[0][7]
    return columns


def tiny(data: TrainingData, **options: Any) -> SentenceTransformer:
    return to_sentence_transformer(encoders.make("tiny", **options).build(data.texts, seed=2))


def static(data: TrainingData, dimension: int = 8, seed: int = 1) -> SentenceTransformer:
    made = encoders.make("static", dimension=dimension).build(data.texts, seed=seed)
    return to_sentence_transformer(made)


def mask_of(loss: NegativeSamplingLoss, features: list[dict[str, Any]], count: int = ROWS) -> Any:
    draw = torch.Generator().manual_seed(0)
    z = [torch.nn.functional.normalize(torch.randn(count, 4, generator=draw)) for _ in features]
    return loss._contrasted(z, loss._facts(features))[1].negative_mask


def by_text(columns: Texts, pairs: Texts | None = None) -> torch.Tensor:
    """The mask by loops over the texts themselves."""
    anchors, positives = columns
    known = set(zip(*columns, strict=True)) | set(zip(*(pairs or [[], []]), strict=True))
    known |= {(b, a) for a, b in known}
    rows = [
        [c not in (a, p) and (a, c) not in known for c in positives]
        for a, p in zip(anchors, positives, strict=True)
    ]
    return torch.tensor(rows)


PROMPTS: dict[str, tuple[str | None, str | None]] = {
    "none": (None, None),
    "one": ("search for this : ", "search for this : "),
    "two": ("query : ", "the document is : "),
    "anchors only": ("query : ", None),
}


@pytest.mark.parametrize("early", [False, True], ids=["by text", "by token"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("prompts", PROMPTS)
@pytest.mark.parametrize("pairs", [False, True])
def test_padding_and_prompts_are_no_part_of_a_text(
    data: TrainingData, texts: Texts, prompts: str, side: str, pairs: bool, early: bool
) -> None:
    model = tiny(data)
    model.tokenizer.padding_side = side
    known = [texts[0][:3], texts[1][8:11]] if pairs else None

    def made() -> list[dict[str, Any]]:
        return [
            model.preprocess(column, prompt=prompt)
            for column, prompt in zip(texts, PROMPTS[prompts], strict=True)
        ]

    features = made() if early else []
    loss = NegativeSamplingLoss(model, pairs=None if known is None else tuple(known))
    found = mask_of(loss, features or made())
    assert torch.equal(found, by_text(texts, known))
    assert 0 < (~found).sum() < found.numel() / 2


def test_prompts_of_a_static_model_are_no_part_of_a_text(data: TrainingData, texts: Texts) -> None:
    model = static(data)
    loss = NegativeSamplingLoss(model, pairs=(texts[0], texts[1]))
    features = [model.preprocess(c, prompt=p) for c, p in zip(texts, ("a ", "b c "), strict=True)]
    assert torch.equal(mask_of(loss, features), by_text(texts, texts))


@given(st.lists(st.sampled_from(["Ab c", "ab  C", "x", "y z", "Y Z ", ""]), min_size=4, max_size=4))
@settings(max_examples=25)
def test_identity_is_that_of_the_engine(four: list[str]) -> None:
    from nsbench.benchmarks.data import text_groups

    hashes, groups = text_hashes(four), torch.from_numpy(text_groups(four))
    assert torch.equal(hashes[:, None] == hashes, groups[:, None] == groups)


def test_texts_that_differ_behind_the_limit_are_different(data: TrainingData) -> None:
    model = tiny(data)
    model.max_seq_length = 6
    long = " ".join(data.texts[:2])
    loss = NegativeSamplingLoss(model)
    columns = [[long + " one", "a"], [long + " two", "b"]]
    found = mask_of(loss, [model.preprocess(c) for c in columns], 2)
    assert found.tolist() == [[False, True], [True, False]]
    columns = [[long + " one", "a"], ["b", long + " two"]]  # by tokens: the anchor itself
    assert mask_of(loss, [model.preprocess(c) for c in columns], 2)[0].tolist() == [False, True]


def test_tokens_are_hashed_alike_on_either_side_of_the_padding(data: TrainingData) -> None:
    model = tiny(data)
    wrapping = wrapping_tokens(model)
    batch = [data.texts[0], " ".join(data.texts[:3]), "a"]
    found = []
    for side in ("right", "left"):
        model.tokenizer.padding_side = side
        found.append(token_hash(model.preprocess(batch), wrapping))
    assert torch.equal(*found)
    assert len(set(found[0].tolist())) == 3


def test_the_model_and_its_copies_do_not_see_what_was_added(
    data: TrainingData, texts: Texts, tmp_path: Path
) -> None:
    model = tiny(data).eval()
    before = model.encode(texts[0])
    NegativeSamplingLoss(model)
    assert isinstance(model[0].__dict__["preprocess"], Carrying)
    seen: list[set[str]] = []
    model[0].register_forward_pre_hook(lambda _, given: seen.append(set(given[0])))
    assert (model.encode(texts[0]) == before).all()
    assert not any(name.startswith("nsbench") for names in seen for name in names)
    twin = copy.deepcopy(model)
    assert twin[0].__dict__["preprocess"].module is twin[0]
    model.save(str(tmp_path / "m"), create_model_card=False)
    saved = SentenceTransformer(str(tmp_path / "m"), device="cpu")
    assert "preprocess" not in saved[0].__dict__
    assert (saved.encode(texts[0]) == before).all()


def test_features_without_any_text_are_refused(data: TrainingData) -> None:
    loss = NegativeSamplingLoss(static(data))
    features = [{"sentence_embedding": torch.zeros(2, 4)} for _ in range(2)]
    with pytest.raises(ValueError, match="the features hold none: they are sentence_embedding"):
        mask_of(loss, features, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps must be a whole number of at least 0, got -1"),
        ({"mini_batch_size": 2.5}, "mini_batch_size must be a whole number of at least 0, got 2.5"),
        ({"directions": "all"}, "directions is 'all': choose auto, one, both"),
        ({"pairs": (["a"], ["b", "c"])}, "pairs hold 1 anchors and 2 positives"),
        ({"pairs": (["a"], [3])}, "pairs: positive 0 is 3, not a text"),
        ({"mini_batch_sise": 2}, "no option 'mini_batch_sise'. Did you mean 'mini_batch_size'"),
    ],
)
def test_wrong_options_are_refused(
    data: TrainingData, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        NegativeSamplingLoss(static(data), **options)


# A3: guides


def other_guide(data: TrainingData) -> SentenceTransformer:
    """A transformer with dropout and with tokens of other texts, in train mode, with a prompt."""
    texts = list(reversed(data.texts[: len(data.texts) // 2]))
    made = encoders.make("tiny", dimension=32, dropout=0.5).build(texts, 7)
    guide = to_sentence_transformer(made)
    guide.prompts, guide.default_prompt_name = {"any": "about : "}, "any"
    return guide.train()


@pytest.mark.parametrize("prompt", [None, "query : "])
def test_a_guide_reads_the_texts_by_its_own_tokenizer(
    data: TrainingData, texts: Texts, prompt: str | None
) -> None:
    model, guide = tiny(data), other_guide(data)
    loss = NegativeSamplingLoss(model, "guided", guide=guide)
    guide.train()  # as ``loss.train()`` of a wrapper would
    features = [model.preprocess(c, prompt=prompt) for c in texts]
    z = [torch.nn.functional.normalize(torch.randn(ROWS, 4)) for _ in features]
    context = loss._contrasted(z, loss._facts(features))[1]
    tensors = {"convert_to_tensor": True, "normalize_embeddings": True}
    wanted = [guide.encode(column, **tensors).clone() for column in texts]
    torch.testing.assert_close(context.guide_similarity, wanted[0] @ wanted[1].T)
    assert not guide.training
    assert not any(p.requires_grad for p in guide.parameters())


def test_a_guide_of_another_tokenizer_needs_texts(data: TrainingData, texts: Texts) -> None:
    model, guide = tiny(data), other_guide(data)
    early = [model.preprocess(c) for c in texts]
    loss = NegativeSamplingLoss(model, "guided", guide=guide)
    with pytest.raises(ValueError, match="the guide has another tokenizer"):
        mask_of(loss, early)


def test_a_guide_moves_with_the_loss_and_is_not_trained(data: TrainingData) -> None:
    model, guide = static(data), other_guide(data)
    loss = NegativeSamplingLoss(model, "guided", guide=guide)
    own = {id(p) for p in guide.parameters()}
    assert not own & {id(p) for p in loss.parameters()}
    loss.to(torch.float64)
    assert {p.dtype for p in guide.parameters()} == {torch.float64}


def test_the_model_is_no_guide_of_itself(data: TrainingData) -> None:
    model = static(data)
    with pytest.raises(ValueError, match="shares weights with the model in training"):
        NegativeSamplingLoss(model, "guided", guide=model)


# A4, A5: the trainer


def pairs_of(texts: Texts) -> Dataset:
    return Dataset.from_dict({"anchor": texts[0], "positive": texts[1]})


CURRICULUM = "curriculum[inner='random[fraction=0.5]']"


class Progress(NegativeSamplingLoss):
    """Writes down the progress that the sampler saw."""

    def _contrasted(self, *given: Any) -> Any:
        found = super()._contrasted(*given)
        if self._learning():
            self.__dict__.setdefault("seen", []).append(float(found[1].progress))
        return found


def weights(model: Any) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("sampler", ["random[k=2]", "noise"])
def test_a_stopped_training_resumes_as_if_unbroken(
    data: TrainingData, texts: Texts, tmp_path: Path, sampler: str
) -> None:
    def run(folder: Path, resume: bool = False, **more: Any) -> tuple[Any, Any, Any]:
        model = static(data)
        loss = Progress(model, sampler, "hard_debiased[anneal='down']")
        saved = {"save_strategy": "steps", "save_steps": 3}
        trainer = trainer_for(model, pairs_of(texts), loss, folder, **(saved | more))
        difficulty = DifficultyCallback(loss, trainer, every=2)
        trainer.add_callback(difficulty)
        trainer.train(resume_from_checkpoint=str(folder / "checkpoint-3") if resume else None)
        return model, loss, difficulty

    whole, loss, table = run(tmp_path / "a")
    resumed, later, again = run(tmp_path / "a", resume=True)
    assert loss.seen == pytest.approx([i / 7 for i in range(8)])
    assert later.seen == loss.seen[3:]
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))
    assert table.difficulty["step"].unique().tolist() == [0, 2, 4, 6]
    assert again.difficulty.equals(table.difficulty)
    assert not any(p.suffix in (".pkl", ".pickle") for p in tmp_path.rglob("*"))


def test_a_checkpoint_without_our_state_is_refused(
    data: TrainingData, texts: Texts, tmp_path: Path
) -> None:
    model = static(data)
    loss = NegativeSamplingLoss(model, "random[k=2]")
    saved = {"save_strategy": "steps", "save_steps": 3, "max_steps": 4}
    trainer_for(model, pairs_of(texts), loss, tmp_path, **saved).train()
    trainer = trainer_for(model, pairs_of(texts), loss, tmp_path, **saved)
    trainer.add_callback(ProgressCallback(loss))
    with pytest.raises(ValueError, match="step 3 holds no state of ProgressCallback 1"):
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5, 6])
def test_remined_negatives_are_resumed(data: TrainingData, tmp_path: Path, stop: int) -> None:
    chosen = MineSettings(shortage="pad_random", negatives=2)

    def run(resume: bool = False, **more: Any) -> tuple[Any, Remine]:
        model = static(data)
        remine = Remine(model, data, chosen, every=2)
        loss = NegativeSamplingLoss(model, "bm25[keep='own']", "info_nce")
        options = {"save_strategy": "steps", "save_steps": 1, "max_steps": 7} | more
        trainer = trainer_for(model, remine.dataset, loss, tmp_path, **options)
        for callback in (remine, ProgressCallback(loss)):
            trainer.add_callback(callback)
        folder = str(tmp_path / f"checkpoint-{stop}")
        trainer.train(resume_from_checkpoint=folder if resume else None)
        return model, remine

    whole, first = run()
    resumed, second = run(resume=True)
    assert first.refreshes == second.refreshes == 4
    assert first.negatives == second.negatives
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))


def test_remining_refuses_workers_and_other_data(data: TrainingData, tmp_path: Path) -> None:
    model = static(data)
    chosen = MineSettings(shortage="pad_random", negatives=2)
    remine = Remine(model, data, chosen, every=2)
    held = json.loads(json.dumps(remine.kept()))
    other = datasets.make("planted", rows=ROWS, seed=5)()
    stranger = Remine(static(other), other, chosen, every=2)
    with pytest.raises(ValueError, match="resume with the same pairs and settings"):
        stranger.resume(held)
    loss = NegativeSamplingLoss(model, "bm25[keep='own']", "info_nce")
    trainer = trainer_for(model, remine.dataset, loss, tmp_path, dataloader_num_workers=1)
    trainer.add_callback(remine)
    with pytest.raises(ValueError, match="dataloader_num_workers = 0"):
        trainer.train()


def test_progress_counts_optimizer_steps(data: TrainingData, texts: Texts, tmp_path: Path) -> None:
    model = static(data)
    loss = Progress(model, "random[k=2]")
    around = losses.MatryoshkaLoss(model, loss, [8, 4, 2])
    steps = {"max_steps": 4, "gradient_accumulation_steps": 2}
    trainer = trainer_for(model, pairs_of(texts), around, tmp_path, **steps)
    difficulty = DifficultyCallback(loss, trainer, every=1)
    trainer.add_callback(difficulty)
    trainer.train()
    assert loss.seen == pytest.approx([i / 3 for i in range(4) for _ in range(2 * 3)])
    assert difficulty.difficulty["step"].unique().tolist() == [0, 1, 2, 3]


def test_every_training_has_its_own_length(
    data: TrainingData, texts: Texts, tmp_path: Path
) -> None:
    loss = Progress(static(data), "random[k=2]")
    given = Progress(static(data), "random[k=2]", steps=9)
    for trained, steps in ((loss, 3), (loss, 5), (given, 3)):
        trainer = trainer_for(trained.model, pairs_of(texts), trained, tmp_path, max_steps=steps)
        trainer.add_callback(ProgressCallback(trained))
        trainer.train()
    assert loss.seen == pytest.approx([0, 0.5, 1, 0, 0.25, 0.5, 0.75, 1])
    assert given.seen == pytest.approx([0, 1 / 8, 2 / 8])


def test_progress_of_a_hand_written_loop(data: TrainingData, texts: Texts) -> None:
    model = static(data)
    loss = Progress(model, "in_batch", steps=3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        for _ in range(2):  # two batches a step
            loss([model.preprocess(c) for c in texts]).backward()
        optimizer.step()
    assert loss.seen == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]


def test_a_curriculum_without_a_callback_is_refused(
    data: TrainingData, texts: Texts, tmp_path: Path
) -> None:
    model = static(data)
    loss = NegativeSamplingLoss(model, "curriculum")
    with pytest.raises(ValueError, match=r"add ProgressCallback\(loss\) or DifficultyCallback"):
        trainer_for(model, pairs_of(texts), loss, tmp_path).train()
    told = NegativeSamplingLoss(static(data), "curriculum", steps=8)
    trainer_for(told.model, pairs_of(texts), told, tmp_path).train()
    plain = NegativeSamplingLoss(static(data), "random[k=2]")  # asks for no progress
    trainer_for(plain.model, pairs_of(texts), plain, tmp_path).train()


def test_evaluation_along_the_way_changes_nothing(
    data: TrainingData, texts: Texts, tmp_path: Path
) -> None:
    def run(**more: Any) -> tuple[Any, Any, list[float]]:
        model = static(data)
        loss = NegativeSamplingLoss(model, "random[k=2]")
        trainer = trainer_for(model, pairs_of(texts), loss, tmp_path, **more)
        difficulty = DifficultyCallback(loss, trainer, every=2)
        trainer.add_callback(difficulty)
        trainer.train()
        found = [r["eval_loss"] for r in trainer.state.log_history if "eval_loss" in r]
        return model, difficulty, found

    plain, table, _ = run()
    often = {"eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True}
    evaluated, other, found = run(eval_dataset=pairs_of(texts), **often)
    assert len(found) == 9
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(evaluated), strict=True))
    assert table.difficulty.equals(other.difficulty)


def test_evaluating_twice_gives_the_same(data: TrainingData, texts: Texts) -> None:
    model = static(data)
    loss = NegativeSamplingLoss(model, "random[k=2]")
    features = [model.preprocess(c) for c in texts]
    with torch.no_grad():
        assert loss(features) == loss(features)
    assert loss(features) != loss(features)  # draws go on in training


def test_layers_and_dimensions_of_wrappers_are_trained(data: TrainingData, texts: Texts) -> None:
    for seed in range(2):
        model = tiny(data).eval()
        mine = losses.AdaptiveLayerLoss(model, NegativeSamplingLoss(model), n_layers_per_step=-1)
        twin = tiny(data).eval()
        theirs = losses.AdaptiveLayerLoss(
            twin, losses.MultipleNegativesRankingLoss(twin), n_layers_per_step=-1
        )
        columns = [c[8 + 3 * seed : 11 + 3 * seed] for c in texts]  # nothing to mask
        found = mine([model.preprocess(c) for c in columns], None)
        wanted = theirs([twin.preprocess(c) for c in columns], None)
        torch.testing.assert_close(found, wanted)
        found.backward()
        wanted.backward()
        for one, two in zip(model.parameters(), twin.parameters(), strict=True):
            if two.grad is not None:
                assert one.grad is not None
                torch.testing.assert_close(one.grad, two.grad, atol=1e-5, rtol=1e-3)


# A6: gradient caching, gathering


@pytest.mark.parametrize("chunk", [1, 3, ROWS, 100])
@pytest.mark.parametrize("sampler", ["in_batch", "random[k=3]", "mixed", "text_dedup"])
@pytest.mark.parametrize("kind", ["static", "tiny"])
def test_a_cached_loss_is_the_plain_one(
    data: TrainingData, texts: Texts, kind: str, sampler: str, chunk: int
) -> None:
    found = []
    for options in ({}, {"mini_batch_size": chunk}):
        model = static(data) if kind == "static" else tiny(data).eval()
        loss = NegativeSamplingLoss(model, sampler, **options)
        features = [model.preprocess(c, prompt="query : ") for c in texts]
        total = loss(features)
        (total / 2).backward()  # as a trainer that accumulates does
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append((float(total.detach()), grads))
    (plain, one), (cached, two) = found
    assert cached == pytest.approx(plain, abs=1e-6)
    assert len(one) == len(two) > 0
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_a_cached_loss_repeats_its_dropout(data: TrainingData, texts: Texts) -> None:
    """The chunks of both passes have the same dropout: the gradient is that of the loss."""
    model = tiny(data)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    loss = CachedNegativeSamplingLoss(model, mini_batch_size=5)
    features = [model.preprocess(c) for c in texts]
    torch.manual_seed(3)
    total = loss(features)
    total.backward()
    name, parameter = next(
        (n, p) for n, p in model.named_parameters() if p.grad is not None and p.dim() == 1
    )
    place = int(parameter.grad.abs().argmax())
    moved = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter[place] += sign * 1e-2
            torch.manual_seed(3)
            moved.append(float(loss(features)))
            parameter[place] -= sign * 1e-2
    slope = (moved[0] - moved[1]) / 2e-2
    assert slope == pytest.approx(float(parameter.grad[place]), rel=0.05), name


def test_matryoshka_around_a_cached_loss(data: TrainingData, texts: Texts) -> None:
    found = []
    for options in ({}, {"mini_batch_size": 5}):
        model = static(data)
        inner = NegativeSamplingLoss(model, "hard[k=4]", **options)
        around = losses.MatryoshkaLoss(model, inner, [8, 4], matryoshka_weights=[1, 0.5])
        total = around([model.preprocess(c) for c in texts], None)
        total.backward()
        found.append((float(total.detach()), next(model.parameters()).grad))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-6, rtol=1e-5)


def test_a_cached_loss_trains_and_evaluates(
    data: TrainingData, texts: Texts, tmp_path: Path
) -> None:
    ends = []
    for options in ({}, {"mini_batch_size": 3}):
        model = static(data)
        loss = NegativeSamplingLoss(model, "random[k=2]", **options)
        more = {"gradient_accumulation_steps": 2, "max_steps": 4, "eval_dataset": pairs_of(texts)}
        trainer = trainer_for(model, pairs_of(texts), loss, tmp_path, **more)
        trainer.add_callback(ProgressCallback(loss))
        trainer.train()
        ends.append((weights(model), trainer.evaluate()["eval_loss"]))
    for a, b in zip(ends[0][0], ends[1][0], strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)  # Adam's first steps are signs
    assert ends[0][1] == pytest.approx(ends[1][1], abs=1e-3)


def test_what_cannot_be_cut_into_chunks_is_refused(data: TrainingData, texts: Texts) -> None:
    model = tiny(data)
    loss = NegativeSamplingLoss(model, mini_batch_size=2)
    features = [model.preprocess(c) for c in texts]
    for f in features:
        f["packed"] = torch.zeros(99)
    with pytest.raises(ValueError, match=r"cannot cut packed of shape \(99,\)"):
        loss(features)


GATHER = """
import json, sys, torch, torch.distributed as dist
rank, path, sampler, chunk = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
torch.set_num_threads(1)
from nsbench.benchmarks.adapters.sentence_transformers import NegativeSamplingLoss
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer
texts = json.loads(sys.argv[5])
data = datasets.make("planted", rows=16, seed=4)()
model = to_sentence_transformer(encoders.make("tiny").build(data.texts, seed=2)).eval()
guide = to_sentence_transformer(encoders.make("static", dimension=8).build(data.texts, seed=3))
dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
loss = NegativeSamplingLoss(
    model, sampler, guide=guide, gather_across_devices=True, mini_batch_size=chunk
)
mine = slice(0, 9) if rank == 0 else slice(9, None)
total = loss([model.preprocess(c[mine]) for c in texts])
total.backward()
for p in model.parameters():  # as DistributedDataParallel does
    if p.grad is not None:
        dist.all_reduce(p.grad)
        p.grad /= 2
torch.save(
    {"loss": total.detach(), "grads": [p.grad for p in model.parameters()]},
    f"{path}.{rank}.{sampler[:4]}.{chunk}",
)
dist.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "chunk"), [("random[k=3]", 0), ("guided", 4), ("text_dedup", 0)]
)
def test_two_processes_are_one_with_the_joined_batch(
    data: TrainingData, texts: Texts, tmp_path: Path, sampler: str, chunk: int
) -> None:
    columns = [*texts, list(reversed(texts[1]))]
    model = tiny(data).eval()
    guide = static(data, seed=3)
    loss = NegativeSamplingLoss(model, sampler, guide=guide)
    total = loss([model.preprocess(c) for c in columns])
    total.backward()
    path = tmp_path / "meet"
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src"),
    }
    given = [str(path), sampler, str(chunk), json.dumps(columns)]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", GATHER, str(rank), *given],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in started:
        _, error = process.communicate(timeout=HANG)
        assert process.returncode == 0, error[-3000:]
    for rank in range(2):
        found = torch.load(f"{path}.{rank}.{sampler[:4]}.{chunk}", weights_only=True)
        torch.testing.assert_close(found["loss"], total.detach(), atol=1e-6, rtol=1e-6)
        for one, parameter in zip(found["grads"], model.parameters(), strict=True):
            if parameter.grad is not None:
                torch.testing.assert_close(one, parameter.grad, atol=1e-6, rtol=1e-5)


def test_the_seed_decides_the_draws(data: TrainingData, texts: Texts) -> None:
    found = []
    for seed in (0, 0, 1):
        model = static(data)
        loss = NegativeSamplingLoss(model, "random[k=2]", seed=seed)
        found.append(float(loss([model.preprocess(c) for c in texts]).detach()))
    assert found[0] == found[1] != found[2]
    assert loss.draws.seed == seed_for(1, "sampler")
