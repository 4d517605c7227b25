"""Difficulty statistics against plain numpy, and their laws (methods: statistics)."""

import math

import numpy as np
import pytest
import torch

from nsbench.benchmarks.difficulty.gradient import softmax_weights
from nsbench.benchmarks.difficulty.statistics import DifficultyLog, flatten, statistics, summary
from nsbench.benchmarks.records import DIFFICULTY_COLUMNS
from nsbench.samplers import Selection, SimilarityContext


def context(similarity: torch.Tensor, temperature: float = 0.1) -> SimilarityContext:
    size = similarity.shape[0]
    positive = torch.arange(size)
    mask = torch.ones_like(similarity, dtype=torch.bool)
    mask[positive, positive] = False
    return SimilarityContext(
        similarity=similarity, positive=positive, negative_mask=mask, temperature=temperature
    )


def test_summary_equals_numpy() -> None:
    torch.manual_seed(0)
    values = torch.rand(40, 50) * 2 - 1
    mask = torch.rand(40, 50) < 0.3
    found = summary(values, mask, -1, 1)
    chosen = values[mask].double().numpy()
    assert found[0].item() == pytest.approx(chosen.mean(), abs=1e-9)
    assert found[1].item() == pytest.approx(chosen.std(), abs=1e-9)
    wanted = np.quantile(chosen, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99], method="inverted_cdf")
    assert np.abs(found[2:9].numpy() - wanted).max() <= 2 / 2048
    assert found[-1].item() == len(chosen)


def test_summary_of_nothing_is_nan_with_count_zero() -> None:
    found = summary(torch.rand(3, 3), torch.zeros(3, 3, dtype=torch.bool), 0, 1)
    assert found[-1].item() == 0
    assert torch.isnan(found[:-1]).all()


def test_statistics_equal_a_loop() -> None:
    torch.manual_seed(1)
    c = context(torch.rand(6, 9) * 2 - 1)
    selection = Selection(mask=c.negative_mask & (torch.rand(6, 9) < 0.5))
    margins, percentiles, effective, false = [], [], [], []
    truth = torch.rand(6, 9) < 0.3
    found = statistics(c.replace(truth=truth), selection)
    for i in range(6):
        eligible = [j for j in range(9) if c.negative_mask[i, j]]
        ranking = sorted(eligible, key=lambda j: -c.similarity[i, j].item())
        chosen = [j for j in range(9) if selection.mask[i, j]]
        weights = [math.exp(c.similarity[i, j].item() / 0.1) for j in chosen]
        q = [w / sum(weights) for w in weights]
        effective.append(math.exp(-sum(x * math.log(x) for x in q)))
        for j in chosen:
            margins.append(c.similarity[i, i].item() - c.similarity[i, j].item())
            percentiles.append((ranking.index(j) + 0.5) / len(eligible))
            false.append(bool(truth[i, j]))
    assert found["margin"][0].item() == pytest.approx(np.mean(margins), abs=1e-6)
    assert found["violation"][0].item() == pytest.approx(np.mean(np.array(margins) < 0))
    assert found["chosen_percentile"][0].item() == pytest.approx(np.mean(percentiles))
    assert found["effective_negatives"][0].item() == pytest.approx(np.mean(effective), rel=1e-5)
    assert found["false_negative"][0].item() == pytest.approx(np.mean(false))


def test_law_identical_negatives_have_full_ess() -> None:
    c = context(torch.full((5, 8), 0.3))
    found = statistics(c, Selection(mask=c.negative_mask))
    assert found["effective_negatives"][0].item() == pytest.approx(7, rel=1e-5)
    assert found["effective_negatives_kish"][0].item() == pytest.approx(7, rel=1e-5)


def test_law_ess_is_between_one_and_n_and_perplexity_at_least_kish() -> None:
    torch.manual_seed(2)
    for temperature in (0.01, 0.05, 0.5):
        c = context(torch.rand(20, 30) * 2 - 1, temperature)
        q = softmax_weights(c, Selection(mask=c.negative_mask))
        kish = 1 / q.square().sum(1)
        perplexity = torch.exp(-(q * q.clamp(min=1e-30).log()).sum(1))
        assert (kish >= 1 - 1e-4).all()
        assert (perplexity <= 29 + 1e-3).all()
        assert (perplexity >= kish - 1e-3).all()


def test_empty_rows_are_counted_and_never_nan() -> None:
    c = context(torch.rand(4, 6))
    mask = c.negative_mask.clone()
    mask[2] = False
    found = statistics(c, Selection(mask=mask))
    assert found["empty_rows"][0].item() == 0.25
    assert math.isfinite(found["effective_negatives"][0].item())


def test_statistics_never_wait_for_the_device() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    real = context(torch.rand(4, 6))
    with FakeTensorMode() as mode:
        fake = real.map(mode.from_tensor).replace(truth=mode.from_tensor(torch.rand(4, 6) < 0.5))
        found = statistics(fake, Selection(mask=fake.negative_mask, attract=fake.truth))
    assert found["margin"].shape == (len(DIFFICULTY_COLUMNS) - 2,)


def test_levels_are_flattened_to_their_union() -> None:
    mask = torch.tensor([[[True, False, True]], [[True, True, False]]])
    flat = flatten(Selection(mask=mask))
    assert flat.mask.tolist() == [[True, True, True]]
    assert flat.log_weight.exp().tolist() == [[1.0, 0.5, 0.5]]


def test_log_gives_one_row_per_step_and_quantity() -> None:
    log = DifficultyLog()
    c = context(torch.rand(4, 6))
    log.add(0, statistics(c, Selection(mask=c.negative_mask)))
    log.add(10, statistics(c, Selection(mask=c.negative_mask)))
    table = log.table()
    assert tuple(table.columns) == DIFFICULTY_COLUMNS
    assert sorted(set(table["step"])) == [0, 10]
    assert not table.duplicated(["step", "quantity"]).any()


def test_precision_and_recall_count_every_level() -> None:
    """Level 1 removes one false and one true negative, level 2 nothing: precision 1/2, recall 1/4.

    Two false negatives at two levels are four chances to remove one.
    """
    c = context(torch.rand(1, 5))  # column 0 is the positive
    truth = torch.tensor([[False, True, True, False, False]])
    keep = c.negative_mask.clone()
    first = keep.clone()
    first[0, 1] = first[0, 3] = False
    found = statistics(c.replace(truth=truth), Selection(mask=torch.stack([first, keep])))
    assert found["removed_precision"][0].item() == pytest.approx(1 / 2)
    assert found["removed_recall"][0].item() == pytest.approx(1 / 4)
    assert found["removed"][0].item() == pytest.approx(2 / 8)
