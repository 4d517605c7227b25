"""Paths of a matrix file start at its folder; labels are shown and change no key."""

import os
from pathlib import Path

import pytest
from running import planned_of

from nsbench.benchmarks.matrix.config import ConfigError, load_config
from nsbench.benchmarks.matrix.places import anchored

PAIRS = "".join(f'{{"anchor": "a {i}", "positive": "b {i}"}}\n' for i in range(40))


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path, monkeypatch):
    inside = tmp_path / "study"
    inside.mkdir()
    (inside / "pairs.jsonl").write_text(PAIRS)
    (tmp_path / "old.jsonl").write_text(PAIRS)
    (inside / "m.toml").write_text(
        'samplers = ["in_batch"]\n'
        'data = [{ name = "file", path = "pairs.jsonl" }, { name = "file", path = "old.jsonl" }]\n'
    )
    monkeypatch.chdir(tmp_path)
    first, second = load_config("study/m.toml").data
    assert first["path"] == os.path.join("study", "pairs.jsonl")  # noqa: PTH118
    assert second["path"] == "old.jsonl"  # from where the command runs, as before
    monkeypatch.chdir(inside)
    assert load_config("m.toml").data[0]["path"] == "pairs.jsonl"


def test_all_settings_that_are_paths_are_found():
    raw = {
        "samplers": ["in_batch", {"name": "given_batches", "file": "b.json"}],
        "encoders": ["static", "./model", {"name": "static", "source": "../table"}],
        "evaluation": {
            "tasks": ["STS12", {"name": "t", "path": "t.csv", "train": "/x/train.csv"}],
            "dev": {"name": "d", "path": "~/d.csv"},
        },
    }
    made = anchored(raw, Path("f"))
    assert made["samplers"] == ["in_batch", {"name": "given_batches", "file": "f/b.json"}]
    assert made["encoders"] == ["static", "f/model", {"name": "static", "source": "f/../table"}]
    assert made["evaluation"]["tasks"][1] == {
        "name": "t",
        "path": "f/t.csv",
        "train": "/x/train.csv",
    }
    assert made["evaluation"]["dev"]["path"] == "~/d.csv"


def test_names_of_hub_data_sets_are_no_paths():
    by_name = {"name": "retrieval", "path": "mteb/scifact", "revision": "d" * 40}
    raw = {
        "data": [
            {"name": "hub", "path": "mteb/banking77", "revision": "0" * 40},
            by_name,
            {"name": "retrieval", "path": "scifact"},
        ],
        "evaluation": {"dev": by_name},
    }
    made = anchored(raw, Path("f"))
    assert made["data"] == [*raw["data"][:2], {"name": "retrieval", "path": "f/scifact"}]
    assert made["evaluation"] == raw["evaluation"]


def test_paths_inside_of_a_component_start_at_the_folder_of_the_file():
    inner = {"name": "file", "path": "pairs.jsonl"}
    raw = {
        "samplers": [{"name": "guided", "guide": ["./guide", "owner/guide"]}],
        "data": [
            {"name": "negated", "data": inner},
            {"name": "mixture", "parts": [inner, {"name": "hub", "path": "a/b"}]},
        ],
    }
    made = anchored(raw, Path("f"))
    moved = {"name": "file", "path": "f/pairs.jsonl"}
    assert made["samplers"] == [{"name": "guided", "guide": ["f/guide", "owner/guide"]}]
    assert made["data"] == [
        {"name": "negated", "data": moved},
        {"name": "mixture", "parts": [moved, {"name": "hub", "path": "a/b"}]},
    ]


def test_a_folder_named_like_a_suite_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench").mkdir()  # as `nsbench run bench --out bench` leaves it
    assert load_config("bench").name == "bench"
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigError, match="no matrix file 'mine'"):
        load_config("mine")


def test_labels_are_shown_and_change_no_key(small):
    plain = planned_of(small(samplers=[{"name": "hard", "k": [2, 4]}]))
    named = {
        "samplers": [{"name": "hard", "k": [2, 4], "label": "top"}],
        "data": [{"name": "planted", "rows": 200, "label": "toy"}],
        "encoders": [{"name": "static", "dimension": 16, "label": "small"}],
    }
    labelled = planned_of(small(**named))
    assert [p.cell.key for p in labelled] == [p.cell.key for p in plain]
    assert [str(p.cell.sampler) for p in labelled] == ["top(k=2)", "top(k=4)"]
    assert labelled[0].cell.labels["data"] == "toy"
    assert labelled[0].cell.labels["encoder"] == "small"


@pytest.mark.parametrize("label", ["x" * 41, "a(b)", " a", 3, "a|b"])
def test_a_label_that_is_no_short_text_is_refused(small, label):
    with pytest.raises(ValueError, match="label must be"):
        planned_of(small(samplers=[{"name": "hard", "label": label}]))
