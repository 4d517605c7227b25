"""Embeddings cached by the model's weights and settings, the prompt, and the texts.

After an interruption, finished blocks are found again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.encoders.pretrained import TextModel
from nsbench.benchmarks.records.cache import ContentCache

Floats = NDArray[np.float32]
BLOCK = 2048


class EmbeddingCache(ContentCache):
    """A `ContentCache` of embeddings.

    Args:
        folder: Folder of the files; ``None`` keeps nothing.
        say: Called with one sentence at the end of every `embed`.
    """

    def __init__(self, folder: Path | None, say: Callable[[str], None] = lambda text: None) -> None:
        super().__init__(folder)
        self.say = say

    def embed(
        self, model: TextModel, texts: Sequence[str], role: str = "", prompt: str | None = None
    ) -> Floats:
        """``(n, d)`` embeddings, taken from the folder where they exist."""
        if model.symmetric:
            role = ""
        before = self.found
        # Without a given prompt the model puts its own, by the role.
        prompts: Any = model.prompts if prompt is None and not model.symmetric else prompt
        parts = [
            self.array(
                [model.revision, model.how, role, prompts, list(block)],
                partial(model.encode, block, role, prompt),
                (len(block), model.dimension),
            )
            for block in (texts[i : i + BLOCK] for i in range(0, len(texts), BLOCK))
        ]
        if self.found > before:
            self.say(
                f"{self.found - before} of {len(parts)} blocks of embeddings were cached: "
                f"{model.name}, weights {model.revision[:12]}, prompt {prompt or '-'}"
            )
        empty = np.zeros((0, model.dimension), np.float32)
        return np.concatenate(parts) if parts else empty
