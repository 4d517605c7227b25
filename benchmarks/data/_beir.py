"""A retrieval folder as BEIR lays it out: corpus, queries, and relevance judgements by split.

Source: Thakur et al. 2021, BEIR, and its data format. https://arxiv.org/abs/2104.08663
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from nsbench.benchmarks.data._reading import Reading, Report, RowError
from nsbench.benchmarks.data._records import existing, records
from nsbench.benchmarks.data._rows import Rows
from nsbench.benchmarks.data._values import Keyed, Record, keyed, number_of, titled


def files_of(folder: Path, split: str) -> tuple[Path, Path, Path]:
    """Paths of corpus, queries and judgements.

    Raises:
        FileNotFoundError: If one is missing; for a split, the splits that are there are named.
        ValueError: If a file is there both plain and packed.
    """
    corpus, queries = (_either(folder / f"{name}.jsonl") for name in ("corpus", "queries"))
    judged = _either(folder / "qrels" / f"{split}.tsv", must=False)
    if judged.exists():
        return corpus, queries, judged
    there = sorted({p.name.split(".")[0] for p in (folder / "qrels").glob("*.tsv*")})
    raise FileNotFoundError(
        f"there is no file {judged}: {folder} has judgements for {', '.join(there) or 'no split'}"
    )


def _either(path: Path, *, must: bool = True) -> Path:
    packed = path.with_name(path.name + ".gz")
    if packed.exists() and path.exists():
        raise ValueError(
            f"{path.parent} has both {path.name} and {packed.name}: remove one of them"
        )
    if packed.exists():
        return packed
    return existing(path) if must else path


@dataclass(frozen=True)
class Judged:
    """Content of a folder.

    Attributes:
        corpus: Text of every document, by id.
        queries: Text of every query, by id.
        scores: Of every judged query, by document, how relevant it is; 0 or less is not.
    """

    corpus: Mapping[str, str]
    queries: Mapping[str, str]
    scores: Mapping[str, Mapping[str, float]]


def judgements(
    folder: Path,
    split: str,
    reading: Reading | None = None,
    report: Report | None = None,
    *,
    blank_documents: bool = False,
) -> Judged:
    """Read corpus, queries and one split's judgements.

    Args:
        folder: The folder.
        split: Name of a file in qrels/.
        reading: Encoding and policy for bad rows; the options of tables cannot be set.
        report: Of what was left out.
        blank_documents: True keeps documents without a text, as an evaluation must.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a row cannot be read, or names a query or document that is not there, an id
            or a judgement occurs twice with different values, or no document is relevant.
    """
    reading = reading or Reading()
    report = Report(reading.bad_rows) if report is None else report
    wrong = reading.of_tables()
    if wrong:
        raise ValueError(
            f"{folder} is a BEIR folder, whose files are laid out in one way: "
            f"{wrong[0]} cannot be set, got {getattr(reading, wrong[0])!r}"
        )
    corpus_file, query_file, judged = files_of(folder, split)
    text = partial(titled, may_be_blank=blank_documents)
    corpus = keyed(records(corpus_file, reading, report), "_id", text, report)
    queries = keyed(records(query_file, reading, report), "_id", titled, report)
    rows = records(judged, replace(reading, quotes="none"), report)
    scores = scores_of(rows, queries, corpus, report)
    if not any(score > 0 for of_query in scores.values() for score in of_query.values()):
        raise ValueError(f"{judged} names no relevant document")
    return Judged(corpus, queries, scores)


def scores_of(
    rows: Iterable[Record], queries: Mapping[str, str], corpus: Mapping[str, str], report: Report
) -> dict[str, dict[str, float]]:
    """Scores of judged pairs, ``query-id``, ``corpus-id`` and ``score``, by query and document."""
    pairs = Keyed("pair of query-id and corpus-id", report)
    for where, row in rows:
        with report.guarded():
            names = _judged_pair(where, row, queries, corpus)
            score = number_of(where, "score", row.get("score"))
            if not math.isfinite(score):
                raise RowError(where, "score must be finite", f", got {score}")
            pairs.put(where, names, score, " and ".join(map(repr, names)))
    scores: dict[str, dict[str, float]] = {}
    for (query, document), score in pairs.items():
        scores.setdefault(query, {})[document] = score
    return scores


def _judged_pair(
    where: str, row: Mapping[str, Any], queries: Mapping[str, str], corpus: Mapping[str, str]
) -> tuple[str, str]:
    for column, known in (("query-id", queries), ("corpus-id", corpus)):
        if column not in row:
            raise ValueError(f"{where}: qrels must have query-id, corpus-id and score")
        if str(row[column]) not in known:
            what = f"{column} {row[column]!r} is not in the folder"
            raise RowError(where, what, kind=f"{column} is not in the folder")
    return str(row["query-id"]), str(row["corpus-id"])


def read_folder(
    folder: Path, split: str, reading: Reading | None = None, report: Report | None = None
) -> Rows:
    """A row for every relevant document of every judged query.

    Documents judged irrelevant (score 0 or less) are its given negatives. Documents that no row
    uses stay among the texts, so that negatives can be mined from the whole corpus.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: As `judgements`.
    """
    report = Report(reading.bad_rows if reading else "error") if report is None else report
    judged = judgements(folder, split, reading, report)
    out = Rows(report)
    for query, scores in judged.scores.items():
        negatives = [judged.corpus[d] for d, score in scores.items() if score <= 0]
        for document, score in scores.items():
            if score > 0:
                out.add(judged.queries[query], judged.corpus[document], negatives)
    for text in judged.corpus.values():
        out.text(text)
    for name, text in judged.corpus.items():
        out.document_ids.setdefault(text, name)
    for name in (*judged.scores, *judged.queries):
        out.query_ids.setdefault(judged.queries[name], name)
    return out
