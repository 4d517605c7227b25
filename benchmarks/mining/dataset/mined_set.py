"""Mine a set: window of the ranking, then the sampler, then the pick, then the shortage."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.difficulty.statistics import flatten
from nsbench.benchmarks.encoders.pretrained import TextModel
from nsbench.benchmarks.mining.bm25 import Bm25
from nsbench.benchmarks.mining.corpus import (
    Corpus,
    ShortageError,
    pad,
    positive_scores,
)
from nsbench.benchmarks.mining.dataset.cache import EmbeddingCache
from nsbench.benchmarks.mining.dataset.rescore import RescoredSource, Rescorer
from nsbench.benchmarks.mining.dataset.window import InWindow, in_window
from nsbench.benchmarks.mining.settings import MineSettings
from nsbench.benchmarks.mining.sources import DenseSource, Floats, Ints, LexicalSource, Source
from nsbench.benchmarks.search.exact import check_backend
from nsbench.benchmarks.seeds import seed_for
from nsbench.samplers import Selection, SimilarityContext

Bools = NDArray[np.bool_]
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class MinedSet:
    """Mined negatives of R rows.

    Attributes:
        data: The rows they were mined for, and all texts.
        settings: Settings they were mined by.
        negatives: ``(R, K)`` text of each negative, best first; -1 in empty places.
        scores: ``(R, K)`` float32 by the source; NaN in empty places.
        ranks: ``(R, K)`` place in the anchor's ranking of all that may be a negative, from 0; -1
            for empty places and random padding.
        positive_score: ``(R,)`` score of the row's own positive.
        kept: ``(R,)`` bool, False for rows that the policy ``drop`` removed.
        short: Rows that found fewer than ``settings.negatives``.
        padded: Places filled at random.
        reasons: Number of candidates that were not taken, by reason, and of those kept.
        source: Name of the source of the scores.
        stop: Place after the last of the window; 0 if unknown.
        stops: ``(R,)`` that place by row, later where the window was widened.
        short_by: Number of short rows by the setting that left them short, see `InWindow`.
        judged: ``(R, K)`` scores of the same negatives by a second model, and ``(R,)`` of the
            positives; ``None`` without one.
    """

    data: TrainingData
    settings: MineSettings
    negatives: Ints
    scores: Floats
    ranks: Ints
    positive_score: Floats
    kept: Bools
    short: int
    padded: int
    reasons: dict[str, int]
    source: str
    stop: int = 0
    stops: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    short_by: dict[str, int] = field(default_factory=dict)
    judged: tuple[Floats, Floats] | None = None

    def only(self, rows: Bools) -> "MinedSet":
        """The set with fewer rows kept, ``(R,)`` bool, and its counts made again."""
        kept = self.kept & rows
        taken = self.ranks >= 0
        counts = {
            "kept": int(taken[kept].sum()),
            "row_dropped": int(taken[~kept].sum()),
        }
        padded = int(((self.negatives >= 0) & ~taken)[kept].sum())
        return replace(self, kept=kept, padded=padded, reasons=self.reasons | counts)


@dataclass(frozen=True, eq=False)
class Mining:
    """Everything that decides a mined set; `run` mines it.

    Args:
        data: Rows and texts.
        settings: How to choose negatives.
        model: Ranks the corpus; needed unless the source is ``bm25``.
        judge: A second model, asked about the negatives for the report, and for the similarity
            that samplers such as ``guided`` read.
        rescorer: Scores the candidates of the window again, and puts them in its own order.
        documents: ``(D,)`` texts that are candidates even if they are anchors.
        cache: Keeps embeddings; the default keeps none.
    """

    data: TrainingData
    settings: MineSettings
    model: TextModel | None = None
    judge: TextModel | None = None
    rescorer: Rescorer | None = None
    documents: Ints | None = None
    cache: EmbeddingCache = field(default_factory=lambda: EmbeddingCache(None))

    def run(self) -> MinedSet:
        """Mine negatives for every row.

        Raises:
            ValueError: If a model is missing, or the sampler needs labels that the data lack.
            ShortageError: By the policy ``error``.
        """
        data, settings = self.data, self.settings
        if settings.source == "model":
            check_backend(settings.backend, settings.places)  # before anything is encoded
        corpus = Corpus(data, settings.among, self.documents)
        source = self._source(corpus)
        rng = np.random.default_rng(seed_for(settings.seed, "mine"))
        threshold = positive_scores(corpus, source, settings.against)
        # A cross-encoder would have to score all that a wider window holds.
        widen = self.rescorer is None
        found = in_window(corpus, source, settings, threshold, widen=widen)
        group = np.where(found.ids >= 0, data.group[found.ids], -1)  # (R, M) distinct texts
        judge = None if self.judge is None else self._dense(corpus, self.judge)
        taken = self._choose(corpus, found, group, threshold, judge)
        ids, scores, ranks = _packed(taken, settings.negatives, group, found.scores, found.ranks)
        short: Bools = np.asarray((ids < 0).any(axis=1))
        kept, padded = np.ones(data.rows, np.bool_), 0
        if short.any() and settings.shortage == "error":
            raise _shortage(ids, short, found.shortages(short, settings))
        if settings.shortage == "drop":
            kept = ~short
        elif settings.shortage == "pad_random":
            padded = pad(corpus, source, ids, scores, short.nonzero()[0], rng)
        reasons = dict(found.rejected)
        reasons["not_chosen"] = found.rejected["kept"] - int((ranks >= 0).sum())
        mined = MinedSet(
            data=data,
            settings=settings,
            negatives=np.where(ids >= 0, corpus.text[ids], -1),
            scores=scores,
            ranks=ranks,
            positive_score=source.pairs(corpus.anchor, corpus.positive),
            kept=kept,
            short=int(short.sum()),
            padded=padded,
            reasons=reasons,
            source=source.name,
            stop=settings.window(corpus.most_known).stop,
            stops=found.stops,
            short_by=found.shortages(short, settings),
            judged=None if judge is None else _judged(corpus, ids, judge),
        )
        return mined.only(kept)

    def _source(self, corpus: Corpus) -> Source:
        settings = self.settings
        texts = [self.data.texts[i] for i in corpus.text]
        source: Source
        if settings.source == "bm25":
            index = Bm25(
                texts,
                k1=settings.k1,
                b=settings.b,
                stopwords=settings.stopwords,
                stemmer=settings.stemmer,
            )
            source = LexicalSource(index, corpus.candidates)
        elif self.model is None:
            raise ValueError("mine: name a model, or choose the source bm25")
        else:
            prompts = settings.query_prompt, settings.corpus_prompt
            source = self._dense(corpus, self.model, *prompts)
        if self.rescorer is not None:
            source = RescoredSource(source, self.rescorer, texts, self.cache)
        return source

    def _dense(
        self,
        corpus: Corpus,
        model: TextModel,
        query_prompt: str | None = None,
        corpus_prompt: str | None = None,
    ) -> DenseSource:
        """Cosines by a model; texts that are neither ranked nor positives are not encoded."""
        texts = [self.data.texts[i] for i in corpus.text]
        documents = np.union1d(corpus.candidates, corpus.positive)
        alike = model.symmetric and query_prompt == corpus_prompt
        if alike:
            documents = np.union1d(documents, corpus.queries)

        def table(which: Ints, role: str, prompt: str | None) -> torch.Tensor:
            out = torch.zeros(corpus.size, model.dimension)
            found = self.cache.embed(model, [texts[i] for i in which], role, prompt)
            out[torch.from_numpy(which)] = torch.from_numpy(found)
            return out

        return DenseSource(
            table(documents, "document", corpus_prompt),
            corpus.candidates,
            name=model.name,
            backend=self.settings.backend,
            devices=self.settings.places,
            queries=None if alike else table(corpus.queries, "query", query_prompt),
        )

    def _choose(
        self,
        corpus: Corpus,
        found: InWindow,
        group: Ints,
        threshold: Floats,
        judge: DenseSource | None,
    ) -> Bools:
        """``(R, M)`` True for at most ``negatives`` candidates of each row's window."""
        settings, chooser = self.settings, self.settings.chooser()
        needs = frozenset(getattr(chooser, "needs", ()))
        truth = _truth(self.data, corpus, found) if "truth" in needs else None
        if "guide_similarity" in needs and judge is None:
            raise ValueError(
                f"mine: the sampler {settings.sampler} needs a second model; name a judge"
            )
        generator = torch.Generator().manual_seed(seed_for(settings.seed, "sampler"))
        out = np.zeros(group.shape, np.bool_)
        for low in range(0, len(group), _ROWS):
            part = slice(low, low + _ROWS)
            similarity = np.column_stack(
                [threshold[part][:, None], np.nan_to_num(found.scores[part])]
            )
            if settings.source == "bm25":  # no cosines: each row's largest is 1
                similarity /= np.maximum(np.abs(similarity).max(axis=1, keepdims=True), 1e-9)
            mask = _after_positive(group[part] >= 0)
            extras: dict[str, torch.Tensor] = {}
            if truth is not None:
                extras["truth"] = _after_positive(truth[part])
            if "own_negative" in needs:
                extras["own_negative"] = mask
            if judge is not None and "guide_similarity" in needs:
                extras["guide_similarity"] = torch.from_numpy(_by(judge, corpus, part, group[part]))
            context = SimilarityContext(
                similarity=torch.from_numpy(similarity.astype(np.float32)),
                positive=torch.zeros(len(mask), dtype=torch.int64),
                negative_mask=mask,
                generator=generator,
                temperature=settings.temperature,
                **extras,
            )
            selection = flatten(chooser(context))
            out[part] = _pick(selection, settings.pick, settings.negatives, generator).numpy()
        return out


