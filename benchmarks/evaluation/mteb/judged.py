"""Retrieval sets as texts: queries, documents, and the pairs that judges found relevant."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nsbench.benchmarks.evaluation.mteb.requests import LoadedTask
from nsbench.benchmarks.evaluation.mteb.tasks import part_of
from nsbench.samplers._cache import cached


@dataclass(frozen=True)
class Judged:
    """The texts of a retrieval set.

    Attributes:
        queries: Text of each query that is judged.
        documents: Text of each document, its title in front as mteb encodes it, and alone where it
            has one.
        pairs: Query and document of each pair that is judged relevant.
    """

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]


@cached(8)
def judged(loaded: LoadedTask) -> Judged | None:
    """Return the texts of a retrieval or reranking task; ``None`` for any other."""
    queries: dict[str, None] = {}
    documents: dict[str, None] = {}
    pairs: dict[tuple[str, str], None] = {}
    for part in loaded.n_examples:
        data = part_of(loaded.task, *part)
        if not isinstance(data, Mapping) or not {"corpus", "queries"} <= set(data):
            return None
        asked = {i: _said(row) for i, row in _by_id(data["queries"])}
        held = {i: _said(row) for i, row in _by_id(data["corpus"])}
        for _, row in _by_id(data["corpus"]):
            documents |= dict.fromkeys(filter(None, (_whole(row), _said(row))))
        for query, scores in (data.get("relevant_docs") or {}).items():
            if query not in asked:
                continue
            queries[asked[query]] = None
            found = (d for d, score in scores.items() if score > 0 and d in held)
            pairs |= {(asked[query], held[d]): None for d in found}
    if not documents:
        return None
    return Judged(tuple(queries), tuple(documents), tuple(pairs))


def _by_id(rows: Any) -> Iterable[tuple[str, Any]]:
    """Yield id and row of a data set, or of a mapping from ids to rows or texts."""
    if isinstance(rows, Mapping):
        yield from rows.items()
        return
    for row in rows:
        yield str(row["id"]), row


def _said(row: Any) -> str:
    """Return the text of a query or document; of a dialogue all turns."""
    text = row.get("text", "") if isinstance(row, Mapping) else row
    if isinstance(text, str):
        return text
    turns = text if isinstance(text, Iterable) else ()
    return " ".join(t if isinstance(t, str) else str(t.get("content", "")) for t in turns)


def _whole(row: Any) -> str:
    title = row.get("title") if isinstance(row, Mapping) else ""
    return f"{title} {_said(row)}".strip() if title else _said(row)
