import pandas as pd
import pytest
from made_results import all_cells, write_cell

from nsbench.analysis.cli.main import add_commands, after_run, listed
from nsbench.analysis.cli.screen import methods
from nsbench.analysis.figures.registry import figures
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.write import findings_of
from nsbench.benchmarks.records import ResultsFolder


def test_leaderboard_writes_its_files_and_says_what_it_left_out(build, invoke):
    root = build()
    (root / "runs" / "stray.txt").write_text("x")
    done = invoke("leaderboard", root)
    assert "rank   method" in done.stdout
    assert "stray.txt" in done.stderr
    for name in ("leaderboard.csv", "leaderboard_samplers.csv", "scores.csv"):
        assert (root / name).is_file()


def test_leaderboard_merges_folders_into_out(build, invoke, tmp_path):
    one = build("one", leave_out=lambda c: c["seed"] == 0)
    two = build("two", leave_out=lambda c: c["seed"] != 0)
    invoke("leaderboard", one, two, "--out", tmp_path / "both", "--baseline", "random")
    text = (tmp_path / "both" / "leaderboard.csv").read_text()
    assert ",3,3," in text  # three seeds, three tasks
    assert not (one / "leaderboard.csv").exists()


def test_cells_without_any_defined_score_are_told_without_a_warning(invoke, tmp_path):
    folder = ResultsFolder(tmp_path)
    for cell in all_cells():
        write_cell(folder, cell, scores={"tickets": float("nan")})
    done = invoke("leaderboard", tmp_path)
    assert "no seed has a score on every task" in done.stdout


def test_plot_draws_the_figure_that_was_asked_for(build, invoke):
    root = build()
    invoke("plot", root, "--figure", "heatmap")
    names = sorted(p.name for p in (root / "figures").iterdir())
    assert names == ["heatmap.csv", "heatmap.png", "heatmap.svg"]


def test_plot_refuses_an_unknown_figure_before_reading(invoke, tmp_path):
    done = invoke("plot", tmp_path / "absent", "--figure", "heatmaps", ends=1)
    assert isinstance(done.exception, ValueError)
    assert "heatmap" in str(done.exception)


def test_figures_are_listed_with_a_summary():
    assert [row["name"] for row in listed()] == list(figures())
    assert all(row["summary"] for row in listed())


def test_the_console_entry_has_all_commands(build):
    cli = pytest.importorskip("nsbench.benchmarks.cli.main")
    names = {c.name or c.callback.__name__ for c in add_commands(cli.app).registered_commands}
    assert {"run", "status", "leaderboard", "plot"} <= names


def test_the_leaderboard_is_an_aligned_table_without_backslashes(build, invoke):
    root = build(seeds=3)
    done = invoke("leaderboard", root)
    assert "\\" not in done.stdout
    assert "|" not in done.stdout
    lines = done.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["rank", "method"])
    head = lines[start].split()
    assert head == ["rank", "method", "mean", "difference", "verdict", "alarm"]
    rows = lines[start + 2 : lines.index("", start)]
    assert len(rows) == 7
    place = lines[start].index("method")
    assert all(row[place - 1] == " " and row[place] != " " for row in rows)
    board = pd.read_csv(root / "leaderboard.csv")
    first = board.iloc[0]
    assert f"{first['mean']:.2f} \u00b1{first['ci_high'] - first['mean']:.2f}" in rows[0]
    assert first["verdict"] in rows[0]


def test_rows_are_named_by_what_distinguishes_them():
    table = pd.DataFrame(
        {
            "sampler": ["hard", "hard", "easy"],
            "augmentation": ["none", "none", "none"],
            "objective": ["info_nce", "focal", "info_nce"],
            "candidates": ["in_batch", "in_batch", "in_batch"],
        }
    )
    assert methods(table) == ["hard / info_nce", "hard / focal", "easy"]
    assert methods(table.iloc[1:]) == ["hard", "easy"]


def test_a_margin_is_a_setting_of_all_commands_that_judge(build, invoke, tmp_path):
    root = build(seeds=3)
    out = tmp_path / "published"
    said = invoke("publish", root, "--out", out, "--margin", "40", "--figure", "heatmap")
    assert "nsbench rebuild --margin 40.0" in said.stderr
    verdicts = pd.read_csv(out / "leaderboard.csv")["verdict"]
    assert set(verdicts) == {"baseline", "equivalent"}
    invoke("rebuild", "--check", out, "--margin", "40")
    invoke("rebuild", "--check", out, ends=1)
    invoke("plot", root, "--figure", "heatmap", "--margin", "40")
    invoke("plot", root, "--figure", "heatmap", "--margin", "0", ends=2)


def test_findings_follow_a_run(build, capsys):
    root = build(seeds=3)
    after_run(root)
    shown = capsys.readouterr().out
    board = make_leaderboard(load_results(root))
    for line in findings_of(board, board.pools[0]):
        assert f"- {line}" in shown.splitlines()
