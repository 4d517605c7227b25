"""Texts end to end in a fixed number of places give what padded ones give."""

import pytest
import torch
from made_training import as_they_come, finished, same, training
from torch import Tensor

from nsbench.benchmarks.augmentations import TokenView, augmentations, bound
from nsbench.benchmarks.contrast.views import ROOM, joined
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import Encoder, encoders
from nsbench.benchmarks.encoders._attention import PACKED, Packed
from nsbench.benchmarks.encoders.transformer import TransformerEncoder
from nsbench.benchmarks.training.replay.capture import VARIABLE, Captured

LENGTHS = ([5, 1, 16, 9], [15, 16], [2, 1], [3, 3, 3, 2, 1, 7])


def encoder(pooling: str = "mean") -> TransformerEncoder:
    texts = datasets.make("planted", rows=60)().texts
    made = encoders.make("tiny", dimension=16, pooling=pooling).build(texts, 0)
    made.fixed = True
    return made


def view_of(made: Encoder, lengths: list[int], room: int = 0) -> TokenView:
    draw = torch.Generator().manual_seed(sum(lengths))
    ids = torch.randint(4, 100, (len(lengths), 16), generator=draw)
    mask = torch.arange(16) < torch.tensor(lengths)[:, None]
    return made.plain_view(ids, mask, room)


def gradients(made: Encoder, view: TokenView) -> tuple[Tensor, list[Tensor]]:
    out = made(view)
    made.zero_grad()
    out.square().sum().backward()
    grads = [p.grad.clone() for p in made.parameters() if p.grad is not None]
    return out.detach(), grads


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("pooling", ["mean", "cls", "last2_mean"])
def test_law_packed_texts_are_embedded_and_learned_from_as_padded_ones(
    monkeypatch: pytest.MonkeyPatch, lengths: list[int], pooling: str
) -> None:
    monkeypatch.setenv(PACKED, "1")
    made, room = encoder(pooling), max(sum(lengths), 2)
    padded, packed = (
        view_of(made, lengths),
        view_of(made, lengths, min(room + 3, 16 * len(lengths) - 1)),
    )
    if packed.room < sum(lengths):
        pytest.skip("there is no padding to leave out")
    assert made.packs(packed)
    assert not made.packs(padded)
    (one, grads1), (two, grads2) = gradients(made, padded), gradients(made, packed)
    assert torch.allclose(one, two, atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(grads1, grads2, strict=True))


def test_what_augmentations_do_to_embeddings_is_done_to_packed_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PACKED, "1")
    made, lengths = encoder(), LENGTHS[0]
    for name in ("token_cutoff", "feature_cutoff", "embedding_dropout", "token_shuffle"):
        augment = bound(augmentations.make(name), made)
        views = [
            augment(view_of(made, lengths, room), torch.Generator().manual_seed(1))
            for room in (0, 40)
        ]
        assert [made.packs(v) for v in views] == [False, True], name
        assert torch.allclose(made(views[0]), made(views[1]), atol=1e-6), name
    shifted = [
        view_of(made, lengths, room).replace(shift=torch.linspace(-1, 1, 16)[:, None])
        for room in (0, 40)
    ]
    assert torch.allclose(made(shifted[0]), made(shifted[1]), atol=1e-6)
    assert not torch.allclose(made(shifted[0]), made(view_of(made, lengths)), atol=1e-3)


def test_places_that_are_left_over_are_texts_of_their_own() -> None:
    mask = torch.arange(6) < torch.tensor([4, 1, 6])[:, None]
    packed = Packed.of(mask, 20)
    assert packed.text[:11].tolist() == [0] * 4 + [1] + [2] * 6
    assert packed.place[:11].tolist() == [0, 1, 2, 3, 0, 0, 1, 2, 3, 4, 5]
    assert packed.starts.tolist() == [0, 4, 5, 11, 17, 20, 20, 20]
    assert int(packed.starts.diff().max()) <= packed.longest == 6
    states = torch.arange(20.0)[:, None]
    assert packed.back(states)[..., 0][mask].tolist() == list(range(11))


def test_views_know_together_what_each_knows_and_forget_with_another_mask() -> None:
    made = encoder()
    one, two = view_of(made, [3, 4], 8), view_of(made, [5], 6)
    assert joined([one, two]).room == 14
    assert joined([one, two.replace(room=0)]).room == 0
    assert one.replace(mask=one.mask).room == 0
    assert one.replace(ids=one.ids).room == 8
    assert one.take(torch.tensor([0]), 16).room == 0


def test_a_packed_training_is_replayed_and_differs_from_a_padded_one_by_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "software")
    padded = finished(training("tiny", "hard", views=("token_cutoff",)))
    monkeypatch.setenv(PACKED, "1")
    seen: list[int] = []
    whole = TransformerEncoder._packed

    def counted(self: TransformerEncoder, view: TokenView) -> Tensor:
        seen.append(view.room)
        return whole(self, view)

    monkeypatch.setattr(TransformerEncoder, "_packed", counted)
    packed = training("tiny", "hard", views=("token_cutoff",))
    found = finished(packed)
    assert seen
    assert all(room % ROOM == 0 for room in seen)
    assert isinstance(packed.run, Captured)
    assert packed.run.replayed
    assert found.training["loss"].to_numpy() == pytest.approx(
        padded.training["loss"].to_numpy(), abs=2e-5
    )
    plain = as_they_come(training("tiny", "hard", views=("token_cutoff",)))
    finished(plain)
    same(packed, plain)


def test_anything_but_yes_or_no_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PACKED, "yes")
    with pytest.raises(ValueError, match="'yes'; it can be 0 or 1"):
        encoder().packs(view_of(encoder(), [2, 3], 6))
