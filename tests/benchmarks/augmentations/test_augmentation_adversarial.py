"""The adversarial view: step lengths, direction, untouched weights and pads."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from made_data import pairs_of
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.augmentations import TokenView, augmentations
from nsbench.benchmarks.contrast.context import Known
from nsbench.benchmarks.encoders import Encoder, encoders
from nsbench.benchmarks.testing.augmentations import TEXTS, view_of
from nsbench.benchmarks.training.attacks import attack_loss, attacked

Loss = Callable[[list[Tensor]], Tensor]


def trainable(kind: str) -> Encoder:
    encoder: Encoder = encoders.make(kind, dimension=16).build(TEXTS, 0)
    return encoder


def contrast(raw: list[Tensor]) -> Tensor:
    """One-directional InfoNCE at temperature 0.1."""
    a, b = (functional.normalize(r, dim=1) for r in raw)
    return functional.cross_entropy(a @ b.T / 0.1, torch.arange(len(a)))


def attack(encoder: Encoder, epsilon: float, loss: Loss = contrast, **start: Any) -> TokenView:
    plain = view_of(encoder).replace(**start)
    views = attacked(
        [view_of(encoder), plain],
        [[], [augmentations.make("adversarial", epsilon=epsilon)]],
        lambda vs: [encoder(v) for v in vs],
        loss,
    )
    assert views[0].shift is None
    return views[1]


@pytest.mark.parametrize("kind", ["tiny", "static"])
@pytest.mark.parametrize("epsilon", [0.01, 1.0])
def test_steps_have_length_epsilon_and_pads_stay(kind: str, epsilon: float) -> None:
    view = attack(trainable(kind), epsilon)
    length = torch.linalg.vector_norm(view.shift, dim=2)
    torch.testing.assert_close(length[view.mask], torch.full_like(length[view.mask], epsilon))
    assert (length[~view.mask] == 0).all()
    assert not view.shift.requires_grad


@pytest.mark.parametrize("kind", ["tiny", "static"])
def test_epsilon_0_is_the_identity(kind: str) -> None:
    encoder = trainable(kind)
    view = attack(encoder, 0.0)
    torch.testing.assert_close(encoder(view), encoder(view_of(encoder)))


@pytest.mark.parametrize("kind", ["tiny", "static"])
def test_the_loss_rises_by_epsilon_times_the_gradient_norms(kind: str) -> None:
    encoder = trainable(kind)
    plain = view_of(encoder)
    shift = torch.zeros(*plain.ids.shape, 16, requires_grad=True)
    clean = contrast([encoder(plain), encoder(plain.replace(shift=shift))])
    (gradient,) = torch.autograd.grad(clean, shift)
    slope = float(torch.linalg.vector_norm(gradient, dim=2).sum())
    epsilon = 1e-4
    moved = contrast([encoder(plain), encoder(attack(encoder, epsilon))])
    rise = float((moved - clean).detach())
    assert rise > 0
    assert rise == pytest.approx(epsilon * slope, rel=0.1, abs=2e-6)


@pytest.mark.parametrize("kind", ["tiny", "static"])
def test_weights_get_no_gradient_from_the_attack(kind: str) -> None:
    encoder = trainable(kind)
    for parameter in encoder.parameters():
        parameter.grad = None
    attack(encoder, 1.0)
    assert all(p.grad is None for p in encoder.parameters())


def test_the_embeddings_keep_their_gradient_under_a_shift() -> None:
    encoder = trainable("static")
    encoder(attack(encoder, 1.0)).sum().backward()
    gradient = encoder.get_parameter("table").grad
    assert (gradient.to_dense() != 0).any()


def test_a_shift_comes_on_top_of_another() -> None:
    encoder = trainable("static")
    start = torch.full((len(TEXTS), 1, 16), 0.5)
    view = attack(encoder, 1.0, shift=start)
    length = torch.linalg.vector_norm(view.shift - start, dim=2)
    torch.testing.assert_close(length[view.mask], torch.ones(int(view.mask.sum())))


def test_both_views_can_be_attacked_at_once() -> None:
    encoder = trainable("tiny")
    plain = view_of(encoder)
    augment = [augmentations.make("adversarial", epsilon=0.5)]
    one, two = attacked(
        [plain, plain.replace(scale=torch.full((1, 1, 1), 0.9))],
        [augment, augment],
        lambda vs: [encoder(v) for v in vs],
        contrast,
    )
    assert not torch.equal(one.shift, two.shift)


def test_nt_xent_attack_knows_duplicates() -> None:
    texts = torch.arange(3)
    known = Known(pairs_of(("same", "Same", "other")), torch.device("cpu"))
    loss = attack_loss(known, texts, texts, 0.1, None, texts)
    torch.manual_seed(0)
    raw = [torch.randn(3, 4), torch.randn(3, 4)]
    z = [functional.normalize(r, dim=1) for r in raw]
    pool = torch.cat(z)
    group = [0, 0, 1, 0, 0, 1]
    total = torch.zeros(())
    for i in range(6):
        j = (i + 3) % 6
        others = [k for k in range(6) if group[k] != group[i]]
        logits = torch.stack([pool[i] @ pool[k] / 0.1 for k in [j, *others]])
        total = total + logits.logsumexp(0) - logits[0]
    torch.testing.assert_close(loss(raw), total / 6)
