"""The folder of a mined set: what is there is recognised only if it is what was written."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_data import LETTERS as MODEL

from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.mining.corpus import ShortageError
from nsbench.benchmarks.mining.dataset import FORMATS, MineSettings
from nsbench.benchmarks.mining.dataset.mined_set import Mining
from nsbench.benchmarks.mining.dataset.write import mine_to
from nsbench.benchmarks.mining.settings import MinedFiles

BASE = MineSettings(shortage="fewer", negatives=2)
TRIPLETS, BEIR = MinedFiles(), MinedFiles(form="beir")


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return datasets.make("planted", rows=20, seed=3)()


def content(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def one_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def as_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


CHANGES = (half, one_bit, lambda file: file.write_bytes(b""), as_folder, as_pipe)
FILES = [
    (form, name)
    for form, names in (
        (TRIPLETS, ("train.jsonl", "report.json", "provenance.parquet")),
        (BEIR, ("qrels/train.tsv", "corpus.jsonl", "queries.jsonl")),
    )
    for name in names
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("form", "name"), FILES)
def test_a_changed_file_is_noticed_and_kept_until_it_is_to_be_overwritten(
    data: TrainingData, tmp_path: Path, form: MinedFiles, name: str, change: Callable[[Path], None]
) -> None:
    mining = Mining(data, BASE, MODEL)
    mine_to(tmp_path, mining, form)
    whole = content(tmp_path)
    change(tmp_path / name)
    before = content(tmp_path)
    with pytest.raises(ValueError, match=r"(?s)changed since|is not the card") as refusal:
        mine_to(tmp_path, mining, form)
    assert Path(name).name in str(refusal.value)
    assert "--overwrite" in str(refusal.value)
    assert content(tmp_path) == before
    if change not in (as_folder,):  # a folder is not replaced by a file
        assert not mine_to(tmp_path, mining, form, overwrite=True)[1]
        assert content(tmp_path) == whole


@pytest.mark.parametrize(
    ("form", "shortage"),
    [(f, s) for f in FORMATS for s in ("drop", "fewer") if (f, s) != ("n-tuple", "fewer")],
)
def test_a_set_without_a_negative_is_refused_and_leaves_what_was_there(
    data: TrainingData, tmp_path: Path, form: str, shortage: str
) -> None:
    mine_to(tmp_path, Mining(data, BASE.replace(shortage=shortage), MODEL), MinedFiles(form=form))
    before = content(tmp_path)
    nothing = Mining(data, BASE.replace(max_score=-2.0, shortage=shortage), MODEL)
    with pytest.raises(ShortageError, match=r"no row of .* has a negative to write.*max_score"):
        mine_to(tmp_path, nothing, MinedFiles(form=form), overwrite=True, empty=False)
    assert content(tmp_path) == before


@pytest.mark.parametrize(("form", "name"), FILES)
def test_a_missing_file_is_made_again(
    data: TrainingData, tmp_path: Path, form: MinedFiles, name: str
) -> None:
    mining = Mining(data, BASE, MODEL)
    mine_to(tmp_path, mining, form)
    whole = content(tmp_path)
    (tmp_path / name).unlink()
    assert not mine_to(tmp_path, mining, form)[1]
    assert content(tmp_path) == whole
    assert mine_to(tmp_path, mining, form)[1]


def changed(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda card: card | changes


@pytest.mark.parametrize(
    "change",
    [
        lambda card: [card],
        lambda card: None,
        lambda card: 5,
        changed(files=[]),
        changed(files={}),
        changed(files={"train.jsonl": 5}),
        changed(files={"../elsewhere": "sha256:00"}),
        changed(files={"/etc/hostname": "sha256:00"}),
        changed(report=[]),
        changed(report={}),
        changed(details=[1]),
        changed(details={"x": "y"}),
        changed(format=3),
        changed(format="unheard of"),
        changed(key=None),
    ],
)
def test_a_card_that_is_no_card_is_refused_and_can_be_overwritten(
    data: TrainingData, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
) -> None:
    mining = Mining(data, BASE, MODEL)
    made, _ = mine_to(tmp_path, mining, TRIPLETS)
    (tmp_path / "mined.json").write_text(json.dumps(change(made)))
    with pytest.raises(ValueError, match=r"mined\.json.*--overwrite"):
        mine_to(tmp_path, mining, TRIPLETS)
    again, before = mine_to(tmp_path, mining, TRIPLETS, overwrite=True)
    assert (again, before) == (made, False)


@pytest.mark.parametrize("text", ["", "{", "\x00", "[" * 50_000])
def test_a_card_that_cannot_be_read_is_refused(
    data: TrainingData, tmp_path: Path, text: str
) -> None:
    mining = Mining(data, BASE, MODEL)
    mine_to(tmp_path, mining, TRIPLETS)
    (tmp_path / "mined.json").write_text(text)
    with pytest.raises(ValueError, match="--overwrite"):
        mine_to(tmp_path, mining, TRIPLETS)
    mine_to(tmp_path, mining, TRIPLETS, overwrite=True)


def test_a_set_of_a_version_without_details_is_recognised(
    data: TrainingData, tmp_path: Path
) -> None:
    mining = Mining(data, BASE, MODEL)
    made, _ = mine_to(tmp_path, mining, TRIPLETS)
    del made["details"]
    (tmp_path / "mined.json").write_text(json.dumps(made))
    assert mine_to(tmp_path, mining, TRIPLETS) == (made, True)


def test_a_set_is_lost_only_when_there_is_another(data: TrainingData, tmp_path: Path) -> None:
    mine_to(tmp_path, Mining(data, BASE, MODEL), TRIPLETS)
    whole = content(tmp_path)
    settings = BASE.replace(negatives=10_000, shortage="error")
    with pytest.raises(ShortageError):
        mine_to(tmp_path, Mining(data, settings, MODEL), TRIPLETS, overwrite=True)
    assert content(tmp_path) == whole
    assert mine_to(tmp_path, Mining(data, BASE, MODEL), TRIPLETS)[1]
