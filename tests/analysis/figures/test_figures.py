import io
import itertools
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from made_results import EFFECT, all_cells, write_cell
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from nsbench.analysis.figures.differences import Window
from nsbench.analysis.figures.difficulty import axis_label, collect_ledger, percentile_ledger
from nsbench.analysis.figures.pictures import gather, pictures, render, write_figures
from nsbench.analysis.figures.registry import figure_kind, figures
from nsbench.analysis.figures.style import house_style, look
from nsbench.analysis.read.load import load_results
from nsbench.benchmarks.records import ResultsFolder

# Views that differ, bands that were kept or dropped, histograms and further tables of a cell,
# known truth: figures whose own tests make results that have them.
NEED_MORE = {
    "agreement",
    "band_ablation",
    "cost_quality",
    "critical_difference",
    "drift",
    "false_negative_rates",
    "few_texts",
    "gradient_share",
    "same_meaning",
    "sampler_overlap",
    "similarity_ridge",
    "staleness",
    "view_grid",
}


@pytest.fixture
def material(standard_material):
    return standard_material


def drawn(name, csv):
    kind = figure_kind(name)
    table = pd.read_csv(io.StringIO(csv))
    with house_style():
        canvas = FigureCanvasAgg(Figure(figsize=kind.size(table)))
        ax = canvas.figure.add_subplot()
        assert kind.draw(table, ax) is ax
        canvas.draw()
    return ax


def test_every_figure_is_written_beside_its_csv(material, tmp_path):
    written = write_figures(material, tmp_path)
    stems = {p.stem for p in written}
    assert {p.suffix for p in written} == {".csv", ".svg", ".png"}
    assert len(written) == 3 * len(stems)
    missing = {n for n in figures() if not any(s.startswith(n) for s in stems)}
    assert missing == NEED_MORE
    assert "difficulty_curves-chosen_similarity" in stems
    assert plt.get_fignums() == []


def test_a_png_has_a_palette_and_shows_what_the_canvas_did(material, tmp_path):
    (path,) = (p for p in write_figures(material, tmp_path, ["heatmap"]) if p.suffix == ".png")
    table = pd.read_csv(path.with_suffix(".csv"))
    kind = figure_kind("heatmap")
    with house_style():
        canvas = FigureCanvasAgg(Figure(figsize=kind.size(table)))
        kind.draw(table, canvas.figure.add_subplot())
        canvas.figure.savefig(full := io.BytesIO(), format="png")
    with Image.open(path) as small, Image.open(full) as wanted:
        assert (small.mode, small.size) == ("P", wanted.size)
        assert small.info["dpi"] == wanted.info["dpi"]
        far = np.abs(np.asarray(small.convert("RGB"), int) - np.asarray(wanted.convert("RGB"), int))
    assert far.max() <= 48  # of 255
    assert np.quantile(far, 0.999) <= 8
    assert path.stat().st_size < len(full.getvalue()) / 1.5


def test_pictures_are_drawn_from_their_csv_alone_with_the_same_bytes(material, tmp_path):
    files = write_figures(material, tmp_path, ["heatmap", "leaderboard"])
    for path in files:
        if path.suffix != ".csv":
            csv = path.with_suffix(".csv").read_text()
            name = path.stem
            assert render(name, csv, path.suffix[1:]) == path.read_bytes()
            assert render(name, csv, path.suffix[1:]) == path.read_bytes()


def test_curves_have_one_line_per_sampler_in_its_colour(material):
    csvs = {stem: csv for _, stem, csv in pictures(material, ["difficulty_curves"])}
    ax = drawn("difficulty_curves", csvs["difficulty_curves-chosen_similarity"])
    lines = {line.get_label(): line for line in ax.get_lines()}
    assert {"hard", "in_batch", "random"} <= set(lines)
    for sampler, line in lines.items():
        assert line.get_color() == look(sampler).colour
    assert lines["hard"].get_ydata()[0] > lines["in_batch"].get_ydata()[0]
    # 0.4 + 5 x effect at step 0, plus 0.005 per seed: mean over seeds 0, 1, 2 adds 0.005
    assert lines["hard"].get_ydata()[0] == pytest.approx(0.4 + 0.15 + 0.005)
    assert "(cosine)" in ax.get_ylabel()
    assert "step" in ax.get_xlabel()


