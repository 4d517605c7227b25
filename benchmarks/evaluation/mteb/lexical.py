"""BM25 as mteb's ``SearchProtocol``: it indexes a corpus and ranks it, and embeds nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nsbench.benchmarks.evaluation.mteb.adapter import model_meta
from nsbench.benchmarks.evaluation.ranking import best, by_falling_id

if TYPE_CHECKING:
    from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel

_AT_ONCE = 1 << 24  # scores


class LexicalSearch:
    """mteb's ``SearchProtocol`` over a lexical ranking, without documents that share no word."""

    def __init__(self, model: "EvaluatedModel") -> None:
        assert model.lexical is not None
        self._index, self.mteb_model_meta = model.lexical, model_meta(model)

    def index(self, corpus: Any, **asked: Any) -> None:
        """Index the documents of a task."""
        self._ids = [str(i) for i in corpus["id"]]
        titles = corpus["title"] if "title" in corpus.column_names else [""] * len(self._ids)
        pairs = zip(titles, corpus["text"], strict=True)
        texts = [f"{title or ''} {text}".strip() for title, text in pairs]
        self._scores = self._index(texts)

    def search(
        self,
        queries: Any,
        *,
        top_k: int,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **asked: Any,
    ) -> dict[str, dict[str, float]]:
        """Return the best documents of every query, with their scores."""
        names, texts = [str(i) for i in queries["id"]], list(queries["text"])
        place = {name: i for i, name in enumerate(self._ids)}
        order, step = by_falling_id(self._ids), max(1, _AT_ONCE // max(1, len(self._ids)))
        out: dict[str, dict[str, float]] = {}
        for low in range(0, len(texts), step):
            found = self._scores(texts[low : low + step])
            for name, row in zip(names[low : low + step], found, strict=True):
                if top_ranked is not None:
                    kept = np.array([place[d] for d in top_ranked[name]], np.int64)
                else:
                    kept = best(row, order, top_k)
                    kept = kept[row[kept] > 0]
                out[name] = {self._ids[i]: float(row[i]) for i in kept}
        return out
