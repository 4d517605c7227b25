"""How old a pool's candidates are, in pools that really train, and against plain loops."""

import numpy as np
import pytest
import torch
from made_training import context_of
from torch.nn import functional

from nsbench.benchmarks.contrast.context import Further, lay_out, owners
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.difficulty.staleness import mined_statistics, stored_statistics
from nsbench.samplers import SimilarityContext


def unit(rows: int, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, 12, generator=draw), dim=-1)


@pytest.mark.parametrize("share", ["own", "batch"])
@pytest.mark.parametrize("given", [0, 1])
def test_mined_columns_equal_loops(share: str, given: int) -> None:
    data = datasets.make("planted", rows=90)()
    size, m = 10, 2
    texts = [torch.from_numpy(ids[:size]) for ids in (data.anchor, data.positive)]
    more = torch.from_numpy(data.anchor[size : size + size * (given + m)])
    contrast = lay_out(
        unit(size, 0),
        unit(size, 1),
        *texts,
        both=False,
        further=Further(unit(len(more), 2), more, *owners(size, given, m, share=share)),
    )
    context = context_of(contrast, data)
    then = torch.linspace(-0.5, 0.5, size * m)
    then[3] = torch.nan
    found = mined_statistics(context, contrast, then)
    now, before, place = [], [], []
    for row in range(size):
        able = [j for j in range(len(contrast.columns)) if context.negative_mask[row, j]]
        ranking = sorted(able, key=lambda j: -float(context.similarity[row, j]))
        for k in range(m):
            column = size + size * given + row * m + k
            assert column in able
            place.append((ranking.index(column) + 0.5) / len(able))
            if row * m + k != 3:
                now.append(float(context.similarity[row, column]))
                before.append(float(then[row * m + k]))
    assert found["mined_percentile"][0].item() == pytest.approx(np.mean(place), abs=1e-6)
    assert found["mined_similarity"][0].item() == pytest.approx(np.mean(now), abs=1e-6)
    assert found["mined_similarity_then"][0].item() == pytest.approx(np.mean(before), abs=1e-6)
    assert found["mined_similarity"][-1] == size * m - 1
    assert "mined_false_negative" not in found
    truth = torch.zeros(context.similarity.shape, dtype=torch.bool)
    truth[0, size + size * given] = True  # the first row's first mined text
    truth[0, 1] = True  # a text of the batch
    judged = mined_statistics(context.replace(truth=truth), contrast, then)
    assert judged["mined_false_negative"][0].item() == pytest.approx(1 / (size * m))


def test_nothing_mined_nothing_said() -> None:
    data = datasets.make("planted", rows=10)()
    texts = [torch.from_numpy(ids) for ids in (data.anchor, data.positive)]
    contrast = lay_out(unit(10, 0), unit(10, 1), *texts, both=False)
    similarity = contrast.anchors @ contrast.columns.T
    context = SimilarityContext(similarity, contrast.positive, similarity < 2)
    assert mined_statistics(context, contrast, None) == {}


def test_fresh_keys_are_recognised_and_random_ones_are_not() -> None:
    today, texts = unit(32, 3), torch.arange(32)
    fresh = stored_statistics(functional.normalize(today + 0.05 * unit(32, 4), dim=1), today, texts)
    assert fresh["stored_recognised"][0] == 1
    assert fresh["stored_drift"][0] < 0.01
    other = stored_statistics(unit(32, 5), today, texts)
    assert other["stored_recognised"][0] < 0.2  # 1 in 32 by chance
    assert other["stored_drift"][0] == pytest.approx(1, abs=0.2)


def test_equal_texts_recognise_each_other() -> None:
    today = unit(4, 6).repeat(2, 1)
    found = stored_statistics(today, today, torch.arange(4).repeat(2))
    assert found["stored_recognised"][0] == 1
