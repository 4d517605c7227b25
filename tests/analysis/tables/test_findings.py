"""Sentences, columns and marks of a leaderboard: what a reader acts on, from the records up."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from made_results import make_cell, write_cell

from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.findings import findings, letters
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.write import (
    markdown_document,
    markdown_table,
    of_pool,
    write_leaderboard,
)
from nsbench.benchmarks.records import ResultsFolder

GAPS = {
    "in_batch": 0.0,
    "hard": 4.0,
    "semi_hard": 3.99,
    "noise": 0.01,
    "random": -6.0,
    "topic": 0.6,
}


@pytest.fixture
def made(tmp_path):
    def build(gaps=GAPS, *, seeds=5, spread=0.05, augmentations=("none",), alarms=(), short=()):
        folder = ResultsFolder(tmp_path / "results")
        rng = np.random.default_rng(0)
        for seed in range(seeds):
            shared = rng.normal()
            for augmentation in augmentations:
                for name, gap in gaps.items():
                    noise = spread * rng.standard_normal(2)
                    if name in short and seed:
                        continue
                    noise = noise * (40 if name == "topic" else 1)
                    level = 60 + gap + shared + (0.8 if augmentation == "feature_cutoff" else 0)
                    level -= 5 if (name, augmentation) in alarms else 0
                    points = dict(zip(("STS12", "STS13"), level + noise, strict=True))
                    paths = write_cell(
                        folder,
                        make_cell(name, augmentation, seed),
                        scores={t: v / 100 for t, v in points.items()},
                    )
                    rung = [{"name": "rank_collapse", "text": "few directions"}]
                    record = json.loads(paths.record.read_text())
                    record["alarms"] = rung if name in alarms else []
                    paths.record.write_text(json.dumps(record))
        return load_results(folder.root)

    return build


def said(board):
    (pool,) = board.pools
    tables = (of_pool(board.rows, pool), of_pool(board.samplers, pool))
    return findings(*tables, pool, of_pool(board.axes, pool))


def test_findings_name_what_to_use_what_is_alike_and_what_is_open(made):
    board = make_leaderboard(made())
    lines = said(board)
    assert lines[0].startswith("Use hard: +4.0 points (")
    assert "over in_batch on 2 tasks, 5 seeds" in lines[0]
    assert "Not significantly different from it: semi_hard" in lines[0]
    assert "ring no alarm" in lines[0]
    text = "\n".join(lines)
    assert "Equivalent to in_batch within 0.5 points: noise (0.0)" in text
    assert "Worse than in_batch: random (-6" in text
    topic = board.rows.set_index("sampler").loc["topic"]
    assert topic["verdict"] == "undecided"
    assert f"decided about topic ({topic['more_seeds']} more seeds would decide)." in text
    assert "Also better than in_batch: semi_hard (+4.0)." in lines
    document = markdown_document(board)
    assert lines[0].replace("_", "\\_") in document


def test_the_margin_is_a_setting_and_is_stated(made):
    results = made()
    wide = make_leaderboard(results, margin=5.0)
    rows = wide.rows.set_index("sampler")
    assert set(rows["verdict"]) <= {"baseline", "equivalent", "worse"}
    assert "within 5 points" in markdown_document(wide)
    for margin in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="margin must be a number of points above 0"):
            make_leaderboard(results, margin=margin)


def test_an_alarm_marks_its_row_everywhere_and_quiet_methods_are_advised_first(made, tmp_path):
    board = make_leaderboard(made(alarms=("hard",)))
    rows = board.rows.set_index("sampler")
    assert rows.loc["hard", "alarms"] == "rank_collapse (5 of 5 cells)"
    assert rows.loc["semi_hard", "alarms"] == ""
    (line,) = [x for x in markdown_table(board.rows, board.tasks).splitlines() if "| hard |" in x]
    assert "rank\\_collapse" in line
    lines = said(board)
    assert lines[0].startswith("Use semi_hard")
    assert "Ranked above it, but with alarms: hard." in lines[0]
    assert "Alarms rang: hard: rank_collapse (5 of 5 cells)." in lines


def test_a_winner_with_alarms_is_not_advised_without_a_word(made):
    gaps = {"in_batch": 0.0, "hard": 8.0, "random": -1.0}
    (first, *_) = said(make_leaderboard(made(gaps, alarms=("hard",))))
    assert first.startswith("hard is best: +8.0 points (")
    assert "alarms, rank_collapse (5 of 5 cells): look at them before you use it" in first


def test_two_seeds_give_no_verdict_no_letter_no_bold_and_say_so(made):
    board = make_leaderboard(made(seeds=2))
    assert set(board.rows["verdict"]) == {"baseline", "no verdict"}
    assert set(board.rows["group"]) == {""}
    assert board.rows[["p_adjusted", "difference_low", "rank_lo"]].isna().all(axis=None)
    assert board.rows["difference"].notna().sum() == len(GAPS) - 1
    assert "**" not in markdown_document(board)
    assert "no method has a verdict" in said(board)[0]
    assert any("no verdict and no letter under 3 seeds" in n for n in board.pools[0].notes)


def test_a_method_with_one_seed_below_the_baseline_is_not_ranked_above_it(made):
    gaps = {"in_batch": 0.0, "hard": -5.0, "random": 1.0}
    board = make_leaderboard(made(gaps, short=("hard",)))
    rows = board.rows.set_index("sampler")
    assert rows.loc["hard", "difference"] == pytest.approx(-5, abs=0.5)
    assert rows.loc["hard", "rank"] > rows.loc["in_batch", "rank"]
    assert rows.loc["hard", "verdict"] == "no verdict"
    assert any("hard x none (1 of 5)" in note for note in board.pools[0].notes)


def test_only_better_methods_are_bold(made):
    lines = markdown_table(make_leaderboard(made()).rows, ("STS12",)).splitlines()[2:]
    bold = {line.split("|")[3].strip() for line in lines if "**" in line}
    assert bold == {"hard", "semi\\_hard"}


def test_a_task_without_a_score_is_named(tmp_path):
    folder = ResultsFolder(tmp_path)
    for seed in range(3):
        for name in ("in_batch", "hard"):
            scores = {"STS12": 0.5 + seed / 100, "STS13": float("nan")}
            write_cell(folder, make_cell(name, "none", seed), scores=scores)
    board = make_leaderboard(load_results(tmp_path))
    assert any("finite score on STS13" in note for note in board.pools[0].notes)
    assert "2 methods on 1 task." in markdown_document(board)


def test_alike_methods_one_method_and_one_task_are_no_trouble(tmp_path):
    folder = ResultsFolder(tmp_path / "alike")
    for seed in range(4):
        for name in ("in_batch", "hard", "random"):
            write_cell(folder, make_cell(name, "none", seed), scores={"STS12": 0.5})
    board = make_leaderboard(load_results(folder.root))
    assert set(board.rows["rank"]) == {1}
    assert set(board.rows["group"]) == {"a"}
    assert sorted(board.rows["verdict"]) == ["baseline", "equivalent", "equivalent"]
    lone = ResultsFolder(tmp_path / "lone")
    for seed in range(4):
        write_cell(lone, make_cell("in_batch", "none", seed), scores={"STS12": 0.5 + seed / 50})
    board = make_leaderboard(load_results(lone.root))
    assert board.rows["verdict"].tolist() == ["baseline"]
    assert "1 method on 1 task." in markdown_document(board)


def test_axes_have_marginal_effects_verdicts_and_interactions(made, tmp_path):
    results = made(augmentations=("none", "feature_cutoff"))
    board = make_leaderboard(results)
    (row,) = board.axes[board.axes["value"] == "feature_cutoff"].to_dict("records")
    assert row["axis"] == "augmentation"
    assert row["baseline"] == "none"
    assert row["difference"] == pytest.approx(0.8, abs=0.3)
    assert row["n_blocks"] == len(GAPS)
    assert row["interaction_p"] > 0.05
    assert row["effect_low"] <= row["difference"] <= row["effect_high"]
    assert row["best_sampler"] in ("hard", "semi_hard")
    paths = write_leaderboard(results, board, tmp_path / "out", scores=False)
    written = tmp_path / "out" / "leaderboard_augmentations.csv"
    assert written in paths
    assert len(pd.read_csv(written)) == 2


def test_an_effect_that_depends_on_the_sampler_is_said_to(made):
    results = made(augmentations=("none", "feature_cutoff"), alarms=(("hard", "feature_cutoff"),))
    board = make_leaderboard(results)
    (row,) = board.axes[board.axes["value"] == "feature_cutoff"].to_dict("records")
    assert row["interaction_p"] < 0.01
    assert row["effect_low_sampler"] == "hard"
    assert row["effect_low"] == pytest.approx(-4.2, abs=0.3)
    if row["verdict"] != "no verdict":
        assert any("it depends on the sampler: -4" in line for line in said(board))


def test_a_worse_value_lowers_the_score_by_a_positive_number(made):
    lower = tuple((name, "feature_cutoff") for name in GAPS)
    board = make_leaderboard(made(augmentations=("none", "feature_cutoff"), alarms=lower))
    (line,) = (x for x in said(board) if x.startswith("Augmentation feature_cutoff"))
    told = re.search(r"lowers the score by (\S+) points \((\S+) to (\S+)\) against none", line)
    by, lowest, highest = map(float, told.groups())
    assert 0 < lowest < by < highest
    assert by == pytest.approx(4.2, abs=0.3)


@pytest.fixture
def many_baselines(tmp_path):
    """`in_batch` under three objectives, two of them without a partner for what has none."""
    folder = ResultsFolder(tmp_path / "results")
    draw = np.random.default_rng(1)
    level = {"decoupled": 50.0, "focal": 70.0, "info_nce": 60.0}
    rows = [("in_batch", o, points) for o, points in level.items()]
    rows += [
        ("noise", "decoupled(m=1)", 52.0),
        ("topic", "decoupled", 55.0),
        ("no_training", "", 40.0),
        ("linear_projection", "", 65.0),
    ]
    for name, objective, points in rows:
        for seed in range(4):
            cell = make_cell(name, "none", seed)
            kind, _, setting = (objective or "info_nce").partition("(")
            cell["objective"] = {"name": kind, "params": {"m": 1} if setting else {}}
            cell["labels"]["objective"] = objective or "info_nce"
            if not objective:
                cell["budget"] = cell["budget"] | {"steps": 0}
            noise = 0.1 * draw.standard_normal(2)
            scores = dict(zip(("STS12", "STS13"), (points + noise) / 100, strict=True))
            write_cell(folder, cell, scores=scores)
    return load_results(folder.root)


def test_of_several_baselines_the_strongest_is_what_counts(many_baselines):
    board = make_leaderboard(many_baselines)
    rows = board.rows.set_index("sampler")
    map_in_closed_form = rows.loc["linear_projection"]
    assert map_in_closed_form["verdict"] == "worse"  # than focal, not better than decoupled
    assert map_in_closed_form["difference"] == pytest.approx(-5, abs=0.3)
    assert rows.loc["topic", "difference"] == pytest.approx(5, abs=0.3)  # its own objective
    assert rows.loc["noise", "difference"] == pytest.approx(2, abs=0.3)  # of the same kind
    first, *others = said(board)
    assert re.match(r"topic is better: \+[45]\.\d points", first)
    assert "over in_batch of the same setting" in first
    assert "A higher mean is that of in_batch / focal, 70.0 points." in first
    assert any(t.startswith("Worse than in_batch of the same setting: linear_proj") for t in others)


def test_no_method_is_better_than_a_baseline_that_is_better_than_it(many_baselines):
    table = make_leaderboard(many_baselines).rows
    best = table[table["verdict"] == "baseline"]["mean"].max()
    alone = table[table["objective"].eq("") & table["verdict"].eq("better")]
    assert (alone["mean"] > best).all()


def test_letters_are_read_as_they_are_written():
    assert letters("abz1") == ["a", "b", "z1"]
    assert letters("") == []
