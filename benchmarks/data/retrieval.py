"""A retrieval set, of a folder or of the hub, as training data: queries and relevant documents.

Source: Thakur et al. 2021, BEIR: the layout; queries, documents and judgements by split.
https://arxiv.org/abs/2104.08663 One of a query's positives drawn at each visit: the training code
of Tevatron and FlagEmbedding. What is held out, and that it is counted, is ours.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np

from nsbench.benchmarks.data import register
from nsbench.benchmarks.data._hub import Source
from nsbench.benchmarks.data._judgements import (
    FolderSource,
    HubSource,
    RetrievalSet,
    RetrievalSource,
    Scores,
)
from nsbench.benchmarks.data._reading import BAD_ROWS, Reading, Report
from nsbench.benchmarks.data._rows import Rows, limited
from nsbench.benchmarks.data._types import DataSet, OwnTest, Ranking, TrainingData, normalise
from nsbench.samplers import Choice, Interval

POSITIVES = ("rows", "drawn")
KNOWN = ("all", "one")


@register("retrieval")
class Retrieval(DataSet):
    """Queries with their relevant documents, and the whole corpus to mine from.

    Documents that only held-out queries were judged with are left out of the training texts, so
    that nothing is mined from development or test judgements. Documents judged below ``relevant``
    are given negatives of their queries.

    Args:
        path: A folder as BEIR lays it out, or a repository ``owner/name`` of the hub with the
            configurations ``corpus``, ``queries`` and ``config``.
        revision: Commit of the repository, 40 hexadecimal digits; empty for a folder.
        config: Configuration of the repository with the judgements, such as ``default`` or
            ``qrels``; read of the hub only.
        split: Judgements to train on.
        positives: Of a query with several: ``rows`` makes a row of each, ``drawn`` makes one
            row a query, whose positive is drawn from all of them each time.
        known: Positives that training knows: ``all``, or ``one`` of each query (of those with
            the highest grade the first); the others are then false negatives, which are measured.
        relevant: Least grade that counts as relevant, > 0.
        held_out: Splits whose queries are held out; empty for all but ``split``.
        dev_share: Share of the queries held out as development data, in [0, 1); they are drawn with
            ``seed``; checkpoints can be chosen on them (``dev = "own"`` under ``[evaluation]``).
        dev_split: Split with development judgements; not together with ``dev_share``.
        test: Split that the task ``own`` scores; empty for none.
        limit: Rows to keep, the first of a shuffle, >= 0; 0 keeps all. The corpus stays whole.
        seed: Seed of both draws, >= 0.
        bad_rows: Rows that cannot be used: "error", or "skip", which counts them.
    """

    free_text: ClassVar[frozenset[str]] = frozenset({"path", "revision", "config", "split"})

    path: str
    revision: str = ""
    config: str = "default"
    split: str = "train"
    positives: Annotated[str, Choice(*POSITIVES)] = "rows"
    known: Annotated[str, Choice(*KNOWN)] = "all"
    relevant: Annotated[float, Interval("(0, 1000]")] = 1.0
    held_out: tuple[str, ...] = ()
    dev_share: Annotated[float, Interval("[0, 1)")] = 0.0
    dev_split: str = ""
    test: str = ""
    limit: Annotated[int, Interval("[0, inf)")] = 0
    seed: Annotated[int, Interval("[0, inf)")] = 0
    bad_rows: Annotated[str, Choice(*BAD_ROWS)] = "error"

    def __post_init__(self) -> None:
        if not self.path or not self.split:
            raise ValueError("retrieval: path and split must be named")
        if self.revision:
            Source(self.path, self.revision, self.config).check("retrieval")
        if self.split in self.held_out:
            raise ValueError(
                f"retrieval: held_out must be a list of splits without {self.split!r}, which is "
                f"trained on, got {self.held_out!r}"
            )
        if self.known == "one" and self.positives == "drawn":
            raise ValueError("retrieval: positives is 'drawn', but known is 'one': nothing to draw")
        if self.dev_share and self.dev_split:
            raise ValueError(
                f"retrieval: dev_share is {self.dev_share!r} and dev_split is {self.dev_split!r}: "
                "development queries come from one of them"
            )

    def _source(self) -> RetrievalSource:
        if self.revision:
            return HubSource(self.path, self.revision, self.config)
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(
                f"retrieval: there is no folder {self.path}; a repository of the hub needs a "
                "revision, its commit"
            )
        return FolderSource(folder, Reading(bad_rows=self.bad_rows))

    def check(self) -> None:
        """Check that corpus, queries and the named judgements can be read."""
        report, source = Report(self.bad_rows), self._source()
        for split in filter(None, (self.split, *self.held_out, self.dev_split, self.test)):
            next(iter(source.judgements(split, report)), None)
        for rows in (source.corpus(report), source.queries(report)):
            next(iter(rows), None)

    def __call__(self) -> TrainingData:
        """Read the rows.

        Raises:
            ValueError: If no document is relevant to a query that may be trained on.
        """
        report, source = Report(self.bad_rows), self._source()
        read = RetrievalSet(source, report)
        train, held = self._divided(read)
        rows, further = self._rows(read, train, report)
        if not rows.anchor:
            raise ValueError(f"{self.path}: {self.split} has no relevant document to train on")
        self._add_corpus(rows, read, held)
        out = rows.data(Path(self.path).name, source.revision(self._splits(source)))
        return limited(self._with(out, further), self.limit, self.seed, keep_texts=True)

    def tests(self) -> list[OwnTest]:
        """The queries of the split ``test``, if it is named."""
        if not self.test:
            return []
        read = RetrievalSet(self._source(), Report(self.bad_rows))
        return [_ranking(f"{Path(self.path).name}-{self.test}", read, read.scores(self.test))]

    def dev(self) -> Ranking | None:
        """The development queries, or ``None`` where there are none."""
        if not self.dev_share and not self.dev_split:
            return None
        read = RetrievalSet(self._source(), Report(self.bad_rows))
        scores = read.scores(self.dev_split) if self.dev_split else self._drawn(read)
        return _ranking(f"{Path(self.path).name}-dev", read, scores)

    def _splits(self, source: RetrievalSource) -> list[str]:
        held = self.held_out or [s for s in source.splits() if s != self.split]
        named = [self.dev_split, self.test]
        return list(dict.fromkeys([self.split, *held, *filter(None, named)]))

    def _drawn(self, read: RetrievalSet) -> Scores:
        """Scores of the queries that are drawn for development, at least one."""
        scores = read.scores(self.split)
        able = [q for q in scores if _relevant(scores[q], self.relevant)]
        order = np.random.default_rng(self.seed).permutation(len(able))
        count = max(1, round(self.dev_share * len(able))) if self.dev_share else 0
        return {able[i]: scores[able[i]] for i in np.sort(order[:count])}

    def _divided(self, read: RetrievalSet) -> tuple[Scores, list[Scores]]:
        """Scores of the queries to train on, and of those held out, part by part."""
        first, *others = self._splits(read.source)
        drawn, scores = self._drawn(read), read.scores(first)
        held = [drawn, *map(read.scores, others)]
        return {q: scores[q] for q in scores if q not in drawn}, held

    def _rows(
        self, read: RetrievalSet, train: Scores, report: Report
    ) -> tuple[Rows, list[list[int]]]:
        """Rows of the queries, and of each row the relevant documents without a row."""
        rows, further = Rows(report), []
        for query, scores in train.items():
            found = _relevant(scores, self.relevant)
            if not found:
                report.leave_out(f"query {query}", "no document is relevant to the query")
                continue
            text, good = read.queries[query], [read.corpus[d] for d in found]
            bad = [read.corpus[d] for d, score in scores.items() if score < self.relevant]
            bad = [document for document in bad if document not in good]
            alone = self.known == "one" or self.positives == "drawn"
            for document in good[:1] if alone else good:
                rows.add(text, document, bad)
                further.append([rows.text(other) for other in good[1:] if alone])
            rows.query_ids.setdefault(text, query)
        return rows, further

    def _with(self, data: TrainingData, further: list[list[int]]) -> TrainingData:
        """Add the documents without a row: to be drawn, or hidden."""
        if self.positives == "drawn":
            others = np.full((data.rows, max(map(len, further))), -1, dtype=np.int64)
            for row, given in enumerate(further):
                others[row, : len(given)] = given
            return replace(data, others=others)
        if self.known == "one":
            pairs = [(a, t) for a, texts in zip(data.anchor, further, strict=True) for t in texts]
            return replace(data, hidden=np.array(pairs, dtype=np.int64).reshape(-1, 2))
        return data

    def _add_corpus(self, rows: Rows, read: RetrievalSet, held: list[Scores]) -> None:
        """Add the documents that no row uses, without those that only held-out queries judged."""
        barred = {
            normalise(read.corpus[document])
            for scores in held
            for judged in scores.values()
            for document, score in judged.items()
            if score > 0
        } - {normalise(text) for text in rows.texts}
        for name, text in read.corpus.items():
            if barred and normalise(text) in barred:
                why = "the document is judged for held-out queries only"
                rows.report.leave_out(f"document {name}", why)
                continue
            rows.text(text)
            rows.document_ids.setdefault(text, name)


def _relevant(scores: Mapping[str, float], least: float) -> list[str]:
    """Return the relevant documents, best grade first, those of one grade in their order."""
    found = [d for d, score in scores.items() if score >= least]
    return sorted(found, key=lambda document: -scores[document])


def _ranking(name: str, read: RetrievalSet, scores: Scores) -> Ranking:
    grades = {q: {d: round(s) for d, s in judged.items()} for q, judged in scores.items()}
    kept = {q: judged for q, judged in grades.items() if any(s > 0 for s in judged.values())}
    return Ranking(name, {q: read.queries[q] for q in kept}, read.corpus, kept)
