"""The contract of augmentations, for plugin authors and for this package's own tests.

    from nsbench.benchmarks.testing.augmentations import check_augmentation

    def test_contract():
        check_augmentation(MyCutoff(rate=0.1))

Each law is checked on the views of a tiny transformer and of a static encoder. A broken law raises
`nsbench.samplers.testing.ContractError`.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import Augmentation, TokenView, augmentations, bound
from nsbench.benchmarks.encoders import Encoder, encoders, token_table
from nsbench.samplers._cache import cached
from nsbench.samplers._contract import (
    Change,
    Contract,
    expect,
    expect_chance,
    expect_declared,
    expect_frozen,
    expect_no_waiting,
    expect_repeatable,
    expect_untouched,
    refuses_illegal_parameters,
    seeded,
    tensors,
    with_tensors,
)

AUGMENTATIONS: Contract[Augmentation] = Contract(augmentations)
"""The contract of augmentations."""

TEXTS = (
    "the woman carefully cleaned two boats near the station yesterday",
    "a child will not paint the fence next week",
    "it was the visitor who quickly repaired a bicycle in the village last night",
    "several volunteers happily sold cakes",
    "yes",
)
"""Words of the planted language, one text of a single word among them."""

_MORE_WORDS = (
    "lady kid youngster guest stranger helpers fixed bike bikes cautiously rapidly hastily "
    "cheerfully man"
)
"""Further words of the vocabulary, synonyms of those in `TEXTS` among them."""


@cached(2)
def small_encoder(kind: str) -> Encoder:
    """A small ``tiny`` or ``static`` encoder over the words of `TEXTS` and some synonyms."""
    given = {"tiny": {"dimension": 16}, "static": {"dimension": 16}}[kind]
    encoder: Encoder = encoders.make(kind, **given).build((*TEXTS, _MORE_WORDS), 0)
    return encoder.requires_grad_(False)


def view_of(encoder: Encoder, texts: Sequence[str] = TEXTS, length: int = 0) -> TokenView:
    """The plain view of B texts; without a length as wide as the longest text and two pads."""
    table = token_table(encoder, texts, encoder.max_length, torch.device("cpu"))
    width = length or int(table.lengths.max()) + 2
    ids = torch.nn.functional.pad(table.ids, (0, max(0, width - table.ids.shape[1])))
    mask = torch.arange(width) < table.device_lengths[:, None]
    return encoder.plain_view(ids[:, :width], mask)


ORDER = ("needs_positions", "needs_order")
NEEDS = (*ORDER, "needs_dropout")


def augmentation_cases(augmentation: Augmentation) -> Iterator[tuple[Encoder, Augmentation]]:
    """Encoders it means something on, with the augmentation bound to each."""
    for kind in ("tiny", "static"):
        encoder = small_encoder(kind)
        if encoder.has_positions or not any(getattr(augmentation, n, False) for n in ORDER):
            yield encoder, bound(augmentation, encoder)


def same_view(a: TokenView, b: TokenView) -> bool:
    """Return whether two views are equal to the last bit."""
    for item in fields(a):
        one, two = getattr(a, item.name), getattr(b, item.name)
        if isinstance(one, Tensor) and isinstance(two, Tensor):
            if one.shape != two.shape or not torch.equal(one, two):
                return False
        elif one is not two and one != two:
            return False
    return True


@AUGMENTATIONS.law
def declares_itself(augmentation: Augmentation) -> None:
    """The flags are truth values, the class is a frozen dataclass with a docstring."""
    expect_declared(augmentation, *NEEDS, "needs_labels", "stochastic")
    expect_frozen(augmentation)


@AUGMENTATIONS.law
def answers_with_a_view(augmentation: Augmentation) -> None:
    """Right shapes, dtypes and device; real tokens first in every row, at least one of them."""
    for encoder, augment in augmentation_cases(augmentation):
        _expect_well_formed(view_of(encoder), augment(view_of(encoder), seeded(0)), encoder)


def _expect_well_formed(given: TokenView, view: TokenView, encoder: Encoder) -> None:
    shape, device = view.ids.shape, given.ids.device
    expect(shape[0] == given.ids.shape[0], f"{given.ids.shape[0]} texts became {shape[0]}")
    for name, kind in (("ids", torch.int64), ("mask", torch.bool), ("positions", torch.int64)):
        value = getattr(view, name)
        expect(value.shape == shape, f"{name} is {tuple(value.shape)}, ids {tuple(shape)}")
        expect(value.dtype == kind, f"{name} is {value.dtype}, not {kind}")
        expect(value.device == device, f"{name} is on {value.device}, not on {device}")
    for name in ("scale", "shift"):
        value = getattr(view, name)
        if value is not None:
            expect(value.dim() == 3, f"{name} has {value.dim()} dimensions, not 3")
            whole = torch.broadcast_shapes(value.shape, (*shape, view.width))
            expect(whole == (*shape, view.width), f"{name} {tuple(value.shape)} does not fit")
    expect(view.dropout is None or 0 <= view.dropout < 1, f"dropout is {view.dropout}")
    expect(shape[1] <= max(given.ids.shape[1], view.limit), f"rows grew to {shape[1]} tokens")


@AUGMENTATIONS.law
def keeps_rows_in_order(augmentation: Augmentation) -> None:
    """Real tokens come first, each row keeps one, positions are a permutation on them."""
    for encoder, augment in augmentation_cases(augmentation):
        for seed in range(3):
            view = augment(view_of(encoder), seeded(seed))
            place = torch.arange(view.ids.shape[1])
            expect(view.mask.any(dim=1).all(), "a text lost all its tokens")
            expect(
                torch.equal(view.mask, place < view.lengths[:, None]),
                "there is a pad between tokens",
            )
            order = torch.where(view.mask, view.positions, place).sort(dim=1).values
            expect((order == place).all(), "positions are no permutation of 0 .. n-1")


@AUGMENTATIONS.law
def leaves_its_input_untouched(augmentation: Augmentation) -> None:
    """No tensor of the given view is written to."""
    for encoder, augment in augmentation_cases(augmentation):
        view = view_of(encoder)
        expect_untouched(partial(augment, view, seeded(0)), view)


@AUGMENTATIONS.law
def repeats_itself(augmentation: Augmentation) -> None:
    """The same generator state gives the same bytes, and no other randomness is touched."""
    for encoder, augment in augmentation_cases(augmentation):
        expect_repeatable(partial(augment, view_of(encoder)), same_view)


@AUGMENTATIONS.law
def varies_with_the_generator(augmentation: Augmentation) -> None:
    """Another state gives another view if it claims chance, and the same if it does not."""
    changed = False
    for encoder, augment in augmentation_cases(augmentation):
        first = augment(view_of(encoder), seeded(0))
        for seed in range(1, 9):
            changed |= not same_view(first, augment(view_of(encoder), seeded(seed)))
    expect_chance(augmentation, varied=changed)


@AUGMENTATIONS.law
def survives_small_batches(augmentation: Augmentation) -> None:
    """One text, one token, no pad: a well-formed view that encodes to finite numbers."""
    for encoder, augment in augmentation_cases(augmentation):
        for texts in (("yes",), TEXTS[:1], ("yes", "no")):
            for length in (0, int(view_of(encoder, texts).lengths.max())):
                given = view_of(encoder, texts, length)
                view = augment(given, seeded(1))
                _expect_well_formed(given, view, encoder)
                expect(torch.isfinite(encoder(view)).all(), "the embedding is not finite")


@AUGMENTATIONS.law
def pads_do_not_matter(augmentation: Augmentation) -> None:
    """The content of a padded place changes no embedding and costs no real token."""
    for encoder, augment in augmentation_cases(augmentation):
        view = augment(view_of(encoder), seeded(2)).replace(dropout=0.0)
        other = view.replace(ids=torch.where(view.mask, view.ids, 1))
        expect(torch.allclose(encoder(view), encoder(other), atol=1e-6), "a pad was encoded")


@AUGMENTATIONS.law
def composes(augmentation: Augmentation) -> None:
    """Applied after itself and after a cutoff it still gives a view that can be encoded."""
    cutoff = augmentations.make("feature_cutoff", rate=0.2)
    for encoder, augment in augmentation_cases(augmentation):
        given = view_of(encoder)
        for first, second in ((augment, augment), (cutoff, augment), (augment, cutoff)):
            view = second(first(given, seeded(0)), seeded(1))
            expect(torch.isfinite(encoder(view)).all(), "the embedding is not finite")


@AUGMENTATIONS.law
def never_waits_for_the_device(augmentation: Augmentation) -> None:
    """It runs under fake tensors, which raise on any host sync, on any device."""
    for encoder, augment in augmentation_cases(augmentation):
        given = view_of(encoder)

        def act(fake: Change, device: str, given: TokenView = given, bound: Any = augment) -> None:
            view = _with_fake_tables(bound, fake)(with_tensors(given, fake), None)
            expect(view.ids.device.type == device, f"ids came back on {view.ids.device}")

        expect_no_waiting(act, real=True)


def _with_fake_tables(augment: Augmentation, fake: Change) -> Augmentation:
    """A copy of a bound augmentation whose tensors are fake."""
    moved = copy.copy(augment)
    if is_dataclass(augment):
        for name, value in tensors(augment).items():
            object.__setattr__(moved, name, fake(value))
    return moved


AUGMENTATIONS.law(refuses_illegal_parameters)


check_augmentation = AUGMENTATIONS.check
"""Check every law on one augmentation."""
