"""Pictures of shares, histograms, drift and truth: what their CSV holds is what was planted."""

import pandas as pd
import pytest
from made_results import table_of

from nsbench.analysis.figures.pictures import gather, pictures
from nsbench.analysis.read.difficulty import histogram_window
from nsbench.analysis.read.load import load_results
from nsbench.benchmarks.records import HISTOGRAM_COLUMNS, ResultsFolder, read_record

SHARES = {"gradient_share_1": 0.05, "gradient_share_5": 0.2, "gradient_share_50": 0.8}


@pytest.fixture
def material(build):
    root = build()
    for paths in ResultsFolder(root).folders():
        if not paths.difficulty.exists():
            continue
        table = pd.read_parquet(paths.difficulty)
        like = table[table["quantity"] == "margin"]
        extra = [like.assign(quantity=name, mean=value) for name, value in SHARES.items()]
        moved = like.assign(quantity="probe_drift_from_start", mean=like["step"] / 100)
        pd.concat([table, *extra, moved]).to_parquet(paths.difficulty)
        seed = read_record(paths).cell["seed"]
        rows = [
            (step, quantity, low, float(step + 1) * (seed + 1))
            for step in (0, 5, 10)
            for quantity in ("positive_similarity", "chosen_similarity")
            for low in (-0.5, 0.0, 0.5)
        ]
        pd.DataFrame(rows, columns=list(HISTOGRAM_COLUMNS)).to_parquet(paths.histograms)
    return gather(load_results(root))[0]


def test_gradient_shares_come_from_the_last_quarter(material):
    table, svg = table_of(material, "gradient_share")
    part = table[table["sampler"] == "hard"].set_index("percent")["mean"]
    assert part.to_dict() == pytest.approx({1: 0.05, 5: 0.2, 50: 0.8})
    assert "equal weights" in svg


def test_windows_are_differences_of_cumulative_counts(material):
    table = next(iter(material.histograms.values()))
    window = histogram_window(table)
    first, last = (window[k]["count"].unique() for k in ("before", "after"))
    assert last / first == pytest.approx(5)  # steps 0 and 10 less 5: 1 and 11 - 6
    ridge, svg = table_of(material, "similarity_ridge")
    cell = ridge[(ridge["sampler"] == "hard") & (ridge["moment"] == "after")]
    assert set(cell["count"]) == {5.0 * (1 + 2 + 3) * 2}  # three seeds, two augmentations
    assert "(cosine)" in svg


def test_drift_has_one_value_per_step(material):
    table, svg = table_of(material, "drift")
    part = table[table["sampler"] == "random"].set_index("step")["mean"]
    assert part.to_dict() == pytest.approx({0: 0.0, 5: 0.05, 10: 0.1, 20: 0.2})
    assert "1 - cosine" in svg


def test_false_negatives_stand_beside_the_score(material):
    table, svg = table_of(material, "false_negative_vs_score")
    assert table["rate_mean"].between(0.005, 0.03).all()
    rows = table.set_index(["sampler", "augmentation"])
    board = material.board.rows.set_index(["sampler", "augmentation"])
    for place, row in rows.iterrows():  # the leaderboard's difference, 0 for the baseline
        wanted = 0.0 if place[0] == "in_batch" else board.loc[place, "difference"]
        assert row["shown"] == pytest.approx(wanted, abs=1e-4)
    assert "difference to in_batch" in svg


def test_predictors_are_drawn_strongest_first(material):
    table, svg = table_of(material, "predictors")
    assert table["rho"].abs().is_monotonic_decreasing
    assert "over all cells" in svg


def test_unreadable_histograms_are_passed_over(build):
    root = build()
    for paths in ResultsFolder(root).folders():
        paths.histograms.write_bytes(b"no parquet")
    material = gather(load_results(root))[0]
    assert list(pictures(material, ["similarity_ridge"])) == []
