"""Pools: what they hold, what they may not hold, and that they change nothing else."""

from typing import Any

import numpy as np
import pytest
import torch
from made_data import pairs_of
from made_training import CPU, method, trained, world_of

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.candidates import CandidatePool, candidates
from nsbench.benchmarks.candidates._ring import Ring
from nsbench.benchmarks.candidates.corpus import CorpusPool, OpenCorpus
from nsbench.benchmarks.candidates.memory import MemoryPool
from nsbench.benchmarks.candidates.queue import QueuePool
from nsbench.benchmarks.contrast.context import Further, Known, lay_out, mask_candidates, owners
from nsbench.benchmarks.contrast.world import Stored, World
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import Encoder, encoders
from nsbench.benchmarks.mining.corpus import ShortageError
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.training.measures import Trained
from nsbench.samplers import Selection, SimilarityContext

WORDS = ("red", "blue", "old", "new", "cat", "dog", "boat", "train", "sleeps", "sings", "waits")


def sentences(count: int, seed: int = 0) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    return tuple(" ".join(rng.choice(WORDS, size=5)) + f" {i % 17}" for i in range(count))


def unsupervised(count: int = 60) -> TrainingData:
    """Every text is its own positive; some texts are equal."""
    return pairs_of(sentences(count - 6) + sentences(6))


def paired(count: int = 60) -> TrainingData:
    return pairs_of(sentences(2 * count), [(i, i + count) for i in range(count)])


def an_encoder(data: TrainingData, seed: int = 0, **params: Any) -> Encoder:
    encoder: Encoder = encoders.make("static", **({"dimension": 8} | params)).build(
        data.texts, seed
    )
    return encoder


def world_on(data: TrainingData, **given: Any) -> World:
    return world_of(an_encoder(data), data, **given)


def run(
    data: TrainingData,
    pool: CandidatePool,
    *,
    steps: int = 6,
    sampler: str = "in_batch",
    encoder: Encoder | None = None,
    seed: int = 1,
    precision: str = "fp32",
) -> tuple[Trained, Encoder]:
    encoder = an_encoder(data) if encoder is None else encoder
    made = method(
        sampler,
        objective=objectives.make("info_nce", temperature=0.1),
        pool=pool,
        views=([augmentations.make("token_cutoff", rate=0.3)], [augmentations.make("none")]),
        steps=steps,
        learning_rate=0.05,
        precision=precision,
    )
    return trained(encoder, data, made, seed=seed), encoder


def cases() -> list[tuple[str, dict[str, Any]]]:
    out: list[tuple[str, dict[str, Any]]] = []
    for entry in candidates:
        required = [p for p in entry.parameters if p.required]
        out += [] if required else [(entry.name, {})]
        out += [(entry.name, dict(given)) for given in entry.attribute("test_configs", ())]
    return out


# --- every pool -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "params"), cases(), ids=str)
def test_every_pool_trains_and_repeats_itself(name: str, params: dict[str, Any]) -> None:
    pool = candidates.make(name, **params)
    one, first = run(unsupervised(), pool)
    two, second = run(unsupervised(), pool)
    assert np.isfinite(one.training["loss"]).all()
    assert one.training.equals(two.training)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("name", "params"), cases(), ids=str)
def test_every_pool_keeps_losses_and_gradients_finite_in_bf16(
    name: str, params: dict[str, Any]
) -> None:
    data = unsupervised()
    encoder: Encoder = encoders.make("tiny", dimension=8).build(data.texts, 0)
    pool = candidates.make(name, **params)
    found, _ = run(data, pool, steps=3, encoder=encoder, precision="bf16")
    assert np.isfinite(found.training[["loss", "gradient_norm"]]).all(axis=None)


