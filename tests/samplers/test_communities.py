"""Mined batches: every row at most once an epoch, near rows together, plain batches at one end."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_training import training
from torch import Tensor
from torch.nn.functional import normalize

from nsbench.benchmarks.matrix.expand import _files
from nsbench.benchmarks.mining.neighbours import Ints, mutual, ranked_rows
from nsbench.benchmarks.records.cell import resolve
from nsbench.benchmarks.training.batchers.bandwidth import close_together, cut
from nsbench.benchmarks.training.batchers.communities import community_batches, grow
from nsbench.benchmarks.training.batchers.consistency import consistent, places_of
from nsbench.benchmarks.training.batchers.given import read_batches
from nsbench.benchmarks.training.batchers.packed import in_line, packed_batches
from nsbench.benchmarks.training.batchers.walk import sparse_neighbours, walk
from nsbench.benchmarks.training.batches import batches
from nsbench.samplers import make, samplers

ROWS, CLASSES = 96, 8


def clustered(seed: int = 0) -> tuple[Tensor, np.ndarray]:
    """Points of eight classes, and which class each is of."""
    draw = torch.Generator().manual_seed(seed)
    centres = normalize(torch.randn(CLASSES, 16, generator=draw), dim=1)
    label = torch.arange(ROWS) % CLASSES
    points = centres[label] + 0.1 * torch.randn(ROWS, 16, generator=draw)
    return normalize(points, dim=1), label.numpy()


def first(count: int, source: Iterator[Ints]) -> Ints:
    return np.stack(list(islice(source, count)))


def same_class(found: Ints, label: np.ndarray) -> float:
    """Mean share of the pairs within a batch that are of one class."""
    kind = label[found]
    pairs = (kind[:, :, None] == kind[:, None, :]).sum(axis=(1, 2)) - found.shape[1]
    return float(pairs.mean() / (found.shape[1] * (found.shape[1] - 1)))


def test_ranked_rows_are_by_similarity_without_the_row_itself() -> None:
    points, _ = clustered()
    found = ranked_rows(points, points, 5)
    score = (points @ points.T).fill_diagonal_(-2)
    for row in range(ROWS):
        assert found[row].tolist() == score[row].argsort(descending=True)[:5].tolist()
    assert ranked_rows(points[:3], points[:3], 4)[:, 2:].tolist() == [[-1, -1]] * 3


def test_mutual_keeps_what_both_name() -> None:
    graph = mutual(np.array([[1, 2], [0, -1], [1, 0], [0, 1]]))
    assert [part.tolist() for part in graph] == [[1, 2], [0], [0], []]


def test_grown_communities_hold_every_row_once_and_follow_the_edges() -> None:
    points, label = clustered()
    graph = mutual(ranked_rows(points, points, 11))
    line = grow(graph, 12, np.random.default_rng(0))
    assert sorted(line) == list(range(ROWS))
    assert same_class(line.reshape(-1, 12), label) > 0.95
    lonely = grow([np.empty(0, np.int64)] * ROWS, 12, np.random.default_rng(0))
    assert sorted(lonely) == list(range(ROWS))
    assert same_class(lonely.reshape(-1, 12), label) < 0.25
    assert (line == grow(graph, 12, np.random.default_rng(0))).all()


def test_law_b3_with_communities_of_one_is_random_batches() -> None:
    plain, mined = batches(ROWS, 10, 3), community_batches(np.arange(ROWS), 1, 10, 3)
    assert (first(20, mined) == first(20, plain)).all()


def test_batches_hold_whole_communities_and_every_row_at_most_once_an_epoch() -> None:
    line = np.random.default_rng(1).permutation(50)
    found = first(8, community_batches(line, 4, 12, seed=0))  # 12 communities, 4 batches
    for epoch in (found[:4], found[4:]):
        assert len(np.unique(epoch)) == 48
    whole = {tuple(part) for part in line[:48].reshape(-1, 4).tolist()}
    assert {tuple(part) for part in found.reshape(-1, 4).tolist()} == whole
    assert (found[:4] != found[4:]).any()


def test_neighbours_are_the_nearest_of_the_drawn_rows() -> None:
    points, _ = clustered()
    every = sparse_neighbours(points, points, ROWS, 6, np.random.default_rng(0))
    assert (every == ranked_rows(points, points, 6)).all()
    few = sparse_neighbours(points, points, 20, 6, np.random.default_rng(0))
    assert (few != every).any()
    assert (few != np.arange(ROWS)[:, None]).all()


def test_law_batch_sampler_that_always_restarts_visits_the_starts_neighbours() -> None:
    points, _ = clustered()
    near = ranked_rows(points, points, 9)
    rng = np.random.default_rng(0)
    for start in range(0, ROWS, 7):
        seen = walk(near, start, 10, 1.0, np.ones(ROWS, np.bool_), rng)
        assert seen[0] == start
        assert set(seen[1:]) == set(near[start].tolist())
    wandered = [walk(near, 0, 10, 0.0, np.ones(ROWS, np.bool_), rng) for _ in range(5)]
    assert any(set(w[1:]) != set(near[0].tolist()) for w in wandered)


def test_a_walk_visits_free_rows_once_though_it_is_fenced_in() -> None:
    near = np.array([[1], [0], [3], [2]])
    for seed in range(5):
        free = np.ones(4, np.bool_)
        assert sorted(walk(near, 0, 4, 0.5, free, np.random.default_rng(seed))) == [0, 1, 2, 3]
        assert not free.any()


def test_the_order_of_small_bandwidth_keeps_classes_together() -> None:
    points, label = clustered()
    shuffled = np.random.default_rng(0).permutation(ROWS)
    near = ranked_rows(points[shuffled], points[shuffled], 8)
    line = close_together(near)
    assert sorted(line) == list(range(ROWS))
    kind = label[shuffled]
    assert same_class(line.reshape(-1, 12), kind) > 3 * same_class(
        np.arange(ROWS).reshape(-1, 12), kind
    )
    found = first(14, cut(line, 13, seed=0))
    for epoch in (found[:7], found[7:]):
        assert len(np.unique(epoch)) == 91
    assert (np.sort(found[:7].ravel()) != np.sort(found[7:].ravel())).any()


def test_a_line_of_clusters_goes_on_to_the_nearest_that_is_left() -> None:
    points, _ = clustered()
    for start in (0, 5, 95):
        order, left = [start], set(range(ROWS)) - {start}
        while left:
            here = points[order[-1]]
            order.append(max(left, key=lambda j: (float(here @ points[j]), -j)))
            left.remove(order[-1])
        assert in_line(points, start) == order


def test_packed_batches_hold_a_cluster_and_its_neighbours() -> None:
    points, label = clustered()
    centroids = torch.stack([points[label == kind].mean(dim=0) for kind in range(CLASSES)])
    found = first(16, packed_batches(label, normalize(centroids, dim=1), 12, seed=0))
    for epoch in (found[:8], found[8:]):
        assert sorted(epoch.ravel()) == list(range(ROWS))
        assert same_class(epoch, label) == 1.0  # twelve rows a class
    wide = first(6, packed_batches(label, normalize(centroids, dim=1), 16, seed=0))
    assert all(len(set(label[batch].tolist())) <= 3 for batch in wide)
    one = packed_batches(np.zeros(ROWS, np.int64), points[:1], 10, 3)
    assert len(np.unique(first(9, one))) == 90


def test_places_count_the_documents_nearer_than_ones_own() -> None:
    points, _ = clustered()
    anchors = clustered(1)[0]
    own = torch.arange(ROWS).roll(3)
    slow = [
        sum(float(a @ d) > float(a @ points[mine]) for d in points)
        for a, mine in zip(anchors, own.tolist(), strict=True)
    ]
    score = anchors @ points.T
    ties = (score - score.gather(1, own[:, None])).abs() < 1e-6
    found = places_of(anchors, points, own)
    assert ((found - torch.tensor(slow)).abs() <= ties.sum(dim=1) - 1).all()


def test_law_consistent_rows_are_nested_and_all_pass_at_the_number_of_documents() -> None:
    kept = []
    for k in (1, 3, 20, 120):
        under = training("static", make("pair_consistency", places=k))
        batch = first(30, under.feed)
        kept.append(set(batch.ravel().tolist()))
        assert under.cost["rows_inconsistent"] <= 120 - len(kept[-1])
    assert kept[0] <= kept[1] <= kept[2] <= kept[3]
    assert under.cost["rows_inconsistent"] == 0
    assert len(kept[0]) < len(kept[3]) == 120


def test_too_few_consistent_rows_are_an_error() -> None:
    world = training("static", "in_batch").world
    few = replace(world, batch_size=119)
    with pytest.raises(ValueError, match=r"pair_consistency: \d+ of 120 rows .* raise places"):
        consistent(few, {"places": 1, "teacher": ""})


def test_given_batches_are_read_in_order_and_wrong_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "batches.txt"
    path.write_text("0 1 2\n\n5 4 3\n")
    assert read_batches(path, 6, 3).tolist() == [[0, 1, 2], [5, 4, 3]]
    for text, message in (
        ("0 1 2\n0 1 6\n", r"line 2: '6' is no row; rows are 0 to 5"),
        ("0 1 -2\n", r"line 1: '-2' is no row"),
        ("0 1 x\n", r"line 1: 'x' is no row"),
        ("0 1 " + "9" * 6000, r"is no row"),
        ("0 1 1\n", r"line 1: row 1 is twice"),
        ("0 1\n", r"line 1 names 2 rows, but batch_size is 3"),
        ("\n", r"names no batch"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_batches(path, 6, 3)
    with pytest.raises(ValueError, match="there is no file"):
        read_batches(tmp_path / "none.txt", 6, 3)


def test_another_file_of_batches_makes_another_cell(tmp_path: Path) -> None:
    path = tmp_path / "batches.txt"
    digests = []
    for text in ("0 1 2\n", "0 1 3\n"):
        path.write_text(text)
        choice = resolve(samplers, "given_batches", {"file": str(path)})
        digests.append(_files(choice, make("given_batches", file=str(path))))
    assert digests[0]["sampler"] != digests[1]["sampler"]
    with pytest.raises(ValueError, match="there is no such file"):
        make("given_batches").fingerprint()  # type: ignore[attr-defined]


def test_communities_say_which_batches_they_do_not_fill() -> None:
    made: Any = make("communities", size=32)
    assert made.why_not(64) == ""
    assert made.why_not(48) == "communities of 32 rows do not fill batches of 48"


@pytest.mark.parametrize(
    ("sampler", "given"),
    [
        ("communities", {"size": 4, "skip": 2, "width": 10}),
        ("communities", {"size": 4, "skip": 0, "width": 10, "then": "margin_mask"}),
        ("random_walk", {"among": 40, "neighbours": 10}),
        ("bandwidth", {"neighbours": 5, "then": "mixed"}),
        ("packed", {"rows_per_cluster": 8.0, "then": "guided[curated=exempt]"}),
        ("pair_consistency", {"places": 60}),
        ("topic", {"texts_per_cluster": 20.0, "then": "balanced[k=3]"}),
    ],
)
def test_a_training_in_mined_batches_is_decided_by_its_seed(
    sampler: str, given: dict[str, Any]
) -> None:
    losses = [training("static", make(sampler, **given)).finish().training["loss"] for _ in "12"]
    assert (losses[0] == losses[1]).all()
    assert np.isfinite(losses[0]).all()
    assert (losses[0] != training("static", "in_batch").finish().training["loss"]).any()


def test_a_training_takes_the_batches_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "batches.txt"
    rows = np.random.default_rng(0).permutation(120).reshape(15, 8)
    path.write_text("\n".join(" ".join(map(str, row)) for row in rows.tolist()))
    under = training("static", make("given_batches", file=str(path)))
    assert (first(16, under.feed) == np.concatenate([rows, rows[:1]])).all()