def mine_set(
    data: TrainingData,
    settings: MineSettings,
    *,
    model: TextModel | None = None,
    cache: EmbeddingCache | None = None,
    documents: Ints | None = None,
    judge: TextModel | None = None,
    rescorer: Rescorer | None = None,
) -> MinedSet:
    """Mine negatives for every row; arguments and errors are those of `Mining`."""
    cache = cache or EmbeddingCache(None)
    return Mining(data, settings, model, judge, rescorer, documents, cache).run()


def _after_positive(mask: Bools) -> torch.Tensor:
    """A mask of candidates with a first column, False, for the positive."""
    return torch.from_numpy(np.pad(mask, ((0, 0), (1, 0))))


def _pick(selection: Selection, pick: str, most: int, generator: torch.Generator) -> torch.Tensor:
    """``(n, M)`` True for the best, or drawn, of what a sampler chose after the positive."""
    chosen = selection.mask[:, 1:]
    score = -torch.arange(chosen.shape[1]).float().expand(chosen.shape)  # best first
    if pick == "random":
        lot = torch.rand(chosen.shape, generator=generator).clamp(min=1e-12)
        score = -(-lot.log()).clamp(min=1e-12).log()  # Gumbel: a draw by weight
        if selection.log_weight is not None:
            score = score + selection.log_weight[:, 1:].detach()
    score = score.masked_fill(~chosen, -torch.inf)
    best = score.topk(min(most, score.shape[1]), dim=1)
    return torch.zeros_like(chosen).scatter_(1, best.indices, best.values > -torch.inf)