@pytest.mark.parametrize(("name", "params"), cases(), ids=str)
def test_every_pool_works_with_pairs_and_both_layouts(name: str, params: dict[str, Any]) -> None:
    world = world_on(paired())
    pool = candidates.make(name, **params).open(world)
    known = Known(world.data, CPU)
    for step in range(5):
        pool.refresh(step)
        rows = torch.arange(8) + 8 * step
        texts1, texts2 = rows, rows + 60
        z1, z2 = world.embed(world.encoder)[texts1], world.embed(world.encoder)[texts2]
        mined = pool.mined(rows)
        further = None
        if mined is not None:
            owned = owners(8, 0, len(mined) // 8, share=pool.share)
            further = Further(world.embed(world.encoder)[mined.clamp(min=0)], mined, *owned)
        for both in (False, True):
            contrast = lay_out(
                z1, z2, texts1, texts2, both=both, further=further, stored=pool.stored()
            )
            masks = mask_candidates(contrast, known)
            group = torch.from_numpy(world.data.group)
            for own in (contrast.anchor_texts, contrast.positive_texts):
                twin = group[own][:, None] == group[contrast.column_texts][None, :]
                assert not (masks.negative & twin).any()
        pool.after_step(torch.cat([texts1, texts2]), torch.cat([z1, z2]))
        assert isinstance(pool.state(), dict)


@pytest.mark.parametrize(("name", "params"), cases(), ids=str)
def test_every_pool_refuses_illegal_parameters(name: str, params: dict[str, Any]) -> None:
    for parameter in candidates.entry(name).parameters:
        value = (candidates.parameters(name, params))[parameter.name]
        for bad in ("no such thing", -(10**9), float("nan")):
            if isinstance(value, str) and parameter.name == "guide":
                continue
            with pytest.raises((ValueError, TypeError)):
                candidates.make(name, **(params | {parameter.name: bad}))


# --- queue and memory -----------------------------------------------------------------------------


def test_law_memory_is_first_in_first_out() -> None:
    ring = Ring(5, 2, CPU)
    assert ring.stored() is None
    seen: list[int] = []
    for start, count in ((0, 2), (2, 2), (4, 2), (6, 4), (10, 7)):
        texts = torch.arange(start, start + count)
        ring.push(texts, texts[:, None].float().expand(-1, 2))
        seen = (seen + texts.tolist())[-5:]
        held = ring.stored()
        assert sorted(held.texts.tolist()) == sorted(seen)
        assert torch.equal(held.embeddings[:, 0], held.texts.float())
        assert held.valid.all()


@pytest.mark.parametrize("pool", [MemoryPool(warmup_steps=1000), MemoryPool(size=8)], ids=str)
def test_law_empty_memory_is_the_base_loss(pool: MemoryPool) -> None:
    base, _ = run(unsupervised(), candidates.make("in_batch"))
    with_memory, _ = run(unsupervised(), pool)
    steps = 6 if pool.warmup_steps else 1
    one, two = (t.training["loss"].to_numpy()[:steps] for t in (base, with_memory))
    assert (one == two).all()
    if not pool.warmup_steps:
        assert (base.training["loss"] != with_memory.training["loss"]).any()


def test_law_empty_queue_is_the_base_loss() -> None:
    base, _ = run(unsupervised(), candidates.make("in_batch"))
    queue, _ = run(unsupervised(), QueuePool(size=16))
    assert base.training["loss"][0] == queue.training["loss"][0]
    assert queue.cost["passes_key"] == 6 * 8


def test_queue_alone_has_no_negatives_while_it_is_empty() -> None:
    found, _ = run(unsupervised(), QueuePool(size=16, in_batch=False))
    assert found.training["loss"][0] == 0
    assert (found.training["loss"][1:] > 0).all()
    assert found.cost["empty_rows"] >= 8


@pytest.mark.parametrize("name", ["queue", "memory"])
def test_a_warm_start_holds_encoded_texts_and_never_random_vectors(name: str) -> None:
    world = world_on(paired())
    held = candidates.make(name, size=40, start="warm").open(world).stored()
    assert held.valid.all()
    assert len(set(held.texts.tolist())) == 40
    assert held.texts.min() >= 60  # positives, those that are candidates
    torch.testing.assert_close(held.embeddings, world.embed(world.encoder)[held.texts])


def test_memory_agrees_with_pytorch_metric_learning() -> None:
    losses = pytest.importorskip("pytorch_metric_learning.losses")
    data = paired(40)
    z = torch.nn.functional.normalize(
        torch.randn(80, 8, generator=torch.Generator().manual_seed(0))
    )
    world = world_on(data)
    pool = MemoryPool(size=30).open(world)
    theirs = losses.CrossBatchMemory(losses.NTXentLoss(temperature=0.2), 8, memory_size=38)
    ours = objectives.make("info_nce", temperature=0.2)
    for step in range(5):
        pool.refresh(step)
        texts1 = torch.arange(8) + 8 * step
        texts2 = texts1 + 40
        keys = torch.arange(16) >= 8
        both = torch.cat([z[texts1], z[texts2]])
        # Theirs enqueues the batch's keys first and looks for the positive among them.
        wanted = theirs(both, torch.cat([texts1, texts1]), enqueue_mask=keys)
        contrast = lay_out(z[texts1], z[texts2], texts1, texts2, both=False, stored=pool.stored())
        everyone = torch.ones(8, contrast.columns.shape[0], dtype=torch.bool)
        everyone = everyone.scatter(1, contrast.positive[:, None], False)
        live = contrast.anchors @ contrast.columns.T
        context = SimilarityContext(live, contrast.positive, everyone)
        found = ours(live, context, Selection(mask=everyone)).mean()
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        pool.after_step(torch.cat([texts1, texts2]), both)
    assert pool.ring.filled == 30


def test_law_no_gradient_into_memory() -> None:
    for pool in (QueuePool(size=16), MemoryPool(size=16)):
        world = world_on(unsupervised())
        open_pool = pool.open(world)
        open_pool.refresh(0)
        texts = torch.arange(8)
        ids, mask = world.tokens.rows(texts, world.tokens.ids.shape[1])
        live = world.encoder(world.encoder.plain_view(ids, mask))
        open_pool.after_step(texts.repeat(2), torch.cat([live, live]))
        held = open_pool.stored()
        assert not held.embeddings.requires_grad
        before = held.embeddings.clone()
        (live @ held.embeddings.T).sum().backward()
        assert torch.equal(before, held.embeddings)
    keys = QueuePool().open(world_on(unsupervised())).keys
    assert not any(p.requires_grad for p in keys.parameters())


@pytest.mark.parametrize("momentum", [1.0, 0.9, 0.0])
def test_law_the_key_encoder_is_an_exponential_mean(momentum: float) -> None:
    """With momentum 1 it is the encoder as it was at first, with 0 as it is now."""
    world = world_on(unsupervised())
    queue = QueuePool(momentum=momentum).open(world)
    first = next(world.encoder.parameters()).detach().clone()
    with torch.no_grad():
        next(world.encoder.parameters()).add_(1.0)
    for step in range(3):
        queue.refresh(step)
    keys, now = (next(m.parameters()).detach() for m in (queue.keys, world.encoder))
    if momentum in (0, 1):
        assert torch.equal(keys, first if momentum else now)
    torch.testing.assert_close(keys, momentum**3 * first + (1 - momentum**3) * now)


def test_queue_keys_are_the_second_texts_without_dropout() -> None:
    world = world_on(paired())
    world.encoder.dropout = 0.5
    queue = QueuePool(momentum=0.0).open(world)
    queue.refresh(0)
    texts = torch.cat([torch.arange(8), torch.arange(8) + 60])
    queue.after_step(texts, torch.zeros(16, 8))
    held = queue.stored()
    assert held.texts.tolist() == texts[8:].tolist()
    world.encoder.dropout = 0.0
    torch.testing.assert_close(held.embeddings, world.embed(world.encoder)[texts[8:]])


def test_law_memory_never_offers_the_own_positive_or_a_twin() -> None:
    data = unsupervised(60)  # texts 54 to 59 equal texts 0 to 5
    texts = torch.tensor([0, 1, 30])
    z = torch.eye(8)[:3]
    held = torch.tensor([0, 54, 55, 30, 40, 41])
    stored = Stored(torch.eye(8)[:6], held, torch.tensor([True] * 5 + [False]))
    masks = mask_candidates(
        lay_out(z, z, texts, texts, both=False, stored=stored), Known(data, CPU)
    )
    assert masks.negative[:, 3:].tolist() == [
        [False, False, True, True, True, False],
        [True, True, False, True, True, False],
        [True, True, True, False, True, False],
    ]
    assert masks.duplicate[:, 3:].sum().item() == 4


def test_memory_masks_known_positives() -> None:
    data = paired(20)
    texts1, texts2 = torch.tensor([3]), torch.tensor([23])
    stored = Stored(torch.eye(8)[:3], torch.tensor([23, 24, 3]), torch.ones(3, dtype=torch.bool))
    z = torch.eye(8)[:1]
    masks = mask_candidates(
        lay_out(z, z, texts1, texts2, both=False, stored=stored), Known(data, CPU)
    )
    assert masks.negative[0, 1:].tolist() == [False, True, False]


# --- corpus ---------------------------------------------------------------------------------------


def corpus_of(world: World, **params: Any) -> OpenCorpus:
    settings: dict[str, Any] = {"shortage": "fewer", "stop": 30} | params
    return CorpusPool(**settings).open(world)


def brute_force(world: World, row: int, count: int) -> list[int]:
    """The first texts of each distinct eligible one, by cosine of the current encoder."""
    z, group = world.embed(world.encoder), world.data.group
    anchor = int(world.data.anchor[row])
    barred = {group[anchor], group[world.data.positive[row]]}
    first = [i for i in range(len(group)) if i == int((group == group[i]).argmax())]
    order = sorted(
        (i for i in first if group[i] not in barred), key=lambda i: -float(z[anchor] @ z[i])
    )
    return order[:count]


def test_law_ance_refreshed_each_step_without_lag_is_the_current_top_k() -> None:
    world = world_on(unsupervised())
    pool = corpus_of(world, refresh=1, depth=4, negatives=4)
    draw = torch.Generator().manual_seed(0)
    for step in range(4):
        pool.refresh(step)
        rows = torch.tensor([3, 17, 55])
        mined = pool.mined(rows)
        assert mined.view(3, 4).tolist() == [brute_force(world, int(r), 4) for r in rows]
        with torch.no_grad():
            weight = next(world.encoder.parameters())
            weight.add_(torch.randn(weight.shape, generator=draw))


def test_law_ance_never_refreshed_is_static_mining() -> None:
    world = world_on(unsupervised())
    pool = corpus_of(world, depth=4, negatives=4)
    pool.refresh(0)
    before = pool.mined(torch.arange(20))
    with torch.no_grad():
        next(world.encoder.parameters()).mul_(-3).add_(1)
    for step in range(1, 30):
        pool.refresh(step)
    after = pool.mined(torch.arange(20))
    assert torch.equal(before, after)


def test_lag_puts_a_ranking_to_use_later() -> None:
    world = world_on(unsupervised())
    pool = corpus_of(world, refresh=4, lag=2, depth=4, negatives=4)
    uses = []
    for step in range(12):
        old = pool.ids
        pool.refresh(step)
        uses += [step] if pool.ids is not old else []
    assert uses == [0, 6, 10]


def test_refresh_every_epoch_mines_once_an_epoch() -> None:
    costs: dict[str, float] = {}
    world = world_on(unsupervised(60), costs=costs)
    pool = corpus_of(world, refresh="epoch")
    for step in range(21):
        pool.refresh(step)
    assert costs["mining_refreshes"] == 3


def test_law_drawn_20_of_200_have_the_mean_rank_of_uniform_draws() -> None:
    # Ranks 1 to 200 drawn uniformly: mean 100.5. 40 rows x 100 draws x 20 ranks of sd 57.7, drawn
    # without replacement: the mean's standard error is below 57.7 / sqrt(80000) = 0.21; 5 of them.
    world = world_on(pairs_of([f"w{i}" for i in range(300)]))
    pool = corpus_of(world, depth=200, stop=200, negatives=20)
    pool.refresh(0)
    rank = {(r, int(t)): i + 1 for r in range(40) for i, t in enumerate(pool.found.ids[r])}
    seen = []
    for _ in range(100):
        mined = pool.mined(torch.arange(40))
        for r, row in enumerate(mined.view(40, 20).tolist()):
            assert len(set(row)) == 20
            seen += [rank[r, t] for t in row]
    assert abs(np.mean(seen) - 100.5) < 1.1


def test_own_candidates_are_for_their_own_anchor_only() -> None:
    owner, private = owners(3, 2, 1, share="own")
    assert owner.tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 2]
    assert private.tolist() == [False] * 6 + [True] * 3
    data = unsupervised()
    texts, extra = torch.tensor([10, 11, 12]), torch.tensor([20, 21, -1, 23, 24, 25, 30, 31, 32])
    z = torch.eye(16)
    for both in (False, True):
        contrast = lay_out(
            z[:3], z[:3], texts, texts, both=both, further=Further(z[:9], extra, owner, private)
        )
        masks = mask_candidates(contrast, Known(data, CPU))
        first = 6 if both else 3
        for anchor in range(first):
            given = masks.negative[anchor, first : first + 6].tolist()
            assert given == [True, True, False, True, True, True]
            mined = masks.negative[anchor, first + 6 :].tolist()
            assert mined == [anchor % 3 == i for i in range(3)]
        own = contrast.own_negative[:, first:]
        assert own[1].tolist() == [False, False, True, True, False, False, False, True, False]


