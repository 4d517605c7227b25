"""A retrieval folder as BEIR lays it out: corpus, queries, and relevance judgements by split.

Source: Thakur et al. 2021, BEIR, and its data format. https://arxiv.org/abs/2104.08663
"""

from collections.abc import Mapping
from pathlib import Path

from nsbench.benchmarks.data._layouts import Rows, titled
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


def read_folder(folder: Path, split: str) -> Rows:
    """A row for every relevant document of every judged query.

    Documents judged irrelevant (score 0 or less) are its given negatives. Documents that no row
    uses stay among the texts, so that negatives can be mined from the whole corpus.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a row cannot be read, or names a query or document that is not there.
    """
    corpus_file, query_file, judged = files_of(folder, split)
    corpus, queries = _by_id(corpus_file), _by_id(query_file)
    relevant: dict[str, tuple[list[str], list[str]]] = {}
    for where, row in records(judged, quotes="none"):
        for column, known in (("query-id", queries), ("corpus-id", corpus)):
            if column not in row:
                raise ValueError(f"{where}: qrels must have query-id, corpus-id and score")
            if row[column] not in known:
                raise ValueError(f"{where}: {column} {row[column]!r} is not in the folder")
        try:
            irrelevant = float(row.get("score", "")) <= 0
        except ValueError:
            raise ValueError(f"{where}: score must be a number, got {row.get('score')!r}") from None
        lists = relevant.setdefault(row["query-id"], ([], []))
        lists[irrelevant].append(corpus[row["corpus-id"]])
    out = Rows()
    for query, (positives, negatives) in relevant.items():
        for positive in positives:
            out.add(queries[query], positive, negatives)
    if not out.anchor:
        raise ValueError(f"{judged} names no relevant document")
    for text in corpus.values():
        out.text(text)
    return out


def _by_id(path: Path, key: str = "_id") -> Mapping[str, str]:
    out: dict[str, str] = {}
    for where, row in records(path):
        if key not in row:
            raise ValueError(f"{where}: has no {key!r}")
        out[str(row[key])] = titled(where, row)
    return out
