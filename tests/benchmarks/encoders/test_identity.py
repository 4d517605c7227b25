"""A model's identity follows every file that is read, and no other; hostile folders are refused."""

import ast
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from running import Build

from nsbench.benchmarks.encoders import _sources, encoders
from nsbench.benchmarks.encoders._identity import identity
from nsbench.benchmarks.encoders._sources import SourceError
from nsbench.benchmarks.encoders.pretrained import load_model
from nsbench.benchmarks.files import sha256_of
from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.mining.dataset.rescore import load_rescorer
from nsbench.benchmarks.mining.guides import guide_fingerprint

pytest.importorskip("sentence_transformers")

from made_models import (
    adapter,
    body,
    edited,
    module,
    pooled,
    router,
    save_modules,
    save_transformer,
    table,
)

SUFFIXES = (".json", ".model", ".txt", ".safetensors", ".tiktoken", ".bpe", ".vocab", ".xyz", "")


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    pooled("mean")(tmp_path / "bert")
    return tmp_path / "bert"


@settings(max_examples=40)
@given(
    name=some.text("abcxyz_-0", min_size=1, max_size=9),
    suffix=some.sampled_from(SUFFIXES),
    where=some.sampled_from(("", "1_Pooling", "query_0", "a/b")),
)
def test_every_file_counts_unless_nothing_reads_it(
    bert: Path, name: str, suffix: str, where: str
) -> None:
    path = bert / where / (name + suffix)
    if path.exists():
        return
    before = identity(bert)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_text("one")
        first = identity(bert)
        path.write_text("two")
        assert len({before, first, identity(bert)}) == 3
    finally:
        path.unlink()
    assert identity(bert) == before


def test_files_that_are_never_read_do_not_count(bert: Path, tmp_path: Path) -> None:
    before = identity(bert)
    for name in ("README.md", "LICENSE", "optimizer.pt", "trainer_state.json", "pytorch_model.bin"):
        (bert / name).write_text("{}")
    (bert / ".git").mkdir()
    (bert / ".git" / "config.json").write_text("{}")
    assert identity(bert) == before
    shutil.copytree(bert, tmp_path / "copy")
    assert identity(tmp_path / "copy") == before


def test_a_plain_folder_keeps_the_identity_of_earlier_versions(bert: Path) -> None:
    """Keys of stored cells depend on it: the files of the folder itself, by name."""
    edited(bert / "sentence_bert_config.json", max_seq_length=32)  # older ones read no other place
    digest = hashlib.sha256()
    for path in sorted({*bert.glob("*.safetensors"), *bert.glob("*.json"), *bert.glob("vocab*")}):
        digest.update(f"{path.name}:{sha256_of(path)};".encode())
    assert identity(bert) == digest.hexdigest()
    edited(bert / "sentence_bert_config.json", max_seq_length=None)
    digest = hashlib.sha256()
    for path in sorted({*bert.glob("*.safetensors"), *bert.glob("*.json"), *bert.glob("vocab*")}):
        digest.update(f"{path.name}:{sha256_of(path)};".encode())
    assert identity(bert) != digest.hexdigest(), "the length of the tokenizer was passed over"


def swapped_routes(folder: Path) -> None:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir())
    first, second = (folder / name for name in names[:2])
    first.rename(folder / "x")
    second.rename(first)
    (folder / "x").rename(second)


