"""Shares of the gradient as a vector: against autograd, and their laws."""

import pytest
import torch
from made_training import context_of
from torch.nn import functional

from nsbench.benchmarks.contrast.context import Contrast, extend, lay_out
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.difficulty.shares import HARDEST
from nsbench.benchmarks.difficulty.vectors import pull_statistics, vector_shares
from nsbench.samplers import Selection, SimilarityContext

N = 40


def vectors(rows: int, seed: int, d: int = 16) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, d, generator=draw), dim=-1)


def shares(anchors: torch.Tensor, columns: torch.Tensor, temperature: float) -> torch.Tensor:
    similarity = anchors @ columns.T
    mask = torch.ones_like(similarity, dtype=torch.bool)
    weights = torch.softmax(similarity / temperature, dim=1)
    return vector_shares(weights, similarity, mask, anchors, columns)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_whole_and_parts_equal_autograd(temperature: float) -> None:
    """The gradient of log sum exp over the hardest, weights frozen, taken along the sphere."""
    anchors, columns = vectors(5, 0), vectors(N, 1)
    found = shares(anchors, columns, temperature)
    for i in range(len(anchors)):
        raw = anchors[i].clone().requires_grad_(True)
        similarity = functional.normalize(raw, dim=0) @ columns.T
        q = torch.softmax(similarity.detach() / temperature, dim=0)
        order = similarity.detach().argsort(descending=True)
        lengths = []
        for percent in (*HARDEST, 100.0):
            amount = (percent / 100 * N - torch.arange(N)).clamp(0, 1)
            weight = torch.zeros(N).scatter(0, order, amount) * q
            (gradient,) = torch.autograd.grad((weight * similarity).sum(), raw, retain_graph=True)
            lengths.append(gradient.norm())
        wanted = torch.stack(lengths[:-1]) / lengths[-1]
        assert torch.allclose(found[:, i], wanted, rtol=1e-4, atol=1e-5)


def test_parts_can_be_longer_than_the_whole() -> None:
    """Two pulls in opposite directions all but cancel; the harder of the two does not."""
    anchors = torch.tensor([[1.0, 0.0]])
    columns = functional.normalize(torch.tensor([[0.5, 1.0], [0.45, -1.0]]), dim=1)
    similarity = anchors @ columns.T
    weights = torch.tensor([[0.55, 0.45]])
    every = torch.ones(1, 2, dtype=torch.bool)
    found = vector_shares(weights, similarity, every, anchors, columns)
    pulls = weights[0] * (1 - similarity[0].square()).sqrt()
    wanted = pulls[0] / (pulls[0] - pulls[1])
    assert wanted > 4
    assert found[HARDEST.index(50.0), 0].item() == pytest.approx(wanted.item(), rel=1e-4)


def test_one_negative_carries_its_part_and_none_is_nan() -> None:
    anchors, columns = vectors(2, 2), vectors(N, 3)
    mask = torch.zeros(2, N, dtype=torch.bool)
    mask[0, 7] = True
    found = vector_shares(mask.float(), anchors @ columns.T, mask, anchors, columns)
    assert torch.allclose(found[:, 0], torch.tensor(HARDEST) / 100, atol=1e-5)
    assert found[:, 1].isnan().all()


def a_batch() -> tuple[Contrast, SimilarityContext]:
    data = datasets.make("planted", rows=60)()
    texts = [torch.from_numpy(ids[:30]) for ids in (data.anchor, data.positive)]
    contrast = lay_out(vectors(30, 4), vectors(30, 5), texts[0], texts[1], both=False)
    return contrast, context_of(contrast, data)


def test_a_batch_without_a_choice_counts_nothing() -> None:
    contrast, context = a_batch()
    none = Selection(mask=torch.zeros_like(context.negative_mask))
    for value in pull_statistics(context, none, contrast).values():
        assert value[-1] == 0
    every = pull_statistics(context, Selection(mask=context.negative_mask), contrast)
    assert all(value[-1] == 30 and value[0] > 0 for value in every.values())


def test_made_candidates_are_left_out() -> None:
    contrast, context = a_batch()
    context, _ = extend(context, context.similarity, contrast.anchors, vectors(30, 6)[:, None])
    assert pull_statistics(context, Selection(mask=context.negative_mask), contrast) == {}