def _packed(
    taken: Bools, width: int, ids: Ints, scores: Floats, ranks: Ints
) -> tuple[Ints, Floats, Ints]:
    """The taken columns of each row, in their order, in the first of ``width`` places."""
    columns = taken.argsort(axis=1, kind="stable")[:, ::-1][:, :width]  # taken ones first
    columns = np.sort(columns, axis=1)
    there = np.take_along_axis(taken, columns, axis=1)
    order = (~there).argsort(axis=1, kind="stable")  # empty places last
    columns = np.take_along_axis(columns, order, axis=1)
    there = np.take_along_axis(there, order, axis=1)
    more = ((0, 0), (0, max(0, width - columns.shape[1])))

    def place(values: NDArray[Any], empty: float) -> NDArray[Any]:
        found = np.where(there, np.take_along_axis(values, columns, axis=1), empty)
        return np.pad(found, more, constant_values=empty)

    return place(ids, -1), place(scores, np.nan).astype(np.float32), place(ranks, -1)


def _shortage(ids: Ints, short: Bools, short_by: dict[str, int]) -> ShortageError:
    first = int(short.argmax())
    reasons = ", ".join(f"{name} {count}" for name, count in short_by.items())
    return ShortageError(
        f"mine: {int(short.sum())} of {len(ids)} rows found fewer than {ids.shape[1]} "
        f"negatives; the first is row {first} with {int((ids[first] >= 0).sum())}. "
        f"Short rows by what left them short: {reasons}. "
        "Raise range_max, loosen a filter, or choose the shortage policy drop, fewer or pad_random"
    )


def _truth(data: TrainingData, corpus: Corpus, found: InWindow) -> Bools:
    if data.meaning is None:
        raise ValueError(f"mine: the sampler needs labels, and {data.name} has none")
    mine = data.meaning[corpus.text[corpus.anchor]][:, None]
    other = np.where(found.ids >= 0, data.meaning[found.ids], -1)
    same: Bools = (mine == other) & (mine >= 0)
    return same


def _by(judge: DenseSource, corpus: Corpus, part: slice, ids: Ints) -> Floats:
    """``(n, 1 + M)`` cosines of positive and candidates by a second model; 0 in empty places."""
    anchor = corpus.anchor[part]
    positive = judge.pairs(anchor, corpus.positive[part])
    flat = judge.pairs(np.repeat(anchor, ids.shape[1]), ids.clip(min=0).ravel())
    return np.column_stack([positive, np.where(ids >= 0, flat.reshape(ids.shape), 0.0)]).astype(
        np.float32
    )


def _judged(corpus: Corpus, ids: Ints, judge: DenseSource) -> tuple[Floats, Floats]:
    found = _by(judge, corpus, slice(None), ids)
    return np.where(ids >= 0, found[:, 1:], np.nan).astype(np.float32), found[:, 0]
