import pytest
from made_results import all_cells, write_cell

from nsbench.analysis.cli.main import add_commands, listed
from nsbench.analysis.figures.registry import figures
from nsbench.benchmarks.records import ResultsFolder


def test_leaderboard_writes_its_files_and_says_what_it_left_out(build, invoke):
    root = build()
    (root / "runs" / "stray.txt").write_text("x")
    done = invoke("leaderboard", root)
    assert done.exit_code == 0, done.output
    assert "# Leaderboard" in done.stdout
    assert "stray.txt" in done.stderr
    for name in ("leaderboard.csv", "leaderboard_samplers.csv", "scores.csv"):
        assert (root / name).is_file()


def test_leaderboard_merges_folders_into_out(build, invoke, tmp_path):
    one = build("one", leave_out=lambda c: c["seed"] == 0)
    two = build("two", leave_out=lambda c: c["seed"] != 0)
    done = invoke("leaderboard", one, two, "--out", tmp_path / "both", "--baseline", "random")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "both" / "leaderboard.csv").read_text()
    assert ",3,3," in text  # three seeds, three tasks
    assert not (one / "leaderboard.csv").exists()


def test_cells_without_any_defined_score_are_told_without_a_warning(invoke, tmp_path):
    folder = ResultsFolder(tmp_path)
    for cell in all_cells():
        write_cell(folder, cell, scores={"tickets": float("nan")})
    done = invoke("leaderboard", tmp_path)
    assert done.exit_code == 0, done.output or done.exception
    assert "no seed has a score on every task" in done.stdout


def test_plot_draws_the_figure_that_was_asked_for(build, invoke):
    root = build()
    done = invoke("plot", root, "--figure", "heatmap")
    assert done.exit_code == 0, done.output
    names = sorted(p.name for p in (root / "figures").iterdir())
    assert names == ["heatmap.csv", "heatmap.png", "heatmap.svg"]


def test_plot_refuses_an_unknown_figure_before_reading(invoke, tmp_path):
    done = invoke("plot", tmp_path / "absent", "--figure", "heatmaps")
    assert isinstance(done.exception, ValueError)
    assert "heatmap" in str(done.exception)


def test_figures_are_listed_with_a_summary():
    assert [row["name"] for row in listed()] == list(figures())
    assert all(row["summary"] for row in listed())


def test_the_console_entry_has_all_commands(build):
    cli = pytest.importorskip("nsbench.benchmarks.cli.main")
    names = {c.name or c.callback.__name__ for c in add_commands(cli.app).registered_commands}
    assert {"run", "status", "leaderboard", "plot"} <= names


def test_a_terminal_is_shown_no_backslashes_of_markdown():
    from nsbench.analysis.tables.text import markdown_text, unescaped

    text = r"a_b [1, 2] <x> `c` \ |"
    assert markdown_text(text) != text
    assert unescaped(markdown_text(text)) == text
