"""The probe: the same questions for every cell of one data set, against plain loops."""

import numpy as np
import pytest
import torch
from scipy.stats import skew
from torch.nn import functional

from nsbench.benchmarks.contrast.context import Known
from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.difficulty.geometry import spectrum, uniformity
from nsbench.benchmarks.difficulty.probe import RANKED, Probe, probe_texts

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return datasets.make("planted", rows=200, false_negative_rate=0.2)()


def vectors(data: TrainingData, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(len(data.texts), 16, generator=draw), dim=-1)


def test_texts_depend_on_the_data_alone(data: TrainingData) -> None:
    first, again = probe_texts(data), probe_texts(data)
    other = probe_texts(datasets.make("planted", rows=201, false_negative_rate=0.2)())
    assert (first == again).all()
    assert len(other) != len(first) or (other != first).any()
    assert len(np.unique(data.group[first])) == len(first)


def test_looks_equal_loops(data: TrainingData) -> None:
    tables = [vectors(data, seed) for seed in (0, 1)]
    now = tables[0]
    probe = Probe(data, Known(data, CPU), lambda ids: now[ids], 40, CPU)
    first = probe.measure()
    assert first["probe_drift"][0].item() == pytest.approx(0, abs=1e-6)
    assert first["probe_overlap"][0].item() == 1
    now = tables[1]
    second = probe.measure()

    ids = probe_texts(data)
    anchors, k = len(ids) // 2, int(0.05 * len(ids))
    known = Known(data, CPU)

    def hardest(table: torch.Tensor, a: int) -> list[int]:
        able = [j for j in range(len(ids)) if apart[a, j]]
        return sorted(able, key=lambda j: -float(table[ids[a]] @ table[ids[j]]))

    left, right = torch.from_numpy(ids[:anchors]), torch.from_numpy(ids)
    apart = ~(known.twins(left, right) | known.pairs(left, right))
    overlaps, scores, places = [], [], []
    for a in range(anchors):
        start, end = hardest(tables[0], a), hardest(tables[1], a)
        top = start[:k]
        overlaps.append(len(set(top) & set(end[:k])) / len(set(top) | set(end[:k])))
        scores += [float(tables[1][ids[a]] @ tables[1][ids[j]]) for j in top]
        places += [(end.index(j) + 0.5) / len(end) for j in top]
    drift = 1 - (tables[0][ids] * tables[1][ids]).sum(1).mean()
    assert second["probe_overlap"][0].item() == pytest.approx(np.mean(overlaps), abs=1e-6)
    assert second["probe_start_hardest_similarity"][0].item() == pytest.approx(
        np.mean(scores), abs=1e-6
    )
    assert second["probe_start_hardest_percentile"][0].item() == pytest.approx(
        np.mean(places), abs=1e-6
    )
    assert second["probe_drift"][0].item() == pytest.approx(float(drift), abs=1e-6)
    stored = probe.ranking().set_index("anchor")["candidate"]
    for a in range(anchors):
        wanted = hardest(tables[1], a)
        assert stored[a].tolist() == (wanted if a < RANKED else wanted[:k])
    counts = np.bincount(
        [j for a in range(anchors) for j in hardest(tables[1], a)[:k]], minlength=len(ids)
    )
    assert second["probe_hubness"][0].item() == pytest.approx(skew(counts))
    rank = spectrum(tables[1][ids].numpy())["effective_rank"]
    assert second["probe_effective_rank"][0].item() == pytest.approx(rank, rel=1e-4)
    even = uniformity(tables[1][ids].numpy())
    assert second["probe_uniformity"][0].item() == pytest.approx(even, abs=1e-6)
    again = Probe(data, known, lambda ids: tables[0][ids], 40, CPU)
    again.load(probe.state())
    assert again.ranking().equals(probe.ranking())
    assert again.measure()["probe_overlap_with_start"][0].item() == 1
    assert again.measure()["probe_drift"][0].item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3, 40, 151])
def test_looks_end_with_the_training(data: TrainingData, steps: int) -> None:
    probe = Probe(data, Known(data, CPU), lambda ids: vectors(data, 0)[ids], steps, CPU)
    due = [step for step in range(steps) if probe.due(step)]
    assert due == ([] if steps == 1 else sorted(set(due)))
    assert steps == 1 or due[-1] == steps - 1
    assert 0 not in due
