"""Recorded and replayed steps are the steps that would have been made."""

import logging
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from made_training import CPU, one_by_one, same, training
from torch import Tensor

from nsbench.benchmarks.contrast.distributed import team
from nsbench.benchmarks.contrast.views import Texts
from nsbench.benchmarks.contrast.world import Stored
from nsbench.benchmarks.training.optimizer import NamedRowAdam, Optimizer, RowAdam
from nsbench.benchmarks.training.replay.capture import (
    GRAPHS,
    VARIABLE,
    Captured,
    _fed,
    fill,
    held,
    recorder,
    replay_mode,
    shape_of,
)
from nsbench.benchmarks.training.replay.graphs import WaitError
from nsbench.benchmarks.training.step import Batch
from nsbench.benchmarks.training.train import Training
from nsbench.samplers import Selection, SimilarityContext
from tools.timing.tape import SOFTWARE, modes

Views = tuple[list[Any], list[Any]]
CASES: dict[str, tuple[str, str, str, dict[str, Any], tuple[str, ...]]] = {
    "transformer": ("tiny", "hard", "in_batch", {}, ("dropout",)),
    "table": ("static", "semi_hard", "in_batch", {}, ("token_cutoff", "embedding_dropout")),
    "attack": ("tiny", "in_batch", "in_batch", {}, ("adversarial",)),
    "queue": ("tiny", "random", "queue", {"size": 16}, ("token_shuffle",)),
    "mined": ("static", "hard", "corpus", {"shortage": "fewer", "negatives": 2, "depth": 4}, ()),
    "clusters": ("static", "incremental", "in_batch", {}, ("eda_swap",)),
    "made negatives": ("tiny", "mixed", "in_batch", {}, ("feature_cutoff",)),
    "schedule": ("static", "curriculum", "in_batch", {}, ()),
    "official": ("static", "median_triplet", "in_batch", {}, ("dropout",)),
}


class Waits:
    """A sampler that asks the device for a number."""

    def __call__(self, context: SimilarityContext) -> Selection:
        assert float(context.similarity.max()) < 2
        return Selection(context.negative_mask)


def finished(case: str, change: Callable[[Training], object] = lambda under: None) -> Training:
    """A training at its end; the process's random numbers stay as they were."""
    with torch.random.fork_rng():
        under = training(*CASES[case])
        change(under)
        under.finish()
    return under


@pytest.mark.parametrize("case", CASES)
def test_law_a_replayed_training_equals_one_made_step_by_step(software: None, case: str) -> None:
    replayed, plain = finished(case), finished(case, one_by_one)
    assert isinstance(replayed.run, Captured)
    assert replayed.run.replayed >= 2
    assert replayed.run.waits == []
    same(replayed, plain)


@pytest.mark.parametrize("encoder", ["tiny", "static"])
def test_fixed_shapes_change_only_rounding(encoder: str) -> None:
    usual = training(encoder, "hard", views=("token_cutoff",)).finish().training
    with modes(SOFTWARE):
        fixed = training(encoder, "hard", views=("token_cutoff",)).finish().training
    np.testing.assert_allclose(fixed["loss"], usual["loss"], rtol=0, atol=2e-5)
    np.testing.assert_allclose(fixed["gradient_norm"], usual["gradient_norm"], rtol=1e-3)


def test_a_held_batch_is_filled_with_all_that_is_new_and_shares_what_a_pool_keeps() -> None:
    def batch(start: int) -> Batch:
        def numbers(count: int) -> Tensor:
            return torch.arange(start, start + count)

        return Batch(
            rows=numbers(2),
            texts1=Texts(numbers(2), numbers(2), 8),
            texts2=Texts(numbers(2), numbers(2) + 1, 8),
            more=Texts(numbers(3), numbers(3) + 2, 8),
            owned=(numbers(3), numbers(3) > start),
            stored=Stored(kept, kept[:, 0].long(), numbers(4) % 2 == 0),
            mined_scores=numbers(3).float(),
            progress=torch.tensor(start / 10),
            rate=torch.tensor(start / 20, dtype=torch.float64),
        )

    kept = torch.zeros(4, 2)
    one, two = batch(0), batch(5)
    still = held(one)
    assert shape_of(one) == shape_of(still)
    assert still.stored.embeddings is kept
    fill(still, two)
    for mine, new, old in zip(_fed(still), _fed(two), _fed(one), strict=True):
        assert torch.equal(mine, new)
        assert mine.data_ptr() != old.data_ptr()
    assert len(_fed(still)) == 10
    assert shape_of(one) != shape_of(replace(one, more=None, owned=None))
    assert shape_of(one) != shape_of(replace(one, stored=Stored(kept[:2], one.rows, one.rows > 0)))