@pytest.mark.parametrize("share", ["own", "batch"])
def test_training_with_mined_candidates_counts_them(share: str) -> None:
    pool = CorpusPool(shortage="fewer", negatives=2, depth=5, stop=10, refresh=3, share=share)
    found, _ = run(unsupervised(), pool)
    assert found.cost["passes_negative"] == 6 * 8 * 2
    assert found.cost["passes_mining"] == 2 * 60
    assert found.cost["mining_refreshes"] == 2
    assert found.cost["mining_same_text"] > 0
    assert 0 <= found.cost["mining_overlap"] <= 1
    per_anchor = found.cost["negatives_per_anchor"]
    assert per_anchor <= 7 + (2 if share == "own" else 16)


def test_cells_of_one_process_share_what_no_seed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    first = corpus_of(world_on(unsupervised()), source="bm25")
    first.refresh(0)
    monkeypatch.setattr("nsbench.benchmarks.candidates.corpus.mine", None)
    costs: dict[str, float] = {}
    second = corpus_of(world_on(unsupervised(), seed=2, costs=costs), source="bm25")
    second.refresh(0)
    assert second.found is first.found
    assert costs["mining_refreshes"] == 1
    other = corpus_of(world_on(unsupervised(54)), source="bm25")
    with pytest.raises(TypeError):
        other.refresh(0)


