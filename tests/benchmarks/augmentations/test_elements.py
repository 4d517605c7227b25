"""Single elements chosen by exact count, and sums over those that are kept."""

from collections.abc import Sequence

import pytest
import torch

from nsbench.benchmarks.augmentations import TokenView, augmentations, bound, ones_of
from nsbench.benchmarks.augmentations._elements import choose_elements
from nsbench.benchmarks.augmentations._words import rebuilt
from nsbench.benchmarks.contrast.views import forward, joined, untouched
from nsbench.benchmarks.encoders import Encoder, _kept
from nsbench.benchmarks.testing.augmentations import TEXTS, seeded, small_encoder, view_of

LENGTHS = torch.tensor([1, 13, 64, 5, 2])


@pytest.mark.parametrize("width", [1, 7, 16, 384, 2048])
@pytest.mark.parametrize("rate", [0.0, 0.001, 0.2, 0.5, 0.7, 0.999, 1.0])
def test_law_every_text_has_exactly_its_number(width: int, rate: float) -> None:
    count = (LENGTHS * width * rate).long()
    drawn = choose_elements(LENGTHS, width, count, seeded(0))
    assert drawn.shape == (85, width)
    assert drawn.dtype == torch.uint8
    assert int(drawn.max()) <= 1
    parts = drawn.long().split(LENGTHS.tolist())
    assert torch.stack([part.sum() for part in parts]).equal(count)
    assert ones_of(drawn, LENGTHS).equal(count)
    assert choose_elements(LENGTHS, width, count, seeded(0)).equal(drawn)
    if ((count > 0) & (count < LENGTHS * width)).any() and width > 1:
        assert not choose_elements(LENGTHS, width, count, seeded(1)).equal(drawn)


@pytest.mark.parametrize("chosen", [2, 4])
def test_law_every_choice_is_equally_likely(chosen: int) -> None:
    # 6 elements, 2 or 4 of them: 15 choices, 15,000 draws. Chi-squared with 14 degrees of freedom:
    # mean 14, standard deviation 5.3; above 45 once in 20,000 times.
    texts = 15_000
    lengths = torch.full((texts,), 2)
    drawn = choose_elements(lengths, 3, torch.full((texts,), chosen), seeded(5)).view(texts, 6)
    code = (drawn.long() * 2 ** torch.arange(6)).sum(dim=1)
    times = code.unique(return_counts=True)[1]
    assert len(times) == 15
    assert float((times - 1000.0).square().sum() / 1000) < 45


def test_law_neighbours_are_chosen_independently() -> None:
    # A pair of elements is chosen with k (k - 1) / (n (n - 1)) = 0.0398: of 400 x 999 pairs,
    # 15,900 with a standard deviation of about 125.
    drawn = choose_elements(torch.full((400,), 10), 100, torch.full((400,), 200), seeded(2))
    rows = drawn.view(400, 1000).long()
    both = int((rows[:, 1:] * rows[:, :-1]).sum())
    assert abs(both - 400 * 999 * 200 * 199 / (1000 * 999)) < 625
    assert abs(int(rows[:, :500].sum()) - 40_000) < 700


def dropped(texts: Sequence[str] = TEXTS, seed: int = 0) -> tuple[Encoder, TokenView]:
    encoder = small_encoder("static")
    augment = bound(augmentations.make("embedding_dropout", rate=0.3), encoder)
    return encoder, augment(view_of(encoder, texts), seeded(seed))


def test_a_static_encoder_gets_one_byte_for_each_element() -> None:
    _, view = dropped()
    assert view.scale is None
    zeros = view.lengths * view.width - ones_of(view.kept, view.lengths)
    assert zeros.tolist() == [int(n * view.width * 0.3) for n in view.lengths.tolist()]
    whole = view.whole()
    assert whole.kept is None
    assert (whole.scale == 0).sum(dim=(1, 2)).equal(zeros)
    assert not ((whole.scale == 0) & ~view.mask[:, :, None]).any()


@pytest.mark.parametrize("tokens", [1, 4, 768])
def test_law_sums_of_kept_elements_and_their_gradients_are_those_of_the_whole_tensor(
    tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_kept, "_TOKENS", tokens)
    encoder, view = dropped((*TEXTS, *TEXTS[:2]))
    weights = torch.randn(7, encoder.dimension, generator=seeded(4))
    found = []
    table = torch.nn.Parameter(encoder.table.detach().clone())  # type: ignore[operator, union-attr]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(encoder._parameters, "table", table)
        for one in (view, view.whole()):
            out = encoder(one)
            (gradient,) = torch.autograd.grad((out * weights).sum(), table)
            found.append((out.detach(), gradient.to_dense()))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-6)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-6)
    assert found[0][1].any()


def test_views_with_and_without_kept_elements_share_a_pass() -> None:
    encoder, first = dropped()
    _, second = dropped(TEXTS[:2], seed=1)
    both = joined([first, second])
    assert both.kept.equal(torch.cat([first.kept, second.kept]))
    for views in ([first, second], [first, view_of(encoder)], [view_of(encoder), second]):
        for together, alone in zip(forward(encoder, views), map(encoder, views), strict=True):
            assert torch.allclose(together, alone, atol=1e-6)


def test_kept_elements_go_along_with_their_tokens() -> None:
    encoder, view = dropped()
    rows = torch.tensor([3, 1])
    part = view.take(rows, int(view.lengths[rows].max()))
    assert torch.allclose(encoder(part), encoder(view)[rows], atol=1e-6)
    place = torch.arange(view.mask.shape[1])
    source = torch.where(view.mask, view.lengths[:, None] - 1 - place, place)
    turned = rebuilt(view, source, view.lengths)  # the last token first: the sum stays
    assert not turned.ids.equal(view.ids)
    assert torch.allclose(encoder(turned), encoder(view), atol=1e-6)
    with pytest.raises(ValueError, match="whole"):
        view.replace(mask=view.mask[:, :1])


def test_chance_twice_keeps_what_both_keep_and_touched_texts_are_seen() -> None:
    encoder, view = dropped()
    augment = bound(augmentations.make("embedding_dropout", rate=0.3), encoder)
    again = augment(view, seeded(9))
    assert (again.kept <= view.kept).all()
    assert int(again.kept.sum()) < int(view.kept.sum())
    assert untouched(view, view_of(encoder)).tolist() == [False] * len(TEXTS)
    nothing = bound(augmentations.make("embedding_dropout", rate=0.0), encoder)
    assert untouched(nothing(view_of(encoder), seeded(0)), view_of(encoder)).all()
