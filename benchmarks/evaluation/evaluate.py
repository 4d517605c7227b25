"""Scores of one checkpoint: own tests, mteb tasks and geometry, every sentence encoded once.

Graded similarity tests are scored as in mteb and SentEval's "all" setting: one correlation over
all pairs of a split, across the sub-sets of a year's task; ConSERT and SimCSE do so, too. The mean
over the sub-sets is a further score, never a task's main one. The analysis computes means over
tasks, because it knows which tasks there are.

Our own engine scores pure text STS tasks on mteb's data, by the same formulas, in float64 and
without mteb's data loaders. mteb's own code scores everything else.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nsbench.benchmarks.data import OwnTest, Pairs, Ranking
from nsbench.benchmarks.difficulty.geometry import geometry_scores, sample, similarity_counts
from nsbench.benchmarks.encoders._prompts import DOCUMENT, QUERY, prompt_for
from nsbench.benchmarks.evaluation.checkpoint import Embeddings, EvaluatedModel, SentenceCache
from nsbench.benchmarks.evaluation.local_tasks import left_out
from nsbench.benchmarks.evaluation.metrics import label_metrics, pair_metrics
from nsbench.benchmarks.evaluation.mteb import adapter as mteb_adapter
from nsbench.benchmarks.evaluation.mteb import tasks as mteb_tasks
from nsbench.benchmarks.evaluation.mteb.judged import judged
from nsbench.benchmarks.evaluation.mteb.lexical import LexicalSearch
from nsbench.benchmarks.evaluation.mteb.requests import (
    LoadedTask,
    Named,
    PairTest,
    Request,
    TaskRequest,
)
from nsbench.benchmarks.evaluation.ranking import QueryScores, ranked_by, ranking_scores
from nsbench.benchmarks.evaluation.sts_parts import PARTS, part_correlations
from nsbench.benchmarks.records import MEAN_METRIC, Score
from nsbench.benchmarks.records.local_task import LocalTask
from nsbench.samplers import one_of

Both = tuple[Embeddings, Embeddings]
Asked = tuple[str, str | None]
EngineChoice = Literal["auto", "own", "mteb"]

ENGINES: tuple[EngineChoice, ...] = ("auto", "own", "mteb")
CLOSE = 0.8


@dataclass(frozen=True)
class Evaluation:
    """Scores of one checkpoint.

    Attributes:
        scores: One row for each score.
        queries: Of retrieval tests, the scores of each query.
        info: Origin of the scores, as plain data. By task: ``engine``, ``source``
            (``repository@revision``), ``aggregation`` and ``seconds`` (also of ``encode``, which
            all share), ``splits`` if mteb scores it on several, all of which count. ``notes`` by
            ``task/split/subset``: for example, why a score is NaN. ``geometry``: the test it was
            measured on, ``random_pairs``: `similarity_counts` of its texts. ``sentences``: number
            of encoded sentences. ``mteb``: its version, if used. ``unranked``: names of tests that
            a lexical ranking has no score on, as they are no retrieval tests.
    """

    scores: list[Score]
    info: dict[str, Any] = field(default_factory=dict)
    queries: list[QueryScores] = field(default_factory=list)


def check_tasks(names: Sequence[Named]) -> tuple[str, ...]:
    """Expand ``names`` to task names; needs neither data nor network.

    Args:
        names: Tasks (``STS12``), benchmarks (``MTEB(eng, v2)``), or our group ``STS7``.

    Raises:
        ValueError: For a name that does not exist, with the nearest right one, or a task without
            English text; or if a local task is called like one of mteb's, or like a benchmark.
        ModuleNotFoundError: If mteb is needed and not installed.
    """
    found = tuple(request.name for request in mteb_tasks.resolve(names))
    mteb_tasks.refuse_benchmarks(names)
    return found


def evaluate(
    model: EvaluatedModel,
    tasks: Sequence[Named] = (),
    own_tests: Sequence[OwnTest] = (),
    *,
    engine: EngineChoice = "auto",
    languages: Sequence[str] = ("eng",),
    geometry: bool = True,
    results: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> Evaluation:
    """Score one checkpoint.

    Args:
        model: The checkpoint.
        tasks: mteb tasks, benchmarks or our groups, by name; and tasks of local files.
        own_tests: Tests that need no mteb.
        engine: ``auto`` scores pure text STS tasks ourselves and the rest by mteb; ``mteb`` all
            by mteb; ``own`` refuses a task that needs mteb.
        languages: Languages wanted of multilingual tasks.
        geometry: Add the task ``geometry``, measured on the first own test of pairs, else on
            STSBenchmark, else on the first STS task; alignment over its pairs in the top fifth of
            the range of scores whose two texts differ.
        results: Folder to write mteb's results into, in mteb's own layout.
        report: Called with each task's name before it is scored.

    Returns:
        Scores in the order of the tests and tasks, and their origin.

    Raises:
        ValueError: For an unknown name, two tests of one name, or embeddings that are not finite.
        MissingDataError: If data are not in the cache and cannot be fetched.
        ModuleNotFoundError: If mteb is needed and not installed.
    """
    one_of("evaluate", "engine", engine, ENGINES)
    requests = mteb_tasks.resolve(tasks, languages)
    names = [test.name for test in own_tests] + [r.name for r in requests]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two tests are called {twice[0]!r}")
    mteb_tasks.refuse_missing(requests)
    loaded = [mteb_tasks.load(request) for request in requests]
    by_mteb = {t.name for t in loaded if engine == "mteb" or not t.pair_tests}
    if engine == "own" and by_mteb:
        raise ValueError(f"our own engine scores STS tasks only, not {', '.join(sorted(by_mteb))}")

    unranked: list[str] = []
    if model.lexical is not None:
        own_tests, loaded, unranked = _ranked_only(own_tests, loaded)
        geometry = False
    encode = SentenceCache(model)
    together: dict[Asked, list[str]] = {}
    for own in (t for t in own_tests if not isinstance(t, Ranking)):
        together.setdefault(_asked_of_own(model, own), []).extend(_texts(own))
    for task in (t for t in loaded if t.name not in by_mteb):
        first, second = mteb_adapter.asked_of_pairs(model, task.task)
        for part in task.pair_tests:
            together.setdefault(first, []).extend(part.pairs.sentence1)
            together.setdefault(second, []).extend(part.pairs.sentence2)
    began = time.perf_counter()
    for asked, texts in together.items():
        encode(texts, *asked)

    scoring = _Scoring(encode, report or (lambda name: None))
    scoring.info["seconds"]["encode"] = time.perf_counter() - began
    for test in own_tests:
        scoring.add_own_test(test)
    for task in loaded:
        scoring.add_task(task, own=task.name not in by_mteb)
    if geometry:
        scoring.add_geometry([t for t in own_tests if isinstance(t, Pairs)], loaded)
    if loaded:
        scoring.info["mteb"] = mteb_adapter.version()
    if results is not None and scoring.outcomes:
        mteb_adapter.write_results(model, scoring.outcomes, results)
    scoring.info["sentences"] = encode.encoded
    if missing := left_out(tasks):
        scoring.info["left_out"] = missing
    if unranked:
        scoring.info["unranked"] = unranked
    return Evaluation(scoring.scores, scoring.info, scoring.queries)


def _ranked_only(
    own_tests: Sequence[OwnTest], loaded: Sequence[LoadedTask]
) -> tuple[list[OwnTest], list[LoadedTask], list[str]]:
    """Return the tests that a model without embeddings can be scored on, and the others' names.

    Raises:
        ValueError: If there is no such test.
    """
    odd = [t.name for t in own_tests if not isinstance(t, Ranking)]
    odd += [task.name for task in loaded if judged(task) is None]
    own: list[OwnTest] = [t for t in own_tests if isinstance(t, Ranking)]
    ranked = [task for task in loaded if judged(task) is not None]
    if odd and not own and not ranked:
        raise ValueError(f"a lexical ranking is scored on retrieval tasks only, not on {odd[0]}")
    return own, ranked, odd


def check_dev(dev: Named) -> None:
    """Check that `evaluate_dev` can score ``dev``; loads the data of the task.

    Raises:
        ValueError: If ``dev`` is not one task, is unknown, or has no split ``validation``.
        MissingDataError: If the data are not in the cache and cannot be fetched.
        ModuleNotFoundError: If mteb is not installed.
    """
    mteb_tasks.load(_dev_request(dev))


def _dev_request(dev: Named) -> Request:
    requests = mteb_tasks.resolve([dev])
    if len(requests) != 1:
        raise ValueError(f"checkpoints are chosen on one task; {dev!r} is {len(requests)}")
    request = requests[0]
    if isinstance(request, LocalTask):
        return request  # a file of development data; the name of its split does not matter
    return TaskRequest(request.name, request.subsets, ("validation",))


def evaluate_dev(model: EvaluatedModel, dev: Named | Pairs | Ranking) -> Score:
    """Return the main score on development data, for choosing a checkpoint.

    Args:
        model: The checkpoint.
        dev: A task by name (``STSBenchmark``), scored on its split ``validation``, or of a local
            file, or a test of our own.

    Raises:
        ValueError: As `check_dev`.
        MissingDataError: If the data are not in the cache and cannot be fetched.
    """
    if isinstance(dev, Pairs | Ranking):
        found = evaluate(model, own_tests=[dev], geometry=False).scores
    else:
        found = evaluate(model, [_dev_request(dev)], geometry=False).scores
    return next(score for score in found if score.main)


def _texts(test: OwnTest) -> Sequence[str]:
    if isinstance(test, Pairs):
        return (*test.sentence1, *test.sentence2)
    if isinstance(test, Ranking):
        return (*test.queries.values(), *test.documents.values())
    return (*test.train_texts, *test.test_texts)


def _asked_of_own(model: EvaluatedModel, test: OwnTest) -> Asked:
    """Role and prompt of a test of the data: the prompt of its name, or of all STS tasks."""
    named = (model.prompts[name] for name in (test.name, "STS") if name in model.prompts)
    return "", next(named, None)


class _Scoring:
    """Collects the scores of one checkpoint and their origin, test by test."""

    def __init__(self, encode: SentenceCache, report: Callable[[str], None]) -> None:
        self.encode = encode
        self.report = report
        self.scores: list[Score] = []
        self.outcomes: list[mteb_adapter.TaskOutcome] = []
        self.queries: list[QueryScores] = []
        self.info: dict[str, Any] = {
            key: {} for key in ("engine", "source", "aggregation", "seconds", "notes")
        }

    def add_own_test(self, test: OwnTest) -> None:
        self.report(test.name)
        began = time.perf_counter()
        asked = _asked_of_own(self.encode.model, test)
        if isinstance(test, Pairs):
            pair = self._embedded(test, asked, asked)
            both, reason = pair_metrics(*pair, test.score)
            metrics = {m: both[m] for m in ("cosine_spearman", "cosine_pearson")}
            main, n = "cosine_spearman", len(test.score)
            self.info["aggregation"][test.name] = "all"
        elif isinstance(test, Ranking):
            found = self._ranked(test)
            metrics, reason = found.means(), ""
            main, n = "ndcg_at_10", len(test.queries)
        else:
            train, scored = (
                self.encode(texts, *asked) for texts in (test.train_texts, test.test_texts)
            )
            metrics, reason = label_metrics(train, test.train_labels, scored, test.test_labels)
            main, n = "accuracy", len(test.test_labels)
        self.scores.extend(
            Score(test.name, "test", "default", m, value, n, m == main)
            for m, value in metrics.items()
        )
        self._note(test.name, "test", "default", reason)
        self._note_origin(test.name, "own", "", time.perf_counter() - began)

    def _named(self, test: str, role: str) -> str | None:
        """The most specific prompt of a role, ``None`` where the model's own is to be taken."""
        return prompt_for(self.encode.model.prompts, test, role) or None

    def _ranked(self, test: Ranking) -> QueryScores:
        if (index := self.encode.model.lexical) is not None:
            scores = index(list(test.documents.values()))(list(test.queries.values()))
            self.queries.append(ranked_by(test, [scores]))
            return self.queries[-1]
        queries, documents = (
            self.encode(list(texts.values()), role, self._named(test.name, role))
            for texts, role in ((test.queries, QUERY), (test.documents, DOCUMENT))
        )
        self.queries.append(ranking_scores(test, queries, documents))
        return self.queries[-1]

    def add_task(self, task: LoadedTask, *, own: bool) -> None:
        self.report(task.name)
        if own:
            began = time.perf_counter()
            found, asked = [], mteb_adapter.asked_of_pairs(self.encode.model, task.task)
            for test in task.pair_tests:
                both = self._embedded(test.pairs, *asked)
                metrics, reason = pair_metrics(*both, test.pairs.score)
                found.append(metrics)
                self._add_mean_of_parts(task.name, test, both)
                self._note(task.name, test.split, test.subset, reason)
            outcome = mteb_adapter.own_outcome(task, found, time.perf_counter() - began)
        else:
            model = self.encode.model
            encoder = mteb_adapter.MtebEncoder(model, self.encode)
            search = LexicalSearch(model) if model.lexical is not None else encoder
            outcome = mteb_adapter.run(task, search)
            if encoder.tied and judged(task) is not None:
                self._note_ties(task.name, encoder)
        if task.pair_tests:
            self.info["aggregation"][task.name] = "all"
        splits = sorted({score.split for score in outcome.scores if score.main})
        if len(splits) > 1:  # mteb's score of the task is the mean over them
            self.info.setdefault("splits", {})[task.name] = splits
        for score in outcome.scores:
            key = f"{score.task}/{score.split}/{score.subset}"
            if math.isnan(score.value) and key not in self.info["notes"]:
                self.info["notes"][key] = f"mteb reports NaN for {score.metric}"
        self.scores.extend(outcome.scores)
        self.outcomes.append(outcome)
        self.queries.extend(outcome.queries)
        self._note_origin(task.name, outcome.engine, outcome.source, outcome.seconds)

    def add_geometry(self, own: Sequence[Pairs], loaded: Sequence[LoadedTask]) -> None:
        from_mteb = sorted(
            (t for task in loaded for t in task.pair_tests),
            key=lambda t: t.pairs.name != "STSBenchmark",
        )
        if own:
            pairs, split = own[0], "test"
        elif from_mteb:
            pairs, split = from_mteb[0].pairs, from_mteb[0].split
        else:
            return
        began = time.perf_counter()
        texts = _texts(pairs)
        spread = self.encode([texts[i] for i in sample(texts)])
        close = _close_pairs(pairs)
        first = self.encode([pairs.sentence1[i] for i in close])
        second = self.encode([pairs.sentence2[i] for i in close])
        self.scores.extend(geometry_scores(spread, first, second, split=split, subset=pairs.name))
        self.info["geometry"] = pairs.name
        self.info["random_pairs"] = similarity_counts(spread)
        self.info["seconds"]["geometry"] = time.perf_counter() - began
        if not close:
            self._note("geometry", split, pairs.name, "alignment: no pair of close texts")

    def _embedded(self, pairs: Pairs, first: Asked, second: Asked) -> Both:
        return self.encode(pairs.sentence1, *first), self.encode(pairs.sentence2, *second)

    def _add_mean_of_parts(self, task: str, test: PairTest, both: Both) -> None:
        """Add the mean over a year's sub-sets to the correlation over all of its pairs."""
        pairs = test.pairs
        if pairs.name not in PARTS:
            return
        first, second = both
        parts = part_correlations(pairs, first, second)
        if parts:
            mean = float(np.mean(list(parts.values())))
            n = len(pairs.score)
            self.scores.append(Score(task, test.split, test.subset, MEAN_METRIC, mean, n, False))

    def _note(self, task: str, split: str, subset: str, reason: str) -> None:
        if reason:
            self.info["notes"][f"{task}/{split}/{subset}"] = reason

    def _note_ties(self, task: str, encoder: mteb_adapter.MtebEncoder) -> None:
        self.info.setdefault("ties", {})[task] = {"rows": encoder.ranked, "tied": encoder.tied}
        self._note(
            task,
            "ties",
            "all",
            f"of {encoder.ranked} rows of candidates {encoder.tied} have equal scores among the "
            f"first {mteb_adapter.FIRST}: mteb orders these by their ids",
        )

    def _note_origin(self, task: str, engine: str, source: str, seconds: float) -> None:
        self.info["engine"][task] = engine
        self.info["seconds"][task] = seconds
        if source:
            self.info["source"][task] = source


def _close_pairs(pairs: Pairs) -> list[int]:
    """Pairs of two different texts whose score lies in the top fifth of the range."""
    if not pairs.score:
        return []
    low, high = min(pairs.score), max(pairs.score)
    rows = zip(pairs.sentence1, pairs.sentence2, pairs.score, strict=True)
    bar = low + CLOSE * (high - low)
    return [i for i, (a, b, score) in enumerate(rows) if score > bar and a != b]