def test_guides_of_another_dimension_are_welcome() -> None:
    costs: dict[str, float] = {}
    world = world_on(unsupervised(), costs=costs)
    pool = corpus_of(world, source="guide", guide="static[dimension=24]", depth=3, negatives=3)
    pool.refresh(0)
    assert (pool.found.ids >= 0).all()
    assert pool.found.source == "static[dimension=24]"
    assert costs["passes_guide"] == 60


def test_mixing_embeddings_of_two_dimensions_is_an_error() -> None:
    ring = Ring(4, 8, CPU)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        ring.push(torch.arange(2), torch.ones(2, 3))


def test_one_repeated_sentence_meets_the_policy_and_never_nan() -> None:
    data = pairs_of(("same text",) * 16)
    for shortage in ("drop", "fewer", "pad_random"):
        found, _ = run(data, CorpusPool(shortage=shortage))
        assert (found.training["loss"] == 0).all()
    with pytest.raises(ShortageError, match="16 of 16 rows"):
        run(data, CorpusPool(shortage="error"))
    for pool in (QueuePool(), MemoryPool()):
        found, _ = run(data, pool)
        assert (found.training["loss"] == 0).all()


def test_corpus_pool_wants_a_shortage_policy_and_sense() -> None:
    with pytest.raises(ValueError, match="needs the parameter 'shortage'"):
        candidates.make("corpus")
    for params, message in (
        ({"refresh": "weekly"}, "refresh is 'weekly'"),
        ({"refresh": 0}, "refresh must be a whole number >= 1"),
        ({"refresh": 5, "source": "bm25"}, "only the sources model and random can be"),
        ({"guide": "static"}, "guide is 'static', but source is 'model'"),
        ({"source": "guide", "guide": "static[dimensoin=3]"}, "Did you mean 'dimension'"),
        ({"negatives": 21}, "depth must be a whole number >= 21"),
        ({"stop": 10}, "the window has only 10 places"),
        ({"margin": 3.0}, r"margin must be in \[0, 2\]"),
        ({"share": "all"}, "share is 'all'"),
    ):
        with pytest.raises(ValueError, match=message):
            candidates.make("corpus", shortage="fewer", **params)


