"""Embeddings and scores kept by what they were made from, never by a name.

A key is a hash over the model's weights and settings, the prompt, and the very texts. What was
made before an interruption is found again, block by block.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.models import TextModel
from nsbench.benchmarks.records import write_atomically

Floats = NDArray[np.float32]
BLOCK = 2048


class ContentCache:
    """Arrays by content.

    Args:
        folder: Where they lie; ``None`` keeps nothing.
        say: Called with one sentence at the end of every `embed`.
    """

    def __init__(self, folder: Path | None, say: Callable[[str], None] = lambda text: None) -> None:
        self.folder = folder
        self.say = say
        self.found = self.made = 0

    def embed(
        self, model: TextModel, texts: Sequence[str], role: str = "", prompt: str | None = None
    ) -> Floats:
        """``(n, d)`` embeddings, those that are there already taken from the folder."""
        if model.symmetric:
            role = ""
        before = self.found
        parts = [
            self.array(
                [model.revision, model.how, role, prompt, list(block)],
                partial(model.encode, block, role, prompt),
                (len(block), model.dimension),
            )
            for block in _blocks(texts)
        ]
        if self.found > before:
            self.say(
                f"{self.found - before} of {len(parts)} blocks of embeddings were there: "
                f"{model.name}, weights {model.revision[:12]}, prompt {prompt or '-'}"
            )
        empty = np.zeros((0, model.dimension), np.float32)
        return np.concatenate(parts) if parts else empty

    def array(self, made_from: Any, make: Callable[[], Floats], shape: tuple[int, ...]) -> Floats:
        """What ``make()`` gives, or gave before.

        Args:
            made_from: Plain data that decides the answer.
            make: Makes the array.
            shape: Of the array; one of another shape on disk is made anew.
        """
        key = hashlib.sha256(
            json.dumps(made_from, ensure_ascii=True, sort_keys=True).encode()
        ).hexdigest()
        path = None if self.folder is None else self.folder / f"{key}.safetensors"
        kept = None if path is None else _read(path)
        if kept is not None and kept.shape == shape:
            self.found += 1
            return kept
        value = np.ascontiguousarray(make(), dtype=np.float32)
        self.made += 1
        if path is not None:
            from safetensors.numpy import save

            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, save({"value": value}))
        return value


def _blocks(texts: Sequence[str]) -> list[Sequence[str]]:
    return [texts[i : i + BLOCK] for i in range(0, len(texts), BLOCK)]


def _read(path: Path) -> Floats | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        return None
    try:
        return load_file(path).get("value")
    except (SafetensorError, OSError, ValueError):
        return None  # cut short by something that did not rename; it is made anew
