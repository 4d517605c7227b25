"""A step never waits for its device: with tensors that hold no numbers it runs all the same."""

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch
from made_training import CPU, method, one_by_one, opened
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.contrast.views import Texts, embed_texts
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.encoders import Encoder, TokenTable, encoders, token_table
from nsbench.benchmarks.training.optimizer import Optimizer
from nsbench.benchmarks.training.replay.graphs import Watch
from nsbench.benchmarks.training.step import Batch
from nsbench.benchmarks.training.train import Training, batch_of
from nsbench.samplers._waits import Assignments
from tools.timing.tape import SOFTWARE, modes

ELSEWHERE = torch.device("meta")
CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("tiny", "hard", "in_batch", {}),
    ("tiny", "random", "queue", {"size": 20}),
    ("tiny", "semi_hard", "memory", {"size": 20, "views": "both"}),
    ("tiny", "distance_weighted", "corpus", {"shortage": "fewer", "negatives": 2, "depth": 4}),
    ("tiny", "guided", "in_batch", {}),
    ("tiny", "mixed", "in_batch", {}),
    ("static", "hard", "in_batch", {}),
    ("tiny", "semi_hard", "in_batch", {"objective": "learned"}),
    ("tiny", "hard", "in_batch", {"objective": "spread_out"}),
    ("tiny", "rank_weighted", "in_batch", {"objective": "listwise_kd"}),
    ("static", "fn_cancel", "in_batch", {"objective": "debiased"}),
    ("static", "incremental", "in_batch", {}),
    ("static", "debiased", "memory", {"size": 20}),
]


def under_way(
    encoder: str, sampler: str, pool: str, params: dict[str, Any]
) -> tuple[Training, Batch]:
    """A training of fixed shapes after two steps, and the batch of the third."""
    data = datasets.make("planted", rows=60)()
    made = encoders.make(encoder, dimension=16).build(data.texts, 0)
    params = dict(params)
    chosen = method(
        sampler,
        objective=params.pop("objective", "info_nce"),
        pool=candidates.make(pool, **params),
        views=([augmentations.make("token_cutoff")], [augmentations.make("embedding_dropout")]),
        directions="both",
        steps=50,
        max_length=32,
    )
    with modes(SOFTWARE):
        under = one_by_one(opened(made, data, chosen, every=10))
    steps = iter(under)
    assert [next(steps), next(steps)] == [0, 1]
    under.pool.refresh(2)
    under.extras.refresh(2, 50)
    return under, batch_of(under.world, chosen, next(under.feed), 2, under.pool)


@pytest.mark.parametrize(("encoder", "sampler", "pool", "params"), CASES)
def test_law_a_step_and_its_measures_read_nothing_from_the_device(
    encoder: str, sampler: str, pool: str, params: dict[str, Any]
) -> None:
    under, batch = under_way(encoder, sampler, pool, params)
    make_step, measures = under.make_step, under.measures
    with FakeTensorMode(allow_non_fake_inputs=True):
        stepped = make_step(batch)
        measures.add(20, stepped, measures.see(batch, stepped), make_step.pool)
    assert stepped.loss.shape == (16,)
    assert measures.difficulty.steps == [0, 0, 20]


def on(value: Any) -> Any:
    """A stand-in on another device for tensors, wherever an object holds them."""
    if isinstance(value, torch.Tensor):
        if isinstance(value, FakeTensor):
            return value
        made = torch.empty(value.shape, dtype=value.dtype, device=ELSEWHERE)
        return nn.Parameter(made) if isinstance(value, nn.Parameter) else made
    if isinstance(value, Encoder | nn.Module):
        for module in value.modules():
            for held in (module._parameters, module._buffers):
                for name, tensor in held.items():
                    if tensor is not None:
                        held[name] = on(tensor)  # type: ignore[assignment]
    return value


@pytest.mark.parametrize(("encoder", "sampler", "pool", "params"), CASES)
def test_law_on_another_device_nothing_is_read_and_nothing_is_brought(
    monkeypatch: pytest.MonkeyPatch, encoder: str, sampler: str, pool: str, params: dict[str, Any]
) -> None:
    under, batch = under_way(encoder, sampler, pool, params)
    make_step, measures = under.make_step, under.measures
    # The stand-in device is none for which torch has a fused optimizer; of its call we see that
    # all it is given is on the device.
    adam = importlib.import_module("torch.optim.adam")
    monkeypatch.setattr(adam, "_device_dtype_check_for_fused", lambda *a, **k: None)

    def fused(*lists: list[torch.Tensor], lr: torch.Tensor, **settings: Any) -> None:
        assert {t.device for part in lists for t in part} | {lr.device} == {ELSEWHERE}

    monkeypatch.setattr(torch, "_fused_adamw_", fused)
    world, watch = make_step.world, Watch()
    with FakeTensorMode(allow_non_fake_inputs=True):
        on(world.encoder)
        on(make_step.numbers)
        tokens: TokenTable = world.tokens
        for name in ("ids", "device_lengths"):
            object.__setattr__(tokens, name, on(getattr(tokens, name)))
        object.__setattr__(world, "device", ELSEWHERE)
        holders = [make_step.known, make_step.extras, measures.histograms]
        if make_step.extras.clusters is not None:
            holders.append(make_step.extras.clusters)
        for holder in holders:
            for name, value in vars(holder).items():
                setattr(holder, name, on(value))
        make_step.optimizer = Optimizer(
            make_step.numbers.added_to(world.encoder),
            learning_rate=1e-3,
            weight_decay=0.1,
            clip=1.0,
            sparse=world.encoder.sparse,
            fixed=True,
        )

        def texts(given: Texts | None) -> Any:
            return None if given is None else replace(given, ids=on(given.ids))

        given = replace(
            batch,
            rows=on(batch.rows),
            texts1=texts(batch.texts1),
            texts2=texts(batch.texts2),
            more=texts(batch.more),
            owned=None if batch.owned is None else tuple(map(on, batch.owned)),
            stored=None
            if batch.stored is None
            else type(batch.stored)(*(on(v) for v in vars(batch.stored).values())),
            mined_scores=on(batch.mined_scores),
            progress=on(batch.progress),
            rate=on(batch.rate),
        )
        make_step.draw = dict.fromkeys(make_step.draw)  # there are no generators for it here
        with watch, Assignments(watch.waits.append):
            stepped = make_step(given)
            seen = measures.see(given, stepped)
    assert watch.waits == []
    assert stepped.loss.device.type == stepped.norm.device.type == "meta"
    assert {value.device.type for value in seen.values()} == {"meta"}


def test_texts_are_as_wide_as_their_longest_and_empty_places_show_the_first() -> None:
    data = datasets.make("planted", rows=60)()
    encoder = encoders.make("tiny", dimension=16).build(data.texts, 0)
    tokens = token_table(encoder, data.texts, 32, CPU)
    numbers = torch.tensor([3, -1, 7])
    texts = Texts.of(tokens, numbers)
    longest = int(tokens.lengths[[3, 0, 7]].max())
    assert longest <= texts.width <= max(longest + 7, tokens.ids.shape[1])
    shown = embed_texts(encoder, tokens, numbers)
    assert torch.equal(shown, embed_texts(encoder, tokens, numbers.clamp(min=0)))