# --- what pools say of their age


def means(found: Trained, quantity: str) -> dict[int, float]:
    table = found.difficulty[found.difficulty["quantity"] == quantity]
    return dict(zip(table["step"].tolist(), table["mean"].tolist(), strict=True))


def test_mined_candidates_grow_old_between_refreshes() -> None:
    pool = CorpusPool(shortage="fewer", negatives=2, depth=4, refresh=4)
    found, _ = run(unsupervised(), pool, steps=9)
    assert means(found, "mined_age") == {0: 0, 2: 2, 4: 0, 6: 2, 8: 0}
    assert sorted(means(found, "mined_recall")) == [4, 8]
    assert all(0 <= value < 1 for value in means(found, "mined_recall").values())
    never, _ = run(unsupervised(), CorpusPool(shortage="fewer", depth=4), steps=9)
    assert means(never, "mined_age") == {s: s for s in (0, 2, 4, 6, 8)}
    assert means(never, "mined_recall") == {}


def test_places_of_the_mined_in_the_ranking_of_the_corpus() -> None:
    def ranks(**given: Any) -> dict[int, float]:
        pool = CorpusPool(shortage="fewer", **given)
        return means(run(unsupervised(), pool, steps=5)[0], "mined_rank")

    assert ranks(negatives=4, depth=4) == {0: 2.5, 2: 2.5, 4: 2.5}
    assert ranks(negatives=2, depth=2, start=3, refresh=2) == {0: 4.5, 2: 4.5, 4: 4.5}
    drawn = ranks(negatives=1, depth=4, source="bm25")
    assert all(1 <= place <= 4 for place in drawn.values())
    assert ranks(source="random", depth=4) == {}


