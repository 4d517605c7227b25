"""Models evaluated twice into one folder, and tests that are named (methods: evaluate)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.benchmarks.cli.models import evaluate
from nsbench.benchmarks.encoders import encoders
from nsbench.benchmarks.evaluation.local_tasks import task_of_file, tasks_of_files
from nsbench.benchmarks.records import ResultsFolder

pytest.importorskip("sentence_transformers")

from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer

WORDS = ["the", "cat", "sleeps", "on", "a", "mat", "and", "two", "dogs", "bark", "at", "rain"]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def made(name: str, shift: int = 0) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            f"{WORDS[(i + shift) % 11]} {WORDS[i]},{WORDS[(2 * i) % 11]} {WORDS[i]},{(i * 7) % 5}"
            for i in range(11)
        ]
        path.write_text("\n".join(["sentence1,sentence2,score", *rows]) + "\n", "utf-8")
        return path

    return made


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    out = []
    for seed, name in enumerate("AB"):
        encoder = encoders.make("static", dimension=8).build([" ".join(WORDS)], seed)
        folder = tmp_path / "models" / name
        to_sentence_transformer(encoder).save(str(folder), create_model_card=False)
        out.append(str(folder))
    return out


def evaluated(out: Path, *words: str) -> Any:
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, [*words, "--out", str(out)])


def test_two_evaluations_join_and_equal_one(
    tmp_path: Path, models: list[str], write: Write
) -> None:
    x, y = str(write("x.csv")), str(write("y.csv", 3))
    for words in ([*models, "--test", x], [models[0], "--test", y]):
        done = evaluated(tmp_path / "twice", *words)
        assert done.exit_code == 0, done.output
    once = evaluated(tmp_path / "once", models[0], "--test", x, "--test", y)
    assert once.exit_code == 0, once.output
    (one, _), *more = ResultsFolder(tmp_path / "once").records()[0]
    assert not more
    folder = ResultsFolder(tmp_path / "twice")
    by_name = {r.cell["sampler"]["name"]: p for p, r in folder.records()[0]}
    assert sorted(by_name) == ["local/A", "local/B"]
    assert by_name["local/A"].scores.read_bytes() == one.scores.read_bytes()
    rows = make_leaderboard(load_results(folder.root), baseline="local/A").rows
    rows = rows.set_index(rows["sampler"].str.slice(0, 7))
    assert rows.loc["local/A", ["x", "y"]].notna().all()
    assert rows["n_failed"].tolist() == [0, 0]
    assert rows.loc["local/B", "n_missing"] == 1
    again = evaluated(tmp_path / "twice", models[0], "--test", x)
    assert "(from before)" in again.output.replace("\n", " ")
    assert len(folder.records()[0]) == 2


def test_another_test_under_the_same_name_is_refused_and_nothing_is_lost(
    tmp_path: Path, models: list[str], write: Write
) -> None:
    out = tmp_path / "out"
    assert evaluated(out, models[0], "--test", str(write("x.csv"))).exit_code == 0
    before = {p: p.read_bytes() for p in out.rglob("*.csv")}
    done = evaluated(out, models[0], "--test", str(write("x.csv", 5)))
    assert done.exit_code == 1
    assert "another task called 'x'" in done.output.replace("\n", " ")
    assert {p: p.read_bytes() for p in out.rglob("*.csv")} == before
    renamed = evaluated(out, models[0], "--test", f"second={tmp_path / 'x.csv'}")
    assert renamed.exit_code == 0, renamed.output
    (paths, _), *more = ResultsFolder(out).records()[0]
    assert not more
    assert {"x", "second"} <= set(pd.read_csv(paths.scores)["task"])


def test_names_of_files_are_legal_and_tell_them_apart(write: Write) -> None:
    def names(*given: str | Path) -> list[str]:
        return [task.name for task in tasks_of_files(given)]

    odd = write("prüf \u2013 menge.csv")
    assert names(odd) == ["pruf-menge"]
    assert names(f"check={odd}") == ["check"]
    french, german = write("fr/test.csv"), write("de/test.csv", 1)
    assert names(french, german) == ["fr-test", "de-test"]
    assert names(german, french) == ["de-test", "fr-test"]
    assert names(f"a={french}", german) == ["a", "test"]
    assert names(f"test={french}", german) == ["test", "de-test"]
    assert task_of_file(write("検証.csv")).name == "test"
    holds = write("a=b.csv")
    assert names(holds) == ["a-b"]
    assert names(f"x={holds}") == ["x"]


def test_names_that_cannot_be_are_refused_with_the_legal_ones(write: Write) -> None:
    one, two = write("one.csv"), write("two.csv")
    for given, words in (
        ((f"a={one}", f"a={two}"), "two test files are called 'a'"),
        ((one, one), "is given twice"),
        ((f"geometry={one}",), "geometry"),
        ((f"a b={one}",), "a name is letters, digits"),
        ((f"a={one.parent / 'on.csv'}",), "there is no file"),
        ((f"={one}",), "PATH or NAME=PATH"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            tasks_of_files(given)