def test_curves_skip_seeds_without_a_value(material):
    csvs = {stem: csv for _, stem, csv in pictures(material, ["difficulty_curves"])}
    table = pd.read_csv(io.StringIO(csvs["difficulty_curves-false_negative"]))
    assert set(table["n_seeds"]) == {2}  # seed 1 has NaN


def test_quantities_are_chosen_by_name(build):
    results = load_results(build())
    for asked, count in (((), 5), (("margin",), 1), (("all",), 7)):
        material, _ = gather(results, quantities=asked)
        assert len(list(pictures(material, ["difficulty_curves"]))) == count
    with pytest.raises(ValueError, match="Did you mean 'margin'"):
        gather(results, quantities=["margins"])


def test_an_unknown_quantity_is_drawn_under_its_own_name():
    assert axis_label("my_new_quantity") == "my new quantity"


@pytest.mark.parametrize("name", list(figures()))
def test_no_text_leaves_the_picture_or_overlaps(material, name):
    for _, _, csv in pictures(material, [name]):
        ax = drawn(name, csv)
        canvas = ax.figure.canvas
        renderer = canvas.get_renderer()
        width, height = canvas.get_width_height()
        texts = [ax.title, ax.xaxis.label, ax.yaxis.label, ax.figure._supxlabel]
        boxes = [t.get_window_extent(renderer) for t in texts if t is not None and t.get_text()]
        for box in boxes:
            assert box.x0 >= -1
            assert box.y0 >= -1
            assert box.x1 <= width + 1
            assert box.y1 <= height + 1
        ticks = [t.get_window_extent(renderer) for t in ax.get_yticklabels() if t.get_text()]
        for one, two in itertools.pairwise(ticks):
            assert not one.overlaps(two)


def test_critical_difference_needs_six_tasks(build):
    assert list(pictures(gather(load_results(build()))[0], ["critical_difference"])) == []


def test_critical_difference_ranks_by_hand(tmp_path):
    """Effects far apart on all tasks: hard, in_batch, random, no_training, in this order."""
    folder = ResultsFolder(tmp_path)
    for cell in all_cells():
        effect = EFFECT[cell["sampler"]["name"]]
        write_cell(folder, cell, scores={f"task{i}": 0.5 + effect + i / 100 for i in range(6)})
    material, _ = gather(load_results(tmp_path))
    _, _, csv = next(pictures(material, ["critical_difference"]))
    table = pd.read_csv(io.StringIO(csv))
    assert table["sampler"].tolist() == ["hard", "in_batch", "random", "no_training"]
    assert table["mean_rank"].tolist() == [1, 2, 3, 4]
    assert table["n_tasks"].tolist() == [6] * 4


def test_ledger_is_in_order_of_hardness(material):
    _, _, csv = next(pictures(material, ["percentile_ledger"]))
    table = pd.read_csv(io.StringIO(csv))
    assert table["sampler"].tolist()[0] == "hard"
    assert (table["q05"] < table["q50"]).all()


def test_a_sampler_whose_cells_measured_no_weights_is_marked():
    rows = {"sampler": ["a", "b"], "mean": [0.1, 0.5], "q05": [0.0, 0.1], "q95": [0.2, 0.9]}
    rows |= {"weighed": [True, False], "columns": "chosen", "n_seeds": 3, "pool": "p"}
    ax = percentile_ledger(pd.DataFrame(rows), Figure().add_subplot())
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b*"]
    assert "not weighed" in ax.figure._supxlabel.get_text()


