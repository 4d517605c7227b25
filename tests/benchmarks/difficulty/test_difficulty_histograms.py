"""Streaming histograms count every pair, and can be subtracted."""

import numpy as np
import pandas as pd
import pytest
import torch

from nsbench.benchmarks.difficulty.gradient import softmax_weights
from nsbench.benchmarks.difficulty.histograms import (
    PERCENTILE_BINS,
    SIMILARITY_BINS,
    Histograms,
    joined_histograms,
)
from nsbench.benchmarks.records import HISTOGRAM_COLUMNS
from nsbench.samplers import Selection, SimilarityContext
from nsbench.samplers._contexts import make_context


def batch(seed: int) -> tuple[SimilarityContext, Selection]:
    context = make_context(10, 40, needs=(), seed=seed)
    draw = torch.Generator().manual_seed(seed)
    keep = torch.rand(context.similarity.shape, generator=draw) < 0.4
    return context, Selection(mask=context.negative_mask & keep)


def counts(table: pd.DataFrame, quantity: str, step: int) -> np.ndarray:
    part = table[(table["quantity"] == quantity) & (table["step"] == step)]
    return part.sort_values("bin_low")["count"].to_numpy()


def test_counts_equal_numpy_and_windows_are_differences() -> None:
    histograms = Histograms(torch.device("cpu"))
    batches = [batch(seed) for seed in range(4)]
    for step, (context, selection) in enumerate(batches):
        histograms.add(context, selection)
        if step in (1, 3):
            histograms.keep(step)
    table = histograms.table()
    assert tuple(table.columns) == HISTOGRAM_COLUMNS
    assert not table.duplicated(["step", "quantity", "bin_low"]).any()

    edges = np.linspace(-1, 1, SIMILARITY_BINS + 1)
    places = np.linspace(0, 1, PERCENTILE_BINS + 1)
    names = (
        "positive_similarity",
        "candidate_similarity",
        "chosen_similarity",
        "chosen_percentile",
        "chosen_percentile_weighted",
    )
    wanted = dict.fromkeys(names, 0.0)
    for context, selection in batches[2:]:
        s = context.similarity.numpy()
        # A little above the exact place, so that float error moves none below its edge.
        percentile = ((context.ranks() + 0.5).double() / context.eligible).numpy() + 1e-9
        q = softmax_weights(context, selection).numpy()
        chosen = selection.mask.numpy()
        wanted["positive_similarity"] += np.histogram(context.positive_similarity, edges)[0]
        wanted["candidate_similarity"] += np.histogram(s[context.negative_mask.numpy()], edges)[0]
        wanted["chosen_similarity"] += np.histogram(s[chosen], edges)[0]
        wanted["chosen_percentile"] += np.histogram(percentile[chosen], places)[0]
        weighted = np.histogram(percentile.ravel(), places, weights=q.ravel())[0]
        wanted["chosen_percentile_weighted"] += weighted
    for name in names:
        window = counts(table, name, 3) - counts(table, name, 1)
        assert window == pytest.approx(wanted[name], abs=1e-5), name


def test_extremes_stay_inside() -> None:
    context, selection = batch(0)
    context = context.replace(similarity=context.similarity.sign() * 1.0000001)
    histograms = Histograms(torch.device("cpu"))
    histograms.add(context, selection)
    histograms.keep(0)
    found = counts(histograms.table(), "candidate_similarity", 0)
    assert found[[0, -1]].sum() == int(context.negative_mask.sum())


def test_phases_carry_counts_over() -> None:
    def one(steps: tuple[int, ...], values: tuple[float, ...]) -> pd.DataFrame:
        rows = [(s, "chosen_similarity", 0.0, v) for s, v in zip(steps, values, strict=True)]
        return pd.DataFrame(rows, columns=list(HISTOGRAM_COLUMNS))

    empty = one((), ())
    found = joined_histograms([(0, one((0, 9), (1, 5))), (10, empty), (20, one((0,), (3,)))])
    assert found["step"].tolist() == [0, 9, 20]
    assert found["count"].tolist() == [1, 5, 8]


def test_histograms_never_wait_for_the_device() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    context, selection = batch(1)
    with FakeTensorMode() as mode:
        histograms = Histograms(torch.device("cpu"))
        mask = mode.from_tensor(selection.mask)
        histograms.add(context.map(mode.from_tensor), Selection(mask=mask))
        histograms.keep(0)
