import json
import shutil

import pandas as pd
import pytest
from made_results import all_cells, change_record, make_cell, scores_of, true_score, write_cell

from nsbench.analysis.read.difficulty import DIFFICULTY_IDENTITY, load_difficulty, plain_texts
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.predictors import late_values
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.records import RecordError, ResultsFolder


def test_load_gives_one_row_per_score_with_parameters_cost_and_provenance(standard):
    results = standard
    assert len(results.cells) == len(all_cells(3))
    each = 3 + 1 + 3 + 2  # tasks, geometry, frequent tokens, first dimensions
    assert len(results.scores) == each * len(results.cells)
    scores = scores_of(results)
    row = scores[
        (scores["sampler"] == "hard")
        & (scores["augmentation"] == "feature_cutoff")
        & (scores["seed"] == 1)
        & (scores["task"] == "STS13")
    ].iloc[0]
    assert row["value"] == true_score(make_cell("hard", "feature_cutoff", 1), "STS13")
    assert row["p_objective_temperature"] == 0.05
    assert row["p_augmentation_view1_feature_cutoff_rate"] == 0.2
    assert (row["p_train_batch_size"], row["p_encoder_layers"]) == (8, 0)
    assert (row["encodes_train"], row["encodes"], row["train_steps"]) == (320, 320, 20)
    assert (row["wall_s"], row["version_torch"], row["device"]) == (2.1, "2.13.0", "cpu")
    assert results.left_out == ()
    assert results.conflicts == ()


def test_load_says_what_it_left_out(build):
    root = build()
    folder = ResultsFolder(root)
    paths = {p.folder.name: p for p in folder.folders()}
    names = sorted(paths)
    paths[names[0]].record.write_text('{"key": "half')
    paths[names[1]].scores.write_text("task,split\nSTS12,te")
    paths[names[2]].record.unlink()
    paths[names[2]].claim.write_text("{}")
    paths[names[3]].record.unlink()
    paths[names[4]].difficulty.write_bytes(b"PAR1 and then nothing")
    (folder.runs / "notes.txt").write_text("mine")
    (folder.runs / "empty").mkdir()
    shutil.rmtree(paths[names[5]].folder)
    odd = folder.cell("odd", "0" * 12)
    odd.folder.mkdir()
    odd.cell.write_text('{"sampler": "hard"}')

    results = load_results(root)
    status = results.cells.set_index("key")["status"].to_dict()
    keys = [n.rpartition("-")[2] for n in names]
    assert [status[k] for k in keys[:6]] == [
        "pending",
        "failed",
        "running",
        "pending",
        "done",
        "pending",
    ]
    text = "\n".join(results.left_out)
    for part in ("notes.txt", "empty", "record.json", "odd-000000000000"):
        assert part in text
    info = results.cells.set_index("key")["info"]
    assert "cut short" in info[keys[1]]
    table, bad = load_difficulty(results)
    assert keys[4] not in set(table["key"])
    assert len(bad) == 1
    assert names[4] in bad[0]


def test_difficulty_with_few_columns_and_categories_says_the_same(standard):
    results = standard
    whole, _ = load_difficulty(results)
    few, bad = load_difficulty(results, ("mean", "count"), compact=True)
    assert bad == []
    assert isinstance(few["key"].dtype, pd.CategoricalDtype)
    kept = [*DIFFICULTY_IDENTITY, "step", "quantity", "mean", "count"]
    pd.testing.assert_frame_equal(plain_texts(few), whole[kept])
    pd.testing.assert_frame_equal(late_values(few), late_values(whole))
    one = pd.read_parquet(results.loaded[0].paths.difficulty)
    own = whole[whole["key"] == results.loaded[0].key].reset_index(drop=True)
    pd.testing.assert_frame_equal(own[list(one.columns)], one)


def test_a_matrix_of_the_first_schema_is_read(build):
    """It held whole cells, where parts are shared now."""
    root = build(seeds=1, leave_out=lambda c: c["sampler"]["name"] == "hard")
    now = load_results(root)
    listed = [{"key": content_key(c), "folder": "", "cell": c} for c in all_cells(1)]
    old = {"schema": 1, "name": "tiny", "config": {"seeds": [0, 1]}, "cells": listed}
    (root / "matrix.json").write_text(json.dumps(old))
    then = load_results(root)
    assert then.left_out == now.left_out == ()
    pd.testing.assert_frame_equal(then.cells, now.cells)


def test_load_shows_planned_cells_that_never_ran(build):
    results = load_results(build(leave_out=lambda c: c["sampler"]["name"] == "hard"))
    hard = results.cells[results.cells["sampler"] == "hard"]
    assert len(hard) == 6
    assert set(hard["status"]) == {"pending"}


def test_merge_prefers_finished_cells_and_names_conflicts(build, tmp_path):
    first = build("first", leave_out=lambda c: c["sampler"]["name"] == "hard")
    second = build("second")
    changed = make_cell("random", "none", 0)
    folder = ResultsFolder(second)
    shutil.rmtree(folder.cell("random", content_key(changed)).folder)
    write_cell(folder, changed, scores={"STS12": 0.9, "STS13": 0.9, "planted-sts": 0.9})
    results = load_results([first, second])
    assert set(results.cells["status"]) == {"done"}
    assert len(results.conflicts) == 1
    assert content_key(changed) in results.conflicts[0]
    kept = results.scores[results.scores["key"] == content_key(changed)]
    assert kept["value"].max() < 0.9


def test_merge_does_not_depend_on_the_order_where_nothing_conflicts(build):
    first = build("first", leave_out=lambda c: c["seed"] == 0)
    second = build("second", leave_out=lambda c: c["seed"] != 0)
    one, two = load_results([first, second]), load_results([second, first])
    pd.testing.assert_frame_equal(one.scores, two.scores)


@pytest.mark.parametrize("name", ["absent", "foreign"])
def test_load_refuses_what_is_no_results_folder(tmp_path, name):
    (tmp_path / "foreign").mkdir()
    with pytest.raises(RecordError, match=name):
        load_results(tmp_path / name)


def test_nan_score_stays_nan_and_task_called_na_stays_a_name(tmp_path):
    folder = ResultsFolder(tmp_path)
    write_cell(folder, make_cell(), scores={"NA": float("nan"), "STS12": 0.5})
    scores = load_results(tmp_path).scores.set_index("task")["value"]
    assert pd.isna(scores["NA"])
    assert scores["STS12"] == 0.5


def test_gradients_measured_as_softmax_are_left_out_of_other_objectives(tmp_path):
    folder = ResultsFolder(tmp_path / "results")
    wanted = {}
    for name, params, version in (
        ("info_nce", {"temperature": 0.05}, 1),
        ("triplet", {"margin": 0.1}, 1),
        ("triplet", {"margin": 0.2}, 2),
        ("nt_xent", {"temperature": 0.05, "variant": "official"}, 1),
        ("sup_simcse", {"hard_weight": 1.0}, 1),
        ("sup_simcse", {"hard_weight": 0.0}, 1),
    ):
        cell = make_cell() | {"objective": {"name": name, "params": params}}
        paths = write_cell(folder, cell)
        change_record(paths, difficulty_version=version)
        kept = version == 2 or name == "info_nce" or params == {"hard_weight": 0.0}
        wanted[content_key(cell)] = kept
    table, bad = load_difficulty(load_results(folder.root))
    with_them = set(table[table["quantity"] == "effective_negatives"]["key"])
    assert with_them == {key for key, kept in wanted.items() if kept}
    assert set(table[table["quantity"] == "margin"]["key"]) == set(wanted)
    assert any("3 cells were recorded before" in line for line in bad)
