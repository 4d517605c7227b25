"""Lexical similarity of texts by BM25, as a matrix of scores.

Source: Robertson and Zaragoza 2009, The Probabilistic Relevance Framework: BM25 and Beyond, in
Lucene's form as bm25s computes it. https://doi.org/10.1561/1500000019
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.mining.settings import STEMMERS, STOPWORDS
from nsbench.benchmarks.mining.words import words_of
from nsbench.samplers import in_range, one_of


class Bm25:
    """BM25 between the texts of one list; every text is a document and can be a query.

    Args:
        texts: G texts.
        k1: Saturation of term counts, in [0, 10].
        b: Share of length normalisation, in [0, 1].
        stopwords: Language of the words that are left out, one of `STOPWORDS`; or ``none``.
        stemmer: Language of the stemmer, one of `STEMMERS` (needs PyStemmer); or ``none``.

    Raises:
        ModuleNotFoundError: If a stemmer is asked for and PyStemmer is not installed.
        ValueError: If no text has a word, or a setting is not legal.
    """

    def __init__(
        self,
        texts: Sequence[str],
        *,
        k1: float = 0.9,
        b: float = 0.4,
        stopwords: str = "english",
        stemmer: str = "none",
    ) -> None:
        from scipy import sparse

        bm25s = _bm25s()
        in_range("bm25", "k1", k1, 0, 10)
        in_range("bm25", "b", b, 0, 1)
        one_of("bm25", "stopwords", stopwords, STOPWORDS)
        one_of("bm25", "stemmer", stemmer, STEMMERS)
        self._how = stopwords, stemmer
        tokens = self._tokens(texts)
        self._vocabulary: dict[str, int] = tokens.vocab
        words = len(tokens.vocab)
        lengths = [len(row) for row in tokens.ids]
        flat = np.array([i for row in tokens.ids for i in row], dtype=np.int64)
        if not len(flat):
            but = "" if stopwords == "none" else f" that is not a stop word ({stopwords})"
            raise ValueError(
                f"bm25: none of the {len(lengths)} texts has a word{but}, the first is "
                f"{(texts or [''])[0][:60]!r}: rank by a model, or choose other stopwords out of "
                f"{', '.join(STOPWORDS)}"
            )
        self._queries: Any = sparse.csr_matrix(
            (np.ones(len(flat), np.float32), flat, np.concatenate([[0], np.cumsum(lengths)])),
            shape=(len(lengths), words),
        )
        self._queries.sum_duplicates()
        index = bm25s.BM25(k1=k1, b=b)
        index.index(tokens, show_progress=False)
        held = index.scores
        pointers = held["indptr"][: words + 1]
        self._documents = sparse.csr_matrix(
            (held["data"], held["indices"], pointers), shape=(words, len(lengths))
        )

    def _tokens(self, texts: Sequence[str]) -> Any:
        stopwords, stemmer = self._how
        return _bm25s().tokenize(
            [" ".join(words_of(text)) for text in texts],
            lower=False,
            token_pattern=r"[^ ]+",
            stopwords=stop_words(stopwords),
            stemmer=_stemmer(stemmer),
            show_progress=False,
        )

    def search(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """``(n, G)`` scores of the texts for other texts as queries; unknown words do not count."""
        from scipy import sparse

        tokens = self._tokens(queries)
        word = {number: self._vocabulary.get(name, -1) for name, number in tokens.vocab.items()}
        rows = [[word[i] for i in row if word[i] >= 0] for row in tokens.ids]
        flat = np.array([i for row in rows for i in row], dtype=np.int64)
        ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        counts: Any = sparse.csr_matrix(
            (np.ones(len(flat), np.float32), flat, ends),
            shape=(len(rows), self._documents.shape[0]),
        )
        counts.sum_duplicates()
        found: NDArray[np.float32] = (counts @ self._documents).toarray()
        return found

    def __len__(self) -> int:
        return int(self._queries.shape[0])

    def scores(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """``(n, G)`` scores of the documents for some of the texts as queries; 0 if unlike."""
        found: NDArray[np.float32] = (self._queries[rows] @ self._documents).toarray()
        return found


def stop_words(language: str) -> list[str]:
    """Stop words of a language in lower case, as bm25s has them; none of ``none``.

    Raises:
        ValueError: If the installed bm25s has no list of this language.
    """
    if language == "none":
        return []
    name = {"english": "EN"}.get(language, language.upper())
    found = getattr(_bm25s().stopwords, f"STOPWORDS_{name}", None)
    if found is None:
        raise ValueError(f"bm25: the installed bm25s has no stop words for {language}: upgrade it")
    if language == "english":
        return list(found)
    return sorted({part for word in found for part in words_of(word)})


def _bm25s() -> Any:
    """Import bm25s without JAX.

    It would start JAX where that is installed, for nothing that is used here, and JAX takes three
    quarters of a GPU's memory.
    """
    if "bm25s" not in sys.modules:
        before = sys.modules.get("jax")
        sys.modules["jax"] = None  # type: ignore[assignment]  # Python's way to say: not there
        try:
            importlib.import_module("bm25s.stopwords")
        finally:
            del sys.modules["jax"]
            if before is not None:
                sys.modules["jax"] = before
    return importlib.import_module("bm25s")


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
