"""Similarities of a batch of pairs to contrast: queries and documents, four ways.

Source: Li et al. 2023, Towards General Text Embeddings with Multi-stage Contrastive Learning (GTE),
its improved contrastive loss, for all four in one softmax. https://arxiv.org/abs/2308.03281 Query
to document and back, a softmax each: Günther et al. 2023, Jina Embeddings 2.
https://arxiv.org/abs/2310.19923 View 1 are the queries, view 2 the documents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nsbench.benchmarks.contrast.context import Contrast, Further
from nsbench.samplers import Objective, one_of, suggest

BLOCKS = ("q_d", "q_q", "d_q", "d_d")
LAYOUTS = ("auto", "one", "both")
PARTITIONS = ("joint", "per_direction")
POSITIVES = ("once", "paper")


@dataclass(frozen=True)
class Directions:
    """A set of directions and how they share a softmax.

    Attributes:
        blocks: Out of `BLOCKS`; ``q_d`` is among them.
        partition: ``joint``: one softmax an anchor over all blocks; ``per_direction``: one each,
            averaged.
        positives: What ``joint`` does with the query of a document's own row in ``d_q``: ``once``
            leaves it out; ``paper`` counts it in the sum, where the positive then is twice.
    """

    blocks: frozenset[str]
    partition: str = "joint"
    positives: str = "once"

    @classmethod
    def of(cls, text: str, partition: str, positives: str) -> "Directions":
        """Read ``q_d+q_q``.

        Raises:
            ValueError: If a direction is unknown, named twice or missing, or lacks its own
                positive where it needs one.
        """
        named = [part.strip() for part in text.split("+")]
        for part in named:
            if part not in BLOCKS:
                raise ValueError(
                    f"in_batch: directions is {text!r}, of which {part!r} is no direction; join "
                    f"some of {', '.join(BLOCKS)} by +, or write one of {', '.join(LAYOUTS)}. "
                    f"{suggest(part, (*BLOCKS, *LAYOUTS))}"
                )
        if len(set(named)) < len(named):
            raise ValueError(f"in_batch: directions is {text!r}, which names a direction twice")
        if "q_d" not in named:
            raise ValueError(f"in_batch: directions is {text!r}; q_d holds the positive: add it")
        alone = {"q_q", "d_d"} & set(named)
        if partition == "per_direction" and alone:
            raise ValueError(
                f"in_batch: partition is 'per_direction', but directions is {text!r}, of which "
                f"{' and '.join(sorted(alone))} holds no positive; use partition 'joint'"
            )
        if positives == "paper" and not (partition == "joint" and "d_q" in named):
            raise ValueError(
                "in_batch: positives is 'paper', which is read where partition is 'joint' and "
                f"directions has d_q; partition is {partition!r}, directions {text!r}"
            )
        return cls(frozenset(named), partition, positives)


def checked(directions: str, partition: str, positives: str) -> "str | Directions":
    """A layout of `LAYOUTS`, or a set of directions.

    Raises:
        ValueError: If they cannot be read, or one is set that is not read.
    """
    if not isinstance(directions, str):
        raise ValueError(f"in_batch: directions must be a word, got {directions!r}")
    one_of("in_batch", "partition", partition, PARTITIONS)
    one_of("in_batch", "positives", positives, POSITIVES)
    if directions in LAYOUTS:
        if (partition, positives) != ("joint", "once"):
            raise ValueError(
                f"in_batch: partition and positives are read for a set of directions such as "
                f"q_d+d_q, but directions is {directions!r}"
            )
        return directions
    return Directions.of(directions, partition, positives)


def directions_of(params: Mapping[str, Any], objective: Objective) -> "str | Directions":
    """Read what a pool contrasts: ``one``, ``both`` or a set; ``auto`` means the objective's."""
    found = checked(
        str(params.get("directions", "auto")),
        str(params.get("partition", "joint")),
        str(params.get("positives", "once")),
    )
    return str(getattr(objective, "views", "one")) if found == "auto" else found


@dataclass(frozen=True, eq=False)
class _Columns:
    """One block: embeddings, texts, owners, and the row each column came from (-1: none)."""

    embeddings: Tensor
    texts: Tensor
    valid: Tensor
    owner: Tensor
    row: Tensor


