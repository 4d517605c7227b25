"""State of a tuning study: its trials first, what is still to come, and whose folder it is."""

from pathlib import Path
from typing import Any

import pytest
from made_studies import SMALL_MATRIX, small_study
from rich.console import Console
from running import invoked, nsbench

from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.published import publish
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.benchmarks.matrix.config import ConfigError
from nsbench.benchmarks.records import RecordError, ResultsFolder, read_record, write_record
from nsbench.benchmarks.records.status import StatusReader, left
from nsbench.benchmarks.runs.live import view
from nsbench.benchmarks.runs.matrix_run import run
from nsbench.benchmarks.runs.tuning import Study


def shown(state: dict[str, Any]) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view(state))
    return " ".join(capture.get().split())


def test_a_study_tells_its_trials_first_and_never_that_all_is_done(tmp_path: Path) -> None:
    reader = StatusReader(ResultsFolder(tmp_path / "out"))
    states: list[dict[str, Any]] = []

    def look(line: str) -> None:
        if (tmp_path / "out" / "runs").is_dir():
            states.append(reader.read())

    study = Study(*small_study(tmp_path), tmp_path / "out", look)
    with pytest.raises(RecordError, match="no results folder"):
        StatusReader(ResultsFolder(tmp_path)).read()
    first = reader.read()  # before anything has run
    assert (first["planned"], first["trials"], left(first)) == (False, None, 0)
    assert "planned when all trials have ended" in shown(first)
    study.run()
    probed = next(s for s in states if s["trials"] and s["trials"]["counts"]["done"] >= 2)
    assert not probed["planned"]
    tried = [s for s in states if s["trials"] and left(s["trials"]) and not s["planned"]]
    assert tried
    for state in tried:
        text = shown(state)
        assert "out/trials" in text
        assert "to go" in text or state["trials"]["rates"]["eta_hours"] is None
    compared = [s for s in states if s["planned"]]
    assert compared
    assert all(left(s["trials"]) == 0 for s in compared)
    assert any(s["counts"]["pending"] for s in compared)
    last = reader.read()
    assert (last["planned"], left(last)) == (True, 0)
    assert last["trials"]["counts"]["done"] == 6
    assert last["trials"]["counts"]["skipped"] == 3
    assert "out/trials" not in shown(last)  # there is nothing to say of them
    assert not (tmp_path / "out" / "trials" / "matrix.json").exists()


def test_failed_trials_are_shown_and_only_the_study_runs_them_again(tmp_path: Path) -> None:
    study = Study(*small_study(tmp_path), tmp_path / "out")
    study.run(probe=True)
    trials = ResultsFolder(tmp_path / "out" / "trials")
    paths, record = next(iter(trials.records()[0]))
    write_record(paths, record.__class__(**{**vars(record), "status": "failed", "reason": "x: y"}))
    assert read_record(paths).status == "failed"
    assert "1 failed" in shown(StatusReader(ResultsFolder(tmp_path / "out")).read())
    refused = nsbench("retry", trials.root)
    assert refused.returncode == 2
    assert "nsbench tune with --retry-failed" in refused.stderr
    assert paths.record.is_file()
    done = invoked("retry", tmp_path / "out")
    told = " ".join(done.output.split())
    assert "0 failed cells will be run again by the next nsbench tune (failed trials with" in told


def test_a_folder_holds_a_study_or_a_matrix(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(SMALL_MATRIX)
    study = small_study(tmp_path)
    Study(*study, tmp_path / "a")
    before = sorted(p.name for p in (tmp_path / "a").iterdir())
    with pytest.raises(ConfigError, match=r"a holds a tuning study, .* nsbench tune"):
        run(tmp_path / "tiny.toml", tmp_path / "a")
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == before
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "matrix.json").write_text("{}")
    with pytest.raises(ConfigError, match="b holds the results of a matrix"):
        Study(*study, tmp_path / "b")
    assert not (tmp_path / "b" / "study.json").exists()


def test_a_leaderboard_says_that_a_study_has_not_chosen_yet(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    out = tmp_path / "out"
    Study(*study, out).run(probe=True)
    told = f"{out} holds a tuning study that has not chosen its settings yet"
    with pytest.raises(ValueError, match="cannot be the baseline") as caught:
        make_leaderboard(load_results(out))
    assert told in str(caught.value)
    Study(*study, out).run()
    assert not [line for line in load_results(out).left_out if "study" in line]
    (out / "tuning.json").unlink()  # as merged
    assert [line for line in load_results(out).left_out if line.startswith(told)]
    with pytest.raises(RecordError, match="it is published after that"):
        publish(out, tmp_path / "published")
    assert not (tmp_path / "published").exists()
