"""Scores with the most frequent tokens left out of the mean over tokens.

In a collapsed space these tokens dominate the mean: without them BERT's STS score rises a lot, that
of a model trained contrastively hardly changes.

Source: Yan et al. 2021, ConSERT, section 5 (analysis of the embedding space).
https://aclanthology.org/2021.acl-long.393 Counting without special tokens is our choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from nsbench.benchmarks.encoders import Encoder, tokenize
from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
from nsbench.benchmarks.evaluation.evaluate import evaluate
from nsbench.benchmarks.evaluation.mteb import tasks as mteb_tasks
from nsbench.benchmarks.evaluation.mteb.requests import Named
from nsbench.benchmarks.records import Score

TASK = "frequent_tokens"


def most_frequent(encoder: Encoder, texts: Sequence[str], k: int) -> torch.Tensor:
    """``(k,)`` ids of the tokens that occur most often in the texts; of equals the smaller id."""
    head, tail = encoder.specials
    rows = tokenize(encoder, texts, encoder.max_length)
    inner = [np.array(row[head : len(row) - tail], np.int64) for row in rows]
    counts = np.bincount(np.concatenate(inner), minlength=len(encoder.tokenizer))
    order = np.lexsort((np.arange(len(counts)), -counts))
    return torch.from_numpy(order[:k].copy())


def frequent_token_scores(
    encoder: Encoder,
    without: Callable[[torch.Tensor | None], EvaluatedModel],
    *,
    task: Named,
    numbers: Sequence[int],
) -> list[Score]:
    """Score a checkpoint with the k most frequent tokens of the task left out of the mean.

    Args:
        encoder: Pools by a mean over tokens.
        without: Gives the same encoder as evaluation sees it, some token ids left out of its mean.
        task: An STS task, by name or of a local file.
        numbers: Values of k, >= 0.

    Returns:
        One row each, task ``frequent_tokens``, metric ``without_k``, none of them main.

    Raises:
        ValueError: If the encoder does not pool by a mean.
    """
    if getattr(encoder, "pooling", "mean") == "cls":
        raise ValueError("frequent_tokens: the encoder's pooling is 'cls', which reads one token")
    device = next(encoder.parameters()).device
    loaded = mteb_tasks.load(mteb_tasks.resolve([task])[0])
    texts = [t for test in loaded.pair_tests for t in test.pairs.sentence1 + test.pairs.sentence2]
    frequent = most_frequent(encoder, texts, max(numbers, default=0)).to(device)
    out = []
    for k in numbers:
        model = without(frequent[:k] if k else None)
        found = evaluate(model, [task], geometry=False).scores
        main = next(s for s in found if s.main)
        out.append(replace(main, task=TASK, metric=f"without_{k}", subset=loaded.name, main=False))
    return out
