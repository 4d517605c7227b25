"""Models by content: loading, evaluation beside each other, and cells taken home."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from running import invoked, planned_of, small_matrix

from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.benchmarks.encoders import encode_texts, encoders
from nsbench.benchmarks.encoders._identity import identity
from nsbench.benchmarks.encoders.pretrained import (
    TextModel,
    _read_alike,
    load_model,
    refuse_foreign,
)
from nsbench.benchmarks.evaluation.local_tasks import task_of_file
from nsbench.benchmarks.export.cell import cell_from, export_cell, find_cell
from nsbench.benchmarks.records import ResultsFolder, read_record
from nsbench.benchmarks.runs.executors.base import plan_jobs, run_job
from nsbench.benchmarks.runs.external import evaluate_model

pytest.importorskip("sentence_transformers")

from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer

TEXTS = ("the cat sleeps on the mat", "a dog barks", "two boats cross the wide lake", "rain")
MATRIX = small_matrix(
    encoders=[{"name": "static", "dimension": 8}, {"name": "tiny", "dimension": 8}],
    data=[{"name": "planted", "rows": 60}],
    budget={"steps": 3, "batch_size": 16},
    run={"keep_weights": True},
)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models of different weights in folders of the same name."""
    folders = []
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp(f"run{seed}") / "model"
        encoder = encoders.make("static", dimension=8).build(TEXTS, seed)
        to_sentence_transformer(encoder).save(str(folder), create_model_card=False)
        folders.append(folder)
    return folders[0], folders[1]


@pytest.fixture
def test_file(tmp_path: Path) -> Path:
    rows = [(a, b, float(i)) for i, (a, b) in enumerate((x, y) for x in TEXTS for y in TEXTS)]
    path = tmp_path / "mine.csv"
    lines = [f"{a},{b},{s}" for a, b, s in rows]
    path.write_text("\n".join(["sentence1,sentence2,score", *lines]) + "\n")
    return path


def test_a_name_is_not_an_identity(checkpoints: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = (load_model(str(folder)) for folder in checkpoints)
    assert one.name == two.name == "local/model"
    assert one.revision != two.revision
    copy = tmp_path / "elsewhere"
    shutil.copytree(checkpoints[0], copy)
    (copy / "README.md").write_text("a new card")
    assert identity(copy) == identity(checkpoints[0])
    assert not np.allclose(one.encode(TEXTS), two.encode(TEXTS))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with mean pooling, as sentence-transformers saves it."""
    folder = tmp_path_factory.mktemp("plain") / "bert"
    encoder = encoders.make("tiny", dimension=16, layers=2).build(TEXTS, 1)
    model = to_sentence_transformer(encoder)
    model.max_seq_length = 5
    model.save(str(folder), create_model_card=False)
    return folder


def test_our_encoder_gives_the_embeddings_of_sentence_transformers(bert: Path) -> None:
    theirs, ours = load_model(str(bert)), load_model(str(bert), own=True, batch_size=2)
    assert (ours.name, ours.revision) == (theirs.name, theirs.revision)
    assert ours.how != theirs.how  # embeddings of the two are cached apart
    assert type(ours.loaded).__name__ == "TransformerEncoder"
    for prompt in (None, "", "query: "):
        texts = [*TEXTS, "", "a b c d e f g h"]
        found = ours.encode(texts, "query", prompt)
        np.testing.assert_allclose(found, theirs.encode(texts, "query", prompt), atol=2e-6)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config_sentence_transformers.json", {"prompts": {"query": "q: "}}),
        ("config.json", {"dtype": "bfloat16"}),
        ("config.json", {"model_type": "roberta"}),
        ("tokenizer_config.json", {"model_max_length": 4096}),
        ("1_Pooling/config.json", {"pooling_mode": "max"}),
    ],
)
def test_our_encoder_leaves_other_folders_to_sentence_transformers(
    bert: Path, tmp_path: Path, file: str, change: dict[str, Any]
) -> None:
    assert _read_alike(bert)
    shutil.copytree(bert, tmp_path / "bert")
    path = tmp_path / "bert" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert not _read_alike(tmp_path / "bert")


def test_two_local_checkpoints_in_one_folder_keep_their_own_scores(
    checkpoints: tuple[Path, Path], test_file: Path, tmp_path: Path
) -> None:
    folder, test = ResultsFolder(tmp_path / "out"), task_of_file(test_file)
    alone = []
    for checkpoint in checkpoints:
        model = load_model(str(checkpoint))
        apart = ResultsFolder(tmp_path / f"apart-{model.revision}")
        evaluate_model(model, [test], apart)
        alone.append(load_results(apart.root).scores.query("main and task == 'mine'")["value"])
        _, before = evaluate_model(model, [test], folder)
        assert not before
    both = load_results(folder.root)
    found = both.scores.query("main and task == 'mine'")["value"]
    assert sorted(found) == sorted([*alone[0], *alone[1]])
    assert found.nunique() == 2
    assert evaluate_model(load_model(str(checkpoints[0])), [test], folder)[1]
    board = make_leaderboard(both, baseline="local/model")
    names = [f"local/model(revision={load_model(str(c)).revision[:12]})" for c in checkpoints]
    assert sorted(board.rows["sampler"]) == sorted(names)


@pytest.mark.slow
def test_two_local_checkpoints_in_one_mteb_cache_keep_their_own_scores(
    checkpoints: tuple[Path, Path], tmp_path: Path, need_tasks: Callable[..., None]
) -> None:
    """R1: mteb answers for the second one with the first one's score if it has no own name."""
    from nsbench.benchmarks.evaluation.mteb.adapter import mteb_module

    need_tasks("STS12")
    folder = ResultsFolder(tmp_path)
    expected = {}
    for checkpoint in checkpoints:
        model = load_model(str(checkpoint))
        record, _ = evaluate_model(model, ("STS12",), folder)
        table = load_results(tmp_path).scores.query("main and task == 'STS12'")
        expected[model.revision] = float(table[table["key"] == record.key]["value"].iloc[0])
    assert len(set(expected.values())) == 2
    cache = mteb_module().ResultCache(tmp_path / "mteb")
    results = cache.load_results(tasks=["STS12"])
    got = {r.model_revision: r.task_results[0].get_score() for r in results.model_results}
    assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "path", "message"),
    [
        ("evil_package.Module", "", "foreign code"),
        ("sentence_transformers.models.Dense", "../elsewhere", "leaves the folder"),
        ("sentence_transformers.models.Dense", "2_Dense", "pickled weights only"),
    ],
)
def test_foreign_and_pickled_modules_are_refused(
    tmp_path: Path, kind: str, path: str, message: str
) -> None:
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "2_Dense" / "pytorch_model.bin").write_bytes(b"x")
    modules = [{"idx": 0, "name": "0", "path": path, "type": kind}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ValueError, match=message):
        refuse_foreign(tmp_path)


