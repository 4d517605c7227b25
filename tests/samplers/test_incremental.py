from typing import Any

import pytest
import torch

from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import Selection, SimilarityContext, make
from nsbench.samplers.testing import chosen, make_context


def row_losses(context: SimilarityContext, selection: Selection) -> torch.Tensor:
    objective = objectives.make("info_nce", temperature=0.2)
    parts = [objective(context.similarity, context, part) for part in selection.parts()]
    return torch.stack(parts).mean(dim=0)


def matching(context: SimilarityContext, match: torch.Tensor) -> SimilarityContext:
    return context.replace(cluster_match=match.expand(1, *context.similarity.shape))


@pytest.mark.parametrize("mode", ["elimination", "attraction"])
def test_incremental_equals_nested_loops(mode: str) -> None:
    context = make_context(5, 12)
    match = context.require("cluster_match")
    selection = make("incremental", mode=mode)(context)
    for level, part in enumerate(selection.parts()):
        for i in range(5):
            allowed = {j for j in range(12) if bool(context.negative_mask[i, j])}
            false = {j for j in allowed if bool(match[level, i, j])}
            assert chosen(part.mask)[i] == allowed - false
            if mode == "attraction":
                assert chosen(part.attract)[i] == false


def test_law_ifnd_without_trust_is_info_nce() -> None:
    sampler: Any = make("incremental", start=0.0, end=1.0)
    labels = torch.arange(20) % 4
    trusted = sampler.trusted(labels, torch.rand(20), torch.tensor(0.0))
    assert (trusted == -1).all()
    match = sampler.match(trusted[None, :6], trusted[None])
    assert not match.any()
    context = make_context(6, 20)
    plain = row_losses(context, make("in_batch")(context))
    for mode in ("elimination", "attraction"):
        loss = row_losses(context, make("incremental", mode=mode)(matching(context, match)))
        torch.testing.assert_close(loss, plain)


def test_law_ifnd_with_singleton_clusters_is_info_nce() -> None:
    sampler: Any = make("incremental")
    own = torch.arange(26)  # six anchors and twenty candidates, each its own cluster
    match = sampler.match(own[None, :6], own[None, 6:])
    context = make_context(6, 20)
    loss = row_losses(context, sampler(matching(context, match)))
    torch.testing.assert_close(loss, row_losses(context, make("in_batch")(context)))


def test_law_ifnd_one_trusted_cluster_leaves_only_the_positive() -> None:
    sampler: Any = make("incremental", start=1.0)
    labels = torch.zeros(20, dtype=torch.int64)
    trusted = sampler.trusted(labels, torch.rand(20), torch.tensor(1.0))
    match = sampler.match(trusted[None, :6], trusted[None])
    context = make_context(6, 20)
    selection = sampler(matching(context, match))
    assert not selection.mask.any()
    assert (row_losses(context, selection) == 0).all()


def test_law_ifnd_relation_is_symmetric_and_twins_share_a_cluster() -> None:
    sampler: Any = make("incremental")
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, 15), generator=draw)
    labels[0, 3] = -1
    labels[:, 7] = labels[:, 2]
    match = sampler.match(labels, labels)
    assert torch.equal(match, match.transpose(1, 2))
    assert match[:, 2, 7].all()
    assert not match[0, 3].any()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.29, 0.5, 0.57, 1.0])
def test_law_ifnd_accepts_the_floor_of_its_share(share: float) -> None:
    sampler: Any = make("incremental", start=share, end=share)
    for count in (10, 37, 100):
        ties = torch.ones(count)
        trusted = sampler.trusted(torch.arange(count), ties, torch.tensor(0.3))
        expected = int(share * count + 1e-6)
        assert int((trusted >= 0).sum()) == expected
        assert (trusted[:expected] >= 0).all()  # ties go to the lower text


def test_law_ifnd_accepted_sets_are_nested() -> None:
    sampler: Any = make("incremental")
    confidence = torch.rand(50, generator=torch.Generator().manual_seed(0))
    before = torch.zeros(50, dtype=torch.bool)
    for progress in (0.0, 0.2, 0.5, 0.9, 1.0):
        now = sampler.trusted(torch.arange(50), confidence, torch.tensor(progress)) >= 0
        assert not (before & ~now).any()
        before = now
    assert before.all()


def test_law_ifnd_elimination_never_raises_the_loss() -> None:
    for seed in range(4):
        context = make_context(6, 30, seed=seed)
        plain = row_losses(context, make("in_batch")(context))
        assert (row_losses(context, make("incremental")(context)) <= plain + 1e-6).all()


def test_law_ifnd_with_labels_for_clusters_is_oracle_elimination() -> None:
    context = make_context(6, 30)
    known = matching(context, context.require("truth"))
    mask = make("incremental")(known).mask[0]
    assert torch.equal(mask, make("oracle")(context).mask)


def test_incremental_counts_clusters_by_size() -> None:
    sampler: Any = make("incremental")
    assert sampler.clusters(10_000) == (50, 200, 1000)
    assert sampler.clusters(30) == (2, 2, 3)
    assert sampler.clusters(1) == (1, 1, 1)


def test_incremental_confidence_is_the_share_of_the_nearest_centroid() -> None:
    sampler: Any = make("incremental", sharpness=0.5)
    similarity = torch.tensor([[0.9, 0.1], [0.2, 0.2]])
    expected = torch.tensor([1 / (1 + 2.718281828 ** (-1.6)), 0.5])
    torch.testing.assert_close(sampler.confidence(similarity), expected)


def test_incremental_takes_lists_from_files() -> None:
    sampler: Any = make("incremental", texts_per_cluster=[20.0, 5.0])
    assert sampler.texts_per_cluster == (20.0, 5.0)
    hash(sampler)
