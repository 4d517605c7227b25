"""What cannot work is refused before anything trains, by a run and by a tuning study alike."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from running import invoked

from nsbench.analysis.cli.main import add_commands
from nsbench.benchmarks.matrix.config import ConfigError, load_config
from nsbench.benchmarks.matrix.tune_file import load_tuning, named_matrix
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.runs.matrix_run import plan_matrix, run
from nsbench.benchmarks.runs.settings import RunSettings
from nsbench.benchmarks.runs.tuning import Study
from nsbench.benchmarks.runs.watch import Watch

MATRIX = """
samplers = ["in_batch", "hard"]
encoders = [{ name = "static", dimension = 8 }]
data = [{ name = "planted", rows = 100 }]
[budget]
steps = 2
batch_size = 16
[evaluation]
tasks = ["own"]
"""
STUDY = """
matrix = "m.toml"
trials = 2
trial_seeds = [7]
fresh_seeds = [1, 2]
[space.budget]
learning_rate = { low = 1e-3, high = 1.0, log = true }
"""
FILE = 'data = [{ name = "file", path = "pairs.csv" }]'
PLANTED = 'data = [{ name = "planted", rows = 100 }]'
NO_DEV = "dev is 'own', and file has no development data"
NO_TESTS = "no data set of the matrix has tests: file"

Texts = Callable[..., Path]


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    rows = "".join(f"a text about {i},another text about {i}\n" for i in range(40))
    (tmp_path / "pairs.csv").write_text("anchor,positive\n" + rows)

    def write(old: str = "", new: str = "", study: tuple[str, str] = ("", "")) -> Path:
        for name, text, (one, two) in (
            ("m.toml", MATRIX, (old, new)),
            ("s.toml", STUDY, study),
        ):
            assert one in text
            (tmp_path / name).write_text(text.replace(one, two) if one else text)
        return tmp_path

    return write


BOTH = [
    ('["own"]', '["own", "STS99"]', "no evaluation task, benchmark or group is called 'STS99'"),
    ('["own"]', '["NFCorpus-of-nobody"]', "is called 'NFCorpus-of-nobody'"),
    (
        '["own"]',
        '["own", { name = "d", kind = "sts", path = "none.csv" }]',
        "none.csv",
    ),
    ('["own"]', '["STS12"]\ndev = "STS99"', "is called 'STS99'"),
    (PLANTED, FILE, NO_TESTS),
    ("[budget]", '[run]\ndevice = "cuda:99"\n[budget]', "cuda"),
]


@pytest.mark.parametrize(("old", "new", "said"), BOTH)
def test_a_run_and_a_study_refuse_the_same_before_a_file_is_written(
    texts: Texts, old: str, new: str, said: str
) -> None:
    if "cuda" in new and torch.cuda.device_count() > 99:
        pytest.skip("it has that device")
    folder = texts(old, new)
    out = folder / "out"
    with pytest.raises((ValueError, OSError), match=said):
        plan_matrix(RunSettings(config=str(folder / "m.toml"), out_dir=out))
    with pytest.raises((ValueError, OSError), match=said):
        Study(*load_tuning(folder / "s.toml"), out)
    assert not out.exists()


def test_a_study_says_a_wrong_name_before_data_that_its_matrix_lacks(texts: Texts) -> None:
    folder = texts('["own"]', '["STS12"]', study=("trials = 2", 'trials = 2\ndev = "STS99"'))
    with pytest.raises(ValueError, match="is called 'STS99'"):
        Study(*load_tuning(folder / "s.toml"), folder / "out")


PAIRS = '["own", { name = "scored", kind = "sts", path = "scored.csv" }]'


@pytest.mark.parametrize(
    ("data", "tasks", "told"),
    [
        (f"{PLANTED[:-1]}, {FILE[8:]}", PAIRS, 1),
        (PLANTED, PAIRS, 0),
        (f"{PLANTED[:-1]}, {FILE[8:]}", '["own"]', 0),  # the cells of the file are skipped
    ],
)
def test_data_without_tests_among_others_are_named_by_a_run_and_a_study(
    texts: Texts, data: str, tasks: str, told: int
) -> None:
    folder = texts(PLANTED, data)
    for name in ("m.toml", "s.toml"):
        path = folder / name
        path.write_text(path.read_text().replace('["own"]', tasks))
    scored = "".join(f"text {i},text {i % 7},{i % 5}\n" for i in range(30))
    (folder / "scored.csv").write_text("sentence1,sentence2,score\n" + scored)
    notes: list[str] = []
    watch = Watch()
    watch.note = notes.append  # type: ignore[method-assign]
    plan_matrix(RunSettings(config=str(folder / "m.toml"), out_dir=folder / "out"), watch)
    Study(*load_tuning(folder / "s.toml"), folder / "study", say=notes.append)
    found = [
        n for n in notes if re.search(r"without tests are file\(path=\S*pairs\.csv\): such", n)
    ]
    assert len(found) == 2 * told


STUDIES = [
    ("trials = 2", 'trials = 2\ndev = "STS99"', "is called 'STS99'"),
    ("[1, 2]", "[1, 1]", r"fresh_seeds is \[1, 1\]: 1 is there twice, which is one seed"),
    ("[7]", "[8, 7, 8]", r"trial_seeds is \[8, 7, 8\]: 8 is there twice"),
    ("1e-3, high = 1.0, log = true", "-2, high = -1", "in_batch .*, trial 2 .*learning_rate is -"),
    ("[space.budget]", "[space.hard]\nk = { low = -2, high = -1 }\n[space.budget]", "hard: k must"),
    ("[space.budget]", '[space.hard]\nk = { values = ["a"] }\n[space.budget]', "k must.* got 'a'"),
    ("trials = 2", "trialz = 2", "unknown key 'trialz'. Did you mean 'trials'"),
    ("high", "hgh", "unknown key 'space.budget.learning_rate.hgh'. Did you mean 'high'"),
    ("trials = 2", "trials = 'x'", "s.toml: trials is 'x': "),
]


@pytest.mark.parametrize(("old", "new", "said"), STUDIES)
def test_a_study_that_cannot_work_is_refused_before_a_file_is_written(
    texts: Texts, old: str, new: str, said: str
) -> None:
    folder = texts(study=(old, new))
    with pytest.raises(ValueError, match=said):
        Study(*load_tuning(folder / "s.toml"), folder / "out")
    assert not (folder / "out").exists()


def test_a_study_on_data_without_dev_pairs_is_refused(texts: Texts) -> None:
    folder = texts(PLANTED, FILE)
    (folder / "sts.csv").write_text("sentence1,sentence2,score\na,b,0.1\nc,d,0.4\ne,f,0.9\n")
    text = (folder / "m.toml").read_text()
    task = '{ name = "t", kind = "sts", path = "sts.csv" }'
    (folder / "m.toml").write_text(text.replace('"own"', task))
    with pytest.raises(ConfigError, match=NO_DEV):
        Study(*load_tuning(folder / "s.toml"), folder / "out")
    assert not (folder / "out").exists()


def test_a_checkpoint_on_dev_pairs_that_one_data_set_lacks_skips_its_cells(
    texts: Texts, tmp_path: Path
) -> None:
    both = PLANTED.removesuffix("]") + ", " + FILE.removeprefix("data = [")
    folder = texts(PLANTED, both)
    text = (folder / "m.toml").read_text() + 'dev = "own"\ndev_every = 1\n'
    (folder / "m.toml").write_text(text)
    run(folder / "m.toml", tmp_path / "out", workers=1)
    records = [r for _, r in ResultsFolder(tmp_path / "out").records()[0]]
    found: dict[tuple[str, bool], set[str]] = {}
    for r in records:
        trained = r.cell["budget"]["steps"] > 0
        found.setdefault((r.cell["data"]["name"], trained), set()).add(r.reason or r.status)
    assert found["planted", True] == found["planted", False] == {"done"}
    assert all(NO_DEV in reason for reason in found["file", True])
    assert all("the only task is 'own'" in reason for reason in found["file", False])


def test_a_corrected_study_may_use_the_same_folder(texts: Texts) -> None:
    folder = texts(study=("trials = 2", 'trials = 2\ndev = "STS99"'))
    with pytest.raises(ValueError, match="STS99"):
        Study(*load_tuning(folder / "s.toml"), folder / "out")
    folder = texts()
    Study(*load_tuning(folder / "s.toml"), folder / "out").run(probe=True)
    assert len((folder / "out" / "trials.jsonl").read_text().splitlines()) == 2


def inline(data: str = PLANTED) -> str:
    """Return the study with the matrix inside it, of other data."""
    lines = MATRIX.replace(PLANTED, data).splitlines()
    own = "\n".join(f"[matrix.{x[1:]}" if x.startswith("[") else x for x in lines)
    return STUDY.replace('matrix = "m.toml"\n', "") + "[matrix]\n" + own


def test_settings_of_other_executors_are_refused_in_a_study_of_its_own_matrix(
    texts: Texts,
) -> None:
    folder = texts()
    (folder / "s.toml").write_text(inline())
    assert load_tuning(folder / "s.toml")[1] == load_config(str(folder / "m.toml"))
    (folder / "s.toml").write_text(inline() + '\n[matrix.run.slurm]\npartition = "a"\n')
    with pytest.raises(ConfigError, match=r"matrix\.run\.slurm: the cells of a study run in"):
        load_tuning(folder / "s.toml")


def test_paths_of_a_study_start_at_the_folder_of_its_file(
    texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = texts()
    (folder / "elsewhere").mkdir()
    (folder / "dev.csv").write_text("sentence1,sentence2,score\na,b,1\nc,d,0\n")
    dev = 'dev = { name = "d", kind = "sts", path = "dev.csv" }\n'
    (folder / "s.toml").write_text(dev + inline(FILE) + f"\n[[methods]]\n{FILE}\n")
    monkeypatch.chdir(folder / "elsewhere")
    config, matrix = load_tuning(Path("../s.toml"))
    found: list[Any] = [config.dev, config.methods[0].data[0], matrix.data[0]]
    assert all(Path(entry["path"]).is_file() for entry in found)


def test_prefetch_takes_a_study_and_run_says_what_it_is(texts: Texts) -> None:
    block = '[[methods]]\nencoders = [{ name = "static", dimension = 4 }]\n[space.budget]'
    folder = texts(study=("[space.budget]", block))
    matrix = named_matrix(str(folder / "s.toml"))
    assert len(matrix.products) == 2
    assert matrix.evaluation.dev == "own"
    said = invoked("prefetch", folder / "s.toml", "--check").output
    assert "static(dimension=8)" in said
    assert "static(dimension=4)" in said
    assert "nothing is missing" in said
    with pytest.raises(ConfigError, match="is the file of a tuning study: run it with"):
        load_config(str(folder / "s.toml"))
    with pytest.raises(ConfigError, match="pairs is a board, not a suite: run it with"):
        load_config("pairs")
    assert len(named_matrix("pairs").products) > 1


def test_seeds_of_a_matrix_are_each_named_once(texts: Texts) -> None:
    folder = texts("[budget]", "seeds = [3, 4, 3]\n[budget]")
    with pytest.raises(ConfigError, match=r"seeds is \[3, 4, 3\]: 3 is there twice"):
        load_config(str(folder / "m.toml"))


def test_a_device_that_is_not_here_is_refused_by_the_command(texts: Texts) -> None:
    folder = texts("[budget]", '[run]\ndevice = "cuda:99"\n[budget]')
    asked = ("tune", folder / "s.toml", "--out", folder / "out")
    ended = invoked(*asked, ends=1, app=add_commands(typer.Typer()))
    assert isinstance(ended.exception, ValueError)
    assert "cuda:99" in str(ended.exception)
