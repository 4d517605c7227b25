"""Tuning: equal trials on dev alone, one read of the tests, and a study cut short goes on alike."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer
from running import invoked

from nsbench.analysis.cli.main import add_commands
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.tuned import document, tuned_table, write_tuned
from nsbench.benchmarks.data import datasets
from nsbench.benchmarks.matrix.config import ConfigError
from nsbench.benchmarks.matrix.tune_file import Range, boards, knobs, load_tuning
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.records import CellPaths, ResultsFolder, RunRecord, write_record
from nsbench.benchmarks.records.claims import claimed
from nsbench.benchmarks.runs.executors.base import Ended, Job, OnStart
from nsbench.benchmarks.runs.executors.local import LocalPool
from nsbench.benchmarks.runs.pace import ENOUGH
from nsbench.benchmarks.runs.trials import Trial, append_line, design
from nsbench.benchmarks.runs.tuned_methods import chosen_methods, methods_of
from nsbench.benchmarks.runs.tuning import Study
from nsbench.samplers import samplers

MATRIX = """
schema = 1
name = "tiny"
samplers = ["in_batch", { name = "hard", k = 4 }]
encoders = [{ name = "static", dimension = 8 }]
data = [{ name = "planted", rows = 100 }]
[budget]
steps = 4
batch_size = 16
learning_rate = 0.05
"""
STUDY = """
schema = 1
matrix = "tiny.toml"
trials = 3
seed = 6
trial_seeds = [7]
fresh_seeds = [1, 2]
[space.budget]
learning_rate = { low = 1e-3, high = 1.0, log = true }
[space.objective]
temperature = { values = [0.05, 0.2] }
[space.hard]
k = { low = 1, high = 12 }
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    (tmp_path / "tiny.toml").write_text(MATRIX)

    def study(text: str = STUDY, name: str = "study.toml") -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return study


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that has ended; made once, and changed by no test."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.toml").write_text(MATRIX)
    (folder / "study.toml").write_text(STUDY)
    Study(*load_tuning(folder / "study.toml"), folder / "out").run()
    return folder / "out"


def test_every_method_gets_the_same_trials_and_the_tests_are_read_once_each(ran: Path) -> None:
    trials = lines(ran / "trials.jsonl")
    by_method: dict[str, list[dict[str, Any]]] = {}
    for trial in trials:
        by_method.setdefault(trial["method"], []).append(trial)
    assert [len(t) for t in by_method.values()] == [3, 3]
    for name, own in by_method.items():
        assert own[0]["values"] == {}  # the defaults come first
        wanted = {"budget.learning_rate", "objective.temperature"}
        wanted |= {"hard.k"} if "hard" in name else set()
        assert all(set(t["values"]) == wanted for t in own[1:])
    # a trial is scored on nothing but dev
    for paths, record in ResultsFolder(ran / "trials").records()[0]:
        assert paths.scores.read_text().count("\n") == 1
        assert record.cost["dev_looks"] == 1
        assert record.cell["evaluation"]["tasks"] == []
    chosen = json.loads((ran / "tuning.json").read_text())["methods"]
    for row, own in zip(chosen, by_method.values(), strict=True):
        values = [t["value"] for t in own]
        assert row["dev_tuned"] == max(values)
        assert row["dev_default"] == values[0]
        assert row["values"] == own[values.index(max(values))]["values"]
    # each test read is announced, once, and only for cells of the end
    reads = lines(ran / "test_reads.jsonl")
    finished = [record.key for _, record in ResultsFolder(ran).records()[0]]
    assert sorted(r["key"] for r in reads) == sorted(finished)
    assert {r["setting"] for r in reads} == {"default", "tuned", "untrained"}
    assert reads[0]["setting"] == "untrained"  # it depends on no choice, and tells the cost


