"""Agreement of rankings: against scipy and sets, and which cells are compared."""

import io

import numpy as np
import pandas as pd
import pytest
from made_results import make_cell, write_cell
from scipy.stats import spearmanr

from nsbench.analysis.figures.pictures import gather, pictures, render
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.agreement import agreement_table, rank_agreement, write_agreement
from nsbench.benchmarks.records import PROBE_COLUMNS, PROBE_HARDEST, ResultsFolder

TEXTS, ANCHORS, RANKED = 80, 40, 10
K = int(PROBE_HARDEST * TEXTS)


def scores(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ANCHORS, TEXTS))


def probe(values: np.ndarray) -> pd.DataFrame:
    rows = []
    for a in range(ANCHORS):
        ranking = [int(j) for j in np.argsort(-values[a]) if j != a]
        kept = ranking if a < RANKED else ranking[:K]
        rows += [(a, place, j) for place, j in enumerate(kept)]
    return pd.DataFrame(rows, columns=list(PROBE_COLUMNS)).astype("int16")


def test_agreement_equals_scipy_and_sets() -> None:
    one = scores(0)
    other = one + 0.7 * scores(1)
    rho, overlap, chance = rank_agreement(probe(one), probe(other))
    wanted, common = [], []
    for a in range(ANCHORS):
        able = np.arange(TEXTS) != a
        if a < RANKED:
            wanted.append(spearmanr(one[a, able], other[a, able]).statistic)
        left, right = (
            set(np.argsort(-np.where(able, v[a], -np.inf))[:K].tolist()) for v in (one, other)
        )
        common.append(len(left & right) / len(left | right))
    assert rho == pytest.approx(np.mean(wanted))
    assert overlap == pytest.approx(np.mean(common))
    expected = K * K / (TEXTS - 1)
    assert chance == pytest.approx(expected / (2 * K - expected))


def test_the_same_ranking_agrees_and_a_reversed_one_does_not() -> None:
    one = scores(2)
    assert rank_agreement(probe(one), probe(one))[:2] == (pytest.approx(1), 1)
    assert rank_agreement(probe(one), probe(-one))[:2] == (pytest.approx(-1), 0)


def test_independent_rankings_agree_by_chance_only() -> None:
    """The mean of 10 correlations of 79 ranks has standard error 1 / sqrt(780); four allowed."""
    rho, overlap, chance = rank_agreement(probe(scores(3)), probe(scores(4)))
    assert abs(rho) < 4 / np.sqrt(780)
    # Jaccard of one anchor has standard deviation below 0.08; forty anchors, four errors.
    assert abs(overlap - chance) < 4 * 0.08 / np.sqrt(40)


def test_other_texts_cannot_be_compared() -> None:
    small = probe(scores(5))
    assert np.isnan(rank_agreement(small, small[small["candidate"] < 60])[0])


@pytest.fixture
def material(tmp_path):
    folder = ResultsFolder(tmp_path / "r")
    base = scores(9)
    for layers in (0, 3):
        for sampler in ("no_training", "in_batch", "hard"):
            for seed in (0, 1):
                cell = make_cell(sampler, seed=seed)
                cell["encoder"]["params"]["layers"] = layers
                cell["labels"]["encoder"] = f"static(layers={layers})"
                paths = write_cell(folder, cell)
                if sampler == "no_training":
                    continue
                noise = {"in_batch": 0.0, "hard": 0.3}[sampler] * scores(20 + seed)
                probe(base + noise + (layers > 0) * 2 * scores(30)).to_parquet(paths.probe)
    return gather(load_results(folder.root))[0]


def test_seeds_baseline_and_encoders_are_compared(material, tmp_path) -> None:
    table = agreement_table(material.pools, material.probes)
    rows = table.set_index(["encoder", "sampler", "kind"])
    zero = "static(layers=0)"
    assert rows.loc[(zero, "in_batch", "seeds"), "rho"] == pytest.approx(1)
    assert 0.5 < rows.loc[(zero, "hard", "seeds"), "rho"] < 0.99
    assert rows.loc[(zero, "hard", "seeds"), "n_pairs"] == 1
    assert rows.loc[(zero, "hard", "baseline"), "n_pairs"] == 2
    other = rows.loc[(zero, "hard", "encoders")]
    assert (other["other"], other["n_pairs"]) == ("static(layers=3)", 2)
    assert other["rho"] < rows.loc[(zero, "hard", "baseline"), "rho"]
    assert (zero, "in_batch", "baseline") not in rows.index
    written = write_agreement(material.pools, material.probes, tmp_path)
    assert [p.name for p in written] == ["agreement.csv", "agreement.md"]
    assert "another encoder" in written[1].read_text()


def test_pictures_per_encoder(material) -> None:
    found = list(pictures(material, ["agreement"]))
    assert len(found) == 2
    for name, _, csv in found:
        assert "Spearman" in render(name, csv, "svg").decode()
        assert {"seeds", "baseline", "encoders"} == set(pd.read_csv(io.StringIO(csv))["kind"])


def test_nothing_to_compare_writes_nothing(build, tmp_path) -> None:
    material = gather(load_results(build(seeds=1)))[0]
    assert write_agreement(material.pools, material.probes, tmp_path) == []
