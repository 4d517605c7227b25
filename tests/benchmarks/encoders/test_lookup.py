"""A token table whose gradient keeps its memory."""

from collections.abc import Sequence

import torch
from torch import nn

from nsbench.benchmarks.encoders._lookup import Spare, kept_gradient

IDS = torch.tensor([[3, 1, 3, 0], [5, 3, 0, 1]])


def gradient(layer: nn.Embedding, passes: Sequence[torch.Tensor], spare: Spare | None) -> None:
    weight = torch.linspace(-1, 1, 4)[:, None]
    for ids in passes:
        if spare is None:
            out = layer(ids)
        else:
            with kept_gradient(layer, spare):
                assert "forward" in layer.__dict__
                out = layer(ids)
        assert "forward" not in layer.__dict__
        (out.sin() * weight).sum().backward()


def test_the_gradient_of_torch_step_after_step() -> None:
    for padding in (None, 3):
        layer, spare = nn.Embedding(9, 6, padding_idx=padding), Spare()
        for passes in ([IDS], [IDS + 2], [IDS, IDS + 1]):
            layer.weight.grad = None
            gradient(layer, passes, None)
            expected, layer.weight.grad = layer.weight.grad, None
            gradient(layer, passes, spare)
            assert layer.weight.grad is spare.gradient
            torch.testing.assert_close(layer.weight.grad, expected)


def test_the_memory_is_that_of_the_last_step() -> None:
    layer, spare = nn.Embedding(9, 6), Spare()
    gradient(layer, [IDS], spare)
    assert layer.weight.grad is not None
    first = layer.weight.grad.data_ptr()
    layer.weight.grad = None
    gradient(layer, [IDS], spare)
    assert layer.weight.grad.data_ptr() == first


def test_a_gradient_that_is_there_is_added_to() -> None:
    layer, spare = nn.Embedding(9, 6), Spare()
    layer.weight.grad = torch.ones(9, 6)
    gradient(layer, [IDS], spare)
    assert spare.gradient is None
    assert bool((layer.weight.grad[7:] == 1).all())
    assert not bool((layer.weight.grad[3] == 1).any())


def test_other_layers_are_left_as_they_are() -> None:
    class Scaled(nn.Embedding):
        """As of Gemma."""

    frozen = nn.Embedding(9, 6).requires_grad_(False)
    others = (frozen, nn.Embedding(9, 6).double(), Scaled(9, 6), nn.Embedding(9, 6, max_norm=1.0))
    for layer in others:
        with kept_gradient(layer, Spare()):
            assert "forward" not in layer.__dict__
    with torch.no_grad(), kept_gradient(nn.Embedding(9, 6), Spare()) as nothing:
        assert nothing is None
