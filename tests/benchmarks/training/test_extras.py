"""Extras that need the host: guides and trusted clusters, checked against their definitions."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from made_data import pairs_of
from made_training import world_of

from nsbench.benchmarks.contrast.context import Contrast, Further, lay_out, owners
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.encoders import Encoder, encoders, token_table
from nsbench.benchmarks.mining.clusters import ClusterMatch, nearest, row_topics, spherical_kmeans
from nsbench.benchmarks.training.batches import feed_for
from nsbench.benchmarks.training.extras import Extras
from nsbench.samplers import SimilarityContext, make


def a_world(texts: int = 60, costs: dict[str, float] | None = None) -> World:
    """Unsupervised texts, of which the last six equal the first six."""
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(20)]
    said = [" ".join(rng.choice(words, size=4)) for _ in range(texts - 6)]
    data = pairs_of(said + [s.upper() for s in said[:6]])
    encoder: Encoder = encoders.make("static", dimension=8).build(data.texts, 0)
    return world_of(encoder, data, batch_size=10, seed=3, costs=costs)


def a_batch(world: World, rows: list[int]) -> tuple[SimilarityContext, Contrast]:
    texts = torch.tensor(rows)
    z = world.embed(world.encoder)[texts]
    contrast = lay_out(z, z, texts, texts, both=False)
    similarity = z @ z.T
    allowed = ~torch.eye(len(rows), dtype=torch.bool)
    return SimilarityContext(similarity, contrast.positive, allowed), contrast


def built(world: World, sampler: Any, rows: list[int], steps: int = 10) -> SimilarityContext:
    extras = Extras(sampler, world)
    for step in range(steps):
        extras.refresh(step, steps)
    context, contrast = a_batch(world, rows)
    return extras.add(context, contrast)


def test_guide_is_the_encoder_as_it_started_and_never_moves() -> None:
    world = a_world()
    rows = [1, 5, 30, 54]
    first = world.embed(world.encoder)[torch.tensor(rows)]
    extras = Extras(make("guided"), world)
    extras.refresh(0, 10)
    with torch.no_grad():
        next(world.encoder.parameters()).normal_()
    extras.refresh(1, 10)
    context, contrast = a_batch(world, rows)
    guide = extras.add(context, contrast).require("guide_similarity")
    torch.testing.assert_close(guide, first @ first.T)


def guided_by(guide: str) -> Any:
    """As much of a sampler as says what it needs."""
    return SimpleNamespace(needs={"guide_similarity"}, guide=guide)


def test_guide_may_be_another_encoder_of_another_dimension() -> None:
    costs = dict[str, float]()
    world = a_world(costs=costs)
    context = built(world, guided_by("static[dimension=20]"), [1, 2, 55, 20])
    guide = context.require("guide_similarity")
    assert guide.shape == (4, 4)
    torch.testing.assert_close(guide.diagonal(), torch.ones(4))
    assert guide[0, 2].item() == pytest.approx(1, abs=1e-6)  # text 55 is text 1 in capitals
    assert costs["passes_guide"] == 60


def test_unknown_guides_are_named() -> None:
    with pytest.raises(ValueError, match="Did you mean 'dimension'"):
        built(a_world(), guided_by("static[dimensions=20]"), [1, 2])


def test_own_negative_is_true_for_what_was_mined_for_the_row() -> None:
    world = a_world()
    z = world.embed(world.encoder)
    texts, extra = torch.tensor([1, 2]), torch.tensor([7, 8, 9, 10])
    contrast = lay_out(
        z[texts],
        z[texts],
        texts,
        texts,
        both=True,
        further=Further(z[extra], extra, *owners(2, 0, 2, share="batch")),
    )
    similarity = contrast.anchors @ contrast.columns.T
    context = SimilarityContext(similarity, contrast.positive, similarity > -2)
    own: Any = SimpleNamespace(needs={"own_negative"})
    found = Extras(own, world).add(context, contrast).require("own_negative")
    mine, its = [True, True, False, False], [False, False, True, True]
    assert found[:, :4].sum() == 0
    assert found[:, 4:].tolist() == [mine, its, mine, its]


# --- clusters -------------------------------------------------------------------------------------


def test_kmeans_with_room_to_spare_mixes_no_planted_clusters() -> None:
    draw = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(5, 16, generator=draw), dim=1)
    truth = torch.arange(200) % 5
    noise = 0.05 * torch.randn(200, 16, generator=draw)
    points = torch.nn.functional.normalize(centres[truth] + noise, dim=1)
    centroids = spherical_kmeans(points, 20, seed=1)
    torch.testing.assert_close(centroids.norm(dim=1), torch.ones(20))
    labels = nearest(points, centroids)
    assert torch.equal(labels, nearest(points, spherical_kmeans(points, 20, seed=1)))
    for cluster in labels.unique():
        assert len(truth[labels == cluster].unique()) == 1


def test_kmeans_with_as_many_clusters_as_points_keeps_all_apart() -> None:
    points = torch.nn.functional.normalize(torch.eye(6) + 0.1, dim=1)
    assert nearest(points, spherical_kmeans(points, 9, seed=0)).tolist() == list(range(6))


def test_kmeans_refuses_nan() -> None:
    with pytest.raises(ValueError, match="hold NaN"):
        spherical_kmeans(torch.full((4, 2), torch.nan), 2, seed=0)


def matcher(world: World, progress_steps: int = 10, **params: Any) -> ClusterMatch:
    settings = {"texts_per_cluster": (20.0, 5.0), "refreshes": 4} | params
    clusters = ClusterMatch(make("incremental", **settings), world)  # type: ignore[arg-type]
    for step in range(progress_steps):
        clusters.refresh(step, progress_steps)
    return clusters


def test_law_ifnd_acceptance_0_trusts_nobody_and_costs_nothing() -> None:
    costs = dict[str, float]()
    world = a_world(costs=costs)
    clusters = matcher(world, start=0.0, end=0.0)
    every = torch.arange(60)
    assert not clusters.match(every, every).any()
    assert costs == {}
    context = built(world, make("incremental", start=0.0, end=0.0), [1, 2, 3, 4])
    chosen = make("incremental")(context)
    assert torch.equal(chosen.mask[0], context.negative_mask)


def test_law_ifnd_every_text_its_own_cluster_is_info_nce() -> None:
    world = a_world()
    sampler = make("incremental", texts_per_cluster=(1.0001,), start=1.0, end=1.0)
    context = built(world, sampler, [1, 2, 30, 40])
    assert torch.equal(sampler(context).mask[0], context.negative_mask)


def test_law_ifnd_accepted_count_is_the_share_rounded_down() -> None:
    world = a_world()  # 60 texts, 54 of them different
    for share in (0.1, 0.25, 0.5, 0.77, 1.0):
        clusters = matcher(world, start=share, end=share)
        trusted = (clusters.trusted >= 0).sum(dim=1).tolist()
        assert trusted == [int(share * 54 + 1e-9)] * 2


def test_law_ifnd_accepted_sets_are_nested() -> None:
    world = a_world()
    before = torch.zeros(2, 54, dtype=torch.bool)
    for share in (0.2, 0.4, 0.8, 1.0):
        clusters = matcher(world, start=share, end=share)
        now = clusters.trusted >= 0
        assert (before <= now).all()
        before = now


def test_law_ifnd_duplicates_share_a_cluster() -> None:
    world = a_world()
    clusters = matcher(world, start=1.0, end=1.0)
    twins = clusters.match(torch.arange(6), torch.arange(54, 60))
    assert twins.diagonal(dim1=1, dim2=2).all()


def test_law_ifnd_the_relation_is_symmetric() -> None:
    clusters = matcher(a_world(), start=0.6, end=0.6)
    every = torch.arange(60)
    match = clusters.match(every, every)
    assert torch.equal(match, match.transpose(1, 2))


def test_clusters_are_made_as_often_as_asked_and_compared() -> None:
    costs = dict[str, float]()
    clusters = matcher(a_world(costs=costs), 20, start=0.5, end=1.0, refreshes=4)
    assert costs["cluster_refreshes"] == 4
    assert costs["cluster_comparisons"] == 3
    # The encoder does not move here, and the seed is the same: old and new agree entirely.
    for level in range(2):
        assert costs[f"cluster_agreement_{level}"] == pytest.approx(3)
    assert clusters.labels.shape == (2, 54)


def test_clusters_are_asked_of_the_sampler_that_another_holds() -> None:
    context = built(a_world(), make("noise", then="incremental[start=1.0]"), [1, 2, 3])
    assert context.require("cluster_match").shape == (3, 3, 3)


# --- topics ---------------------------------------------------------------------------------------


def test_topics_of_rows_are_those_of_their_anchor_texts() -> None:
    world = a_world()
    topics = row_topics(world, world.embed(world.encoder), 5, seed=0)
    assert topics.shape == (60,)
    assert (topics[:6] == topics[54:]).all()
    assert 1 < len(np.unique(topics)) <= 5


def test_law_tas_b_one_cluster_gives_the_batches_of_all_other_samplers() -> None:
    world = a_world()
    plain = feed_for(make("in_batch"), world)
    topical = feed_for(make("topic", texts_per_cluster=1e6), world)
    for _ in range(12):
        assert (next(plain) == next(topical)).all()


def test_law_tas_b_as_many_clusters_as_texts_still_gives_batches() -> None:
    world = a_world()
    feed = feed_for(make("topic", texts_per_cluster=1.0), world)
    epoch = np.concatenate([next(feed) for _ in range(6)])
    assert sorted(epoch) == list(range(60))


def test_topical_batches_are_harder_than_random_ones() -> None:
    world = a_world()
    z = world.embed(world.encoder)

    def mean_similarity(sampler: Any) -> float:
        feed = feed_for(sampler, world)
        values = []
        for _ in range(12):
            rows = torch.from_numpy(next(feed))
            values.append(float((z[rows] @ z[rows].T).mean()))
        return float(np.mean(values))

    topical = mean_similarity(make("topic", texts_per_cluster=10.0))
    assert topical > mean_similarity(make("in_batch"))


@pytest.mark.parametrize("refreshes", [1, 2, 3, 10, 50])
@pytest.mark.parametrize("schedule", ["linear", "cosine", "step"])
def test_law_ifnd_any_number_of_refreshes_reaches_the_end(refreshes: int, schedule: str) -> None:
    for end in (0.8, 1.0):
        clusters = matcher(a_world(), 12, end=end, refreshes=refreshes, schedule=schedule)
        assert (clusters.trusted >= 0).sum(dim=1).tolist() == [int(end * 54 + 1e-9)] * 2


def test_token_overlap_is_the_same_with_and_without_special_tokens() -> None:
    said = ("a b c d e f g x", "a b c d e f g h", "b c", "z", "a b c d e f g x y w")
    data = pairs_of(said)
    found = []
    for name in ("static", "tiny"):
        encoder: Encoder = encoders.make(name, dimension=16).build(data.texts, 0)
        world = world_of(encoder, data, batch_size=4)
        context, contrast = a_batch(world, list(range(len(said))))
        extras = Extras(make("text_dedup"), world)
        found.append(extras.add(context, contrast).require("token_overlap"))
    assert found[0][0, 1].item() == pytest.approx(7 / 9)
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("name", ["static", "tiny"])
def test_truncated_texts_are_those_longer_than_the_limit(name: str) -> None:
    texts = ["a b c d", "a b c d e", "a b c d e f", "a"]
    encoder: Encoder = encoders.make(name, dimension=16).build(texts, 0)
    for limit in range(3, 10):
        bare = limit - sum(encoder.specials)
        table = token_table(encoder, texts, limit, torch.device("cpu"))
        assert table.truncated == sum(len(t.split()) > bare for t in texts), limit
