"""Model folders in matrices, exports and evaluations: what is read, skipped and put first."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import Build, planned_of
from typer.testing import CliRunner

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.cli.doctor import packages
from nsbench.benchmarks.cli.main import app
from nsbench.benchmarks.encoders import encode_texts, encoders, pretrained
from nsbench.benchmarks.encoders.pretrained import ST_FLOOR, load_model
from nsbench.benchmarks.evaluation.mteb import adapter, tasks
from nsbench.benchmarks.matrix.skip import why_skip
from nsbench.benchmarks.runs.external import evaluated
from tools.plain_mteb import plain_scores

pytest.importorskip("sentence_transformers")

import sentence_transformers as st
from made_models import (
    SMALL_BART,
    TEXTS,
    ZOO,
    Entry,
    body,
    dense,
    edited,
    local_tasks,
    module,
    plain,
    pooled,
    router,
    save_modules,
)

from nsbench.benchmarks.evaluation.evaluate import evaluate
from nsbench.benchmarks.export.sentence_transformer import to_sentence_transformer


@pytest.mark.parametrize(
    "save",
    [
        pooled("cls", "lasttoken"),
        dense(12, 5),
        plain("deberta-v2", position_biased_input=False, relative_attention=True),
        plain("bert"),
    ],
    ids=["poolings", "dense", "deberta", "bert"],
)
def test_an_export_is_read_back_as_it_was(save: Callable[[Path], Any], tmp_path: Path) -> None:
    save(tmp_path / "model")
    spec = encoders.make("transformer", source=str(tmp_path / "model"), max_length=12)
    encoder = spec.build((), 0)
    to_sentence_transformer(encoder).save(str(tmp_path / "out"), create_model_card=False)
    back = encoders.make("transformer", source=str(tmp_path / "out")).build((), 0)
    assert back.max_length == encoder.max_length == 12
    assert (back.pooling, back.dimension) == (encoder.pooling, encoder.dimension)
    texts = [*TEXTS, "boats " * 40]
    np.testing.assert_allclose(encode_texts(back, texts), encode_texts(encoder, texts), atol=1e-6)


def test_linear_layers_of_a_folder_are_trained_with_it(tmp_path: Path) -> None:
    dense(6)(tmp_path / "model")
    encoder = encoders.make("transformer", source=str(tmp_path / "model"), head="mlp").build((), 3)
    ids = encoder.tokenizer("the cat", return_tensors="pt")["input_ids"]
    encoder(encoder.plain_view(ids, ids > 0)).sum().backward()
    names = {n for n, p in encoder.named_parameters() if p.grad is not None and p.grad.any()}
    assert {"dense.0.weight", "dense.0.bias", "head.0.weight"} <= names
    assert encoder.head[0].in_features == encoder.dimension == 6


RELATIVE: dict[str, Any] = {"position_biased_input": False, "relative_attention": True}
SHUFFLED = {
    "bert": (plain("bert"), True),
    "roberta": (plain("roberta", pad=1), True),
    "modernbert": (plain("modernbert", cls_token_id=1, sep_token_id=2), True),
    "deberta-v2": (plain("deberta-v2", position_biased_input=True), True),
    "deberta-v3": (
        plain("deberta-v2", position_biased_input=False, relative_attention=True),
        False,
    ),
    "roformer": (plain("roformer", embedding_size=16), False),
}


@pytest.mark.parametrize("kind", SHUFFLED)
def test_a_shuffle_that_would_do_nothing_is_skipped(
    kind: str, tmp_path: Path, small: Build
) -> None:
    save, sees = SHUFFLED[kind]
    save(tmp_path / "model")
    source = str(tmp_path / "model")
    raw = small(encoders=[{"name": source}], augmentations=["none", "token_shuffle"])
    skips = [p.skip for p in planned_of(raw)]
    assert [bool(skip) for skip in skips] == [False, not sees]
    assert sees or "token_shuffle only changes the order of tokens" in skips[1]
    encoder = encoders.make("transformer", source=source).build((), 0).requires_grad_(False)
    ids = encoder.tokenizer("the cat sleeps on a mat", return_tensors="pt")["input_ids"]
    view = encoder.plain_view(ids, ids >= 0)
    shuffle = augmentations.make("token_shuffle")
    moved = encoder(shuffle(view, torch.Generator().manual_seed(0)))
    assert torch.equal(encoder(view), moved) != sees, "what is skipped is what does nothing"


def test_frequent_tokens_and_widths_follow_the_pooling_of_the_folder(
    tmp_path: Path, small: Build
) -> None:
    pooled("cls")(tmp_path / "cls")
    pooled("cls", "mean")(tmp_path / "both")
    folders = [{"name": str(tmp_path / name)} for name in ("cls", "both")]
    cell = planned_of(small(encoders=folders))
    first, second = (p.cell for p in cell)
    asked = replace(first, evaluation=replace(first.evaluation, frequent_tokens=(4,)))
    assert "the pooling is cls" in why_skip(asked)
    wide = replace(second, evaluation=replace(second.evaluation, pooling="mean"))
    assert "of another width than its own pooling, cls+mean" in why_skip(wide)
    assert why_skip(first) == why_skip(second) == ""


def test_doctor_and_dry_run_refuse_what_cells_would(tmp_path: Path) -> None:
    plain("bart", **SMALL_BART)(tmp_path / "model")
    matrix = tmp_path / "matrix.toml"
    matrix.write_text(
        'schema = 1\nname = "m"\nsamplers = ["in_batch"]\naugmentations = ["none"]\n'
        f'encoders = ["{tmp_path / "model"}"]\ndata = ["planted"]\nseeds = [1]\n'
    )
    words = [["doctor", str(matrix)], ["run", str(matrix), "--dry-run", "-o", str(tmp_path / "o")]]
    for command in words:
        done = CliRunner().invoke(app, command)
        assert done.exit_code != 0
        said = done.output + str(done.exception)  # the command line prints it
        assert "an encoder with a decoder" in " ".join(said.split())


NOT_DENSE = ("dot", "sparse", "multi-vector", "cross-encoder")


@pytest.mark.parametrize("entry", [e for e in ZOO if e.name in NOT_DENSE], ids=str)
def test_other_kinds_of_models_are_refused_in_evaluation_too(entry: Entry, tmp_path: Path) -> None:
    entry.save(tmp_path / "model")
    with pytest.raises(ValueError, match=entry.refused) as found:
        load_model(str(tmp_path / "model"))
    assert "\n" not in str(found.value)


def test_a_dot_of_normalised_embeddings_is_their_cosine(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    pooled("mean")(folder)
    edited(folder / "config_sentence_transformers.json", similarity_fn_name="dot")
    assert load_model(str(folder)).encode(TEXTS).shape == (len(TEXTS), 16)


PROMPTS: list[dict[str, Any]] = [
    {},
    {"prompts": {"query": "two dogs and ", "document": "a lake "}},
    {"prompts": {"query": "two dogs and "}, "default_prompt_name": "query"},
    {"prompts": {"STS": "the rain ", "Retrieval-query": "a boat ", "document": "deep "}},
    {"prompts": {"mine": "dogs dogs "}, "default_prompt_name": "mine"},
]


@pytest.mark.parametrize("given", [*PROMPTS, "router"], ids=str)
def test_a_model_with_prompts_scores_as_with_plain_mteb(given: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    if given == "router":
        router(folder)
    else:
        save_modules(folder, body(folder), module("Pooling", embedding_dimension=16), **given)
    asked = local_tasks(tmp_path)
    found = evaluate(evaluated(load_model(str(folder))), asked, geometry=False)
    ours = {s.task: s.value for s in found.scores if s.main}
    loaded = [tasks.load(task) for task in asked]
    with adapter.contained():
        theirs = plain_scores(
            st.SentenceTransformer(str(folder), device="cpu"), [task.task for task in loaded]
        )
    assert found.info["engine"] == {asked[0].name: "mteb", asked[1].name: "own"}
    assert ours == pytest.approx({k: theirs[k] for k in ours}, abs=1e-5)


def test_extras_of_another_version_will_fail_and_are_said_with_their_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "asking-1.0.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", "Name: asking", "Version: 1.0"]
    lines += ["Provides-Extra: old", "Provides-Extra: new"]
    lines += ['Requires-Dist: sentence-transformers<2; extra == "old"']
    lines += ['Requires-Dist: sentence-transformers>=2; extra == "new"']
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    old, new = packages("asking")
    assert old.level == "bad"
    assert "<2 is needed" in old.text
    assert new.text == f"extra new: sentence-transformers {st.__version__} (>=2)"


def test_the_floor_of_sentence_transformers_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).resolve().parents[3]
    floor = ".".join(map(str, ST_FLOOR)).removesuffix(".0")
    assert f'"sentence-transformers>={floor}"' in (root / "pyproject.toml").read_text()
    for found in ("5.7.0", "5.0.0", "4.1.0"):
        monkeypatch.setattr(pretrained, "version", lambda name, found=found: found)
        with pytest.raises(ValueError, match=f"sentence-transformers {found} is installed, 6.0"):
            pretrained._refuse_old()
