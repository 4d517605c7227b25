"""GradCache: the plain gradient, dropout replayed, and never more than a chunk at once."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import TokenView, augmentations
from nsbench.benchmarks.contrast.views import forward
from nsbench.benchmarks.encoders import Encoder, encoders, token_table
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.training.gradcache import Chunked, split
from nsbench.samplers import Selection, SimilarityContext

TEXTS = [
    f"the {a} {b} is {c} today" for a in ("red", "old") for b in ("cat", "boat") for c in "uvw"
]


def made(name: str, **params: Any) -> tuple[Encoder, list[TokenView]]:
    encoder: Encoder = encoders.make(name, **params).build(TEXTS, 0)
    tokens = token_table(encoder, TEXTS, 16, torch.device("cpu"))
    ids, mask = tokens.rows(torch.arange(len(TEXTS)), tokens.ids.shape[1])
    plain = encoder.plain_view(ids, mask)
    generator = torch.Generator().manual_seed(1)
    return encoder, [
        augmentations.make("token_cutoff", rate=0.3)(plain, generator),
        augmentations.make("feature_cutoff", rate=0.3)(plain, generator),
    ]


def loss_of(raw: list[Tensor], objective: str = "info_nce") -> Tensor:
    z1, z2 = (torch.nn.functional.normalize(r, dim=1) for r in raw)
    live = z1 @ z2.T
    place = torch.arange(len(z1))
    mask = place[:, None] != place[None, :]
    context = SimilarityContext(live.detach(), place, mask)
    return objectives.make(objective)(live, context, Selection(mask=mask)).mean()


def gradients(encoder: Encoder) -> list[Tensor]:
    out = []
    for parameter in encoder.parameters():
        grad = parameter.grad
        out.append(grad.to_dense().clone())
        parameter.grad = None
    return out


def cached(encoder: Encoder, views: list[TokenView], chunk: int) -> tuple[Tensor, list[Tensor]]:
    held = Chunked(encoder, views, chunk)
    loss = loss_of(held.raw)
    loss.backward()
    held.backward()
    return loss.detach(), gradients(encoder)


ENCODERS = [("static", {"dimension": 8}), ("tiny", {"dimension": 16})]


@pytest.mark.parametrize(("name", "params"), ENCODERS, ids=str)
@pytest.mark.parametrize("chunk", [1, 5, 12, 100])
def test_law_cached_gradient_is_the_plain_one(
    name: str, params: dict[str, Any], chunk: int
) -> None:
    encoder, views = made(name, **params)
    loss = loss_of(forward(encoder, views))
    loss.backward()
    plain = gradients(encoder)
    again, found = cached(encoder, views, chunk)
    torch.testing.assert_close(again, loss.detach(), rtol=0, atol=1e-5)
    for a, b in zip(plain, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert max(float(g.abs().max()) for g in plain) > 1e-3


@pytest.mark.parametrize(("name", "params"), ENCODERS, ids=str)
def test_law_cached_gradient_replays_dropout(name: str, params: dict[str, Any]) -> None:
    encoder, views = made(name, dropout=0.3, **params)
    torch.manual_seed(5)
    raw = [torch.cat([encoder(piece) for piece in split(view, 5)]) for view in views]
    loss = loss_of(raw)
    loss.backward()
    plain, after = gradients(encoder), torch.get_rng_state()
    torch.manual_seed(5)
    again, found = cached(encoder, views, 5)
    assert torch.equal(again, loss.detach())
    for a, b in zip(plain, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert torch.equal(after, torch.get_rng_state())


def test_without_the_replay_dropout_gives_another_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, views = made("static", dimension=8, dropout=0.3)
    torch.manual_seed(5)
    _, right = cached(encoder, views, 5)
    monkeypatch.setattr("nsbench.benchmarks.training.gradcache.set_random_state", lambda *_: None)
    torch.manual_seed(5)
    _, wrong = cached(encoder, views, 5)
    assert not torch.allclose(right[0], wrong[0], atol=1e-3)


def test_no_pass_is_larger_than_a_chunk() -> None:
    encoder, views = made("tiny", dimension=16)
    seen: list[int] = []
    plain: Callable[..., Tensor] = encoder.forward

    def counted(view: TokenView) -> Tensor:
        seen.append(len(view.ids))
        return plain(view)

    encoder.forward = counted  # type: ignore[method-assign]
    cached(encoder, views, 5)
    assert seen == [5, 5, 2] * 4


def test_chunk_below_1_is_an_error() -> None:
    _, views = made("static", dimension=8)
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        split(views[0], 0)


def test_chunked_loss_and_gradient_agree_with_sentence_transformers() -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    theirs = losses.CachedMultipleNegativesRankingLoss(
        torch.nn.Sequential(torch.nn.Identity()), scale=20.0, mini_batch_size=5
    )
    encoder, views = made("tiny", dimension=16)
    held = Chunked(encoder, views, 5)
    loss_of(held.raw).backward()  # temperature 1 / 20
    pieces = [[p.detach().requires_grad_() for p in raw.split(5)] for raw in held.raw]
    wanted = theirs.calculate_loss(pieces, with_backward=True)
    torch.testing.assert_close(loss_of(held.raw), wanted, rtol=1e-5, atol=1e-5)
    for raw, parts in zip(held.raw, pieces, strict=True):
        joined = torch.cat([p.grad for p in parts if p.grad is not None])
        torch.testing.assert_close(raw.grad, joined, rtol=1e-4, atol=1e-5)
