"""A model folder is honoured as sentence-transformers honours it, or refused in one sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nsbench.benchmarks.encoders import encode_texts, encoders, tokenize
from nsbench.benchmarks.encoders._sources import SourceError

pytest.importorskip("sentence_transformers")

import sentence_transformers as st
from made_data import unit_or_zero
from made_models import TEXTS, ZOO, Entry


@pytest.mark.parametrize("entry", ZOO, ids=str)
def test_a_folder_is_honoured_or_refused(entry: Entry, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    entry.save(folder)
    spec = encoders.make(entry.encoder, source=str(folder), **entry.given)
    if entry.refused:
        for attempt in (spec.check, lambda: spec.build((), 0)):
            with pytest.raises(SourceError, match=entry.refused) as found:
                attempt()
            assert "\n" not in str(found.value)
        return
    spec.check()
    encoder = spec.build((), 0)
    texts = [t for t in TEXTS if t or entry.encoder == "transformer"]
    model = st.SentenceTransformer(str(folder), device="cpu", trust_remote_code=False)
    wanted = unit_or_zero(model.encode(texts, batch_size=3))
    assert np.abs(unit_or_zero(encode_texts(encoder, texts)) - wanted).max() < 1e-5
    one = [unit_or_zero(encode_texts(encoder, [text]))[0] for text in texts]
    assert np.abs(np.array(one) - wanted).max() < 1e-5


@pytest.mark.parametrize(
    "entry", [e for e in ZOO if not e.refused and e.encoder == "transformer"], ids=str
)
def test_padding_packing_and_prompts_give_the_same_embeddings(entry: Entry, tmp_path: Path) -> None:
    entry.save(tmp_path / "model")
    encoder = encoders.make("transformer", source=str(tmp_path / "model")).build((), 0)
    encoder.requires_grad_(False)
    wanted = unit_or_zero(encode_texts(encoder, TEXTS))
    ids = tokenize(encoder, TEXTS, encoder.max_length)
    wide = max(map(len, ids)) + 3
    rows = torch.tensor([row + [0] * (wide - len(row)) for row in ids])
    mask = torch.arange(wide) < torch.tensor([len(row) for row in ids])[:, None]
    view = encoder.plain_view(rows, mask).replace(dropout=0.0)
    found = {"packed, or padded": encoder(view), "padded": encoder(view.replace(fixed=True))}
    for how, values in found.items():
        assert np.abs(unit_or_zero(values) - wanted).max() < 1e-5, how
    model = st.SentenceTransformer(str(tmp_path / "model"), device="cpu")
    asked = unit_or_zero(encode_texts(encoder, [f"two dogs {text}" for text in TEXTS]))
    assert np.abs(unit_or_zero(model.encode(list(TEXTS), prompt="two dogs ")) - asked).max() < 1e-5
    if entry.left:
        for side in ("left", "right"):
            model.tokenizer.padding_side = side
            theirs = unit_or_zero(model.encode(list(TEXTS)))
            assert np.abs(theirs - wanted).max() < 1e-5, side


@pytest.mark.parametrize(
    "entry", [e for e in ZOO if not e.refused and e.encoder == "transformer"], ids=str
)
def test_augmentations_act_in_the_width_of_the_embedding_layer(
    entry: Entry, tmp_path: Path
) -> None:
    entry.save(tmp_path / "model")
    encoder = encoders.make("transformer", source=str(tmp_path / "model")).build((), 0)
    encoder.requires_grad_(False)
    ids = torch.tensor([[1, 5, 6, 7, 2], [1, 8, 9, 2, 0]])
    view = encoder.plain_view(ids, torch.tensor([[True] * 5, [True] * 4 + [False]]))
    ones = torch.ones(2, 1, encoder.width)
    torch.testing.assert_close(encoder(view.scaled(ones)), encoder(view))
    shifted = encoder(view.scaled(ones).replace(shift=torch.randn(2, 1, encoder.width)))
    assert shifted.shape == (2, encoder.dimension)
    assert not torch.allclose(shifted, encoder(view))


@pytest.mark.parametrize("name", ["rembert", "causal bert", "dense", "pooling cls+mean"])
def test_cells_of_such_folders_train_to_the_same_weights_twice(
    name: str, tmp_path: Path, small: Callable[..., dict[str, Any]], run_matrix: Callable[..., Any]
) -> None:
    entry = next(e for e in ZOO if e.name == name)
    entry.save(tmp_path / "model")
    raw = small(
        encoders=[{"name": str(tmp_path / "model")}],
        augmentations=["feature_cutoff"],
        data=[{"name": "planted", "rows": 60}],
        budget={"steps": 3, "batch_size": 8, "learning_rate": 0.001},
    )
    found = []
    for again in ("one", "two"):
        _, (record,) = run_matrix(raw, tmp_path / again)
        assert record.status == "done", record.traceback
        found.append(record.weights)
    assert found[0] == found[1]
