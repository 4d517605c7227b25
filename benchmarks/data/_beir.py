"""A retrieval folder as BEIR lays it out: corpus, queries, and relevance judgements by split.

Source: Thakur et al. 2021, BEIR, and its data format. https://arxiv.org/abs/2104.08663
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nsbench.benchmarks.data._layouts import Rows, number_of, titled
from nsbench.benchmarks.data._records import existing, records


def files_of(folder: Path, split: str) -> tuple[Path, Path, Path]:
    """Paths of corpus, queries and judgements.

    Raises:
        FileNotFoundError: If one is missing; for a split, the splits that are there are named.
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


def judgements(folder: Path, split: str) -> Judged:
    """Read corpus, queries and one split's judgements.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a row cannot be read, or names a query or document that is not there, or no
            document is relevant.
    """
    corpus_file, query_file, judged = files_of(folder, split)
    corpus, queries = _by_id(corpus_file), _by_id(query_file)
    scores: dict[str, dict[str, float]] = {}
    for where, row in records(judged, quotes="none"):
        for column, known in (("query-id", queries), ("corpus-id", corpus)):
            if column not in row:
                raise ValueError(f"{where}: qrels must have query-id, corpus-id and score")
            if row[column] not in known:
                raise ValueError(f"{where}: {column} {row[column]!r} is not in the folder")
        score = number_of(where, "score", row.get("score"))
        scores.setdefault(row["query-id"], {})[row["corpus-id"]] = score
    if not any(score > 0 for found in scores.values() for score in found.values()):
        raise ValueError(f"{judged} names no relevant document")
    return Judged(corpus, queries, scores)


def read_folder(folder: Path, split: str) -> Rows:
    """A row for every relevant document of every judged query.

    Documents judged irrelevant (score 0 or less) are its given negatives. Documents that no row
    uses stay among the texts, so that negatives can be mined from the whole corpus.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: As `judgements`.
    """
    judged = judgements(folder, split)
    out = Rows()
    for query, scores in judged.scores.items():
        negatives = [judged.corpus[d] for d, score in scores.items() if score <= 0]
        for document, score in scores.items():
            if score > 0:
                out.add(judged.queries[query], judged.corpus[document], negatives)
    for text in judged.corpus.values():
        out.text(text)
    return out


def _by_id(path: Path, key: str = "_id") -> Mapping[str, str]:
    out: dict[str, str] = {}
    for where, row in records(path):
        if key not in row:
            raise ValueError(f"{where}: has no {key!r}")
        out[str(row[key])] = titled(where, row)
    return out
