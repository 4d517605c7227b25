"""Overlap of samplers on shared batches: against sets, by chance, and from real cells."""

import io

import numpy as np
import pandas as pd
import pytest

from nsbench.analysis.figures.pictures import gather, pictures, render
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.overlap import overlap_table
from nsbench.analysis.tables.pools import pools
from nsbench.benchmarks.records import CHOICE_COLUMNS, ResultsFolder, read_record

TAKEN = {"in_batch": range(20), "random": range(10, 15), "hard": range(8, 13)}


def choices(sampler: str, seed: int, step: int) -> pd.DataFrame:
    """Four anchors of 20 candidates; hard makes one of its own, and its weights fall by half."""
    rows = []
    for place in range(4):
        taken = [100 * seed + i for i in TAKEN[sampler]] + ([-1] if sampler == "hard" else [])
        weight = np.full(len(taken), 1 / len(taken))
        if sampler == "hard":
            weight = 0.5 ** np.arange(1, len(taken) + 1)
            weight[-1] = 1 - weight[:-1].sum()
        for text, w in zip(taken, weight, strict=True):
            rows.append((step, place, place + 1000 * seed, 20, text, w))
    return pd.DataFrame(rows, columns=list(CHOICE_COLUMNS))


@pytest.fixture
def material(build):
    root = build(seeds=2)
    for paths in ResultsFolder(root).folders():
        cell = read_record(paths).cell
        name = cell["sampler"]["name"]
        if name == "no_training":
            continue
        late = choices("random" if name == "hard" else name, cell["seed"], 19)
        pd.concat([choices(name, cell["seed"], 0), late]).to_parquet(paths.choices)
    return gather(load_results(root))[0]


def test_pairs_equal_sets(material):
    table = overlap_table(material.pools[0], material.choices, "first")
    row = table.set_index(["sampler", "other"])
    # random took 10 to 14, hard 8 to 12 and one that it made: three in common, of eight.
    assert row.loc[("random", "hard"), "jaccard"] == pytest.approx(3 / 8)
    assert row.loc[("hard", "random"), "jaccard"] == pytest.approx(3 / 8)
    assert row.loc[("in_batch", "random"), "jaccard"] == pytest.approx(5 / 20)
    falling = 0.5 ** np.arange(1, 6)
    wanted = np.minimum(falling[2:], 0.2).sum()
    assert row.loc[("random", "hard"), "shared_weight"] == pytest.approx(wanted, abs=1e-6)
    # k = 5 and 6 of 20: 1.5 in common by chance, of 9.5.
    assert row.loc[("random", "hard"), "chance"] == pytest.approx(1.5 / 9.5)
    assert (table["n_seeds"] == 2).all()
    assert (table["n_anchors"] == 4 * 2 * 2).all()  # anchors, seeds, augmentations


def test_the_diagonal_is_one(material):
    for moment in ("first", "last"):
        table = overlap_table(material.pools[0], material.choices, moment)
        same = table[table["sampler"] == table["other"]]
        assert len(same) == 3
        assert np.allclose(same[["jaccard", "shared_weight"]], 1)


def test_the_last_batch_is_its_own(material):
    row = overlap_table(material.pools[0], material.choices, "last").set_index(["sampler", "other"])
    assert row.loc[("random", "hard"), "jaccard"] == 1


def test_other_anchors_do_not_count(material, build):
    root = build("other", seeds=1)
    for paths in ResultsFolder(root).folders():
        name = read_record(paths).cell["sampler"]["name"]
        if name in ("random", "hard"):
            table = choices(name, 0, 0)
            if name == "hard":  # as if its batches were of other texts, but for one
                table["anchor"] += 5000 * (table["place"] > 0)
            table.to_parquet(paths.choices)
    results = load_results(root)
    table = overlap_table(pools(results)[0], gather(results)[0].choices, "first")
    row = table.set_index(["sampler", "other"]).loc[("random", "hard")]
    assert row["n_anchors"] == 2  # one in each augmentation
    assert row["jaccard"] == pytest.approx(3 / 8)


def test_one_picture_per_moment(material):
    found = list(pictures(material, ["sampler_overlap"]))
    assert [stem for _, stem, _ in found] == ["sampler_overlap-first", "sampler_overlap-last"]
    for name, _, csv in found:
        assert "Jaccard" in render(name, csv, "svg").decode()
        assert set(pd.read_csv(io.StringIO(csv))["sampler"]) == set(TAKEN)


def test_broken_files_are_passed_over(build):
    root = build(seeds=1)
    for paths in ResultsFolder(root).folders():
        paths.choices.write_bytes(b"no parquet")
    assert list(pictures(gather(load_results(root))[0], ["sampler_overlap"])) == []
