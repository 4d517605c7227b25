"""Overlap of the training text with the evaluation sets, exact and by n-grams.

The scan reads the training text once and remembers only what the tests hold, so its memory depends
on the tests. It reads all texts that remain in a cell's data after its seed and limit.

Source: Brown et al. 2020, Language models are few-shot learners, appendix C (n-gram overlap; theirs
are 8 to 13 words long by data set). https://arxiv.org/abs/2005.14165
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from nsbench.benchmarks.data import (
    LabelledTexts,
    OwnTest,
    Ranking,
    TrainingData,
    datasets,
    normalise,
)
from nsbench.benchmarks.data._load import load_data
from nsbench.benchmarks.evaluation.mteb import tasks as mteb_tasks
from nsbench.benchmarks.evaluation.mteb.judged import judged
from nsbench.benchmarks.evaluation.mteb.requests import Request
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.records import RecordError, read_json
from nsbench.benchmarks.records.cell import Cell, make
from nsbench.benchmarks.regimes._labels import entailment_data
from nsbench.samplers import samplers
from nsbench.samplers._cache import Cache, cached

WORDS = 8
"""Words in a run that counts as shared; shorter texts are compared whole only."""
VERSION = 2
"""Raised when the meaning of a number changes, so that stored scans are not reused."""
_WORD = re.compile(r"\w+")
_scans: Cache[dict[str, Any]] = Cache(__name__, 4096)


@dataclass(frozen=True, eq=False)
class EvaluationTexts:
    """The texts of one evaluation set.

    Attributes:
        name: The task.
        texts: All of its texts, repeats and all.
        pairs: Two texts a row, if the set consists of pairs.
        transductive: Whether the training data read its texts on purpose, without scores.
        queries: Of a retrieval set, the judged queries; they and the documents are among
            ``texts``, and ``pairs`` are those that are judged relevant.
        documents: Of a retrieval set, the documents.
    """

    name: str
    texts: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()
    transductive: bool = False
    queries: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()

    @classmethod
    def of(cls, test: OwnTest, *, transductive: bool = False) -> "EvaluationTexts":
        """The texts that a test of our own is scored on."""
        if isinstance(test, Ranking):
            queries, documents = tuple(test.queries.values()), tuple(test.documents.values())
            pairs = tuple(
                (test.queries[query], test.documents[document])
                for query, grades in test.relevant.items()
                for document, grade in grades.items()
                if grade > 0
            )
            texts = (*queries, *documents)
            return cls(test.name, texts, pairs, transductive, queries, documents)
        if isinstance(test, LabelledTexts):
            return cls(test.name, test.test_texts, (), transductive)
        rows = tuple(zip(test.sentence1, test.sentence2, strict=True))
        return cls(test.name, (*test.sentence1, *test.sentence2), rows, transductive)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the texts in order."""
        h = hashlib.sha256()
        for text in (*self.texts, *(t for pair in self.pairs for t in pair)):
            h.update(text.encode("utf-8", "surrogatepass") + b"\0")
        for name, more in (("queries", self.queries), ("documents", self.documents)):
            for text in (name, *more) if more else ():
                h.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return h.hexdigest()


@dataclass(frozen=True)
class Overlap:
    """Overlap of one evaluation set with the training text.

    Attributes:
        texts: Different texts of the test, after `normalise`.
        exact: Share of them that are a training text, in [0, 1].
        pairs: Share of the pairs of which both texts are; ``None`` where there are no pairs.
        long_texts: Different texts of at least `WORDS` words.
        ngram: Share of those with a run of `WORDS` words that occurs in a training text.
        transductive: Whether the training data read the test's texts on purpose.
        queries: Different queries of a retrieval set; ``None`` for other tests.
        queries_exact: Share of them that are a training text; ``None`` for other tests.
        documents: Different documents of a retrieval set; ``None`` for other tests.
        documents_exact: Share of them that are a training text; ``None`` for other tests.
    """

    texts: int
    exact: float
    pairs: float | None
    long_texts: int
    ngram: float
    transductive: bool = False
    queries: int | None = None
    queries_exact: float | None = None
    documents: int | None = None
    documents_exact: float | None = None