@pytest.mark.parametrize(
    ("name", "given"),
    [("static", {"dimension": 8}), ("tiny", {}), ("tiny", {"pooling": "cls"})],
)
def test_an_exported_encoder_gives_the_same_embeddings(
    name: str, given: dict[str, Any], tmp_path: Path
) -> None:
    encoder = encoders.make(name, **given).build(TEXTS, 1)
    to_sentence_transformer(encoder).save(str(tmp_path / "m"), create_model_card=False)
    back = load_model(str(tmp_path / "m"))
    texts = [*TEXTS, "word " * 400, "never seen"]
    np.testing.assert_allclose(back.encode(texts), encode_texts(encoder, texts), atol=1e-6)
    assert not list((tmp_path / "m").rglob("*.bin"))


def test_a_pooling_without_a_module_is_refused() -> None:
    encoder = encoders.make("tiny", pooling="last2_mean").build(TEXTS, 1)
    with pytest.raises(ValueError, match="has no module in sentence-transformers"):
        to_sentence_transformer(encoder)
    assert to_sentence_transformer(encoder, pooling="mean") is not None


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> ResultsFolder:
    folder = ResultsFolder(tmp_path_factory.mktemp("out"))
    for job in plan_jobs(planned_of(MATRIX), folder, "cpu", 1, keep_weights=True):
        record = run_job(job)
        assert record.status == "done", record.traceback
    return folder