def lay_out_directions(
    views: tuple[Tensor, Tensor],
    texts: tuple[Tensor, Tensor],
    directions: Directions,
    *,
    further: Further | None = None,
) -> Contrast:
    """Lay views ``(B, d)`` and texts ``(B,)`` out as anchors and the columns of some directions."""
    size, device = len(texts[0]), views[0].device
    place = torch.arange(size, device=device)
    none, there = torch.full_like(place, -1), torch.ones_like(place, dtype=torch.bool)
    queries = _Columns(views[0], texts[0], there, none, place)
    documents = _Columns(views[1], texts[1], there, none, place)
    given = []
    if further is not None:
        rowless = torch.full_like(further.texts, -1)
        owner = rowless if further.owner is None else further.owner
        there = further.texts >= 0
        given = [_Columns(further.embeddings, further.texts.clamp(min=0), there, owner, rowless)]
    if directions.partition == "per_direction":
        return _apart(directions, queries, documents, given)
    blocks = [
        ("q_d", documents),
        *(("q_d", g) for g in given),
        ("q_q", queries),
        ("d_q", queries),
        ("d_d", documents),
        *(("d_d", g) for g in given),
    ]
    return _joint(directions, [b for b in blocks if b[0] in directions.blocks], queries, documents)


def _joint(
    directions: Directions,
    blocks: list[tuple[str, _Columns]],
    queries: _Columns,
    documents: _Columns,
) -> Contrast:
    """Queries as anchors; every block's columns side by side, the positives first."""
    place = queries.row

    def marked(wanted: tuple[str, ...]) -> Tensor:
        flags = [torch.full_like(c.valid, name in wanted) for name, c in blocks]
        return torch.cat(flags)

    columns = [c for _, c in blocks]
    owner, row = torch.cat([c.owner for c in columns]), torch.cat([c.row for c in columns])
    own = (place[:, None] == owner[None, :]) | (place[:, None] == row[None, :])  # (B, N)
    again = own & marked(("d_q",))[None, :]
    return Contrast(
        anchors=queries.embeddings,
        columns=torch.cat([c.embeddings for c in columns]),
        anchor_texts=queries.texts,
        positive_texts=documents.texts,
        column_texts=torch.cat([c.texts for c in columns]),
        valid=torch.cat([c.valid for c in columns]),
        positive=place,
        anchor_rows=place,
        owner=torch.where(marked(("d_d",)), -1, owner),
        private=torch.zeros_like(row, dtype=torch.bool),
        of_positive=marked(("d_q", "d_d")),
        barred=own & marked(("d_d", "q_q"))[None, :],
        again=again if directions.positives == "paper" else None,
    )


def _apart(
    directions: Directions, queries: _Columns, documents: _Columns, given: list[_Columns]
) -> Contrast:
    """Queries against documents and, if wanted, documents against queries, each alone."""
    place, back = queries.row, "d_q" in directions.blocks
    columns = [documents, *given, *([queries] if back else [])]
    sides = [documents, *given], [queries]
    width, size = sum(len(c.row) for c in columns), len(place)
    before = sum(len(c.row) for c in sides[0])
    second = torch.arange(width, device=place.device) >= before  # (N,) queries
    rows = torch.arange(2 * size if back else size, device=place.device)
    asks = torch.cat([queries.texts, documents.texts])[: len(rows)]
    answers = torch.cat([documents.texts, queries.texts])[: len(rows)]
    return Contrast(
        anchors=torch.cat([queries.embeddings, documents.embeddings])[: len(rows)],
        columns=torch.cat([c.embeddings for c in columns]),
        anchor_texts=asks,
        positive_texts=answers,
        column_texts=torch.cat([c.texts for c in columns]),
        valid=torch.cat([c.valid for c in columns]),
        positive=torch.where(rows < size, rows, rows - size + before),
        anchor_rows=rows % size,
        owner=torch.cat([c.owner for c in columns]),
        private=torch.zeros_like(second),
        barred=(rows >= size)[:, None] != second[None, :],
    )
