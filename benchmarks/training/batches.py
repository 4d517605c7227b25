"""Batches of rows: shuffled, or of one topic."""

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.mining.clusters import row_topics
from nsbench.benchmarks.mining.guides import guide_embeddings
from nsbench.samplers import Sampler, one_of

Ints = NDArray[np.int64]


def batches(rows: int, batch_size: int, seed: int) -> Iterator[Ints]:
    """Yield batches without end: one shuffle per epoch, the incomplete last batch left out.

    Raises:
        ValueError: If there are fewer rows than one batch needs.
    """
    _enough(rows, batch_size)
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(rows)
        for start in range(0, rows - batch_size + 1, batch_size):
            yield order[start : start + batch_size]


def topical_batches(topics: Ints, batch_size: int, seed: int, *, share: float) -> Iterator[Ints]:
    """Yield batches without end, a share of each from one topic, every row at most once per epoch.

    Rows left after a topic's last full batch are joined topic by topic, so that topics smaller than
    a batch stay together. With one topic, or a share of 0, the batches are those of `batches`.

    Source: Hofstätter et al. 2021, Efficiently Teaching an Effective Dense Retriever with Balanced
    Topic Aware Sampling. https://arxiv.org/abs/2104.06967 The share is ours; it is 1 there.

    Args:
        topics: ``(R,)`` topic of each training row.
        batch_size: B, at most R.
        seed: Decides every shuffle.
        share: Share of a batch from one topic, in [0, 1], rounded to whole rows.

    Raises:
        ValueError: If there are fewer rows than one batch needs.
    """
    rows, whole = len(topics), round(share * batch_size)
    _enough(rows, batch_size)
    rng = np.random.default_rng(seed)
    count = rows // batch_size
    while True:
        order = rng.permutation(rows)
        if whole == 0 or len(np.unique(topics)) == 1:
            chunks, mixed = order[: count * batch_size].reshape(count, batch_size), order[:0]
        else:
            spread = count * (batch_size - whole)
            mixed, chunks = order[:spread], _chunks(order[spread:], topics, whole)
        rest = mixed.reshape(count, -1) if len(mixed) else np.empty((count, 0), np.int64)
        for chunk, others in zip(chunks, rest, strict=False):
            yield np.concatenate([chunk, others])


def _chunks(order: Ints, topics: Ints, size: int) -> Ints:
    """Return chunks of one topic and chunks of leftovers, ordered by the place of the first row."""
    place = np.empty(int(order.max()) + 1, np.int64)
    place[order] = np.arange(len(order))
    by_topic = order[np.argsort(topics[order], kind="stable")]
    starts = np.flatnonzero(np.diff(topics[by_topic], prepend=-1))
    full, left = [], []
    for part in np.split(by_topic, starts[1:]):
        cut = len(part) // size * size
        full.append(part[:cut])
        left.append(part[cut:])
    left.sort(key=lambda part: int(place[part[0]]) if len(part) else -1)
    joined = np.concatenate(left)
    full.append(joined[: len(joined) // size * size])
    chunks = np.concatenate(full).reshape(-1, size)
    out: Ints = chunks[np.argsort(place[chunks[:, 0]], kind="stable")]
    return out


def _enough(rows: int, batch_size: int) -> None:
    if rows < batch_size:
        raise ValueError(f"batch_size is {batch_size}, but the data has only {rows} rows")


def one_source_batches(
    source: Ints, shares: Sequence[float], batch_size: int, seed: int
) -> Iterator[Ints]:
    """Yield batches without end, the rows of each from one source, in shuffled epochs.

    Args:
        source: ``(R,)`` number of each row's source.
        shares: Weight of each source; a batch's source is drawn by them.
        batch_size: B.
        seed: Decides every draw.

    Raises:
        ValueError: If a source has fewer rows than one batch needs.
    """
    rows = [np.flatnonzero(source == number) for number in range(len(shares))]
    feeds = [batches(len(own), batch_size, seed + 1 + i) for i, own in enumerate(rows)]
    for own in rows:
        _enough(len(own), batch_size)
    rng, weights = np.random.default_rng(seed), np.array(shares) / sum(shares)
    while True:
        number = int(rng.choice(len(rows), p=weights))
        yield rows[number][next(feeds[number])]


def positives_of(data: TrainingData, rows: Ints, step: int, seed: int) -> Ints:
    """``(B,)`` positive of each row at a step: its only one, or one drawn from all it has.

    Args:
        data: The training data.
        rows: ``(B,)`` the batch.
        step: Its number; the draw depends on nothing else, so that a resumed cell repeats it.
        seed: Of the draws.
    """
    if data.others is None:
        return data.positive[rows]
    each = np.column_stack([data.positive[rows], data.others[rows]])
    chance = np.random.default_rng([seed, step]).random(each.shape)
    place = np.where(each < 0, -1.0, chance).argmax(axis=1)
    out: Ints = each[np.arange(len(rows)), place]
    return out


def feed_for(sampler: Sampler, world: World) -> Iterator[Ints]:
    """Return the batches a sampler asks for: shuffled, unless it has a ``batcher``.

    Args:
        sampler: Its attribute ``batcher`` is a name in `BATCHERS`, with parameters, or a callable
            ``batcher(world) -> Iterator`` of ``(B,)`` row arrays.
        world: The cell.

    Raises:
        ValueError: If no batcher has that name.
    """
    wanted = getattr(sampler, "batcher", "shuffled")
    if callable(wanted):
        made: Iterator[Ints] = wanted(world)
        return made
    name, params = (wanted, {}) if isinstance(wanted, str) else wanted
    one_of(type(sampler).__name__, "batcher", name, BATCHERS)
    return BATCHERS[name](world, params)


def _shuffled(world: World, params: Mapping[str, Any]) -> Iterator[Ints]:
    data, seed = world.data, world.seed_for("batches")
    if data.source is not None:
        return one_source_batches(data.source, data.shares, world.batch_size, seed)
    return batches(data.rows, world.batch_size, seed)


def _topic(world: World, params: Mapping[str, Any]) -> Iterator[Ints]:
    distinct = len(np.unique(world.data.group[world.data.anchor]))
    clusters = max(1, round(distinct / params["texts_per_cluster"]))
    topics = np.zeros(world.data.rows, np.int64)
    if clusters > 1:
        points = guide_embeddings(world, params.get("guide", ""))
        topics = row_topics(world, points, clusters, world.seed_for("topics"))
    world.note("topics", len(np.unique(topics)))
    seed = world.seed_for("batches")
    return topical_batches(topics, world.batch_size, seed, share=params["share"])


def _mined(module: str, function: str) -> Callable[[World, Mapping[str, Any]], Iterator[Ints]]:
    """Return a batcher of the folder ``batchers``, imported when it is used."""

    def made(world: World, params: Mapping[str, Any]) -> Iterator[Ints]:
        _enough(world.data.rows, world.batch_size)
        room = importlib.import_module(f"nsbench.benchmarks.training.batchers.{module}")
        out: Iterator[Ints] = getattr(room, function)(world, params)
        return out

    return made


BATCHERS: dict[str, Callable[[World, Mapping[str, Any]], Iterator[Ints]]] = {
    "shuffled": _shuffled,
    "topic": _topic,
    "communities": _mined("communities", "communities"),
    "random_walk": _mined("walk", "walks"),
    "bandwidth": _mined("bandwidth", "bandwidth"),
    "given_batches": _mined("given", "given_batches"),
    "packed": _mined("packed", "packed"),
    "pair_consistency": _mined("consistency", "consistent"),
}
"""Names that a sampler's ``batcher`` may have."""