def test_defaults_and_tuned_stand_side_by_side(ran: Path, tmp_path: Path) -> None:
    results = load_results(ran)
    table, notes = tuned_table(results)
    assert notes == []
    assert next(iter(table["sampler"])) == "no_training"
    assert sorted(table["sampler"])[:2] == ["hard(k=4)", "in_batch"]
    chosen = {m["sampler"]: m for m in json.loads((ran / "tuning.json").read_text())["methods"]}
    trials = lines(ran / "trials.jsonl")
    main = results.scores[results.scores["main"]]
    for row in table[table["sampler"] != "no_training"].to_dict("records"):
        own = chosen[row["sampler"]]
        for kind in ("default", "tuned"):
            mine = main[main["key"].isin(own[kind])]
            assert row[f"{kind}_mean"] == pytest.approx(100 * mine["value"].mean())
            assert row[f"{kind}_n_seeds"] == 2
        assert row["gain"] == pytest.approx(row["tuned_mean"] - row["default_mean"])
        assert row["trials"] == 3
        seconds = sum(t["seconds"] for t in trials if t["method"] == own["method"])
        assert row["tuning_seconds"] == pytest.approx(seconds)
        assert seconds > 0
    assert make_leaderboard(results).rows["mean"].notna().all()
    write_tuned(results, tmp_path)
    text = (tmp_path / "tables" / "tuned.md").read_text()
    assert text.count("\n| ") == 5