def test_a_training_goes_on_in_the_middle_and_ends_the_same(software: None) -> None:
    whole = finished("table")
    with torch.random.fork_rng():
        first = training(*CASES["table"])
        for step in first:
            if step == 6:
                break
        kept = deepcopy(first.state())
    same(whole, finished("table", lambda under: under.load(kept)))


def test_a_sampler_that_waits_is_refused_where_recording_was_asked_for(software: None) -> None:
    with pytest.raises(WaitError, match=r"NSBENCH_REPLAY asks for recorded steps.*on the host"):
        training("static", Waits()).finish()


def test_a_sampler_that_waits_is_named_and_never_recorded(
    software: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    under = training("static", Waits())
    monkeypatch.setenv(VARIABLE, "auto")
    under.run = recorder(under._run, SOFTWARE, [])
    with caplog.at_level(logging.WARNING):
        under.finish()
    assert isinstance(under.run, Captured)
    assert under.run.recorded == under.run.replayed == 0
    assert [r.message for r in caplog.records] == [
        "steps are made one by one, not recorded: aten._local_scalar_dense.default needs numbers "
        "of the device on the host"
    ]


def test_a_table_moves_alike_whether_its_gradient_is_sparse_or_dense() -> None:
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(12, 4, generator=draw)
    rows = [torch.randint(12, (5,), generator=draw) for _ in range(6)]
    wanted = [torch.randn(5, 4, generator=draw) for _ in range(6)]

    def moved(dense: bool) -> Tensor:
        table = torch.nn.Parameter(start.clone())
        table.named = torch.zeros(12)  # type: ignore[attr-defined]
        optimizer = (NamedRowAdam if dense else RowAdam)([table], lr=0.1)
        for ids, aim in zip(rows, wanted, strict=True):
            table.named.index_fill_(0, ids, 1.0)  # type: ignore[attr-defined]
            found = torch.nn.functional.embedding(ids, table, sparse=not dense)
            (found * aim).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return table.detach()

    sparse, dense = moved(False), moved(True)
    assert torch.allclose(sparse, dense, atol=1e-6)
    untouched = sorted(set(range(12)) - set(torch.cat(rows).tolist()))
    assert untouched
    assert torch.equal(dense[untouched], start[untouched])


def test_a_recorded_optimizer_reads_its_rate_where_it_stands() -> None:
    layer = torch.nn.Linear(2, 1, bias=False)
    optimizer = Optimizer(layer, learning_rate=0.5, weight_decay=0.0, clip=0.0, fixed=True)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step(torch.tensor(0.25, dtype=torch.float64))
    assert optimizer.rate.item() == 0.125


@pytest.mark.parametrize(
    ("wanted", "device", "chunk", "mode"),
    [
        ("", "cpu", 0, "never"),
        ("auto", "cuda", 0, "graph"),
        ("auto", "cuda", 16, "never"),
        ("never", "cuda", 0, "never"),
    ],
)
def test_the_mode_follows_from_the_device_unless_said(
    monkeypatch: pytest.MonkeyPatch, wanted: str, device: str, chunk: int, mode: str
) -> None:
    monkeypatch.setenv(VARIABLE, wanted)
    assert team().size == 1
    assert replay_mode(torch.device(device), chunk) == mode


def test_a_mode_that_is_none_or_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "grph")
    with pytest.raises(ValueError, match=r"'grph'.*graph") as error:
        replay_mode(CPU)
    assert all(mode in str(error.value) for mode in ("auto", "never", *GRAPHS))
    monkeypatch.setenv(VARIABLE, "graph")
    with pytest.raises(ValueError, match="needs a CUDA device, not cpu"):
        replay_mode(CPU)
