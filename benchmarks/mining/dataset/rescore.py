"""A second opinion on the candidates of a window: scores by a cross-encoder, and its order.

Source: Qu et al. 2021, RocketQA, section 3.2: denoised hard negatives by a cross-encoder.
https://arxiv.org/abs/2010.08191
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.encoders import _sources
from nsbench.benchmarks.encoders._architecture import refuse_odd
from nsbench.benchmarks.encoders._folder import refuse_foreign
from nsbench.benchmarks.encoders._identity import identity
from nsbench.benchmarks.encoders._settings import read_object
from nsbench.benchmarks.mining.sources import Floats, Ints, Source
from nsbench.benchmarks.records.cache import ContentCache

_PAIRS = 4096


@dataclass(frozen=True, eq=False)
class Rescorer:
    """A model of pairs.

    Attributes:
        name: Its name.
        revision: Hash of its weights and settings.
        score: Pairs of texts to ``(n,)`` scores, higher is closer.
    """

    name: str
    revision: str
    score: Callable[[Sequence[tuple[str, str]]], NDArray[np.float32]]


def load_rescorer(source: str, *, device: str = "cpu", batch_size: int = 64) -> Rescorer:
    """A sentence-transformers cross-encoder, by folder or hub name; safetensors only.

    Raises:
        ModuleNotFoundError: If sentence-transformers is not installed.
        ValueError: If it cannot be loaded here, or gives a pair more than one score.
    """
    folder = _sources.locate(source)
    refuse_foreign(folder)
    refuse_odd(folder)
    if not (folder / "modules.json").is_file():
        _expect_one_score(source, *_classes(folder))
    try:
        from sentence_transformers import CrossEncoder
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "a cross-encoder needs sentence-transformers: pip install 'nsbench[st]'"
        ) from None
    model = CrossEncoder(
        str(folder),
        device=device,
        local_files_only=True,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )

    _expect_one_score(source, int(model.num_labels), ())

    def score(pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        found = model.predict(list(pairs), batch_size=batch_size, show_progress_bar=False)
        return np.asarray(found, dtype=np.float32).reshape(len(pairs))

    name = source if not Path(source).is_dir() else f"local/{folder.resolve().name}"
    return Rescorer(name, identity(folder)[:40], score)


def _classes(folder: Path) -> tuple[int, tuple[str, ...]]:
    """Number and names of a classifier's classes by its settings; 1 if they say nothing."""
    path = folder / "config.json"
    given = read_object(path)
    try:
        names = tuple(map(str, (given.get("id2label") or {}).values()))
        return len(names) or int(given.get("num_labels") or 1), names
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _expect_one_score(source: str, count: int, names: Sequence[str]) -> None:
    if count != 1:
        listed = f" ({', '.join(names[:8])})" if names else ""
        raise ValueError(
            f"the cross-encoder {source} sorts pairs into {count} classes{listed}, and has no "
            "single score to rank by: name one with one output (num_labels 1)"
        )


class RescoredSource:
    """Finds by one source, scores and orders by another."""

    def __init__(
        self, base: Source, rescorer: Rescorer, texts: Sequence[str], cache: ContentCache
    ) -> None:
        self.base, self.rescorer, self.texts, self.cache = base, rescorer, texts, cache
        self.name = f"{rescorer.name} over {base.name}"

    def rank(self, queries: Ints, k: int) -> tuple[Floats, Ints]:
        """The k best of the base by falling score of the rescorer."""
        found, ids = self.base.rank(queries, k)
        there = ids >= 0
        left = np.broadcast_to(queries[:, None], ids.shape)[there]
        scores = np.full(found.shape, -np.inf, np.float32)
        scores[there] = self.pairs(left, ids[there])
        order = np.argsort(-scores, axis=1, kind="stable")
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)

    def pairs(self, left: Ints, right: Ints) -> Floats:
        """Scores of given pairs."""
        parts = []
        for low in range(0, len(left), _PAIRS):
            pairs = [
                (self.texts[a], self.texts[b])
                for a, b in zip(left[low : low + _PAIRS], right[low : low + _PAIRS], strict=True)
            ]
            parts.append(
                self.cache.array(
                    [self.rescorer.revision, "pairs", pairs],
                    partial(self.rescorer.score, pairs),
                    (len(pairs),),
                )
            )
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)
