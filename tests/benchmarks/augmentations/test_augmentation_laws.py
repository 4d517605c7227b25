"""ConSERT's laws: exact counts, untouched elements, what each augmentation may not touch."""

import pytest
import torch

from nsbench.benchmarks.augmentations import TokenView, augmentations, choose_exactly, share_of
from nsbench.benchmarks.augmentations._types import _near_the_share, _smallest
from nsbench.benchmarks.encoders import Encoder
from nsbench.benchmarks.testing.augmentations import TEXTS, seeded, small_encoder, view_of

KINDS = ("tiny", "static")
RATES = (0.0, 0.1, 0.15, 0.29, 0.5, 1.0)


@pytest.fixture(params=KINDS)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return small_encoder(request.param)


def full_scale(view: TokenView) -> torch.Tensor:
    """The (B, L, d) factor of a view, 1 where there is none."""
    shape = (*view.ids.shape, view.width)
    return torch.ones(shape) if view.scale is None else view.scale.expand(shape)


def augmented(name: str, encoder: Encoder, seed: int = 0, **given: float) -> TokenView:
    return augmentations.make(name, **given)(view_of(encoder), seeded(seed))


@pytest.mark.parametrize("rate", RATES)
def test_token_cutoff_zeroes_exactly_the_whole_part(encoder: Encoder, rate: float) -> None:
    view = augmented("token_cutoff", encoder, rate=rate)
    scale = full_scale(view)
    cut = (scale == 0).all(dim=2)
    assert ((scale == 0) | (scale == 1)).all()
    assert (cut == (scale == 0).any(dim=2)).all()  # whole rows only
    assert cut.sum(dim=1).tolist() == [int(n * rate) for n in view.lengths.tolist()]
    assert not (cut & ~view.mask).any()
    assert view.mask.equal(view_of(encoder).mask)  # a cut token still counts in the mean
    assert view.ids.equal(view_of(encoder).ids)


@pytest.mark.parametrize("rate", RATES)
def test_feature_cutoff_zeroes_whole_columns_of_each_text(encoder: Encoder, rate: float) -> None:
    view = augmented("feature_cutoff", encoder, rate=rate)
    scale = full_scale(view)
    cut = (scale == 0).all(dim=1)  # (B, d)
    assert (cut == (scale == 0).any(dim=1)).all()
    assert cut.sum(dim=1).tolist() == [int(view.width * rate)] * len(TEXTS)
    if rate == 0.5:
        assert len({tuple(row.tolist()) for row in cut}) > 1  # each text its own columns


@pytest.mark.parametrize("rate", RATES)
def test_embedding_dropout_zeroes_exact_number_of_elements(encoder: Encoder, rate: float) -> None:
    view = augmented("embedding_dropout", encoder, rate=rate)
    zero = full_scale(view) == 0
    expected = [int(n * view.width * rate) for n in view.lengths.tolist()]
    assert zero.sum(dim=(1, 2)).tolist() == expected
    assert not (zero & ~view.mask[:, :, None]).any()  # pads are left alone


@pytest.mark.parametrize("name", ["token_cutoff", "feature_cutoff", "embedding_dropout"])
def test_cutoffs_leave_what_they_keep_bitwise_equal(name: str) -> None:
    encoder = small_encoder("tiny")
    view = augmented(name, encoder, rate=0.3)
    seen: list[torch.Tensor] = []
    hook = encoder.model.encoder.register_forward_pre_hook(  # type: ignore[union-attr, operator]
        lambda module, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True,
    )
    encoder(view_of(encoder))
    encoder(view)
    hook.remove()
    before, after = (states[0] for states in seen)  # texts end to end, shorter ones first
    order = view.lengths.argsort(stable=True)
    kept = (full_scale(view) == 1)[order][view.mask[order]]
    assert torch.equal(before[kept], after[kept])  # no rescale
    assert (after[~kept] == 0).all()
    assert 0 < (~kept).sum() < kept.sum()


def test_token_shuffle_permutes_positions_of_real_tokens_only() -> None:
    encoder = small_encoder("tiny")
    plain = view_of(encoder)
    moved = 0
    for seed in range(20):
        view = augmented("token_shuffle", encoder, seed=seed)
        assert view.ids.equal(plain.ids)
        assert view.mask.equal(plain.mask)
        for row, n in zip(view.positions, view.lengths.tolist(), strict=True):
            assert sorted(row[:n].tolist()) == list(range(n))
            assert row[n:].tolist() == list(range(n, len(row)))
        moved += int((view.positions[:, 0] != 0).sum())
    assert moved > 0  # [CLS] takes part


