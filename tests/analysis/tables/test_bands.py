"""Band ablation: the table, the sentences made of it and the picture."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from made_results import TASKS, make_cell, table_of, write_cell, write_matrix

from nsbench.analysis.figures.pictures import gather, pictures
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.bands import band_table, band_tables, claims
from nsbench.benchmarks.records import ResultsFolder, read_record

EDGES = (0.0, 0.05, 0.5, 1.0)


def level(cell):
    """Hard negatives help: more with the hardest 5 % alone, much less without them."""
    name, params = cell["sampler"]["name"], cell["sampler"]["params"]
    if name == "band":
        return 0.62 if params["low"] == 0 else 0.55 - 0.05 * params["low"]
    if name == "drop_band":
        return 0.55 if params["low"] == 0 else 0.6
    return {"in_batch": 0.6, "no_training": 0.54, "random": 0.58}[name]


def bands_folder(root, hardest_only=0.62):
    cells = []
    for seed in range(4):
        cells += [make_cell(s, "none", seed) for s in ("in_batch", "no_training")]
        cells.append(make_cell("random", "none", seed, k=3))
        for low, high in pairwise(EDGES):
            cells += [make_cell(s, "none", seed, low=low, high=high) for s in ("band", "drop_band")]
    folder = ResultsFolder(root)
    write_matrix(folder, cells)
    for cell in cells:
        base = level(cell)
        if cell["sampler"]["name"] == "band" and cell["sampler"]["params"]["low"] == 0:
            base = hardest_only
        luck = np.random.default_rng(len(str(cell))).normal(scale=1e-4) + 0.001 * cell["seed"]
        jitter = 0.0005 * ((cell["seed"] * 7 + len(str(cell["sampler"]))) % 3)
        write_cell(folder, cell, scores=dict.fromkeys(TASKS, base + luck + jitter))
    return root


@pytest.fixture
def material(tmp_path):
    return gather(load_results(bands_folder(tmp_path / "bands")))[0]


def bands_of(material):
    return band_table(material.pools[0], material.board.rows)


def test_one_row_per_arm_and_reference(material):
    table = bands_of(material)
    arms = table["arm"].value_counts()
    assert arms["keep"] == arms["drop"] == len(EDGES) - 1
    assert set(arms.index) == {"keep", "drop", "all negatives", "untrained", "random"}
    keep = table[(table["arm"] == "keep") & (table["low"] == 0)].iloc[0]
    assert keep["high"] == 0.05
    assert keep["mean"] == pytest.approx(62, abs=0.4)
    assert keep["difference_low"] > 0
    assert table.loc[table["arm"] == "random", "k"].item() == 3


def test_the_text_follows_the_numbers(material, tmp_path):
    text = " ".join(claims(bands_of(material).assign(candidates=60.0)))
    assert "hardest 5 % alone are sufficient here, and better than all" in text
    assert "hardest 5 % are necessary here" in text
    assert "3 random negatives" in text
    other = gather(load_results(bands_folder(tmp_path / "other", hardest_only=0.56)))[0]
    assert "hardest 5 % alone are not sufficient here" in " ".join(claims(bands_of(other)))


@pytest.mark.parametrize(("candidates", "said"), [(255.0, True), (65536.0, False)])
def test_the_hardest_tenth_of_a_percent_needs_a_thousand_candidates(material, candidates, said):
    table = bands_of(material).assign(candidates=candidates)
    assert ("cannot be asked" in " ".join(claims(table))) is said


def test_the_hardest_tenth_of_a_percent_is_judged_where_it_was_dropped(material):
    table = bands_of(material)
    row = table[(table["arm"] == "drop") & (table["low"] == 0)].assign(high=0.001)
    text = " ".join(claims(pd.concat([table, row])))
    assert "The hardest 0.1 % are needed here: without them -5" in text


def test_the_random_control_is_of_the_same_number(material):
    table = bands_of(material).assign(candidates=4000.0)
    more = table[table["arm"] == "random"].assign(k=200.0, mean=77.0)
    assert "200 random negatives gave 77.0" in " ".join(claims(pd.concat([table, more])))


def test_each_objective_has_a_table_of_its_own(tmp_path):
    root = bands_folder(tmp_path / "two")
    folder = ResultsFolder(root)
    for paths in list(folder.folders()):
        cell = read_record(paths).cell
        if cell["sampler"]["name"] == "no_training":
            continue
        cell["objective"] = {"name": "info_nce", "params": {"temperature": 0.2}}
        cell["labels"]["objective"] = "info_nce(temperature=0.2)"
        shift = 0.1 if cell["sampler"]["name"] == "in_batch" else 0.05
        write_cell(folder, cell, scores=dict.fromkeys(TASKS, level(cell) + shift))
    material = gather(load_results(root))[0]
    one, two = band_tables(material.pools[0], material.board)
    assert len(one) == len(two)
    assert set(two["setting"]) == {"info_nce(temperature=0.2)"}
    untrained = [t.loc[t["arm"] == "untrained", "mean"].item() for t in (one, two)]
    assert untrained[0] == untrained[1]
    hardest = [t[(t["arm"] == "keep") & (t["low"] == 0)]["difference"].item() for t in (one, two)]
    assert hardest[0] > 1 > hardest[1] + 3  # each against all negatives at its own temperature
    assert len(list(pictures(material, ["band_ablation"]))) == 2


def test_one_seed_is_not_judged(material):
    table = bands_of(material).assign(difference_low=np.nan, difference_high=np.nan, n_seeds=1)
    text = " ".join(claims(table))
    assert "not judged (1 seed)" in text
    assert "Of 2 easier bands, of which none has an interval, nothing is judged." in text
    assert "fall short" not in text


def test_bands_without_an_interval_are_counted_apart(material):
    table = bands_of(material)
    easiest = (table["arm"] == "keep") & (table["high"] == 1)
    unknown = ["ci_low", "ci_high", "difference_low", "difference_high"]
    table.loc[easiest, unknown] = np.nan
    text = " ".join(claims(table))
    assert "Of 2 easier bands, of which 1 has an interval, 1 alone falls short of all" in text
    assert "the best is 5 to 50 %" in text
    assert ", of the 2 with an interval." in text


def test_random_negatives_of_another_number_are_no_control(material):
    table = bands_of(material).assign(candidates=65536.0)
    assert "random negatives gave" not in " ".join(claims(table))


def test_no_table_without_bands(standard_material):
    assert bands_of(standard_material).empty
    assert list(pictures(standard_material, ["band_ablation"])) == []


def test_picture_holds_both_arms_and_is_drawn_from_its_csv(material):
    table, svg = table_of(material, "band_ablation")
    for word in ("this band alone", "all but this band", "untrained", "0\u20135", "(points)"):
        assert word in svg
    assert "hardest 5 %" in table["text"][0]