def test_lagging_candidates_count_their_age_from_the_mining() -> None:
    pool = CorpusPool(shortage="fewer", depth=4, refresh=4, lag=2)
    found, _ = run(unsupervised(), pool, steps=9)
    assert means(found, "mined_age") == {0: 0, 2: 2, 4: 4, 6: 2, 8: 4}


def test_just_mined_candidates_are_scored_as_they_were_mined() -> None:
    """Anchors and candidates without augmentation: the first step sees the mining's own scores."""
    data = unsupervised()
    made = method(
        pool=CorpusPool(shortage="fewer", negatives=2, depth=4),
        steps=5,
        learning_rate=0.2,
        precision="fp32",
    )
    found = trained(an_encoder(data), data, made, every=4)
    now, then = means(found, "mined_similarity"), means(found, "mined_similarity_then")
    assert now[0] == pytest.approx(then[0], abs=1e-5)
    assert abs(now[4] - then[4]) > 1e-3
    # Mined from all texts, they are among the hardest of a small batch.
    assert means(found, "mined_percentile")[0] < 0.3


def test_bm25_has_no_cosines_to_compare() -> None:
    pool = CorpusPool(shortage="fewer", source="bm25", depth=4)
    found, _ = run(unsupervised(), pool)
    table = found.difficulty.set_index("quantity")
    assert table.loc["mined_percentile", "count"].sum() > 0
    assert table.loc["mined_similarity_then", "count"].sum() == 0


@pytest.mark.parametrize(
    "pool", [QueuePool(size=24, momentum=1.0), MemoryPool(size=24)], ids=["queue", "memory"]
)
def test_stored_embeddings_are_compared_with_todays(pool: Any) -> None:
    found, _ = run(unsupervised(), pool, steps=9)
    drift = means(found, "stored_drift")
    assert set(drift) == {1, 3, 5, 8}  # where the probe looks, but for the start: nothing is there
    assert 0 < drift[8] < 2
    assert set(means(found, "stored_recognised")) == set(drift)
