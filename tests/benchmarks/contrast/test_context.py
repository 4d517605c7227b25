"""Masking and layout of a batch, against loops over the same rule in words."""

import numpy as np
import pytest
import torch
from made_data import pairs_of

from nsbench.benchmarks.contrast.context import Further, Known, lay_out, mask_candidates
from nsbench.benchmarks.contrast.world import Stored
from nsbench.benchmarks.data import TrainingData, normalise

TEXTS = (
    "A cat sleeps.",
    "a  CAT sleeps.",  # twin of 0 after normalisation
    "The cat is asleep.",
    "A dog runs.",
    "The dog is running.",
    "It rains.",
)


def data(rows: list[tuple[int, int]], meaning: list[int] | None = None) -> TrainingData:
    return pairs_of(TEXTS, rows, meaning=None if meaning is None else np.array(meaning))


def allowed(anchor: int, positive: int, column: int, pairs: set[tuple[str, str]]) -> bool:
    a, p, c = (normalise(TEXTS[i]) for i in (anchor, positive, column))
    return c not in (a, p) and (a, c) not in pairs and (c, a) not in pairs


@pytest.mark.parametrize("both", [False, True])
def test_mask_equals_the_rule_in_a_loop(both: bool) -> None:
    rows = [(0, 2), (3, 4), (5, 5), (1, 3)]
    source = data(rows)
    known = Known(source, torch.device("cpu"))
    pairs = {(normalise(TEXTS[a]), normalise(TEXTS[p])) for a, p in rows}
    z1, z2 = torch.randn(2, 4, 8).unbind()
    t1, t2 = torch.tensor([r[0] for r in rows]), torch.tensor([r[1] for r in rows])
    stored = Stored(torch.randn(3, 8), torch.tensor([1, 5, 4]), torch.tensor([True, True, False]))
    extra = Further(torch.randn(2, 8), torch.tensor([2, -1]))
    contrast = lay_out(z1, z2, t1, t2, both=both, further=extra, stored=stored)
    mask = mask_candidates(contrast, known).negative
    anchors = [*rows, *((p, a) for a, p in rows)] if both else rows
    columns = ([r[0] for r in rows] if both else []) + [r[1] for r in rows]
    columns += [2, None, 1, 5, None]  # type: ignore[list-item]
    assert mask.shape == (len(anchors), len(columns))
    for i, (a, p) in enumerate(anchors):
        for j, c in enumerate(columns):
            own = j == int(contrast.positive[i])
            want = c is not None and not own and allowed(a, p, c, pairs)
            assert bool(mask[i, j]) == want, (i, j)


def test_both_directions_pair_the_views() -> None:
    z = torch.randn(4, 8)
    t = torch.arange(4)
    contrast = lay_out(z, z + 1, t, t, both=True)
    assert contrast.positive.tolist() == [4, 5, 6, 7, 0, 1, 2, 3]
    assert torch.equal(contrast.columns[contrast.positive[:4]], z + 1)


def test_truth_needs_a_known_meaning_on_both_sides() -> None:
    source = data([(0, 2), (3, 4)], meaning=[7, 7, 7, 1, 1, -1])
    known = Known(source, torch.device("cpu"))
    truth = known.truth(torch.tensor([0, 5]), torch.tensor([2, 5, 3]))
    assert truth.tolist() == [[True, False, False], [False, False, False]]
    nothing = Known(data([(0, 2)]), torch.device("cpu"))
    assert nothing.truth(torch.tensor([0]), torch.tensor([1])) is None


def test_a_twin_of_the_positive_is_counted_as_duplicate_and_a_known_positive_as_known() -> None:
    """Anchor 2 has the positive 0; column 1 is a twin of 0, column 3 another positive of 2."""
    known = Known(data([(2, 0), (2, 3)]), torch.device("cpu"))
    z = torch.randn(1, 8)
    extra = Further(torch.randn(3, 8), torch.tensor([1, 3, 5]))
    contrast = lay_out(z, z, torch.tensor([2]), torch.tensor([0]), both=False, further=extra)
    masks = mask_candidates(contrast, known)
    assert masks.duplicate.tolist() == [[False, True, False, False]]
    assert masks.known.tolist() == [[False, False, True, False]]
    assert masks.negative.tolist() == [[False, False, False, True]]
    spared = mask_candidates(contrast, known, positive_copies=True)
    assert spared.negative.tolist() == [[False, True, False, True]]
    assert spared.known.tolist() == [[False, False, True, False]]
    assert not spared.duplicate.any()