def test_a_study_cut_short_goes_on_as_if_it_had_not_been(
    ran: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    broken, said = tmp_path / "broken", []

    def stop(line: str) -> None:
        said.append(line)
        if len(said) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Study(*load_tuning(write()), broken, stop).run()
    assert {r["setting"] for r in lines(broken / "test_reads.jsonl")} == {"untrained"}
    with (broken / "trials.jsonl").open("a") as handle:
        handle.write('{"method": "cut sh')
    Study(*load_tuning(write()), broken, workers=1).run()
    assert (broken / "tuning.json").read_bytes() == (ran / "tuning.json").read_bytes()
    assert [_but_seconds(t) for t in lines(broken / "trials.jsonl")] == [
        _but_seconds(t) for t in lines(ran / "trials.jsonl")
    ]
    assert [r["key"] for r in lines(broken / "test_reads.jsonl")] == [
        r["key"] for r in lines(ran / "test_reads.jsonl")
    ]
    before = {p: p.stat().st_mtime_ns for p in broken.rglob("record.json")}
    Study(*load_tuning(write()), broken, said.append).run()  # nothing is left to do
    assert "about 0.00 hours to go" in said[-1]
    assert {p: p.stat().st_mtime_ns for p in broken.rglob("record.json")} == before


def _but_seconds(trial: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in trial.items() if k != "seconds"}


def test_two_processes_do_not_run_one_study(
    ran: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(ran, out)
    study = Study(*load_tuning(write()), out)
    with (
        claimed(out / "claim", "it"),
        pytest.raises(ValueError, match=f"is being run by process {os.getpid()} on "),
    ):
        study.run()
    study.run()  # the other one has ended
    assert not (out / "claim").exists()
    assert len(lines(out / "trials.jsonl")) == len(lines(ran / "trials.jsonl"))


def test_every_line_on_a_cell_says_how_far_the_study_is(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    said: list[str] = []
    asked = load_tuning(write(STUDY.replace("[1, 2]", "[1, 2, 3]")))
    Study(*asked, tmp_path / "out", said.append, workers=1).run()
    fresh = [line for line in said if "(default)" in line or "(tuned)" in line]
    counts = [re.search(r" \[(\d+) of (\d+)(, about .+ to go)?\]$", line) for line in fresh]
    assert all(counts)
    told = [(int(c[1]), int(c[2]), bool(c[3])) for c in counts if c]
    n = len(fresh)
    assert n > ENOUGH + 1
    assert told == [(i, n, ENOUGH < i < n) for i in range(1, n + 1)]


def test_a_cell_that_starts_again_is_one_read_of_the_tests(
    ran: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(ran, out)
    before = lines(out / "test_reads.jsonl")
    folder = ResultsFolder(out)
    for row in before[-2:]:  # killed after the line was written and before the record was
        (path,) = (p for p, _ in folder.records()[0] if p.folder.name.endswith(row["key"][:12]))
        path.record.unlink()
    Study(*load_tuning(write()), out).run()
    assert lines(out / "test_reads.jsonl") == before


def test_cells_of_a_study_share_what_takes_long(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path | None] = []
    run = LocalPool.run

    def noted(pool: LocalPool, jobs: Sequence[Job], on_start: OnStart) -> Iterator[Ended]:
        seen.extend(job.cache for job in jobs)
        return run(pool, jobs, on_start)

    monkeypatch.setattr(LocalPool, "run", noted)
    monkeypatch.setenv("NSBENCH_CACHE", str(tmp_path / "everyone's"))
    asked = ("tune", write(), "--workers", 1, "--dry-run", "--out")
    told: dict[Path | None, tuple[str, ...]] = {
        tmp_path / "shared": ("--cache", str(tmp_path / "shared")),
        tmp_path / "everyone's": (),
        None: ("--cache", "none"),
    }
    for number, (folder, words) in enumerate(told.items()):
        invoked(*asked, tmp_path / f"out{number}", *words, app=add_commands(typer.Typer()))
        assert set(seen) == {folder}
        seen.clear()


def fail(paths: CellPaths, record: RunRecord) -> None:
    """Let a cell have failed, as for want of memory."""
    reason = "OutOfMemoryError: CUDA out of memory"
    write_record(paths, replace(record, status="failed", reason=reason, cost={}))


def test_failed_cells_of_a_study_are_run_again_when_asked(
    ran: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    out, study = tmp_path / "out", write()
    shutil.copytree(ran, out)
    wanted, trials = json.loads((ran / "tuning.json").read_text()), lines(ran / "trials.jsonl")
    broken = [t | ({"value": None} if t["number"] == 1 else {}) for t in trials]
    (out / "trials.jsonl").write_text("".join(json.dumps(t) + "\n" for t in broken))
    for paths, record in ResultsFolder(out / "trials").records()[0]:
        if any(record.key in t["keys"] for t in trials if t["number"] == 1):
            fail(paths, record)
    fail(*next(x for x in ResultsFolder(out).records()[0] if x[1].cell["budget"]["steps"]))
    asked = ("tune", study, "--workers", 1, "--out", out)
    said = invoked(*asked, ends=1, app=add_commands(typer.Typer())).output
    assert re.search(r"\d cells have failed; the same command with --retry-failed", said)
    assert [t["value"] for t in lines(out / "trials.jsonl")] == [t["value"] for t in broken]
    failed = [p for p, r in ResultsFolder(out / "trials").records()[0] if r.status == "failed"]
    failed[0].record.unlink()  # as where a retry was killed after it had removed the record

    invoked(*asked, "--retry-failed", app=add_commands(typer.Typer()))
    found = [(t["method"], t["number"], t["value"]) for t in lines(out / "trials.jsonl")]
    assert sorted(found) == sorted((t["method"], t["number"], t["value"]) for t in trials)
    assert json.loads((out / "tuning.json").read_text()) == wanted
    records = [r for f in (out, out / "trials") for _, r in ResultsFolder(f).records()[0]]
    assert {r.status for r in records} == {"done"}
    keys = [row["key"] for row in lines(out / "test_reads.jsonl")]
    assert len(keys) == len(set(keys))


def test_a_trial_that_ended_without_a_score_is_no_failed_cell(
    ran: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    out, study = tmp_path / "out", write()
    shutil.copytree(ran, out)
    trials = lines(ran / "trials.jsonl")
    without = [t | ({"value": None} if t["number"] == 1 else {}) for t in trials]
    (out / "trials.jsonl").write_text("".join(json.dumps(t) + "\n" for t in without))
    asked = ("tune", study, "--workers", 1, "--out", out)
    for more in ((), ("--retry-failed",)):
        assert "failed" not in invoked(*asked, *more, app=add_commands(typer.Typer())).output
    table, notes = tuned_table(load_results(out))
    counted = int(table["failed_trials"].sum())
    assert document(table, notes).count("1 trial without a dev score") == counted > 0


def test_a_line_that_was_cut_is_dropped_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "test_reads.jsonl"
    path.write_text('{"key": "a"}\n{"key": "b')
    append_line(path, '{"key": "c"}\n')
    assert path.read_text() == '{"key": "a"}\n{"key": "c"}\n'


def test_a_study_of_other_trials_needs_another_folder(
    ran: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    more = write(STUDY.replace("trials = 3", "trials = 4"))
    with pytest.raises(ConfigError, match="its study has trials = 3, not 4; choose another"):
        Study(*load_tuning(more), ran)
    older = tmp_path / "older"
    shutil.copytree(ran, older)
    stored = json.loads((older / "study.json").read_text())
    (older / "study.json").write_text(json.dumps({k: stored[k] for k in ("study", "matrix")}))
    with pytest.raises(ConfigError, match="its trials has drawn = None, not 'defaults, then one"):
        Study(*load_tuning(write()), older)
    other = write(STUDY.replace("high = 12", "high = 9"))
    with pytest.raises(ConfigError, match="holds another study: its study has space"):
        Study(*load_tuning(other), ran)


def test_fresh_seeds_can_be_added_to_a_study_that_has_ended(
    ran: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(ran, out)
    before = {p.parent: p.read_bytes() for p in (out / "runs").glob("*/record.json")}
    trials = (out / "trials.jsonl").read_bytes()
    Study(*load_tuning(write(STUDY.replace("[1, 2]", "[1, 2, 3]"))), out).run()
    assert (out / "trials.jsonl").read_bytes() == trials
    assert {p.parent: p.read_bytes() for p in (out / "runs").glob("*/record.json")}.items() >= (
        before.items()
    )
    for row in json.loads((out / "tuning.json").read_text())["methods"]:
        assert len(row["default"]) == len(row["tuned"]) == 3
    for fewer in ("[1]", "[2, 1]", "[3, 1, 2]"):
        with pytest.raises(ConfigError, match="its study has fresh_seeds"):
            Study(*load_tuning(write(STUDY.replace("[1, 2]", fewer))), out)


def test_methods_can_be_added_to_a_study_that_has_ended(
    ran: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(ran, out)
    chosen = json.loads((out / "tuning.json").read_text())["methods"]
    trials = lines(out / "trials.jsonl")
    block = '\n[[methods]]\n[[methods]]\nsamplers = ["in_batch"]\nobjectives = ["decoupled"]\n'
    Study(*load_tuning(write(STUDY + block)), out).run()
    assert lines(out / "trials.jsonl")[: len(trials)] == trials
    assert json.loads((out / "tuning.json").read_text())["methods"][: len(chosen)] == chosen
    table, _ = tuned_table(load_results(out))
    (added,) = table[table["objective"] == "decoupled"].to_dict("records")
    assert (added["trials"], added["tuned_n_seeds"], added["tuned_n_missing"]) == (3, 2, 0)
    with pytest.raises(ConfigError, match="its study has methods"):
        Study(*load_tuning(write()), out)


def test_methods_of_other_data_rename_the_trials_that_ended_and_repeat_none(
    ran: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(ran, out)
    before = {p: p.stat().st_mtime_ns for p in (out / "trials").glob("runs/*/record.json")}
    keys = [t["keys"] for t in lines(out / "trials.jsonl")]
    block = (
        '\n[[methods]]\n[[methods]]\nsamplers = ["in_batch"]\ndata = [{name="planted",rows=90}]\n'
    )
    study = Study(*load_tuning(write(STUDY + block)), out)
    study.run()
    trials = lines(out / "trials.jsonl")
    assert [t["keys"] for t in trials[: len(keys)]] == keys
    assert len(trials) == len(keys) + 3
    assert {t["method"] for t in trials} == {m.name for m in study.methods}
    assert {p: p.stat().st_mtime_ns for p in before} == before


GRADED = """
[[methods]]
[[methods]]
samplers = ["in_batch"]
objectives = ["cosent"]
data = [{ name = "file", path = "graded.csv", views = "graded" }]
"""


def test_methods_of_graded_pairs_are_compared_with_the_baseline_of_the_first_data(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = datasets.make("planted", rows=40)()
    pairs = zip(made.anchor, made.positive[::-1], strict=True)
    rows = [f'"{made.texts[a]}","{made.texts[p]}",{i % 5}' for i, (a, p) in enumerate(pairs)]
    (tmp_path / "graded.csv").write_text("\n".join(["sentence1,sentence2,score", *rows]) + "\n")
    (tmp_path / "dev.csv").write_text("\n".join(["sentence1,sentence2,score", *rows]) + "\n")
    monkeypatch.chdir(tmp_path)
    test = '{ name = "held", kind = "sts", path = "dev.csv" }'
    matrix = MATRIX.replace(', { name = "hard", k = 4 }', "") + f"[evaluation]\ntasks = [{test}]\n"
    (tmp_path / "tiny.toml").write_text(matrix)
    text = STUDY.replace("[space.hard]\nk = { low = 1, high = 12 }\n", "")
    text = text.replace("trials = 3", f"trials = 2\ndev = {test.replace('held', 'looked')}")
    Study(*load_tuning(write(text + GRADED)), tmp_path / "out").run()
    table, notes = tuned_table(load_results(tmp_path / "out"))
    assert notes == []
    rated = table[table["objective"] == "cosent"].to_dict("records")
    plain = table[table["objective"] == "info_nce"].to_dict("records")
    assert len(rated) == len(plain) == 1  # the one that is lent is not listed again
    assert rated[0]["baseline"] == f"in_batch x none x info_nce on {plain[0]['data']}"
    gap = rated[0]["tuned_mean"] - plain[0]["tuned_mean"]
    assert rated[0]["tuned_difference"] == pytest.approx(gap)
    shown = document(table, notes).replace("\\", "")
    assert f"The baseline is {rated[0]['baseline']}." in shown


def test_methods_that_share_a_parameter_try_the_same_values(ran: Path) -> None:
    tried: dict[str, list[tuple[float, float]]] = {}
    for trial in lines(ran / "trials.jsonl"):
        values = trial["values"]
        if values:
            pair = values["budget.learning_rate"], values["objective.temperature"]
            tried.setdefault(trial["method"], []).append(pair)
    one, two = tried.values()
    assert one == two
    assert len(one) == 2
    # one value from each quarter of the range
    rates = Range(low=1e-3, high=1.0, log=True)
    drawn = sorted(design(rates, i, 4, 0, "budget.learning_rate") for i in range(4))
    edges = [1e-3 * 1000 ** (i / 4) for i in range(5)]
    assert all(a <= x < b for a, x, b in zip(edges, drawn, edges[1:], strict=False))
    whole = {design(Range(low=1, high=4), i, 4, 0, "k") for i in range(4)}
    assert whole == {1, 2, 3, 4}


BLOCKS = """
[[methods]]
samplers = ["in_batch", "given"]
[[methods]]
samplers = ["in_batch"]
objectives = ["triplet", "focal"]
augmentations = ["none", "token_cutoff"]
"""


def test_blocks_are_methods_once_each_and_only_those_asked_for_run(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    said: list[str] = []
    text = STUDY.replace("[space.hard]\nk = { low = 1, high = 12 }\n", "")
    study = write(text.replace("trials = 3", "trials = 2") + BLOCKS)
    config, matrix = load_tuning(study)
    config = config.model_copy(update={"knobs": True, "families": {"planted": ("own",)}})
    out = tmp_path / "blocks"
    asked = Study(config, matrix, out, said.append, only=("in_batch x none", "given*", "*focal"))
    assert [m.name for m in asked.methods] == [
        *("in_batch x none", "given x none", "in_batch x none x triplet"),
        *("in_batch x none x focal", "in_batch x token_cutoff x triplet"),
        "in_batch x token_cutoff x focal",
    ]
    assert {m.name: sorted(m.space) for m in asked.methods[2:4]} == {
        "in_batch x none x triplet": ["budget.learning_rate", "objective.margin"],
        "in_batch x none x focal": [
            *("budget.learning_rate", "objective.gamma", "objective.temperature"),
        ],
    }
    asked.run(probe=True)
    assert "4 methods (0 skipped, 2 not asked for) x 2 trials" in said[-1]
    assert "hours to go" in said[-1]
    assert len(lines(out / "trials.jsonl")) == 2
    asked.run()
    table, _ = tuned_table(load_results(out))
    assert set(table["family"]) == {"planted"}
    assert set(table["n_tasks"]) == {2}
    by = {(r["objective"], r["augmentation"]): r for r in table.to_dict("records")}
    rows = {r["sampler"]: r for r in table.to_dict("records") if r["objective"] == "info_nce"}
    assert "needs given negatives" in rows["given"]["skip"]
    assert rows["given"]["trials"] == 1
    assert rows["given"]["failed_trials"] == 0
    chosen = json.loads((out / "tuning.json").read_text())["methods"]
    assert [m["failed_trials"] for m in chosen if m["skip"]] == [0]
    assert rows["given"]["tuned_n_skipped"] == 2
    focal, triplet = by["focal", "none"], by["triplet", "none"]
    assert focal["tuned_n_seeds"] == 2
    assert focal["baseline"] == "in_batch x none x info_nce"
    assert triplet["trials"] == 0
    assert triplet["tuned_n_missing"] == 2
    chosen = (out / "tuning.json").read_bytes()
    shutil.rmtree(out / "trials")  # as of a study that was published and unpacked
    (out / "tuning.json").unlink()
    Study(config, matrix, out, only=("in_batch x none", "given*", "*focal")).run()
    assert (out / "tuning.json").read_bytes() == chosen
    with pytest.raises(ConfigError, match=r"--only 'hard' fits no method\. 6 are there, such as"):
        Study(config, matrix, out, only=("hard",))


def test_methods_are_chosen_by_the_patterns_of_a_run(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    blocks = """
[[methods]]
samplers = ["in_batch", { name = "hard", k = 2 }, { name = "hard", k = 4 }]
augmentations = ["none", "token_cutoff"]
[[methods]]
samplers = ["in_batch"]
objectives = ["focal"]
"""
    methods = methods_of(*load_tuning(write(STUDY + blocks)))
    assert len(methods) == 7

    def count(*only: str) -> int:
        return len(chosen_methods(methods, only))

    assert count() == 7
    assert count("hard(*") == 4
    assert count("hard") == 4
    assert count("hard(k=2)") == 2
    assert count("in_batch") == 3
    assert count("objective=focal") == 1
    assert count("augmentation=token_cutoff*") == 3
    assert count("candidates=in_batch") == 7
    assert count("sampler=in_batch", "hard(k=4)") == 5
    assert count(methods[0].title) == 1
    for pattern in ("hard(k=3)", "seed=1", f"key={methods[0].cell.key}", "objective=triplet"):
        with pytest.raises(ConfigError, match=r"fits no method\. .*AXIS=GLOB for one of sampler"):
            count(pattern)
    with pytest.raises(ConfigError, match=r"Did you mean '.*token_cutoff.*'\? 7 are there"):
        count("in_batch x token_cutof")


def test_the_baseline_has_the_method_s_augmentation(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    blocks = """
[[methods]]
samplers = ["in_batch"]
objectives = ["info_nce", "focal"]
augmentations = ["none", "token_cutoff"]
[[methods]]
samplers = ["hard", "in_batch"]
objectives = ["focal"]
augmentations = ["word_repetition", "token_cutoff"]
"""
    text = STUDY.replace("trials = 3", "trials = 2").replace("[1, 2]", "[1]") + blocks
    Study(*load_tuning(write(text)), tmp_path / "out").run()
    table, _ = tuned_table(load_results(tmp_path / "out"))
    found = {
        (row["sampler"], row["augmentation"], row["objective"]): row["baseline"]
        for row in table.to_dict("records")
    }
    first, cut = "in_batch x none x info_nce", "in_batch x token_cutoff x info_nce"
    assert found == {
        ("no_training", "", ""): first,
        ("in_batch", "none", "info_nce"): first,
        ("in_batch", "none", "focal"): first,
        ("in_batch", "token_cutoff", "info_nce"): first,  # what the views are worth
        ("in_batch", "token_cutoff", "focal"): cut,
        ("hard", "token_cutoff", "focal"): cut,
        ("in_batch", "word_repetition", "focal"): first,  # there is none of these views
        ("hard", "word_repetition", "focal"): first,
    }


TABLES = """
[[methods]]
samplers = ["in_batch", { name = "hard", k = 4 }, { name = "hard", k = 2 }]
augmentations = ["none", { name = "token_cutoff", rate = 0.2 }]
"""


def test_methods_are_shown_by_short_names_and_chosen_by_both_forms(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    text = STUDY.replace("[space.hard]\nk = { low = 1, high = 12 }\n", "").replace("[1, 2]", "[1]")
    said: list[str] = []
    only = ("in_batch x token_cutoff(*", "hard(k=2) x none", '{"k":4,"name":"hard"} x none')
    study = Study(
        *load_tuning(write(text.replace("trials = 3", "trials = 2") + TABLES)),
        tmp_path / "out",
        said.append,
        only=only,
    )
    wanted = ["in_batch x token_cutoff(rate=0.2)", "hard(k=4) x none", "hard(k=2) x none"]
    assert [m.title for m in study.wanted] == wanted
    study.run()
    assert not [line for line in said if "{" in line]
    for title in wanted:
        assert any(line.startswith(f"{title}, trial 1: dev ") for line in said)
        told = f"{title}, seed 1 (default): done ["
        assert any(line.startswith(told) for line in said)
    kept = [row["method"] for row in lines(tmp_path / "out" / "trials.jsonl")]
    assert kept[0] == 'in_batch x {"name":"token_cutoff","rate":0.2}'  # trials keep their key
    assert {
        row["sampler"] for row in tuned_table(load_results(tmp_path / "out"))[0].to_dict("records")
    } >= {"hard(k=2)", "hard(k=4)", "in_batch"}


@pytest.mark.parametrize("name", boards())
def test_a_shipped_board_is_legal(name: str) -> None:
    config, _ = load_tuning(Path(name))
    assert config.trials >= 4
    assert len(config.fresh_seeds) >= 5


def test_the_first_trial_which_loads_data_does_not_count_in_the_cost(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    study = Study(*load_tuning(write()), tmp_path / "out", only=["in_batch*"])
    (method,) = study.wanted
    made = [Trial(method.name, i, {}, ("k",), 0.5, s) for i, s in enumerate((3600.0, 20.0))]
    path = tmp_path / "out" / "trials.jsonl"
    path.write_text(made[0].line())
    assert "2.0 h of trials" in study.cost()
    path.write_text("".join(trial.line() for trial in made))
    assert "20 s of trials" in study.cost()


def test_a_local_file_may_judge_the_trials(write: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text(
        "sentence1,sentence2,score\na b,a b,1\na b,c d,0\ne,f g,0.5\n"
    )
    dev = f'{{ name = "mine", kind = "sts", path = "{tmp_path / "dev.csv"}" }}'
    config, matrix = load_tuning(write(STUDY.replace("seed = 6", f"seed = 6\ndev = {dev}")))
    Study(config, matrix, tmp_path / "out").run(probe=True)
    trials = lines(tmp_path / "out" / "trials.jsonl")
    assert len(trials) == 2  # the first one loads data and libraries
    assert all(-1 <= trial["value"] <= 1 for trial in trials)
    record, _ = (tmp_path / "out" / "trials").glob("runs/*/record.json")
    read = json.loads(record.read_text())["cell"]["evaluation"]
    assert (read["tasks"], read["dev"]["name"]) == ([], "mine")
    assert read["dev"]["digest"].startswith("sha256:")


def test_a_family_may_hold_local_files_and_groups(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    texts = datasets.make("planted", rows=100)().texts[:6]
    rows = [f"{texts[i]}\t{texts[j]}\t{i - j}" for i in range(6) for j in range(i)]
    (tmp_path / "test.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]))
    task = f'{{ name = "mine", kind = "sts", path = "{tmp_path / "test.tsv"}" }}'
    (tmp_path / "tiny.toml").write_text(MATRIX + f'[evaluation]\ntasks = ["own", {task}]\n')
    families = 'families = { planted = ["own"], files = ["mine"] }'
    Study(*load_tuning(write(STUDY.replace("seed = 6", families))), tmp_path / "out").run()
    table, notes = tuned_table(load_results(tmp_path / "out"))
    assert not notes
    assert set(table["family"]) == {"planted", "files"}
    assert table["tuned_mean"].notna().all()
    assert dict(zip(table["family"], table["n_tasks"], strict=True)) == {"planted": 2, "files": 1}


def test_the_tests_of_the_data_may_be_separate_families(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "tiny.toml").write_text(MATRIX)
    families = 'families = { sts = ["planted-sts"], topics = ["planted-topics"] }'
    Study(*load_tuning(write(STUDY.replace("seed = 6", families))), tmp_path / "out").run()
    table, notes = tuned_table(load_results(tmp_path / "out"))
    assert not notes
    scores = table[table["sampler"] == "in_batch"].set_index("family")["tuned_mean"]
    assert set(scores.index) == {"sts", "topics"}
    assert scores["sts"] != scores["topics"]
    with pytest.raises(ValueError, match="look at planted-topics"):
        load_tuning(write(STUDY.replace("seed = 6", 'families = { sts = ["planted-sts"] }')))


def test_every_end_of_the_shipped_ranges_is_legal() -> None:
    parts = [(samplers, n, r) for n, r in knobs().samplers.items()]
    parts += [(objectives, n, r) for n, r in knobs().objectives.items()]
    for registry, name, ranges in parts:
        parameters = {p.name: p.default for p in registry.entry(name).parameters}
        assert set(ranges) <= set(parameters), name
        for parameter, allowed in ranges.items():
            for value in allowed.values or (allowed.low, allowed.high):
                registry.make(name, **{parameter: value})
            if not allowed.values and isinstance(default := parameters[parameter], float | int):
                assert allowed.low <= default <= allowed.high, f"{name}.{parameter}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fresh_seeds = [1, 2]", "fresh_seeds = [1, 7]", "seed 7 is a trial's and a fresh one"),
        ("[space.hard]", "[space.hrad]", r"space\.hrad belongs to no sampler.*'hard'"),
        ("k = {", "kk = {", r"space\.hard\.kk cannot be tuned"),
        ("learning_rate", "steps", r"space\.budget\.steps cannot be tuned"),
        ("low = 1, high", "low = 13, high", "low is 13 and high is 12"),
        ("low = 1e-3", "low = 0.0", "log needs a low above 0"),
        ("trials = 3", "trails = 3", "unknown key 'trails'. Did you mean 'trials'"),
        ('"tiny.toml"', '"tniy"', "no suite is called 'tniy'"),
        ('"tiny.toml"', '"tiny.toml"\nfamilies = { x = ["STS12"] }', "look at STS12, planted-sts"),
        ('"tiny.toml"', '{ samplers = ["in_batch"], stesp = 3 }', r"matrix: unknown key 'stesp'"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_trains(
    write: Callable[..., Path], old: str, new: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_tuning(write(STUDY.replace(old, new)))


def test_a_grid_in_the_matrix_is_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    study = write()
    (tmp_path / "tiny.toml").write_text(MATRIX.replace("k = 4", "k = [4, 8]"))
    with pytest.raises(ConfigError, match="lists of values belong in the space"):
        Study(*load_tuning(study), tmp_path / "out").run()


def test_a_study_runs_as_the_table_of_its_matrix_asks(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    matrix = tmp_path / "tiny.toml"
    matrix.write_text(MATRIX + "[run]\nkeep_texts = false\nkeep_weights = true\n")
    text = STUDY.replace("trials = 3", "trials = 2").replace("[1, 2]", "[1]")
    Study(*load_tuning(write(text)), tmp_path / "out").run()
    texts = {t for tables in _texts(tmp_path / "out") for t in tables if t}
    assert not texts
    records = ResultsFolder(tmp_path / "out").records()[0]
    trained = [paths for paths, record in records if record.cell["budget"]["steps"]]
    assert trained
    assert all((paths.folder / "weights.safetensors").is_file() for paths in trained)
    assert not list((tmp_path / "out" / "trials").rglob("*.safetensors"))  # of the end alone

    matrix.write_text(MATRIX)
    Study(*load_tuning(write(text)), tmp_path / "kept").run()
    assert {t for tables in _texts(tmp_path / "kept") for t in tables if t}


def _texts(folder: Path) -> list[list[str]]:
    found = [pq.read_table(path).to_pydict() for path in folder.rglob("*.parquet")]
    return [column for table in found for name, column in table.items() if "text" in name]


def test_a_trial_that_takes_too_long_fails_and_the_study_goes_on(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    slow = MATRIX.replace("steps = 4", "steps = 1000000") + "[run]\ntime_limit = 1.5\n"
    (tmp_path / "tiny.toml").write_text(slow)
    text = STUDY.replace("trials = 3", "trials = 2").replace("[1, 2]", "[1]")
    study = Study(*load_tuning(write(text)), tmp_path / "out", only=["in_batch*"])
    study.run()
    trials = lines(tmp_path / "out" / "trials.jsonl")
    assert [t["value"] for t in trials] == [None, None]
    (row, _) = json.loads((tmp_path / "out" / "tuning.json").read_text())["methods"]
    assert (row["trials"], row["failed_trials"]) == (2, 2)
    ended = [
        r for _, r in ResultsFolder(tmp_path / "out").records()[0] if r.cell["budget"]["steps"]
    ]
    assert [r.reason for r in ended] == ["stopped after 1.5 s, the time limit of a cell"]


def test_seeds_of_a_matrix_inside_a_study_are_refused(tmp_path: Path) -> None:
    text = STUDY.replace('matrix = "tiny.toml"\n', "") + "\n[matrix]\n" + MATRIX
    text = text.replace("[budget]", "[matrix.budget]")
    (tmp_path / "study.toml").write_text(text)
    load_tuning(tmp_path / "study.toml")
    (tmp_path / "study.toml").write_text(text.replace("[matrix]\n", "[matrix]\nseeds = [8, 9]\n"))
    with pytest.raises(ConfigError, match=r"study.toml: matrix.seeds: a study has trial_seeds"):
        load_tuning(tmp_path / "study.toml")
