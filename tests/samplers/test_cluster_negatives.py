"""ClusterNS: centres that follow the anchors, the second nearest as a negative."""

from typing import Any

import pytest
import torch
from made_training import method, opened, unbroken
from torch import Tensor
from torch.nn.functional import normalize

from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.mining.centres import Centres
from nsbench.benchmarks.objectives import objectives
from nsbench.samplers import make
from nsbench.samplers.testing import answer, make_context, unit

NEEDS = ("anchors", "candidates", "centres")


@pytest.mark.parametrize("same_as", ["attract", "drop"])
def test_cluster_negatives_equal_nested_loops(same_as: str) -> None:
    for seed in range(4):
        context = make_context(5, 30, needs=NEEDS, seed=seed)
        seen, picked = answer(make("cluster_negatives", same=same_as), context)
        centres = context.require("centres").tolist()

        def order(point: Tensor, centres: list[list[float]] = centres) -> list[int]:
            near = [sum(a * b for a, b in zip(point.tolist(), c, strict=True)) for c in centres]
            return sorted(range(len(near)), key=lambda k: -near[k])

        kinds = [order(c)[0] for c in context.require("candidates")]
        for row in range(5):
            mine = order(context.require("anchors")[row])
            second = torch.tensor(centres[mine[1]])
            wanted = float(second @ context.require("anchors")[row])
            assert float(seen.similarity[row, 30]) == pytest.approx(wanted, abs=1e-5)
            for j in range(30):
                free = bool(context.negative_mask[row, j])
                assert bool(picked.mask[row, j]) == (free and kinds[j] != mine[0])
                if picked.attract is not None:
                    assert bool(picked.attract[row, j]) == (free and kinds[j] == mine[0])
        assert picked.mask[:, 30].tolist() == context.negative_mask.any(dim=1).tolist()
        assert (picked.attract is None) == (same_as == "drop")


def test_law_before_there_are_centres_it_is_in_batch() -> None:
    context = make_context(5, 30, needs=NEEDS)
    none = context.replace(centres=torch.zeros(4, 8))
    _, picked = answer(make("cluster_negatives"), none)
    assert torch.equal(picked.mask[:, :30], context.negative_mask)
    assert not picked.mask[:, 30:].any()
    assert not picked.attract.any()


def follow(variant: str, momentum: float, batches: list[Tensor]) -> Tensor:
    sampler: Any = make("cluster_negatives", clusters=3, momentum=momentum, variant=variant)
    centres = Centres(sampler, 4, torch.device("cpu"))
    for batch in batches:
        out = centres.follow(batch, batch @ batch.T)
    return out


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_centres_follow_their_members_as_in_nested_loops(variant: str) -> None:
    draw = torch.Generator().manual_seed(0)
    batches = [unit(8, 4, generator=draw) for _ in range(6)]
    slow = batches[0][:3].clone()
    for batch in batches[1:]:
        unit_centres = normalize(slow, dim=1)
        members: list[list[Tensor]] = [[], [], []]
        for point in batch:
            near = [float(point @ c) for c in unit_centres]
            members[near.index(max(near))].append(point)
        for k, own in enumerate(members):
            if own:
                total = torch.stack(own).sum(dim=0)
                target = total / len(own) if variant == "paper" else total
                slow[k] = 0.2 * target + 0.8 * slow[k]
    torch.testing.assert_close(
        follow(variant, 0.2, batches), normalize(slow, dim=1), rtol=1e-5, atol=1e-6
    )


def test_centres_begin_when_the_batch_has_spread_out() -> None:
    draw = torch.Generator().manual_seed(1)
    crowd = normalize(torch.ones(8, 4) + 0.1 * torch.randn(8, 4, generator=draw), dim=1)
    assert (follow("paper", 0.1, [crowd, crowd]) == 0).all()
    wide = unit(8, 4, generator=draw)
    torch.testing.assert_close(follow("paper", 0.1, [crowd, wide]), wide[:3])
    assert not torch.equal(follow("paper", 0.1, [wide, crowd]), wide[:3])


def test_more_clusters_than_anchors_are_refused() -> None:
    sampler: Any = make("cluster_negatives", clusters=64)
    assert sampler.why_not(64) == ""
    assert "64 clusters" in sampler.why_not(32)
    centres = Centres(sampler, 4, torch.device("cpu"))
    with pytest.raises(ValueError, match="clusters is 64, more than the 8 anchors"):
        centres.follow(torch.zeros(8, 4), torch.zeros(8, 8))


def test_a_training_with_clusters_resumes_as_if_never_stopped() -> None:
    data = datasets.make("planted", rows=60)()

    def begun() -> Any:
        encoder = encoders.make("static", dimension=16).build(data.texts, 0)
        sampler = make("cluster_negatives", clusters=4, momentum=0.1, start_below=0.9)
        objective = objectives.make("band_margin", over="attracted", alpha=0.0)
        return opened(encoder, data, method(sampler, objective=objective, steps=16))

    whole = unbroken(begun, after=7)
    assert whole.extras.centres.started
