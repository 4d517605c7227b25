"""A model folder is honoured as sentence-transformers honours it, or refused in one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nsbench.benchmarks.encoders import encode_texts, encoders
from nsbench.benchmarks.encoders._sources import SourceError

pytest.importorskip("sentence_transformers")

import sentence_transformers as st
from made_models import TEXTS, ZOO, Entry


def unit(values: Any) -> Any:
    """Rows of length one; rows of zeros stay."""
    values = np.asarray(values, dtype=np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


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
    wanted = unit(model.encode(texts, batch_size=3))
    assert np.abs(unit(encode_texts(encoder, texts)) - wanted).max() < 1e-5
    one = [unit(encode_texts(encoder, [text]))[0] for text in texts]
    assert np.abs(np.array(one) - wanted).max() < 1e-5
