"""Linear layers by oneDNN, and attention of short texts by products: torch's own answers."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nsbench.benchmarks.encoders import _linear, encode_texts, encoders, tokenize
from nsbench.benchmarks.encoders._attention import SHORT, _by_length
from nsbench.benchmarks.encoders._linear import laid_out, lays_out, multiplied

TEXTS = [f"a cat and {i} dogs " * (1 + i % 7) for i in range(40)]

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


def tiny() -> Any:
    """As wide as MiniLM: products of narrower layers come out the same to the bit."""
    return encoders.make("tiny", dimension=384, layers=2).build(TEXTS, 0)


def called(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if "forward" in module.__dict__]


def test_the_same_embeddings_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny()
    with torch.inference_mode(), laid_out(encoder.model):
        kinds = {name.rsplit(".", 1)[-1] for name in called(encoder.model)}
        assert kinds == {"query", "key", "value", "dense", "intermediate"}
    fast = encode_texts(encoder, TEXTS)
    assert called(encoder.model) == []
    encoder.scoring = nullcontext
    monkeypatch.setattr(_linear, "_runs", lambda model: False)  # torch's own layers
    slow = encode_texts(encoder, TEXTS)
    assert not np.array_equal(fast, slow)
    np.testing.assert_allclose(fast, slow, atol=2e-6)


def test_threads_change_no_bit() -> None:
    encoder, threads = tiny(), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(encode_texts(encoder, TEXTS))
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(found[0], found[1])


def view_of_texts(encoder: Any) -> Any:
    ids = tokenize(encoder, TEXTS, 64)
    lengths = torch.tensor([len(i) for i in ids])
    block = torch.zeros(len(ids), int(lengths.max()), dtype=torch.long)
    for row, some in zip(block, ids, strict=True):
        row[: len(some)] = torch.tensor(some)
    real = torch.arange(block.shape[1]) < lengths[:, None]
    return encoder.plain_view(block, real).replace(dropout=0.0)


def gradients(encoder: Any) -> dict[str, torch.Tensor]:
    encoder.zero_grad()
    found = encoder(view_of_texts(encoder))
    (found * torch.linspace(-1, 1, found.numel()).view_as(found)).sum().backward()
    return {n: p.grad.clone() for n, p in encoder.named_parameters() if p.grad is not None}


def test_the_same_gradients_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny()
    fast = gradients(encoder)
    assert called(encoder.model) == []
    assert all(torch.equal(value, fast[name]) for name, value in gradients(encoder).items())
    monkeypatch.setattr(_linear, "_runs", lambda model: False)
    slow = gradients(encoder)
    assert fast.keys() == slow.keys()
    moved = 0
    for name, value in fast.items():
        torch.testing.assert_close(value, slow[name], rtol=1e-4, atol=1e-4)
        moved += not torch.equal(value, slow[name])
    assert moved > 5


@pytest.mark.parametrize("wide", [3, 7])
@pytest.mark.parametrize("bias", [True, False])
def test_every_gradient_of_a_layer(wide: int, *, bias: bool) -> None:
    layer = nn.Linear(5, wide, bias=bias)
    states = torch.randn(2, 4, 5, requires_grad=True)
    found = []
    for fast in (False, True):
        with multiplied(layer) if fast else nullcontext():
            assert bool(called(layer)) == fast
            out = layer(states)
        out.pow(2).sum().backward()
        found.append([states.grad, *(p.grad for p in layer.parameters())])
        states.grad = None
        layer.zero_grad()
    torch.testing.assert_close(*found)


def test_a_frozen_layer_gets_no_gradient() -> None:
    layer = nn.Linear(5, 3).requires_grad_(False)
    states = torch.randn(4, 5, requires_grad=True)
    with multiplied(layer):
        layer(states).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(states.grad, layer.weight.sum(dim=0).expand(4, 5))


def test_layers_of_a_model_in_bfloat16_are_left_to_torch() -> None:
    layer = nn.Linear(5, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16), multiplied(layer):
        assert called(layer) == []


def test_layers_are_put_back_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False))
    with torch.no_grad():
        states = torch.randn(5, 3)
        expected = model(states)
        with laid_out(model):
            assert called(model) == ["0", "1"]
            torch.testing.assert_close(model(states), expected)
        with pytest.raises(KeyError), laid_out(model):
            raise KeyError
    assert called(model) == []


def test_where_it_would_change_more_than_rounding_nothing_is_touched() -> None:
    model = nn.Linear(3, 4)
    assert not lays_out(model)  # a gradient is wanted
    with torch.no_grad():
        assert lays_out(model)
        assert not lays_out(nn.Linear(3, 4).double())
        assert not lays_out(nn.Identity())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not lays_out(model)
        with torch.autocast("cpu", dtype=torch.bfloat16), laid_out(model):
            assert called(model) == []


@pytest.mark.parametrize(
    ("act", "fused"),
    [(nn.GELU(), True), (nn.GELU(approximate="tanh"), False), (nn.ReLU(), False)],
)
def test_only_the_exact_gelu_is_fused(act: nn.Module, fused: bool) -> None:
    class SomeIntermediate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dense = nn.Linear(6, 8)
            self.intermediate_act_fn = act

        def forward(self, states: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.intermediate_act_fn(self.dense(states))
            return found

    block = SomeIntermediate()
    with torch.no_grad():
        states = torch.randn(2, 7, 6)
        expected = block(states)
        with laid_out(block):
            assert ("" in called(block)) == fused
            torch.testing.assert_close(block(states), expected)


def test_other_layers_than_plain_ones_are_left_alone() -> None:
    class Own(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(input)

    model = nn.Sequential(Own(3, 3), nn.Linear(3, 3))
    with torch.no_grad(), laid_out(model):
        assert called(model) == ["1"]


@pytest.mark.parametrize("scaling", [None, 0.3])
def test_short_texts_attend_as_torch_does(scaling: float | None) -> None:
    runs = ((3, 1), (2, 5), (1, SHORT), (2, SHORT + 1))
    tokens = sum(n * length for n, length in runs)
    tensors = torch.randn(3, 1, 4, tokens, 8, generator=torch.Generator().manual_seed(0)).double()
    own = _by_length(tensors.requires_grad_(), runs, scaling, 0.0)
    with torch.no_grad():
        found = _by_length(tensors, runs, scaling, 0.0)
    torch.testing.assert_close(found, own.detach(), rtol=1e-10, atol=1e-12)
    assert found.shape == (1, tokens, 4, 8)