def test_token_shuffle_draws_every_permutation_equally_often() -> None:
    # 3 tokens: 6 permutations, 6000 draws, 1000 expected each, standard deviation 28.9; 5 sigma.
    view = TokenView(
        ids=torch.zeros(6000, 4, dtype=torch.long),
        mask=torch.tensor([True, True, True, False]).expand(6000, 4),
        positions=torch.arange(4).expand(6000, 4),
        width=1,
    )
    shuffled = augmentations.make("token_shuffle")(view, seeded(0)).positions
    codes = shuffled[:, 0] * 9 + shuffled[:, 1] * 3 + shuffled[:, 2]
    counts = codes.unique(return_counts=True)[1]
    assert len(counts) == 6
    assert (counts - 1000).abs().max() < 145


def test_static_encoder_does_not_see_a_shuffle() -> None:
    encoder = small_encoder("static")
    view = augmented("token_shuffle", encoder)
    assert torch.equal(encoder(view), encoder(view_of(encoder)))


@pytest.mark.parametrize("name", ["token_cutoff", "feature_cutoff", "embedding_dropout"])
def test_rate_0_is_the_identity(encoder: Encoder, name: str) -> None:
    view = augmented(name, encoder, rate=0.0)
    assert torch.equal(encoder(view), encoder(view_of(encoder)))


def test_two_views_without_augmentation_are_bitwise_equal(encoder: Encoder) -> None:
    plain, again = augmented("none", encoder), augmented("none", encoder, seed=1)
    assert torch.equal(encoder(plain), encoder(again))


def test_dropout_off_gives_equal_views_and_on_gives_others(encoder: Encoder) -> None:
    off = augmented("dropout", encoder, rate=0.0)
    on = augmented("dropout", encoder, rate=0.3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert torch.equal(encoder(off), encoder(off))
        first, second = encoder(on), encoder(on)
    assert not torch.allclose(first, second)


def test_dropout_rescales_what_it_keeps() -> None:
    encoder = small_encoder("static")
    plain = view_of(encoder)
    on = plain.replace(dropout=0.5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mean = torch.stack([encoder(on) for _ in range(400)]).mean(dim=0)
    # Each element is 0 or doubled: standard error of the mean over 400 draws is |e| / 20 at most.
    bound = 5 * encoder.table.abs().max() / 20  # type: ignore[union-attr, operator]
    assert (mean - encoder(plain)).abs().max() < bound


@pytest.mark.parametrize("columns", [7, 300, 5000])
def test_choose_exactly_takes_exact_counts_of_eligible_ones(columns: int) -> None:
    generator = seeded(3)
    eligible = torch.rand(6, columns, generator=generator) < 0.7
    eligible[0] = True
    possible = eligible.sum(dim=1)
    count = torch.stack([possible[0], possible[1] * 0, *(possible[2:] // 3)])
    chosen = choose_exactly(eligible, count, generator)
    assert torch.equal(chosen.sum(dim=1), count)
    assert not (chosen & ~eligible).any()


def test_choose_exactly_is_uniform_by_bisection() -> None:
    # 200 rows of 4096, a quarter each: every column is chosen Binomial(200, 1/4): mean 50, sd 6.1.
    chosen = choose_exactly(torch.ones(200, 4096) > 0, torch.full((200,), 1024), seeded(0))
    hits = chosen.sum(dim=0).float()
    assert hits.mean() == 50
    assert (hits - 50).abs().max() < 6.5 * 6.1
    assert abs(float(hits.std()) - 6.12) < 0.4
    halves = chosen.float().view(200, 2, 2048).sum(dim=(0, 2))
    assert abs(float(halves[0] - halves[1])) < 2000  # sd of the difference is about 390


def test_sorting_near_the_share_is_the_bisection() -> None:
    lots = (torch.rand(9, 5000, generator=seeded(1)) * 2**12).floor() / 2**12  # with many ties
    sizes = torch.tensor([5000, 4999, 4000, 3000, 2500, 100, 1, 0, 7])
    eligible = torch.arange(5000) < sizes[:, None]
    lots.masked_fill_(~eligible, 2.0)
    for rate in (0.0, 0.001, 0.2, 0.5, 0.999, 1.0):
        count = (eligible.sum(dim=1).double() * rate).long()
        near = _near_the_share(lots, count, eligible)
        assert torch.equal(near, _smallest(lots, count))
        assert torch.equal(near.sum(dim=1), count)
    crooked = (lots**3).masked_fill(~eligible, 2.0)  # not uniform: left to the bisection
    count = eligible.sum(dim=1) // 2
    assert _near_the_share(crooked, count, eligible) is None


def test_choose_exactly_breaks_ties_to_keep_the_count() -> None:
    lots = torch.full((1, 3000), 0.25)
    assert int(_smallest(lots, torch.tensor([1234])).sum()) == 1234


def test_share_of_agrees_with_python_for_every_length_and_rate() -> None:
    lengths = torch.arange(1, 513)
    for rate in (0.1, 0.15, 0.2, 0.28, 0.29, 0.3, 0.32, 0.57, 0.7, 1.0):
        assert share_of(lengths, rate).tolist() == [int(n * rate) for n in lengths.tolist()]
