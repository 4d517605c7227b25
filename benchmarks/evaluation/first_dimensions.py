"""Scores of the first numbers of every embedding alone, as an index cut to save memory has them.

Source: Kusupati et al. 2022, Matryoshka Representation Learning, section 4.
https://arxiv.org/abs/2205.13147
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nsbench.benchmarks.evaluation.checkpoint import Embeddings, EvaluatedModel, SentenceCache
from nsbench.benchmarks.records import Score

TASK = "first_dimensions"


def check_lengths(numbers: Sequence[int], dimension: int) -> str:
    """Return why embeddings cannot be cut to some lengths, or an empty string."""
    if max(numbers, default=0) < dimension:
        return ""
    return f"dimensions has {max(numbers)}, but the encoder's embeddings have {dimension} numbers"


def remembered(model: EvaluatedModel) -> EvaluatedModel:
    """The same checkpoint; it encodes each text once, also in several evaluations."""
    cache = SentenceCache(model)
    roles: dict[str, Any] = {} if model.encode_as is None else {"encode_as": cache}
    return replace(model, encode=cache, **roles)


def dimension_scores(
    model: EvaluatedModel, numbers: Sequence[int], score: Callable[[EvaluatedModel], list[Score]]
) -> list[Score]:
    """Score a checkpoint by the first k numbers of its embeddings.

    Args:
        model: The checkpoint, `remembered`.
        numbers: Values of k, >= 1 and below its dimension.
        score: Gives the scores of a checkpoint on all tests.

    Returns:
        A row for each k and main score: task ``first_dimensions``, metric ``first_k``, the test's
        name as subset; none of them main.
    """
    out = []
    for k in numbers:
        found = [s for s in score(_cut(model, k)) if s.main]
        named = [s.task if s.subset == "default" else f"{s.task} {s.subset}" for s in found]
        out += [
            replace(s, task=TASK, metric=f"first_{k}", subset=name, main=False)
            for s, name in zip(found, named, strict=True)
        ]
    return out


def _cut(model: EvaluatedModel, k: int) -> EvaluatedModel:
    def first(encode: Callable[..., Embeddings]) -> Callable[..., Embeddings]:
        return lambda *asked: encode(*asked)[:, :k]

    changed: dict[str, Any] = {"encode": first(model.encode)}
    if model.encode_as is not None:
        changed["encode_as"] = first(model.encode_as)
    return replace(model, dimension=k, revision=f"{model.revision}.{k}", **changed)
