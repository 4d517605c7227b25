"""Models that `nsbench mine` cannot use are refused before anything is encoded; others load."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_data import mine_command, put
from made_models import save_cross_encoder, save_modules, word_table

from nsbench.benchmarks.encoders import _sources, encoders
from nsbench.benchmarks.encoders.pretrained import load_model
from nsbench.benchmarks.mining.dataset.rescore import load_rescorer

library = pytest.importorskip("sentence_transformers")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "cat", "dog", "cow", "hen", "ant", "bee", "owl", "fox"]


def static_folder(path: Path, place: str) -> Path:
    """A static model whose weights lie in a sub-folder, or in the folder itself."""
    save_modules(path, word_table(WORDS, 6))
    if place:
        (path / place).mkdir()
        for name in ("model.safetensors", "tokenizer.json"):
            shutil.move(path / name, path / place / name)
        modules = json.loads((path / "modules.json").read_text())
        modules[0]["path"] = place
        (path / "modules.json").write_text(json.dumps(modules))
    return path


def call(folder: Path, *options: str) -> Any:
    rows = [{"anchor": f"{w} x", "positive": f"{w} dog"} for w in WORDS[4:]]
    pairs = put(folder / "pairs.jsonl", rows)
    return mine_command(pairs, "-o", folder / "out", "--shortage", "fewer", *options)


@pytest.mark.parametrize("place", ["0_StaticEmbedding", "deep/below"])
def test_a_static_model_in_a_sub_folder_is_the_model_itself(tmp_path: Path, place: str) -> None:
    if "/" in place:
        (tmp_path / "below" / "deep").mkdir(parents=True)
    whole = static_folder(tmp_path / "whole", "")
    below = static_folder(tmp_path / "below", place)
    texts = ["cat dog", "hen", "ant bee owl"]
    expected = load_model(str(whole)).encode(texts)
    np.testing.assert_array_equal(load_model(str(below)).encode(texts), expected)
    done = call(tmp_path / "mined", "--model", str(below))
    assert done.exit_code == 0, done.output


def test_the_static_encoder_reads_the_table_of_a_sub_folder(tmp_path: Path) -> None:
    below = static_folder(tmp_path / "below", "0_StaticEmbedding")
    spec: Any = encoders.make("static", source=str(below))
    spec.check()
    made = spec.build((), 0)
    assert tuple(made.table.shape) == (len(WORDS), 6)
    first = spec.fingerprint()
    assert len(first) == 64
    other = tmp_path / "other"
    shutil.copytree(below, other)
    from safetensors.numpy import load_file, save_file

    weights = load_file(other / "0_StaticEmbedding" / "model.safetensors")
    changed = {name: value + 1 for name, value in weights.items()}
    save_file(changed, other / "0_StaticEmbedding" / "model.safetensors")
    assert encoders.make("static", source=str(other)).fingerprint() != first


def test_module_folders_never_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "model" / "inside").mkdir()
    listed = [{"path": p} for p in ("../outside", str(tmp_path / "outside"), "inside", "", "no")]
    for content, expected in (
        (json.dumps(listed), ["inside"]),
        (json.dumps({"path": "inside"}), []),
        (json.dumps([{"path": 3}, "inside", None]), []),
        ("{", []),
    ):
        (tmp_path / "model" / "modules.json").write_text(content)
        assert [p.name for p in _sources.module_folders(tmp_path / "model")] == expected


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_cross_encoder_of_several_classes_is_refused(tmp_path: Path, classes: int) -> None:
    folder = save_cross_encoder(tmp_path / "ce", WORDS, classes)
    with pytest.raises(ValueError, match=f"sorts pairs into {classes} classes"):
        load_rescorer(str(folder))


def test_a_refused_cross_encoder_stops_mining_before_anything_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {0: "contradiction", 1: "entailment", 2: "neutral"}
    folder = save_cross_encoder(tmp_path / "ce", WORDS, 3, id2label=names)
    model = static_folder(tmp_path / "model", "")
    encode = library.SentenceTransformer.encode
    asked: list[Any] = []
    monkeypatch.setattr(
        library.SentenceTransformer,
        "encode",
        lambda *given, **more: asked.append(given) or encode(*given, **more),
    )
    done = call(tmp_path / "mined", "--model", str(model), "--cross-encoder", str(folder))
    assert done.exit_code != 0
    assert "3 classes (contradiction, entailment, neutral)" in str(done.exception)
    assert not asked
    one = save_cross_encoder(tmp_path / "one", WORDS, 1)
    done = call(tmp_path / "mined", "--model", str(model), "--cross-encoder", str(one))
    assert done.exit_code == 0, done.output
    assert asked


def test_a_cross_encoder_whose_modules_are_foreign_code_is_refused(tmp_path: Path) -> None:
    folder = save_cross_encoder(tmp_path / "ce", WORDS, 1)
    (folder / "modules.json").write_text(json.dumps([{"type": "their.Module", "path": ""}]))
    with pytest.raises(ValueError, match="foreign code is never run"):
        load_rescorer(str(folder))


@pytest.mark.parametrize("place", ["", "0_Transformer"])
def test_an_adapter_is_refused_with_the_line_that_installs_peft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "peft" else find(name)
    )
    folder = tmp_path / "lora"
    (folder / place).mkdir(parents=True)
    (folder / place / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / place / "adapter_model.safetensors").write_bytes(b"")
    kind = "sentence_transformers.models.Transformer"
    (folder / "modules.json").write_text(json.dumps([{"type": kind, "path": place}]))
    for load in (
        lambda: load_model(str(folder)),
        lambda: load_rescorer(str(folder)),
        lambda: encoders.make("transformer", source=str(folder)).check(),
        lambda: encoders.make("static", source=str(folder)).check(),
    ):
        with pytest.raises(ValueError, match=r"needs peft: pip install 'nsbench\[lora\]'"):
            load()
