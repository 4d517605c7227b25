"""Encoders that people train today: trained, resumed, mined with, exported, read back."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from running import Build, planned_of

from nsbench.benchmarks.encoders import Encoder, encode_texts, encoders, hash_weights
from nsbench.benchmarks.encoders._sources import SourceError
from nsbench.benchmarks.export.cell import export_cell
from nsbench.benchmarks.files import sha256_of
from nsbench.benchmarks.matrix.skip import _dimension
from nsbench.benchmarks.records import CellPaths, ResultsFolder
from nsbench.benchmarks.runs.cell_run import Place, run_cell
from nsbench.benchmarks.runs.executors.base import plan_jobs
from nsbench.benchmarks.training.regime import built_encoder

pytest.importorskip("sentence_transformers")
pytest.importorskip("peft")

import sentence_transformers as st
from made_data import unit_or_zero
from made_models import GEMMA, QWEN, SMALL_T5, TEXTS, ZOO, Entry, lora, plain, save_transformer

KINDS: dict[str, dict[str, Any]] = {
    "qwen3": QWEN,
    "llama": {},
    "gemma3_text": GEMMA,
    "t5": SMALL_T5,
    "modernbert": {"cls_token_id": 1, "sep_token_id": 2},
    "eurobert": {},
    "qwen2": {"num_key_value_heads": 1},
    "mistral": {"num_key_value_heads": 1, "sliding_window": 5},
    "gpt2": {},
}
LORA: dict[str, Any] = {"lora": {"r": 2}}
NARROW: dict[str, Any] = {"weights": "bf16"}
MINED = {"name": "corpus", "shortage": "fewer", "refresh": 2, "depth": 2, "negatives": 1}
OFTEN = Place("cpu", snapshot_seconds=1e-6, keep_weights=True)


def files(folder: Path) -> dict[str, str]:
    return {p.name: sha256_of(p) for p in sorted(folder.iterdir())}


def cell_of(small: Build, folder: Path, **given: Any) -> Any:
    raw = small(
        encoders=[{"name": str(folder)} | given],
        augmentations=["feature_cutoff"],
        data=[{"name": "planted", "rows": 24}],
        candidates=[MINED],
        budget={"steps": 4, "batch_size": 6, "learning_rate": 0.001},
    )
    (planned,) = planned_of(raw)
    assert not planned.skip
    return planned


def run(planned: Any, root: Path, stop: int = -1) -> tuple[CellPaths, Any]:
    """Run a cell, interrupted after step ``stop`` and resumed if it is not -1."""
    (job,) = plan_jobs([planned], ResultsFolder(root), "cpu", 1)

    def interrupt(step: int) -> None:
        if step == stop:
            raise KeyboardInterrupt

    if stop >= 0:
        with pytest.raises(KeyboardInterrupt):
            run_cell(planned.cell, job.paths, OFTEN, on_step=interrupt)
    record = run_cell(planned.cell, job.paths, OFTEN if stop >= 0 else Place(keep_weights=True))
    assert record.status == "done", record.traceback
    return job.paths, record


@pytest.mark.parametrize(
    ("kind", "given"),
    [  # quickly, every kind once, whole and with an adapter in turn
        pytest.param(
            kind,
            given,
            id=f"{kind}-{'lora' if given else 'whole'}",
            marks=() if bool(given) == bool(place % 2) else pytest.mark.slow,
        )
        for place, kind in enumerate(KINDS)
        for given in ({}, LORA)
    ]
    + [
        pytest.param(kind, given, id=f"{kind}-bf16{'-lora' * (given is not NARROW)}")
        for kind, given in (("qwen3", NARROW), ("modernbert", NARROW), ("llama", LORA | NARROW))
    ],
)
def test_trained_resumed_mined_with_exported_and_read_back(
    kind: str, given: dict[str, Any], small: Build, tmp_path: Path
) -> None:
    base = save_transformer(tmp_path / "model", kind, **KINDS[kind])
    before, planned = files(base), cell_of(small, base, **given)
    paths, whole = run(planned, tmp_path / "whole")
    broken, record = run(planned, tmp_path / "broken", stop=2)
    assert record.environment["resumed_after_step"] == 2
    assert record.weights == whole.weights, "resumed is unbroken"
    assert record.weights != hash_weights(built_encoder(planned.cell).state_dict().items())
    assert record.cost["passes_mining"] > 0
    assert (broken.folder / "training.csv").read_bytes() == paths.training.read_bytes()

    export_cell(paths.folder, tmp_path / "out")
    assert files(base) == before, "the base is untouched"
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert ("adapter_model.safetensors" in names) == ("model.safetensors" not in names)
    assert ("adapter_model.safetensors" in names) == ("lora" in given)
    assert ("Its base is a folder of" in (tmp_path / "out" / "README.md").read_text()) == (
        "lora" in given
    )
    spec = encoders.make("transformer", source=str(tmp_path / "out"))
    spec.check()
    texts = [t for t in TEXTS if t]
    read = unit_or_zero(encode_texts(spec.build((), 0), texts))
    # bf16 weights are read in float32 by ours, and trained and read in bf16 by others
    near = 0.05 if given.get("weights") == "bf16" else 1e-5
    theirs = st.SentenceTransformer(str(tmp_path / "out"), device="cpu", trust_remote_code=False)
    assert np.abs(unit_or_zero(theirs.encode(texts, batch_size=3)) - read).max() < near
    trained = unit_or_zero(encode_texts(_trained(planned, paths), texts))
    assert np.abs(trained - read).max() < near
    if given == NARROW:
        same = replace(spec, weights="bf16").build((), 0)
        assert np.abs(unit_or_zero(encode_texts(same, texts)) - trained).max() < 1e-5


def test_an_adapter_of_a_local_base_is_pushed_as_the_whole_model(
    small: Build, tmp_path: Path
) -> None:
    base = save_transformer(tmp_path / "model", "bert")
    planned = cell_of(small, base, **LORA)
    paths, _ = run(planned, tmp_path / "results")
    export_cell(paths.folder, tmp_path / "pushed", place="someone/model")
    names = {p.name for p in (tmp_path / "pushed").iterdir()}
    assert "model.safetensors" in names
    assert "adapter_config.json" not in names
    read = encoders.make("transformer", source=str(tmp_path / "pushed")).build((), 0)
    texts = [t for t in TEXTS if t]
    trained = encode_texts(_trained(planned, paths), texts)
    assert np.abs(unit_or_zero(trained) - unit_or_zero(encode_texts(read, texts))).max() < 1e-5


def _trained(planned: Any, paths: CellPaths) -> Encoder:
    from safetensors.torch import load_file

    encoder, kept = built_encoder(planned.cell), load_file(paths.weights)
    moving = {n for n, p in encoder.named_parameters() if p.requires_grad}
    assert moving <= set(kept)
    start = hash_weights((n, v) for n, v in encoder.state_dict().items() if n not in kept)
    encoder.load_state_dict(kept, strict=False)
    fixed = hash_weights((n, v) for n, v in encoder.state_dict().items() if n not in kept)
    assert start == fixed
    return encoder


def test_an_adapter_is_small_and_starts_as_nothing(tmp_path: Path) -> None:
    base = save_transformer(tmp_path / "model", "bert")
    plainly = encoders.make("transformer", source=str(base))
    spec = encoders.make("transformer", source=str(base), lora={"r": 2, "targets": ["query"]})
    one, two = spec.build((), 1), spec.build((), 2)
    assert np.array_equal(encode_texts(one, TEXTS), encode_texts(plainly.build((), 0), TEXTS))
    moving = {n: p for n, p in one.named_parameters() if p.requires_grad}
    assert len(moving) == 4
    assert all("query.lora_" in name for name in moving)
    other = dict(two.named_parameters())
    assert any(not torch.equal(p, other[n]) for n, p in moving.items())
    one, narrow = (
        encoders.make("transformer", source=str(base), lora={"r": 2}, weights=w).build((), 1)
        for w in ("fp32", "bf16")
    )
    kinds = {p.requires_grad: p.dtype for p in narrow.parameters()}
    assert kinds == {True: torch.float32, False: torch.bfloat16}
    ids = torch.tensor([[1, 5, 6, 2]])
    narrow(narrow.plain_view(ids, ids > 0)).sum().backward()
    a, b = (unit_or_zero(encode_texts(e, TEXTS)) for e in (one, narrow))
    assert 1e-6 < np.abs(a - b).max() < 0.05


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"lora": {"rank": 2}}, "lora has no setting 'rank'"),
        ({"lora": {"r": 0}}, "r must be a whole number >= 1"),
        ({"lora": {"targets": ["nothing"]}}, "lora: .* cannot be added"),
        ({"lora": {"r": 2}, "train": "top 1"}, "the adapter alone is trained"),
        ({"train": "top 9"}, "has 2 layers"),
        ({"train": "nothing*"}, "no weight is called 'nothing\\*'"),
        ({"weights": "fp8"}, "weights is 'fp8'"),
        ({"lora": 3}, "legal: a table"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(
    given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    base = save_transformer(tmp_path / "model", "bert")
    with pytest.raises((ValueError, SourceError), match=words):
        encoders.make("transformer", source=str(base), **given).check()


@pytest.mark.parametrize(
    ("train", "there", "not_there"),
    [
        ("top 1", "encoder.layer.1.output.dense.weight", "encoder.layer.0.output.dense.weight"),
        ("*bias* *LayerNorm*", "encoder.layer.0.output.dense.bias", "embeddings.word_embeddings"),
    ],
)
def test_what_does_not_train_keeps_every_bit(
    train: str, there: str, not_there: str, small: Build, tmp_path: Path
) -> None:
    base = save_transformer(tmp_path / "model", "bert")
    planned = cell_of(small, base, train=train)
    paths, _ = run(planned, tmp_path / "out", stop=1)
    encoder = built_encoder(planned.cell)
    start = {n: v.clone() for n, v in encoder.state_dict().items()}
    encoder = _trained(planned, paths)
    moved = {n for n, v in encoder.state_dict().items() if not torch.equal(v, start[n])}
    assert any(there in name for name in moved)
    assert not any(not_there in name for name in moved)
    export_cell(paths.folder, tmp_path / "st")
    assert (tmp_path / "st" / "model.safetensors").is_file()


@pytest.mark.parametrize("kind", [*KINDS, "bert"])
def test_layers_computed_again_give_the_same_gradient(kind: str, tmp_path: Path) -> None:
    base = save_transformer(tmp_path / "model", kind, **KINDS.get(kind, {}))
    found, scale = [], torch.rand(2, 5, 1)
    for again in (False, True):
        spec = encoders.make("transformer", source=str(base), checkpointing=again)
        encoder = spec.build((), 0)
        ids = torch.tensor([[1, 5, 6, 7, 2], [1, 8, 9, 2, 0]])
        mask = torch.tensor([[True] * 5, [True] * 4 + [False]])
        view = encoder.plain_view(ids, mask).replace(scale=scale)
        torch.manual_seed(5)
        noisy, quiet = encoder(view.replace(dropout=0.3)), encoder(view.replace(dropout=0.0))
        (noisy.sum() + quiet.square().sum()).backward()
        found.append({n: p.grad for n, p in encoder.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(found[0][n], found[1][n]) for n in found[0])


def test_no_token_of_a_packed_text_sees_another_text(tmp_path: Path) -> None:
    base = save_transformer(tmp_path / "model", "qwen3", **QWEN)
    encoder = encoders.make("transformer", source=str(base)).build((), 0).requires_grad_(False)
    ids = torch.tensor([[1, 5, 6], [1, 8, 9], [1, 7, 4]])
    view = encoder.plain_view(ids, ids > 0)
    before = encoder(view)
    changed = encoder(view.replace(ids=torch.tensor([[1, 9, 4], [1, 8, 9], [1, 7, 4]])))
    assert not torch.allclose(before[0], changed[0])
    assert torch.equal(before[1:], changed[1:])
    later = view.replace(ids=torch.tensor([[1, 5, 9], [1, 8, 9], [1, 7, 4]]), pooling="cls")
    assert torch.equal(encoder(view.replace(pooling="cls")), encoder(later)), "no later token"


def test_what_cannot_act_is_skipped_with_its_reason(small: Build, tmp_path: Path) -> None:
    t5 = save_transformer(tmp_path / "t5", "t5", **SMALL_T5)
    raw = small(encoders=[str(t5)], augmentations=["token_shuffle", "eda_swap", "dropout"])
    found = {str(p.cell.view1[0].name): p.skip for p in planned_of(raw)}
    assert "only changes the order of tokens" in found.pop("token_shuffle")
    assert found == {"eda_swap": "", "dropout": ""}


def test_a_folder_that_is_an_adapter_counts_with_its_base(tmp_path: Path) -> None:
    lora("bert")(tmp_path / "model")
    spec = encoders.make("transformer", source=str(tmp_path / "model"))
    first = spec.fingerprint()
    weights = tmp_path / "model-base" / "model.safetensors"
    plain("bert", initializer_range=0.2)(tmp_path / "other")
    weights.write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
    assert spec.fingerprint() != first
    changed = replace(spec, lora={"r": 2}).build((), 0)
    assert sum(p.requires_grad for p in changed.parameters()) > 0


@pytest.mark.parametrize(
    ("kind", "layers"), [*((kind, 1) for kind in (*KINDS, "bert", "deberta-v2")), ("qwen3", 0)]
)
def test_lower_layers_are_exported_as_they_are(kind: str, layers: int, tmp_path: Path) -> None:
    base = save_transformer(tmp_path / "model", kind, **KINDS.get(kind, {}))
    encoder = encoders.make("transformer", source=str(base), layers=layers).build((), 0)
    encoder.model.save_pretrained(tmp_path / "cut")
    encoder.tokenizer.save_pretrained(tmp_path / "cut")
    cut = encoders.make("transformer", source=str(tmp_path / "cut"), pooling=encoder.pooling)
    assert np.array_equal(encode_texts(cut.build((), 0), TEXTS), encode_texts(encoder, TEXTS))


@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_lower_layers_of_an_adapter_are_those_of_the_whole(kind: str, tmp_path: Path) -> None:
    lora(kind, **KINDS.get(kind, {}))(tmp_path / "x")
    whole = encoders.make("transformer", source=str(tmp_path / "x")).build((), 0)
    whole.model.save_pretrained(tmp_path / "whole")
    whole.tokenizer.save_pretrained(tmp_path / "whole")
    cut = [
        encoders.make("transformer", source=str(tmp_path / name), layers=1, pooling="mean")
        for name in ("x", "whole")
    ]
    one, other = (encode_texts(spec.build((), 0), TEXTS) for spec in cut)
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_first_deberta_of_narrow_weights_is_exported_for_others(
    small: Build, tmp_path: Path
) -> None:
    base = save_transformer(tmp_path / "model", "deberta", position_biased_input=True)
    paths, _ = run(cell_of(small, base, **NARROW), tmp_path / "cells")
    export_cell(paths.folder, tmp_path / "out")
    theirs = st.SentenceTransformer(str(tmp_path / "out"), device="cpu").encode(list(TEXTS))
    assert bool(np.isfinite(theirs).all())


@pytest.mark.parametrize(
    "entry",
    [e for e in ZOO if e.name in ("bert", "dense", "pooling cls+mean", "static", "adapter")],
    ids=str,
)
def test_the_length_of_embeddings_is_known_before_anything_trains(
    entry: Entry, small: Build, tmp_path: Path
) -> None:
    entry.save(tmp_path / "model")
    given = {"source": str(tmp_path / "model")} | entry.given
    spec: Any = encoders.make(entry.encoder, **given)
    length = spec.build((), 0).dimension
    assert spec.own_dimension() == length
    objectives = [{"name": "matryoshka", "dimensions": [2, n]} for n in (length - 1, length)]
    raw = small(encoders=[{"name": entry.encoder} | given], objectives=objectives)
    told = [planned.skip for planned in planned_of(raw)]
    assert told == ["", f"matryoshka: dimensions has {length}, but the encoder's embeddings have "
                    f"{length}; every length must be shorter"]  # fmt: skip


def test_a_setting_is_no_length_where_an_encoder_of_others_has_a_source() -> None:
    assert _dimension(SimpleNamespace(source="", dimension=8)) == 8
    assert _dimension(SimpleNamespace(source="a/model", dimension=8)) == 0
    assert _dimension(SimpleNamespace()) == 0
