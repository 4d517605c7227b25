"""Which method is handed over: the best proven one, or a better guess, and what is said of it."""

from dataclasses import replace

import pytest

from nsbench.analysis.recommend.arms import CLOSED_FORM, IN_BATCH, Arm, mined
from nsbench.analysis.recommend.decide import LEARNED, Decision, Final, _chosen

BASE = (50.0, "baseline", 100)


def final(arm: Arm, mean: float, verdict: str, passes: int) -> Final:
    gap = (mean - BASE[0], 1.0)
    return Final(arm, (mean, mean), gap, verdict, (mean - 20.0, 1.0), "better", passes)


@pytest.mark.parametrize(
    ("other", "arm", "wins"),
    [
        ((52.0, "better", 300), mined(4), True),
        ((50.6, "undecided", 300), mined(4), True),  # ahead by over the margin
        ((50.4, "undecided", 300), mined(4), False),  # dearer, and not by enough
        ((50.4, "undecided", 0), CLOSED_FORM, True),  # cheaper
        ((49.9, "undecided", 0), CLOSED_FORM, False),
        ((50.1, "equivalent", 300), mined(4), False),
    ],
)
def test_a_guess_is_taken_if_it_is_ahead_by_the_margin_or_cheaper(
    other: tuple[float, str, int], arm: Arm, wins: bool
) -> None:
    finals = [final(IN_BATCH, *BASE), final(arm, *other)]
    chosen = _chosen(finals, [0, 1], 0)
    assert chosen == int(wins)
    told = Decision(LEARNED, finals[chosen], tuple(finals), (0.0, 0.0), (0.0, 0.0, 0.0), 9, (1,))
    uncertain = wins and other[1] != "better"
    assert ("best guess, and not certain" in told.sentence()) == uncertain
    assert ("Nothing beats in_batch" in told.sentence()) == (not wins)


def test_a_proven_method_gives_way_only_to_one_that_is_ahead_by_the_margin() -> None:
    proven, guess = final(mined(1), 52.0, "better", 300), final(mined(4), 52.4, "undecided", 300)
    finals = [final(IN_BATCH, *BASE), proven, guess]
    assert _chosen(finals, [0, 1, 2], 0) == 1
    finals[2] = replace(guess, scores=(52.6, 52.6))
    assert _chosen(finals, [0, 1, 2], 0) == 2


def test_what_did_not_learn_is_not_handed_over() -> None:
    finals = [final(IN_BATCH, *BASE), final(mined(4), 55.0, "better", 300)]
    assert _chosen(finals, [0], 0) == 0
    assert _chosen(finals, [1], 0) == 1
    assert _chosen(finals, [], 0) == 0
    base = replace(finals[0], learned="undecided")
    guess = final(mined(4), 50.2, "undecided", 300)
    told = Decision(LEARNED, guess, (guess, base), (0.0, 0.0), (0.0, 0.0, 0.0), 9, (1,))
    assert "in_batch is not significantly better than no training" in told.sentence()