@pytest.mark.parametrize(
    ("save", "change"),
    [
        (pooled("mean"), lambda f: edited(f / "1_Pooling" / "config.json", pooling_mode="cls")),
        (pooled("mean"), lambda f: edited(f / "1_Pooling" / "config.json", include_prompt=False)),
        (pooled("cls"), lambda f: edited(f / "1_Pooling" / "config.json", pooling_mode="mean")),
        (router, swapped_routes),
        (adapter, lambda f: edited(f / "adapter_config.json", lora_alpha=8)),
        (adapter, lambda f: edited(f.parent / "model-base" / "config.json", hidden_act="relu")),
    ],
    ids=["pooling", "prompt in the pooling", "back to mean", "routes", "scale", "base"],
)
def test_what_changes_an_embedding_changes_the_identity(
    save: Callable[[Path], Any], change: Callable[[Path], Any], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    save(folder)
    before = identity(folder)
    change(folder)
    assert identity(folder) != before


def test_cells_guides_and_models_are_named_by_one_identity(bert: Path) -> None:
    spec = encoders.make("transformer", source=str(bert))
    assert load_model(str(bert)).revision == identity(bert)[:40]
    assert spec.fingerprint() == guide_fingerprint(str(bert)) == identity(bert)
    edited(bert / "1_Pooling" / "config.json", pooling_mode="cls")  # in the same process
    assert load_model(str(bert)).revision == identity(bert)[:40]
    assert spec.fingerprint() == guide_fingerprint(str(bert)) == identity(bert)
    assert spec.build((), 0).pooling == "cls"


LEAVES = "from pathlib import Path\nPath({mark!r}).write_text('ran')\n"


def with_auto_map(folder: Path, mark: Path, file: str = "config.json") -> None:
    save_transformer(folder, "bert")
    (folder / "modeling_mine.py").write_text(
        LEAVES.format(mark=str(mark))
        + "from transformers import BertConfig as MineConfig, BertModel as MineModel\n"
    )
    code = {"AutoConfig": "modeling_mine.MineConfig", "AutoModel": "modeling_mine.MineModel"}
    edited(folder / file, auto_map=code)
    if file == "config.json":
        edited(folder / file, model_type="mine")


def with_foreign_route(folder: Path, mark: Path) -> None:
    router(folder)
    (folder / "mine.py").write_text(LEAVES.format(mark=str(mark)) + "class Route: ...\n")
    path = next(folder.rglob("router_config.json"))
    stated = json.loads(path.read_text())
    stated["types"] = dict.fromkeys(stated["types"], "mine.Route")
    path.write_text(json.dumps(stated))


def with_foreign_module(folder: Path, mark: Path) -> None:
    save_modules(folder, table())
    (folder / "mine.py").write_text(LEAVES.format(mark=str(mark)) + "class Route: ...\n")
    listed = json.loads((folder / "modules.json").read_text())
    listed[0]["type"] = "mine.Route"
    (folder / "modules.json").write_text(json.dumps(listed))


def with_foreign_activation(folder: Path, mark: Path) -> None:
    pooled("mean")(folder)
    edited(folder / "1_Pooling" / "config.json", activation_function="torch.hub.load")


@pytest.mark.parametrize(
    ("save", "words"),
    [
        (with_auto_map, "auto_map"),
        (lambda f, m: with_auto_map(f, m, "tokenizer_config.json"), "auto_map"),
        (with_foreign_route, "mine.Route: foreign code"),
        (with_foreign_module, "mine.Route: foreign code"),
        (with_foreign_activation, "torch.hub.load"),
    ],
    ids=["auto_map", "tokenizer", "route", "module", "activation"],
)
def test_code_of_a_folder_is_refused_and_never_run(
    save: Callable[[Path, Path], Any],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, mark = tmp_path / "model", tmp_path / "ran"
    save(folder, mark)
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # an answer that must not be asked for
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    source = str(folder)
    attempts: list[Callable[[], Any]] = [
        encoders.make("transformer", source=source).check,
        lambda: encoders.make("transformer", source=source).build((), 0),
        encoders.make("static", source=source).check,
        lambda: encoders.make("static", source=source).build((), 0),
        lambda: load_model(source),
        lambda: load_rescorer(source),
    ]
    for attempt in attempts:
        with pytest.raises(SourceError, match=words) as found:
            attempt()
        assert "\n" not in str(found.value)
    assert not mark.exists()


def router_of_transformers(folder: Path) -> None:
    routes = {
        name: [body(folder.parent / name), module("Pooling", embedding_dimension=16)]
        for name in ("query", "document")
    }
    save_modules(folder, module("Router", sub_modules=routes, default_route="document"))


ODD: list[tuple[str, Any]] = [
    ("num_hidden_layers", "2"), ("num_hidden_layers", 10**6), ("num_hidden_layers", -1),
    ("num_hidden_layers", None), ("num_hidden_layers", 2.5), ("num_hidden_layers", True),
    ("hidden_size", None), ("hidden_size", 10**9), ("hidden_size", [16]), ("hidden_size", 17),
    ("num_attention_heads", 0), ("num_attention_heads", 3), ("vocab_size", 10**12),
    ("vocab_size", 7), ("max_position_embeddings", "x"), ("intermediate_size", {}),
    ("hidden_act", "nope"), ("hidden_act", 3), ("model_type", 5), ("model_type", "nope"),
    ("layer_norm_eps", "x"), ("hidden_dropout_prob", None), ("pad_token_id", "x"),
    ("architectures", [3]), ("architectures", 3),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), ODD, ids=lambda x: str(x)[:20])
def test_odd_configurations_are_refused_with_the_key(key: str, value: Any, tmp_path: Path) -> None:
    folder = save_transformer(tmp_path / "model", "bert")
    edited(folder / "config.json", **{key: value})
    with pytest.raises(SourceError) as found:
        encoders.make("transformer", source=str(folder)).check()
    said = str(found.value)
    shapes = (17, 3, 7)  # sizes that are legal alone, but do not fit the rest
    assert key in said or value in shapes
    assert "\n" not in said


@pytest.mark.parametrize("text", ["[]", "3", "{", "", '{"a": ' * 5000, "\xff"])
@pytest.mark.parametrize("name", ["config.json", "modules.json", "1_Pooling/config.json"])
def test_files_that_are_no_configuration_are_named(name: str, text: str, bert: Path) -> None:
    (bert / name).write_text(text, "latin-1")
    with pytest.raises(SourceError, match=name.rpartition("/")[2]) as found:
        encoders.make("transformer", source=str(bert)).check()
    assert "\n" not in str(found.value)


def test_weights_that_are_not_stored_are_never_drawn(tmp_path: Path) -> None:
    folder = save_transformer(tmp_path / "model", "bert")
    edited(folder / "config.json", num_hidden_layers=3)
    spec = encoders.make("transformer", source=str(folder))
    for attempt in (spec.check, lambda: spec.build((), 0)):
        with pytest.raises(SourceError, match=r"weights that its config\.json asks for are not"):
            attempt()


@pytest.mark.parametrize("save", [pooled("mean"), router_of_transformers], ids=["plain", "route"])
def test_absurd_sizes_are_refused_before_a_library_builds_them(
    save: Callable[[Path], Any], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    save(folder)
    path = max(p for p in folder.rglob("config.json") if "model_type" in p.read_text())
    edited(path, num_hidden_layers=10**6)
    for attempt in (load_model, load_rescorer):
        with pytest.raises(SourceError, match="num_hidden_layers is 1000000; legal: a whole"):
            attempt(str(folder))


def test_a_router_in_itself_is_refused(tmp_path: Path) -> None:
    router(tmp_path / "model")
    path = next((tmp_path / "model").rglob("router_config.json"))
    stated = json.loads(path.read_text())
    kind = "sentence_transformers.base.modules.router.Router"
    for name in (".", "x/.."):
        path.write_text(json.dumps(stated | {"types": stated["types"] | {name: kind}}))
        with pytest.raises(SourceError, match="is the Router itself"):
            load_model(str(tmp_path / "model"))


ROOT = Path(__file__).resolve().parents[3]
LOADS = ("from_pretrained", "from_config", "SentenceTransformer", "CrossEncoder")


def loads(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Calls of a module that load a model by name, or make one from a configuration."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in LOADS:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_load_says_that_foreign_code_is_not_run() -> None:
    found = [
        (place, next((k.value for k in call.keywords if k.arg == "trust_remote_code"), None))
        for room in ("benchmarks", "analysis", "samplers", "tools", "examples")
        for path in sorted((ROOT / room).rglob("*.py"))
        for place, call in loads(path)
    ]
    assert len(found) > 5
    silent = [place for place, said in found if getattr(said, "value", None) is not False]
    assert silent == []


def test_a_changed_pooling_makes_other_cells(bert: Path, small: Build) -> None:
    config = parse_config(small(encoders=[{"name": str(bert)}]))
    before = {p.cell.key for p in expand(config)}
    edited(bert / "1_Pooling" / "config.json", pooling_mode="max")
    assert before.isdisjoint(p.cell.key for p in expand(config))


def test_the_packaged_model_keeps_its_identity() -> None:
    folder = _sources._packaged_minilm()
    if folder is None:
        pytest.skip("needs the extra offline")
    found = identity(folder)
    assert found == "b2a00d0fbc04000a435054ca4ce751dd4244251a53c46597ddc2ea93aae182bd"