def test_a_cell_exports_with_its_scores_on_the_card(
    finished: ResultsFolder, tmp_path: Path
) -> None:
    import yaml

    for number, paths in enumerate(finished.folders()):
        to = tmp_path / str(number)
        record = export_cell(paths.folder, to)
        card = (to / "README.md").read_text()
        front = yaml.safe_load(card.split("---")[1])
        metrics = {
            (r["dataset"]["name"], m["type"]): m["value"]
            for r in front["model-index"][0]["results"]
            for m in r["metrics"]
        }
        table = load_results(finished.root).scores
        mine = table[(table["key"] == record.key) & table["main"]]
        assert metrics == {(r.task, r.metric): r.value for r in mine.itertuples()}
        assert record.weights in card
        model = load_model(str(to))
        test = replace_name(model)
        from nsbench.benchmarks.data import datasets

        own = datasets.make("planted", rows=60).tests()
        again, _ = evaluate_model(test, (), ResultsFolder(tmp_path / "again"), own[:1])
        scores = load_results(tmp_path / "again").scores
        name = own[0].name
        got = scores[(scores["key"] == again.key) & (scores["task"] == name) & scores["main"]]
        want = mine[mine["task"] == name]["value"].iloc[0]
        assert got["value"].iloc[0] == pytest.approx(want, abs=1e-5)


def replace_name(model: TextModel) -> TextModel:
    return replace(model, name="local/exported")


def test_a_cell_without_weights_says_what_to_do(finished: ResultsFolder, tmp_path: Path) -> None:
    paths = next(iter(finished.folders()))
    weights = paths.weights.read_bytes()
    try:
        paths.weights.unlink()
        with pytest.raises(ValueError, match="set keep_weights = true under"):
            export_cell(paths.folder, tmp_path / "a")
        record = export_cell(paths.folder, tmp_path / "b", retrain=True)  # the same bits
        assert record.weights == read_record(paths).weights
        assert (tmp_path / "b" / "model.safetensors").is_file()
        from safetensors.torch import load, save

        state = {k: v + 1 for k, v in load(weights).items()}
        paths.weights.write_bytes(save(state))
        with pytest.raises(ValueError, match="not those of the record"):
            export_cell(paths.folder, tmp_path / "c")
    finally:
        paths.weights.write_bytes(weights)
    with pytest.raises(ValueError, match="is not empty"):
        export_cell(paths.folder, tmp_path / "b")


def test_a_cell_is_found_by_key(finished: ResultsFolder) -> None:
    paths = next(iter(finished.folders()))
    key = read_record(paths).key
    assert find_cell(finished.root, key) == find_cell(paths.folder) == paths.folder
    with pytest.raises(ValueError, match="2 cells fit 'in_batch'"):
        find_cell(finished.root, "in_batch")
    with pytest.raises(ValueError, match="has not a cell 'nothing'"):
        find_cell(finished.root, "nothing")


def test_a_cell_reads_back_from_its_file(finished: ResultsFolder) -> None:
    for paths in finished.folders():
        record = read_record(paths)
        plain = {k: v for k, v in record.cell.items() if k != "labels"}
        assert cell_from(plain).key == record.key
        with pytest.raises(ValueError, match="follows recipe 0"):
            cell_from(plain | {"recipe": 0})


def test_weights_are_kept_only_if_asked_for(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path)
    (job, _) = plan_jobs(planned_of(MATRIX), folder, "cpu", 1)
    assert run_job(job).status == "done"  # type: ignore[union-attr]
    assert not job.paths.weights.exists()


def test_commands(
    finished: ResultsFolder, checkpoints: tuple[Path, Path], test_file: Path, tmp_path: Path
) -> None:
    from nsbench.benchmarks.cli.models import evaluate, export

    app = typer.Typer()
    app.command()(evaluate)
    app.command()(export)
    words = ["evaluate", *checkpoints, tmp_path / "nothing"]  # one of the three is not there
    done = invoked(*words, "--test", test_file, "-o", tmp_path / "o", app=app, ends=1)
    assert done.stdout.count("local/model@") == 2
    words = ["evaluate", checkpoints[0], "-o", tmp_path / "other"]
    named = [*words, "--test", f"mine={test_file}", "--read", "bad_rows=skip"]
    assert "  mine " in invoked(*named, app=app).stdout
    with pytest.raises(ValueError, match=r"there is no option 'quote'\. Did you mean 'quot"):
        invoked(*named, "--read", "quote=none", app=app, catch_exceptions=False)
    paths = next(iter(finished.folders()))
    done = invoked("export", paths.folder, "--to", tmp_path / "m", app=app)
    assert "as recorded" in done.stdout


def test_cell_of_other_weights_has_another_key() -> None:
    from nsbench.benchmarks.runs.external import cell_of

    def model(revision: str) -> TextModel:
        return TextModel("org/a", revision, 2, "x", lambda t, r, p: np.zeros((len(t), 2)))

    keys = {cell_of(model(r), tasks).key for r in ("a" * 40, "b" * 40) for tasks in ((), ("x",))}
    assert len(keys) == 4
