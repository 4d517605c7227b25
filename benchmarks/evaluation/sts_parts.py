"""The sub-sets of each year's STS task, for the mean over them.

ConSERT and SimCSE correlate over all pairs of a year at once ("all"); stock SentEval correlates
each sub-set separately and averages. The two differ by points, so they are two metrics. mteb's
copies hold the sub-sets one after the other; their sizes are SemEval's counts of scored pairs.

Source: Gao et al. 2021, SimCSE, appendix B ("all", "mean" and "wmean" in earlier work).
https://arxiv.org/abs/2104.08821
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.data import Pairs
from nsbench.benchmarks.evaluation.metrics import pair_metrics

PARTS: Mapping[str, Mapping[str, int]] = {
    "STS12": {"MSRpar": 750, "MSRvid": 750, "SMTeuroparl": 459, "OnWN": 750, "SMTnews": 399},
    "STS13": {"FNWN": 189, "headlines": 750, "OnWN": 561},
    "STS14": {
        **{"deft-forum": 450, "deft-news": 300, "headlines": 750},
        **{"images": 750, "OnWN": 750, "tweet-news": 750},
    },
    "STS15": {
        **{"answers-forums": 375, "answers-students": 750, "belief": 375},
        **{"headlines": 750, "images": 750},
    },
    "STS16": {
        **{"answer-answer": 254, "headlines": 249, "plagiarism": 230},
        **{"postediting": 244, "question-question": 209},
    },
}


def part_correlations(
    pairs: Pairs, first: NDArray[np.float32], second: NDArray[np.float32]
) -> dict[str, float]:
    """Spearman's correlation of each sub-set of a task, by name.

    Args:
        pairs: The task's pairs, all of them in their own order.
        first: ``(n, d)`` embeddings of the first texts.
        second: ``(n, d)`` embeddings of the second texts.

    Returns:
        Empty for a task without known sub-sets, or of another size than theirs.
    """
    sizes = PARTS.get(pairs.name, {})
    if sum(sizes.values()) != len(pairs.score):
        return {}
    out, start = {}, 0
    for name, size in sizes.items():
        rows = slice(start, start + size)
        metrics, _ = pair_metrics(first[rows], second[rows], pairs.score[rows])
        out[name] = metrics["cosine_spearman"]
        start += size
    return out
