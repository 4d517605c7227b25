"""Published folders: every text is a function of the packed records; a change of one is seen."""

import pandas as pd
import pytest
from made_results import write_results
from matplotlib.figure import Figure

from nsbench.analysis.figures.difficulty import percentile_ledger
from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.published import differences, publish, rebuild, stored_figures
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.text import csv_text
from nsbench.benchmarks.records import RecordError


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = write_results(tmp_path_factory.mktemp("ran") / "results", seeds=2)
    out = tmp_path_factory.mktemp("published") / "mine"
    assert publish(root, out, names=["heatmap", "leaderboard"]) == []
    return root, out


def test_a_published_leaderboard_is_that_of_the_folder_it_came_from(published):
    root, out = published
    board = make_leaderboard(load_results(root))
    assert (out / "leaderboard.csv").read_text() == csv_text(board.rows)
    assert stored_figures(out) == ("heatmap", "leaderboard")
    assert sorted(p.name for p in (out / "figures").iterdir()) == [
        *("heatmap.csv", "heatmap.png", "leaderboard.csv", "leaderboard.png"),
    ]
    assert not (out / "report.html").exists()
    assert not (out / "scores.csv").exists()


def test_a_changed_missing_or_foreign_text_is_named(published):
    _, out = published
    assert differences(out) == []
    text = (out / "leaderboard.csv").read_text()
    changed = text.splitlines(keepends=True)
    changed[2] = "9" + changed[2]
    (out / "leaderboard.csv").write_text("".join(changed))
    (out / "figures" / "heatmap.csv").rename(out / "figures" / "heatmap-other.csv")
    found = "\n".join(differences(out))
    assert "leaderboard.csv differs, first in line 3" in found
    assert "heatmap.csv is not stored" in found
    assert "heatmap-other.csv comes from no record" in found
    (out / "figures" / "heatmap-other.csv").unlink()
    rebuild(out, names=["heatmap", "leaderboard"])
    assert differences(out) == []


def test_without_distributions_all_but_their_bars_is_drawn(published, invoke, tmp_path):
    root, out = published
    invoke(
        *("publish", root, "--out", tmp_path / "thin", "--no-distributions"),
        *("--figure", "percentile_ledger", "--figure", "difficulty_curves"),
    )
    ledger = pd.read_csv(tmp_path / "thin/figures/percentile_ledger.csv")
    assert ledger["mean"].notna().all()
    assert ledger.filter(regex=r"^q\d\d$").isna().all(axis=None)
    ax = percentile_ledger(ledger, Figure().add_subplot())
    assert not [p for p in ax.patches if p.get_width() > 0]
    assert "bars" not in ax.figure._supxlabel.get_text()
    assert differences(tmp_path / "thin") == []
    for one in out.rglob("*.csv"):
        other = tmp_path / "thin" / one.relative_to(out)
        assert "figures" in one.parts or one.read_bytes() == other.read_bytes()


def test_the_commands_say_whether_a_folder_is_as_stored(published, invoke, tmp_path):
    root, out = published
    good = invoke("rebuild", "--check", out)
    assert "byte for byte" in good.stderr
    (out / "leakage.csv").write_text("x\n")
    bad = invoke("rebuild", "--check", out, ends=1)
    assert "leakage.csv differs" in bad.stderr
    invoke("rebuild", out)
    invoke("rebuild", "--check", out)
    invoke("pack", root, "--out", tmp_path / "packed")
    invoke("unpack", tmp_path / "packed", "--out", tmp_path / "root")
    assert len(load_results(tmp_path / "root").cells) == len(load_results(root).cells)


def test_an_unknown_figure_and_a_folder_without_records_are_refused(published, tmp_path):
    root, _ = published
    with pytest.raises(ValueError, match="Did you mean 'heatmap'"):
        publish(root, tmp_path / "out", names=["heatmaps"])
    assert not (tmp_path / "out").exists()
    with pytest.raises(RecordError, match="not a published folder"):
        differences(tmp_path)


@pytest.mark.parametrize("option", ["--report", "--no-distributions", "--margin=1"])
def test_an_option_that_a_recommendation_cannot_honour_is_refused(invoke, tmp_path, option):
    (tmp_path / "trainings.csv").write_text("")
    done = invoke("publish", tmp_path, "--out", tmp_path / "out", option, ends=1)
    assert "takes no option but" in str(done.exception)
