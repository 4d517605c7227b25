"""A judge of pairs: one that knows the meanings covers the truth, one that guesses says nothing."""

from collections.abc import Sequence
from pathlib import Path

import made_models
import numpy as np

from nsbench.benchmarks.audit.audit import audit, by_labels, read_rows
from nsbench.benchmarks.audit.groups import groups_of, near_pairs
from nsbench.benchmarks.audit.judged import judged
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.mining.dataset.rescore import load_rescorer

ROWS = 400


def _judged(rate: float, seed: int) -> list[tuple[float, float, float]]:
    """Truth and interval of every group, by a judge that knows meanings and no given pair."""
    data = datasets.make("planted", rows=ROWS, false_negative_rate=rate, seed=seed)()
    meaning = dict(zip(data.texts, data.meaning.tolist(), strict=True))
    noise = np.random.default_rng(seed)

    def score(pairs: Sequence[tuple[str, str]]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        same = np.array([meaning[a] == meaning[b] for a, b in pairs])
        return (same + 0.2 * noise.random(len(pairs))).astype(np.float32)

    read = read_rows(data, groups_of(data, near_pairs(data.texts)), None, seed=seed)
    anchors, positives = (
        [data.texts[i] for i in side[read.rows]] for side in (data.anchor, data.positive)
    )
    truth = by_labels(data, read)
    shares = judged(anchors, positives, read.places, score, seed=seed)
    return [(truth[s.name], s.low, s.high) for s in shares]


def test_the_interval_covers_the_truth_and_says_something() -> None:
    for rate in (0.0, 0.2):
        found = np.array([row for seed in range(4) for row in _judged(rate, seed)])
        inside = (found[:, 1] <= found[:, 0] + 0.02) & (found[:, 0] <= found[:, 2] + 0.02)
        assert len(found) >= 16
        assert inside.mean() >= 0.9
        if rate:
            assert found[:, 1].max() > 0.4  # the hardest candidates are mostly false negatives
        else:
            assert found[:, 2].max() < 0.1


def test_a_cross_encoder_is_a_second_opinion_in_the_audit(tmp_path: Path) -> None:
    made_models.pairs(tmp_path / "scorer")
    data = datasets.make("planted", rows=120, seed=1)()
    judge = load_rescorer(str(tmp_path / "scorer"))
    found = audit(data, judge=judge).plain()["false_negatives"]
    assert found["judge"] == "local/scorer"
    assert {s["name"] for s in found["by_judge"]} >= {"random candidates", "place 1"}
    # A model of random weights prefers the given pairs to the swapped ones as often as not.
    assert all(s["high"] > 0.7 for s in found["by_judge"])
    assert found == audit(data, judge=judge).plain()["false_negatives"]
    assert audit(data).plain()["false_negatives"]["by_judge"] == []
