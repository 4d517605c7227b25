"""Contexts for tests: small batches with every trap a sampler can fall into."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor

from nsbench.samplers._types import EXTRAS, Sample, SimilarityContext, places

_SENTENCES = (
    "the cat sleeps on the mat",
    "a dog barks at the moon",
    "two boats cross the lake",
    "she sold three red apples",
    "rain fell on the old town",
    "the train left without him",
    "no one read the long letter",
    "snow covers the north road",
)


def unit(*shape: int, generator: torch.Generator) -> Tensor:
    """Random points on the unit sphere of the last dimension."""
    return torch.nn.functional.normalize(torch.randn(shape, generator=generator), dim=-1)


def make_context(
    batch: int = 6,
    columns: int = 24,
    *,
    needs: Collection[str] = EXTRAS,
    layout: str = "one",
    dimensions: int = 8,
    ineligible: float = 0.15,
    seed: int = 0,
) -> SimilarityContext:
    """A random context with distinct similarities.

    Args:
        batch: Anchors, >= 1.
        columns: Candidates, >= ``batch``; read by layout ``one`` only.
        needs: Which extras to build, out of `EXTRAS`.
        layout: ``one``: the positives are in shuffled columns, the rest is a queue; ``both``:
            the 2 * batch views are anchors and candidates at once, as for NT-Xent.
        dimensions: Of the embeddings behind the similarities.
        ineligible: Share of further candidates that may not be chosen, in [0, 1].
        seed: Of embeddings and of the context's generator.
    """
    draw = torch.Generator().manual_seed(seed)
    if layout == "both":
        anchors = candidates = unit(2 * batch, dimensions, generator=draw)
        positive = torch.arange(2 * batch).roll(batch)
        itself = torch.eye(2 * batch, dtype=torch.bool)
    else:
        anchors = unit(batch, dimensions, generator=draw)
        candidates = unit(columns, dimensions, generator=draw)
        positive = torch.randperm(columns, generator=draw)[:batch]
        itself = torch.zeros(batch, columns, dtype=torch.bool)
    allowed = torch.rand(itself.shape, generator=draw) >= ineligible
    allowed = (allowed & ~itself).scatter(1, positive[:, None], False)
    return context_of(anchors, candidates, positive, allowed, needs=needs, seed=seed)


def context_of(
    anchors: Tensor,
    candidates: Tensor,
    positive: Tensor,
    negative_mask: Tensor,
    *,
    needs: Collection[str] = EXTRAS,
    seed: int = 0,
) -> SimilarityContext:
    """A context of given embeddings; extras are made up, but consistent with them."""
    draw = torch.Generator().manual_seed(seed + 1)
    similarity = (anchors @ candidates.T).clamp(-1, 1)  # (B, N)
    own = torch.zeros_like(negative_mask).scatter(1, positive[:, None], True)  # (B, N)
    sample = Sample(anchors, candidates, similarity, own, draw)
    extras: dict[str, Any] = {name: e.example(sample) for name, e in EXTRAS.items()}
    return SimilarityContext(
        similarity=similarity,
        positive=positive,
        negative_mask=negative_mask,
        progress=torch.tensor(0.5),
        generator=torch.Generator().manual_seed(seed + 2),
        **{name: value for name, value in extras.items() if name in needs},
    )


def of_views(
    view1: Tensor, view2: Tensor, *, both: bool = False, needs: Collection[str] = ()
) -> SimilarityContext:
    """The context of a batch of two views, laid out as in training, everything else eligible.

    Args:
        view1: ``(B, d)`` normalised.
        view2: ``(B, d)`` normalised, the positives in the same order.
        both: All 2B views against all others, instead of view 1 against view 2.
        needs: Which extras to build.
    """
    size = len(view1)
    if not both:
        itself = torch.eye(size, dtype=torch.bool)
        return context_of(view1, view2, torch.arange(size), ~itself, needs=needs)
    views = torch.cat([view1, view2])
    positive = torch.arange(2 * size).roll(size)
    allowed = ~torch.eye(2 * size, dtype=torch.bool)
    allowed = allowed.scatter(1, positive[:, None], False)
    return context_of(views, views, positive, allowed, needs=needs)


def two_views(batch: int = 6, *, seed: int = 0, dimensions: int = 8) -> tuple[Tensor, Tensor]:
    """Random embeddings and somewhat moved copies of them, ``(B, d)`` each, normalised."""
    draw = torch.Generator().manual_seed(seed)
    one = unit(batch, dimensions, generator=draw)
    other = one + 0.5 * unit(batch, dimensions, generator=draw)
    return one, torch.nn.functional.normalize(other, dim=-1)


def normalised(text: str) -> str:
    """The text as it counts for identity: case folded, white space collapsed."""
    return " ".join(text.casefold().split())


def text_context(
    *, needs: Collection[str] = EXTRAS, seed: int = 0
) -> tuple[SimilarityContext, Tensor]:
    """A context built from texts with planted twins and further known positives.

    Every anchor and positive comes back among the candidates in other spelling, with similarity 1
    or as that of the positive: the most tempting negatives there are.

    Returns:
        The context, and the ``(B, N)`` bool pairs that must never be chosen, read off the texts.
    """
    anchors = list(_SENTENCES[:5])
    positives = [f"{text} today" for text in anchors]
    known = {text: {normalised(f"{text} again")} for text in anchors[:3]}
    others = [f"{text} again" for text in anchors] + list(_SENTENCES[5:])
    spelled = [text.upper() for text in anchors] + [f"  {p} " for p in positives]
    candidates = positives + others + (spelled * 3)[:15]
    forbidden = _forbidden(anchors, positives, candidates, known)
    context = context_of(
        _embed(anchors, seed),
        _embed(candidates, seed),
        torch.arange(len(anchors)),
        ~forbidden,
        needs=needs,
        seed=seed,
    )
    return context, forbidden


def _forbidden(
    anchors: Sequence[str],
    positives: Sequence[str],
    candidates: Sequence[str],
    known: dict[str, set[str]],
) -> Tensor:
    rows = []
    for anchor, positive in zip(anchors, positives, strict=True):
        mine = {normalised(anchor), normalised(positive)} | known.get(anchor, set())
        rows.append([normalised(text) in mine for text in candidates])
    return torch.tensor(rows)


def _embed(texts: Sequence[str], seed: int) -> Tensor:
    """Mean of random word vectors: equal texts share one point, like texts are near."""
    rows = []
    for text in texts:
        words = [sum(ord(c) * 31**i for i, c in enumerate(w)) for w in normalised(text).split()]
        vectors = [
            torch.randn(16, generator=torch.Generator().manual_seed((w + seed) % 2**31))
            for w in words
        ]
        rows.append(torch.stack(vectors).mean(dim=0))
    return torch.nn.functional.normalize(torch.stack(rows), dim=-1)


def permute_columns(context: SimilarityContext, order: Tensor) -> SimilarityContext:
    """The same context with its candidates in another order: new column n is old ``order[n]``."""
    moved = _permuted(context, order, "N", {"similarity": 1, "negative_mask": 1, "synthetic": 0})
    return moved.replace(positive=places(order)[context.positive])


def permute_rows(context: SimilarityContext, order: Tensor) -> SimilarityContext:
    """The same context with its anchors in another order: new row b is old ``order[b]``."""
    return _permuted(context, order, "B", {"similarity": 0, "positive": 0, "negative_mask": 0})


def _permuted(
    context: SimilarityContext, order: Tensor, axis: str, plain: dict[str, int]
) -> SimilarityContext:
    extras = {name: e.axes.index(axis) for name, e in EXTRAS.items() if axis in e.axes}
    changes: dict[str, Any] = {}
    for name, dim in (plain | extras).items():
        value = getattr(context, name)
        if value is not None:
            changes[name] = value.index_select(dim, order)
    return context.replace(**changes)


Rule = Callable[[list[float], float, list[int]], Collection[int]]
"""A sampler in plain Python: ``(similarities of the row, that of the positive, eligible columns
hardest first) -> columns it chooses``."""


def by_loops(context: SimilarityContext, rule: Rule) -> list[set[int]]:
    """Choices of ``rule``, anchor by anchor, in nested loops: the slow and obvious form."""
    out = []
    for i in range(context.similarity.shape[0]):
        row = context.similarity[i].tolist()
        allowed = [j for j in range(len(row)) if bool(context.negative_mask[i, j])]
        hardest_first = sorted(allowed, key=lambda j: (-row[j], j))
        out.append(set(rule(row, row[int(context.positive[i])], hardest_first)))
    return out


def chosen(mask: Tensor) -> list[set[int]]:
    """The chosen columns of every row of a ``(B, N)`` mask."""
    return [{int(j) for j in row.nonzero()} for row in mask]


def one_row(similarity: Sequence[float], *, positive: int = 0) -> SimilarityContext:
    """One anchor with given similarities, of which all but the positive may be chosen."""
    row = torch.tensor([list(similarity)])
    allowed = torch.ones_like(row, dtype=torch.bool)
    allowed[0, positive] = False
    return SimilarityContext(row, torch.tensor([positive]), allowed)