def scan(training: Iterable[str], tests: Sequence[EvaluationTexts]) -> list[Overlap]:
    """The overlap of each test with the training text.

    Two texts are equal if they are after `normalise`; a run of words ignores punctuation too.
    """
    texts = [{normalise(t) for t in test.texts} for test in tests]
    held = [[{normalise(t) for t in part} for part in (t.queries, t.documents)] for t in tests]
    paired = [[(normalise(a), normalise(b)) for a, b in test.pairs] for test in tests]
    wanted = {t for pairs in paired for pair in pairs for t in pair}
    wanted = wanted.union(*texts, *(part for parts in held for part in parts))
    runs_of = {text: tuple(runs(text)) for own in texts for text in own}
    wanted_runs: set[str] = set().union(*runs_of.values())
    seen: set[str] = set()
    seen_runs: set[str] = set()
    for text in training:
        plain = normalise(text)
        if plain in seen:
            continue
        if plain in wanted:
            seen.add(plain)
        found = runs_of.get(plain)  # of a text of a test, every run is wanted
        seen_runs.update(wanted_runs.intersection(runs(plain)) if found is None else found)
    out = []
    for test, own, pairs, parts in zip(tests, texts, paired, held, strict=True):
        long_texts = [runs_of[t] for t in own if runs_of[t]]
        shared = sum(not seen_runs.isdisjoint(found) for found in long_texts)
        both = sum(a in seen and b in seen for a, b in pairs)
        overlap = Overlap(
            texts=len(own),
            exact=len(own & seen) / max(1, len(own)),
            pairs=both / len(pairs) if pairs else None,
            long_texts=len(long_texts),
            ngram=shared / max(1, len(long_texts)),
            transductive=test.transductive,
        )
        out.append(replace(overlap, **_apart(parts, seen)))
    return out


def runs(text: str, words: int = WORDS) -> Iterator[str]:
    """Every run of ``words`` words of a text, joined by spaces; none of a shorter text."""
    found = _WORD.findall(text)
    for start in range(len(found) - words + 1):
        yield " ".join(found[start : start + words])


def scan_stored(
    training: Sequence[TrainingData], tests: Sequence[EvaluationTexts], folder: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Scan by task, as plain data; reuse earlier scans, in memory or in files of a folder."""
    digests = [d.digest for d in training]
    keys = [content_key([VERSION, WORDS, digests, t.digest, t.transductive]) for t in tests]
    done: dict[str, dict[str, Any]] = {}
    for key in keys:
        known = _scans.get(key)
        if known is None and folder is not None and (folder / f"{key}.json").is_file():
            known = _read(folder / f"{key}.json")
        if known is not None:
            done[key] = known
    missing = [i for i, key in enumerate(keys) if key not in done]
    if missing:
        found = scan((t for d in training for t in d.texts), [tests[i] for i in missing])
        done |= {keys[i]: asdict(o) for i, o in zip(missing, found, strict=True)}
    if folder is not None:
        for key in keys:
            if not (folder / f"{key}.json").is_file():
                folder.mkdir(parents=True, exist_ok=True)
                text = json.dumps(done[key], indent=1, sort_keys=True)
                write_atomically(folder / f"{key}.json", text + "\n")
    for key, one in done.items():
        _scans.put(key, one)
    return {test.name: dict(done[key]) for test, key in zip(tests, keys, strict=True)}


def scan_cell(cell: Cell, folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """Overlap by task of a cell's training text with its tests; nothing for an untrained cell."""
    name = cell.sampler.name  # a model from elsewhere is no sampler
    fits = name in samplers and samplers.entry(name).attribute("fits", False)
    if not cell.budget.steps and not fits:
        return {}
    training = [load_data(cell.data)]
    source = entailment_data(cell.regime, cell.data)
    if source is not None and source != cell.data:
        training.append(load_data(source))
    dataset = make(datasets, cell.data)
    adapted = frozenset(getattr(dataset, "transductive", ()))
    own = dataset.tests() if "own" in cell.evaluation.tasks else []
    tests = [EvaluationTexts.of(t, transductive=t.name in adapted) for t in own]
    for request in mteb_tasks.scored(cell.evaluation.tasks, cell.evaluation.absent):
        tests.append(_of_task(request, request.name in adapted))
    return scan_stored(training, tests, folder)


@cached(64)
def _of_task(request: Request, transductive: bool) -> EvaluationTexts:
    task = mteb_tasks.load(request)
    found = judged(task)
    if found is not None:
        parts = found.pairs, transductive, found.queries, found.documents
        return EvaluationTexts(request.name, mteb_tasks.texts(task), *parts)
    if not task.pair_tests:
        return EvaluationTexts(request.name, mteb_tasks.texts(task), (), transductive)
    pairs = [t.pairs for t in task.pair_tests]
    rows = tuple(r for p in pairs for r in zip(p.sentence1, p.sentence2, strict=True))
    return EvaluationTexts(request.name, tuple(t for r in rows for t in r), rows, transductive)


def _apart(parts: Sequence[set[str]], seen: set[str]) -> dict[str, Any]:
    """Return numbers and shares of queries and documents, where there are any."""
    out: dict[str, Any] = {}
    for name, own in zip(("queries", "documents"), parts, strict=True):
        if own:
            out |= {name: len(own), f"{name}_exact": len(own & seen) / len(own)}
    return out


def _read(path: Path) -> dict[str, Any] | None:
    """Read a stored scan; delete a file of another shape and return ``None``."""
    try:
        raw = read_json(path)
        return asdict(Overlap(**raw))
    except (RecordError, TypeError):
        path.unlink(missing_ok=True)
        return None
