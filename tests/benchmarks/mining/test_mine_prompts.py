"""Prompts of `nsbench mine`: by name they do what their text does, and none is passed over."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_data import mine_command, put
from made_models import save_modules, word_table

from nsbench.benchmarks.encoders.pretrained import load_model
from nsbench.benchmarks.mining.dataset.cache import EmbeddingCache

pytest.importorskip("sentence_transformers")
PROMPTS = {"query": "rust gold ", "other": "blue mud ", "plain": "", "document": "tin "}
MORE = ["cat", "dog", "cow", "hen", "ant", "bee", "owl", "fox", "elk", "yak", "ram"]
WORDS = ["rust", "gold", "blue", "mud", "tin", *MORE]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved static model with prompts."""
    path = tmp_path_factory.mktemp("models") / "prompted"
    return save_modules(path, word_table(WORDS, 8), prompts=PROMPTS)


def run(folder: Path, to: Path, *options: str, source: str = "model") -> Any:
    words = MORE
    rows = [{"anchor": f"{w} x", "positive": f"{w} {words[i - 3]}"} for i, w in enumerate(words)]
    given = ["--model", folder, "--source", source, "--shortage", "fewer", "--scores"]
    call = [put(to / "pairs.jsonl", rows), "-o", to, *given, *options]
    return mine_command(*call, env={"COLUMNS": "300"})


def mined(folder: Path, to: Path, *options: str) -> str:
    done = run(folder, to, *options)
    assert done.exit_code == 0, done.output
    return (to / "train.jsonl").read_text()


@pytest.mark.parametrize("kind", ["query", "corpus"])
@pytest.mark.parametrize("name", PROMPTS)
def test_a_prompt_by_name_does_what_its_text_does(
    folder: Path, tmp_path: Path, kind: str, name: str
) -> None:
    by_name = mined(folder, tmp_path / "a", f"--{kind}-prompt-name", name)
    by_text = mined(folder, tmp_path / "b", f"--{kind}-prompt", PROMPTS[name])
    assert by_name == by_text
    made = json.loads((tmp_path / "a" / "mined.json").read_text())
    assert made["settings"][f"{kind}_prompt"] == PROMPTS[name]
    own = "query" if kind == "query" else "document"  # what the model puts without being told
    assert (by_name == mined(folder, tmp_path / "c")) == (name == own)


def test_a_prompt_is_before_every_text_that_is_encoded(folder: Path) -> None:
    model = load_model(str(folder))
    texts = ["cat dog", "owl"]
    for role in ("query", "document", ""):
        for prompt in PROMPTS.values():
            found = model.encode(texts, role, prompt)
            np.testing.assert_allclose(
                found, model.encode([f"{prompt}{t}" for t in texts], "", ""), atol=1e-6
            )


@pytest.mark.parametrize(
    ("options", "source", "message"),
    [
        (["--query-prompt-name", "qurey"], "model", "has no prompt 'qurey'. Did you mean 'query'"),
        (["--corpus-prompt-name", "query", "--corpus-prompt", "x"], "model", "give one of them"),
        (["--query-prompt-name", "query"], "bm25", "reads texts without prompts"),
        (["--corpus-prompt", "x"], "bm25", "reads texts without one"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused(
    folder: Path, tmp_path: Path, options: list[str], source: str, message: str
) -> None:
    done = run(folder, tmp_path, *options, source=source)
    assert done.exit_code != 0
    assert message in done.stderr + str(done.exception)
    assert not (tmp_path / "mined.json").exists()


def test_the_prompts_of_a_model_are_part_of_the_key_of_its_embeddings(
    folder: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    model, cache = load_model(str(folder)), EmbeddingCache(tmp_path)
    assert not model.symmetric
    first = cache.embed(model, ["cat"], "query")
    other = model.loaded
    before = dict(other.prompts)
    try:
        other.prompts = {"query": "blue mud "}
        second = cache.embed(replace(model, prompts=other.prompts), ["cat"], "query")
    finally:
        other.prompts = before
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(cache.embed(model, ["cat"], "query"), first)
