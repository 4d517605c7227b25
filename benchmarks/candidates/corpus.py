"""Candidates mined from the training corpus, encoded with the batch.

Source: Xiong et al. 2021, ANCE: negatives from the model's own ranking, refreshed as it trains and
lagging behind it, drawn from a window of the ranking; Karpukhin et al. 2020, DPR: by BM25; Moreira
et al. 2024, NV-Retriever: by a teacher, with a margin to the positive.
https://arxiv.org/abs/2007.00808 https://arxiv.org/abs/2004.04906 https://arxiv.org/abs/2407.15831
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.candidates import OpenPool, register
from nsbench.benchmarks.candidates._corpus_sources import CHANGING, check_sources
from nsbench.benchmarks.candidates._overlap import jaccard, recall
from nsbench.benchmarks.contrast.views import on_device
from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.difficulty.statistics import point, summary
from nsbench.benchmarks.encoders.pretrained import guide_spec
from nsbench.benchmarks.keys import canonical_json
from nsbench.benchmarks.mining.blends import BLENDS, BlendSource, RandomSource
from nsbench.benchmarks.mining.bm25 import Bm25
from nsbench.benchmarks.mining.corpus import Corpus, Mined, mine
from nsbench.benchmarks.mining.guides import guide_embeddings, guide_fingerprint, role_embeddings
from nsbench.benchmarks.mining.settings import AMONG, SHORTAGE, STEMMERS, STOPWORDS, Window
from nsbench.benchmarks.mining.sources import DenseSource, LexicalSource, Source
from nsbench.benchmarks.mining.words import VERSION, are_plain
from nsbench.benchmarks.records.cache import Arrays
from nsbench.benchmarks.records.cell import RECIPE
from nsbench.benchmarks.search import BACKENDS
from nsbench.samplers import Choice, Interval, at_least, one_of
from nsbench.samplers._cache import Cache
from nsbench.samplers._mined import margin_or_none

_mined: Cache[Mined] = Cache(__name__, 2)  # what cells of one process can share


@register("corpus")
class CorpusPool:
    """Mined texts of each anchor as further columns, in addition to the batch's own views.

    Args:
        shortage: What to do with a row that finds too few: ``drop`` its candidates, keep the
            ``fewer`` there are, ``pad_random``, or ``error``. Has to be said.
        source: Whose ranking: the ``model`` in training, a frozen ``guide``, ``bm25``, or
            ``random``; several joined by +, such as ``bm25+model``, are blended.
        guide: The guide's name; empty for the cell's encoder as it starts. Read by ``guide``.
        among: Which texts are mined: ``documents``, all but those that are anchors only (queries,
            where there are queries); or ``all``.
        negatives: Columns per anchor and step, m >= 1.
        depth: Candidates kept per row, of which each step draws ``negatives`` at random,
            without replacement; at least ``negatives``. Equal: always the same, hardest first.
        start: Places skipped at the top of the ranking, >= 0.
        stop: Place behind the last that is considered, at least ``start + depth``; 0 stands for
            that. A filter needs more room.
        refresh: ``never`` after the start, every ``epoch``, or every so many steps, >= 1. For
            the sources ``model`` and ``random`` only; the others do not change.
        lag: Steps that a refreshed ranking waits before it is used, >= 0.
        share: ``own`` if mined columns are for the anchor they were mined for, ``batch`` if for
            all anchors.
        margin: Keep scores <= s_pos - margin, in [0, 2]; -1 for any.
        relative_margin: Keep scores <= s_pos - |s_pos| * relative_margin, in [0, 2]; -1 for any.
        k1: BM25's saturation of term counts, in [0, 10].
        b: BM25's share of length normalisation, in [0, 1].
        stemmer: Language of the stemmer of ``bm25``, or ``none``.
        backend: Of the exact search, ``torch``, ``faiss`` or ``fused`` (CUDA); same answer.
        blend: Of several sources: ``fusion`` of their ranks, or each in turn by ``shares``.
        shares: Weight of each source, in (0, 1000]; a list, empty for equal weights.
        stopwords: Language of the words that ``bm25`` leaves out, or ``none``.
        max_score: Keep cosines <= max_score, in [-1, 1]; 1 for any. For ``model`` and ``guide``.
    """

    shortage: Annotated[str, Choice(*SHORTAGE)]
    source: str = "model"
    guide: str = ""
    among: Annotated[str, Choice(*AMONG)] = "documents"
    negatives: Annotated[int, Interval("[1, inf)")] = 1
    depth: Annotated[int, Interval("[negatives, inf)")] = 20
    start: Annotated[int, Interval("[0, inf)")] = 0
    stop: Annotated[int, Interval("[0, inf)")] = 0
    refresh: int | str = "never"
    lag: Annotated[int, Interval("[0, inf)")] = 0
    share: Annotated[str, Choice("own", "batch")] = "batch"
    margin: Annotated[float, margin_or_none] = -1.0
    relative_margin: Annotated[float, margin_or_none] = -1.0
    k1: Annotated[float, Interval("[0, 10]")] = 0.9
    b: Annotated[float, Interval("[0, 1]")] = 0.4
    stemmer: Annotated[str, Choice(*STEMMERS)] = "none"
    backend: Annotated[str, Choice(*BACKENDS)] = "torch"
    blend: Annotated[str, Choice(*BLENDS)] = "fusion"
    shares: Annotated[tuple[float, ...], Interval("(0, 1000]")] = ()
    stopwords: Annotated[str, Choice(*STOPWORDS)] = "english"
    max_score: Annotated[float, Interval("[-1, 1]")] = 1.0
    younger: ClassVar[frozenset[str]] = frozenset({"blend", "shares", "stopwords", "max_score"})
    test_configs: ClassVar = (
        {"shortage": "fewer", "refresh": 3, "lag": 2, "share": "own", "negatives": 2},
        {"shortage": "pad_random", "source": "guide", "relative_margin": 0.05},
        {"shortage": "drop", "source": "bm25", "depth": 1},
        {"shortage": "fewer", "source": "random", "refresh": 4},
        {"shortage": "fewer", "source": "bm25+model+random", "refresh": 5, "blend": "shares"},
    )

    def __post_init__(self) -> None:
        check_sources(self)
        if isinstance(self.refresh, str):
            one_of("corpus", "refresh", self.refresh, ("never", "epoch"))
        else:
            at_least("corpus", "refresh", self.refresh, 1)
        if not CHANGING & set(self.sources) and self.refresh != "never":
            raise ValueError(
                f"corpus: refresh is {self.refresh!r}, but the source {self.source} does not "
                "change; only the sources model and random can be refreshed"
            )
        for name, plain in (("stopwords", "english"), ("stemmer", "none")):
            if getattr(self, name) != plain and "bm25" not in self.sources:
                raise ValueError(
                    f"corpus: {name} is {getattr(self, name)!r}, but source is {self.source!r}; "
                    "only the source bm25 reads words"
                )
        if self.guide and "guide" not in self.sources:
            raise ValueError(f"corpus: guide is {self.guide!r}, but source is {self.source!r}")
        if self.guide:
            guide_spec(self.guide)
        assert self.window

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources, one by one."""
        return tuple(part.strip() for part in self.source.split("+"))

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each source."""
        return self.shares or (1.0,) * len(self.sources)

    @property
    def window(self) -> Window:
        """Places of a ranking to take."""
        return Window(
            depth=self.depth,
            need=self.negatives,
            start=self.start,
            stop=self.stop or self.start + self.depth,
            margin=None if self.margin == -1 else self.margin,
            relative_margin=None if self.relative_margin == -1 else self.relative_margin,
            max_score=None if self.max_score == 1 else self.max_score,
        )

    def inputs(self, data: TrainingData) -> dict[str, str]:
        """Return what decides the candidates in addition to the settings: how words are found.

        Empty where every version finds the same words, so that such cells keep their keys.
        """
        if "bm25" not in self.sources or _are_plain(data):
            return {}
        return {"words": str(VERSION)}

    def open(self, world: World) -> "OpenCorpus":
        return OpenCorpus(self, world)


class OpenCorpus(OpenPool):
    """The mined candidates of one cell.

    Attributes:
        found: What was mined last.
        ids: ``(R, depth)`` the candidates in use, -1 in empty places.
        scores: ``(R, depth)`` their cosines when they were mined, NaN where there is none.
        ranks: ``(R, depth)`` their places in the anchor's ranking of the corpus, from 0; -1 where
            there is none.
        waiting: Those that lag behind: the step from which on they count, and all three of them.
    """

    found: Mined

    def __init__(self, settings: CorpusPool, world: World) -> None:
        self.settings, self.world = settings, world
        self.share = settings.share
        self.corpus = Corpus(world.data, settings.among)
        seed = world.seed_for("pool")
        self.rng = np.random.default_rng(seed)
        self.draw = torch.Generator().manual_seed(seed)
        self.waiting: list[tuple[int, Tensor, Tensor, Tensor]] = []
        self.ids = torch.zeros(0, dtype=torch.int64)
        self.scores = torch.zeros(0)
        self.ranks = torch.zeros(0, dtype=torch.int64)
        self.last: Tensor | None = None  # scores of the texts that `mined` gave last
        self.places: Tensor | None = None  # their ranks
        self.mined_at = 0
        self.recall: Tensor | None = None
        every = settings.refresh
        if every == "epoch":
            every = max(1, world.data.rows // world.batch_size)
        self.every = every if isinstance(every, int) else 0

    def refresh(self, step: int) -> None:
        """Mine again when due, and switch to rankings that have waited long enough."""
        if step == 0:
            self._use(*self._mine(), step)
        elif self.every and step % self.every == 0:
            ids, scores, ranks = self._mine()
            self.recall = recall(self.ids, ids).to(self.world.device)
            self.waiting.append((step + self.settings.lag, ids, scores, ranks))
        while self.waiting and self.waiting[0][0] <= step:
            since, ids, scores, ranks = self.waiting.pop(0)
            self._use(ids, scores, ranks, since - self.settings.lag)

    def mined(self, rows: Tensor) -> Tensor | None:
        """``negatives`` candidates of each row: drawn from its own, or all in their order."""
        ids, m = self.ids[rows], self.settings.negatives  # (B, depth)
        scores, ranks = self.scores[rows], self.ranks[rows]
        if m < self.settings.depth:
            lot = torch.rand(ids.shape, generator=self.draw, device=ids.device)
            order = lot.masked_fill(ids < 0, 2.0).argsort(dim=1, stable=True)
            ids, scores, ranks = (part.gather(1, order) for part in (ids, scores, ranks))
        self.places = on_device(ranks[:, :m], self.world.device)
        self.last = on_device(scores[:, :m].flatten(), self.world.device)
        return ids[:, :m].flatten()

    def mined_scores(self) -> Tensor | None:
        return self.last

    def numbers(self, step: int) -> Mapping[str, Tensor]:
        """Age of the candidates in steps, and what part of the last ranking's top they held.

        Also the places of this step's candidates in their anchors' rankings of the corpus, 1 the
        best, where these are no draws.
        """
        age = torch.full((), float(step - self.mined_at), device=self.world.device)
        out = {"mined_age": point(age)}
        if self.places is not None and self.settings.source != "random":
            deepest = float(self.settings.window.stop)
            out["mined_rank"] = summary(self.places + 1, self.places >= 0, 0, deepest + 1)
        if self.recall is not None:
            out["mined_recall"], self.recall = self.recall, None
        return out

    def _mine(self) -> tuple[Tensor, Tensor, Tensor]:
        made_from = self._made_from()
        found = self._mined() if made_from is None else self._shared(made_from)
        self.world.note("mining_refreshes", 1)
        self.world.note("mining_short_rows", found.short_rows)
        self.world.note("mining_padded", found.padded)
        for reason, count in found.rejected.items():
            self.world.note(f"mining_{reason}", count)
        self.found = found
        scores = torch.from_numpy(found.scores)
        if self.settings.source not in ("model", "guide"):  # no cosines
            scores = torch.full_like(scores, torch.nan)
        return torch.from_numpy(found.ids), scores, torch.from_numpy(found.ranks)

    def _mined(self) -> Mined:
        settings = self.settings
        window, shortage = settings.window, settings.shortage
        return mine(self.corpus, self._source(), window, shortage=shortage, rng=self.rng)

    def _shared(self, made_from: list[Any]) -> Mined:
        """Return what a cell, in any process, has mined from the same input."""
        key, made = canonical_json([*made_from, str(self.world.device)]), []

        def make() -> Arrays:
            made.append(self._mined())
            return made[0].arrays()

        found = _mined.get(key)
        if found is None:
            found = Mined.of(self.world.shared(made_from, make), self.settings.shortage)
        if not made:  # passes are counted as if it had paid
            for name in {"guide": ["passes_guide"], "initial": ["passes_mining"]}.get(
                made_from[1], []
            ):
                self.world.note(name, len(self.world.data.texts))
        return _mined.put(key, found)

    def _made_from(self) -> list[Any] | None:
        """Return everything that decides what is mined; ``None`` if no cell can share it."""
        settings = self.settings
        if settings.shortage == "pad_random" or len(settings.sources) > 1:
            return None  # the seed has a say in the first, and the second consists of several
        if settings.source == "random":
            return None
        if settings.source == "bm25":
            whose = ["bm25", str(VERSION)]
        elif settings.guide:
            whose = ["guide", guide_fingerprint(settings.guide)]
        elif not len(self.ids):
            whose = ["initial", self.world.weights()]
        else:
            whose = ["model", ""]
        if whose[0] != "bm25" and not whose[1]:
            return None
        return ["mined", *whose, RECIPE, asdict(settings), self.world.data.digest]

    def _source(self) -> Source:
        made = [self._one(name) for name in self.settings.sources]
        if len(made) == 1:
            return made[0]
        return BlendSource(made, self.settings.weights, self.settings.blend)

    def _one(self, source: str) -> Source:
        settings, world = self.settings, self.world
        if source == "random":
            return RandomSource(self.corpus.candidates, self.rng)
        if source == "bm25":
            texts = [world.data.texts[i] for i in self.corpus.text]
            index = Bm25(
                texts,
                k1=settings.k1,
                b=settings.b,
                stopwords=settings.stopwords,
                stemmer=settings.stemmer,
            )
            return LexicalSource(index, self.corpus.candidates)
        asked = None
        if source == "guide" and settings.guide:
            made, name = guide_embeddings(world, settings.guide), settings.guide
        else:
            made, asked = role_embeddings(world, first=not len(self.ids))
            name = "initial" if source == "guide" else "model"
        distinct = torch.from_numpy(self.corpus.text).to(made.device)
        queries = None if asked is None else asked[distinct]
        among, backend = self.corpus.candidates, settings.backend
        return DenseSource(made[distinct], among, name=name, backend=backend, queries=queries)

    def _use(self, ids: Tensor, scores: Tensor, ranks: Tensor, mined_at: int) -> None:
        """Switch to other candidates; record how much they differ from the old ones."""
        if len(self.ids):
            self.world.note("mining_overlap", jaccard(self.ids, ids))
        self.ids, self.scores, self.ranks, self.mined_at = ids, scores, ranks, mined_at

    def state(self) -> dict[str, Any]:
        return {
            "ids": self.ids,
            "scores": self.scores,
            "ranks": self.ranks,
            "mined_at": self.mined_at,
            "recall": self.recall,
            "waiting": self.waiting,
            "draw": self.draw.get_state(),
            "rng": self.rng.bit_generator.state,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.ids, self.scores, self.ranks = state["ids"], state["scores"], state["ranks"]
        self.mined_at, self.recall = state["mined_at"], state["recall"]
        if self.recall is not None:
            self.recall = self.recall.to(self.world.device)
        self.waiting = list(state["waiting"])
        self.draw.set_state(state["draw"])
        self.rng.bit_generator.state = state["rng"]


_plain: Cache[bool] = Cache(f"{__name__}._are_plain", 64)


def _are_plain(data: TrainingData) -> bool:
    known = _plain.get(data.digest)
    return _plain.put(data.digest, are_plain(data.texts)) if known is None else known