def test_a_ledger_weighs_negatives_by_their_share_of_the_gradient(material):
    key = material.pools[0].cells.iloc[0]["key"]
    counted = pd.DataFrame(
        {
            "step": [0, 0, 9, 9],
            "quantity": "chosen_percentile_weighted",
            "bin_low": [0.0, 0.5, 0.0, 0.5],
            "count": [5.0, 5.0, 9.0, 1.0],  # cumulative: the last step has all
        }
    )
    _, table = next(collect_ledger(replace(material, histograms={key: counted})))
    weighed = table[table["weighed"]]
    assert weighed["mean"].tolist() == [pytest.approx(0.9 * 0.25 + 0.1 * 0.75)]
    assert weighed[["q05", "q95"]].to_numpy().tolist() == [[0.25, 0.75]]


def test_a_ledger_shows_mined_columns_below_their_sampler(material):
    table = material.difficulty
    mined = table[(table["quantity"] == "chosen_percentile") & (table["sampler"] == "random")]
    mined = mined.assign(quantity="mined_percentile", mean=0.1)
    both = replace(material, difficulty=pd.concat([table, mined], ignore_index=True))
    _, ledger = next(collect_ledger(both))
    place = [tuple(r) for r in ledger[["sampler", "columns"]].to_numpy()]
    assert place[place.index(("random", "chosen")) + 1] == ("random", "mined")
    assert len(place) == 1 + table["sampler"].nunique()
    assert ledger.loc[ledger["columns"] == "mined", "mean"].tolist() == [pytest.approx(0.1)]
    ax = percentile_ledger(ledger.reset_index(drop=True), Figure().add_subplot())
    assert "... mined" in [t.get_text() for t in ax.get_yticklabels()]
    caption = ax.figure._supxlabel.get_text().replace("\n", " ")
    assert "mined: columns mined for the anchor" in caption


def test_cost_is_drawn_where_it_differs(material):
    assert list(pictures(material, ["cost_quality"])) == []  # 320 sentences for all
    board = material.board
    costs = range(100, 100 + len(board.samplers))
    board = replace(board, samplers=board.samplers.assign(encodes=costs))
    _, stem, csv = next(pictures(replace(material, board=board), ["cost_quality"]))
    assert stem == "cost_quality-encodes"
    table = pd.read_csv(io.StringIO(csv))
    assert len(table) == 4  # samplers
    ax = drawn("cost_quality", csv)
    assert ax.get_ylabel() == "difference to in_batch (points)"


def test_differences_far_from_the_others_are_clipped_and_named():
    shown = [1.0, 0.5, 0.0, -0.5, -0.2, -30.0]
    table = pd.DataFrame({"sampler": list("abcdef"), "shown": shown, "low": shown, "high": shown})
    window = Window.of(table, "shown")
    assert (window.low, window.high) == (-0.5, 1.0)
    assert window.note(table) == "; off the scale: f -30.0"
    ax = Figure().add_subplot()
    window.dots(ax, range(6), table, look("hard"), upright=False)
    window.limits(ax, upright=False)
    assert [t.get_text() for t in ax.texts] == ["-30.0"]
    assert ax.get_xlim()[0] > -2


def test_the_leaderboard_draws_differences_with_the_intervals_of_the_table(material):
    _, _, csv = next(pictures(material, ["leaderboard"]))
    table = pd.read_csv(io.StringIO(csv)).set_index("sampler")
    board = material.board.samplers.set_index("sampler")
    assert table.loc["hard", "shown"] == pytest.approx(board.loc["hard", "difference"])
    assert table.loc["hard", "low"] == pytest.approx(board.loc["hard", "difference_low"])
    assert table.loc["in_batch", "shown"] == 0
    ax = drawn("leaderboard", csv)
    assert ax.get_xlabel() == "difference to in_batch (points)"


def test_dollar_signs_and_angle_brackets_are_plain_text(material):
    _, _, csv = next(pictures(material, ["leaderboard"]))
    svg = render("leaderboard", csv.replace("random", "a$x<b>_{"), "svg").decode()
    assert "a$x&lt;b" in svg
    assert "<b>" not in svg


def test_a_misspelt_figure_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'heatmap'"):
        figure_kind("heat_map")


def test_no_results_no_pictures(tmp_path):
    (tmp_path / "runs").mkdir()
    material, _ = gather(load_results(tmp_path))
    assert list(pictures(material)) == []
