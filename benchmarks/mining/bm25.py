"""Lexical similarity of texts by BM25, as a matrix of scores.

Source: Robertson and Zaragoza 2009, The Probabilistic Relevance Framework: BM25 and Beyond, in
Lucene's form as bm25s computes it. https://doi.org/10.1561/1500000019
"""

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.samplers import in_range


class Bm25:
    """BM25 between the texts of one list; every text is a document and can be a query.

    Args:
        texts: G texts.
        k1: Saturation of term counts, in [0, 10].
        b: Share of length normalisation, in [0, 1].
        stemmer: ``none``, or ``english`` (needs PyStemmer).

    Raises:
        ModuleNotFoundError: If a stemmer is asked for and PyStemmer is not installed.
    """

    def __init__(
        self, texts: Sequence[str], *, k1: float = 0.9, b: float = 0.4, stemmer: str = "none"
    ) -> None:
        import bm25s
        from scipy import sparse

        in_range("bm25", "k1", k1, 0, 10)
        in_range("bm25", "b", b, 0, 1)
        tokens = bm25s.tokenize(
            list(texts), stopwords="en", stemmer=_stemmer(stemmer), show_progress=False
        )
        words = max(1, len(tokens.vocab))
        lengths = [len(row) for row in tokens.ids]
        flat = np.array([i for row in tokens.ids for i in row], dtype=np.int64)
        self._queries: Any = sparse.csr_matrix(
            (np.ones(len(flat), np.float32), flat, np.concatenate([[0], np.cumsum(lengths)])),
            shape=(len(lengths), words),
        )
        self._queries.sum_duplicates()
        if not len(flat):  # not one word: no text is like any other
            empty: Any = (words, len(lengths))
            self._documents: Any = sparse.csr_matrix(empty, dtype=np.float32)
            return
        index = bm25s.BM25(k1=k1, b=b)
        index.index(tokens, show_progress=False)
        held = index.scores
        pointers = held["indptr"][: words + 1]
        self._documents = sparse.csr_matrix(
            (held["data"], held["indices"], pointers), shape=(words, len(lengths))
        )

    def __len__(self) -> int:
        return int(self._queries.shape[0])

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """``(n, G)`` scores of the documents for some of the texts as queries; 0 if unlike."""
        found: NDArray[np.float32] = (self._queries[rows] @ self._documents).toarray()
        return found


def _stemmer(name: str) -> Any:
    if name == "none":
        return None
    try:
        module: Any = importlib.import_module("Stemmer")
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"bm25: stemmer {name!r} needs PyStemmer: pip install PyStemmer; 'none' needs nothing"
        ) from None
    return module.Stemmer(name)
