"""The mined set: window of the ranking, then the sampler, then the pick, then the shortage."""

from dataclasses import dataclass, replace
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
    Mined,
    ShortageError,
    mine,
    pad,
    positive_scores,
)
from nsbench.benchmarks.mining.dataset.cache import EmbeddingCache
from nsbench.benchmarks.mining.dataset.rescore import RescoredSource, Rescorer
from nsbench.benchmarks.mining.dataset.settings import MineSettings
from nsbench.benchmarks.mining.sources import DenseSource, Floats, Ints, LexicalSource, Source
from nsbench.benchmarks.search.exact import check_backend
from nsbench.benchmarks.seeds import seed_for
from nsbench.samplers import SimilarityContext

Bools = NDArray[np.bool_]
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class MinedSet:
    """Mined negatives of R rows.

    Attributes:
        data: The rows they were mined for, and all texts.
        settings: How.
        negatives: ``(R, K)`` text of each negative, best first; -1 in empty places.
        scores: ``(R, K)`` float32 by the source; NaN in empty places.
        ranks: ``(R, K)`` place in the anchor's ranking of all that may be a negative, from 0; -1
            for empty places and random padding.
        positive_score: ``(R,)`` score of the row's own positive.
        kept: ``(R,)`` bool, False for rows that the policy ``drop`` left out.
        short: Rows that found fewer than ``settings.negatives``.
        padded: Places filled at random.
        reasons: How many candidates were looked at and not taken, by reason.
        source: Whose scores these are.
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
    judged: tuple[Floats, Floats] | None = None


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
    """Mine negatives for every row.

    Args:
        data: Rows and texts.
        settings: How.
        model: Ranks the corpus; needed unless the source is ``bm25``.
        cache: Keeps embeddings; none are kept without it.
        documents: ``(D,)`` texts that are candidates though they may be anchors as well.
        judge: A second model, asked about the negatives for the report, and for the similarity
            that samplers such as ``guided`` read.
        rescorer: Scores the candidates of the window again, and puts them in its own order.

    Raises:
        ValueError: If a model is missing, or the sampler needs labels that the data do not have.
        ShortageError: By the policy ``error``.
    """
    if settings.source == "model":
        check_backend(settings.backend, settings.places)  # nothing is encoded in vain
    cache = cache or EmbeddingCache(None)
    corpus = Corpus(data, settings.among, documents)
    source = _source(data, corpus, settings, model, cache)
    window = settings.window(corpus.most_known)
    if rescorer is not None:
        texts = [data.texts[i] for i in corpus.text]
        source = RescoredSource(source, rescorer, texts, cache)
    rng = np.random.default_rng(seed_for(settings.seed, "mine"))
    found = mine(corpus, source, replace(window, need=window.depth), shortage="fewer", rng=rng)
    group = np.where(found.ids >= 0, data.group[found.ids], -1)  # (R, M) distinct texts
    second = None
    if judge is not None:
        second = _dense(data, corpus, settings, judge, cache, prompts=False)
    threshold = positive_scores(corpus, source, settings.against)
    taken = _taken(data, corpus, settings, found, group, threshold, second)
    columns = taken.argsort(axis=1, kind="stable")[:, ::-1][:, : settings.negatives]  # marked first
    columns = np.sort(columns, axis=1)  # by score again
    there = np.take_along_axis(taken, columns, axis=1)
    order = (~there).argsort(axis=1, kind="stable")  # empty places to the end
    columns = np.take_along_axis(columns, order, axis=1)
    there = np.take_along_axis(there, order, axis=1)
    ids = np.where(there, np.take_along_axis(group, columns, axis=1), -1)
    scores = np.where(there, np.take_along_axis(found.scores, columns, axis=1), np.nan)
    ranks = np.where(there, np.take_along_axis(found.ranks, columns, axis=1), -1)
    ids, scores, ranks = (_wide(x, settings.negatives) for x in (ids, scores, ranks))
    scores = scores.astype(np.float32)
    short: Bools = np.asarray((ids < 0).any(axis=1))
    kept, padded = np.ones(data.rows, np.bool_), 0
    if short.any() and settings.shortage == "error":
        first = int(short.argmax())
        raise ShortageError(
            f"mine: {int(short.sum())} of {data.rows} rows found fewer than {settings.negatives} "
            f"negatives; the first is row {first} with {int((ids[first] >= 0).sum())}. Raise "
            "range_max, loosen a filter, or choose the shortage policy drop, fewer or pad_random"
        )
    if settings.shortage == "drop":
        kept = ~short
    elif settings.shortage == "pad_random":
        padded = pad(corpus, source, ids, scores, short.nonzero()[0], rng)
    judged = None
    if second is not None:
        judged = _judged(corpus, ids, second)
    reasons = dict(found.rejected)
    reasons["kept"] = int((ranks[kept] >= 0).sum())
    reasons["not_chosen"] = found.rejected["kept"] - int((ranks >= 0).sum())
    return MinedSet(
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
        judged=judged,
    )


def _wide(values: NDArray[Any], width: int) -> NDArray[Any]:
    """Rows filled up to a width with -1, or NaN."""
    fill = np.nan if values.dtype.kind == "f" else -1
    more = max(0, width - values.shape[1])
    return np.pad(values, ((0, 0), (0, more)), constant_values=fill)


def _source(
    data: TrainingData,
    corpus: Corpus,
    settings: MineSettings,
    model: TextModel | None,
    cache: EmbeddingCache,
) -> Source:
    if settings.source == "bm25":
        texts = [data.texts[i] for i in corpus.text]
        index = Bm25(texts, k1=settings.k1, b=settings.b, stemmer=settings.stemmer)
        return LexicalSource(index, corpus.candidates)
    if model is None:
        raise ValueError("mine: name a model, or choose the source bm25")
    return _dense(data, corpus, settings, model, cache)


def _dense(
    data: TrainingData,
    corpus: Corpus,
    settings: MineSettings,
    model: TextModel,
    cache: EmbeddingCache,
    *,
    prompts: bool = True,
) -> DenseSource:
    """Cosines by a model; texts that are never ranked and never positives are not encoded."""
    query_prompt = settings.query_prompt if prompts else None
    corpus_prompt = settings.corpus_prompt if prompts else None
    texts = [data.texts[i] for i in corpus.text]
    documents = np.union1d(corpus.candidates, corpus.positive)
    alike = model.symmetric and query_prompt == corpus_prompt
    if alike:
        documents = np.union1d(documents, corpus.queries)

    def table(which: Ints, role: str, prompt: str | None) -> torch.Tensor:
        out = torch.zeros(corpus.size, model.dimension)
        found = cache.embed(model, [texts[i] for i in which], role, prompt)
        out[torch.from_numpy(which)] = torch.from_numpy(found)
        return out

    return DenseSource(
        table(documents, "document", corpus_prompt),
        corpus.candidates,
        name=model.name,
        backend=settings.backend,
        devices=settings.places,
        queries=None if alike else table(corpus.queries, "query", query_prompt),
    )


def _taken(
    data: TrainingData,
    corpus: Corpus,
    settings: MineSettings,
    found: Mined,
    group: Ints,
    threshold: Floats,
    judge: DenseSource | None,
) -> Bools:
    """``(R, M)`` True for what is taken of each row's window: at most ``negatives``."""
    chooser = settings.chooser()
    needs = frozenset(getattr(chooser, "needs", ()))
    truth = _truth(data, corpus, found) if "truth" in needs else None
    if "guide_similarity" in needs and judge is None:
        raise ValueError(f"mine: the sampler {settings.sampler} needs a second model; name a judge")
    generator = torch.Generator().manual_seed(seed_for(settings.seed, "sampler"))
    out = np.zeros(group.shape, np.bool_)
    for low in range(0, len(group), _ROWS):
        part = slice(low, low + _ROWS)
        ids, there = group[part], group[part] >= 0
        first = np.column_stack([threshold[part][:, None], np.nan_to_num(found.scores[part])])
        if settings.source == "bm25":  # no cosines: each row's largest is 1
            first = first / np.maximum(np.abs(first).max(axis=1, keepdims=True), 1e-9)
        mask = torch.from_numpy(np.pad(there, ((0, 0), (1, 0))))
        extras: dict[str, torch.Tensor] = {}
        if truth is not None:
            extras["truth"] = torch.from_numpy(np.pad(truth[part], ((0, 0), (1, 0))))
        if "own_negative" in needs:
            extras["own_negative"] = mask
        if judge is not None and "guide_similarity" in needs:
            extras["guide_similarity"] = torch.from_numpy(_by(judge, corpus, part, ids))
        context = SimilarityContext(
            similarity=torch.from_numpy(first.astype(np.float32)),
            positive=torch.zeros(len(ids), dtype=torch.int64),
            negative_mask=mask,
            generator=generator,
            temperature=settings.temperature,
            **extras,
        )
        selection = flatten(chooser(context))
        chosen = selection.mask[:, 1:]
        score = -torch.arange(chosen.shape[1]).float().expand(chosen.shape)  # best first
        if settings.pick == "random":
            lot = torch.rand(chosen.shape, generator=generator).clamp(min=1e-12)
            score = -(-lot.log()).clamp(min=1e-12).log()  # Gumbel: a draw by weight
            if selection.log_weight is not None:
                score = score + selection.log_weight[:, 1:].detach()
        score = score.masked_fill(~chosen, -torch.inf)
        best = score.topk(min(settings.negatives, score.shape[1]), dim=1)
        picked = torch.zeros_like(chosen).scatter_(1, best.indices, best.values > -torch.inf)
        out[part] = picked.numpy()
    return out


def _truth(data: TrainingData, corpus: Corpus, found: Mined) -> Bools:
    if data.meaning is None:
        raise ValueError(f"mine: the sampler needs labels, and {data.name} has none")
    mine = data.meaning[corpus.text[corpus.anchor]][:, None]
    other = np.where(found.ids >= 0, data.meaning[found.ids], -1)
    same: Bools = (mine == other) & (mine >= 0)
    return same


def _by(judge: DenseSource, corpus: Corpus, part: slice, ids: Ints) -> Floats:
    """``(n, 1 + M)`` a second model's cosines: positive, then candidates; 0 in empty places."""
    anchor = corpus.anchor[part]
    positive = judge.pairs(anchor, corpus.positive[part])
    flat = judge.pairs(np.repeat(anchor, ids.shape[1]), ids.clip(min=0).ravel())
    return np.column_stack([positive, np.where(ids >= 0, flat.reshape(ids.shape), 0.0)]).astype(
        np.float32
    )


def _judged(corpus: Corpus, ids: Ints, judge: DenseSource) -> tuple[Floats, Floats]:
    found = _by(judge, corpus, slice(None), ids)
    return np.where(ids >= 0, found[:, 1:], np.nan).astype(np.float32), found[:, 0]
