"""A checkpoint that can be evaluated, and its sentences, each encoded once."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.encoders import Encoder
from nsbench.samplers import at_least

Embeddings = NDArray[np.float32]
Lexical = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class EvaluatedModel:
    """A checkpoint that can be evaluated.

    Attributes:
        name: ``nsbench/<cell>``, as mteb wants names: ``organisation/model``.
        revision: Hash of the weights; letters, digits, dot, dash and underscore.
        dimension: d.
        encode: Texts to ``(n, d)`` float32, not normalised, in the order given. It makes its
            batches (sorted by length) and leaves no trace of one text in another's embedding.
        encode_as: The same for a role (``query``, ``document`` or empty) and a prompt, ``None`` for
            the model's own; ``None`` for a model to which neither makes a difference.
        prompts: The model's prompts by name, as mteb reads them.
        lexical: Of a model that ranks documents without embeddings: documents to a function of
            queries, which gives ``(n, D)`` scores. It is scored on retrieval tasks only.
    """

    name: str
    revision: str
    dimension: int
    encode: Callable[[Sequence[str]], Embeddings]
    encode_as: Callable[[Sequence[str], str, str | None], Embeddings] | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    lexical: Callable[[Sequence[str]], Lexical] | None = None

    def __post_init__(self) -> None:
        organisation, slash, model = self.name.partition("/")
        if not (organisation and slash and model):
            raise ValueError(f"a model's name must be organisation/model, got {self.name!r}")
        if not self.revision or not all(c.isalnum() or c in "._-" for c in self.revision):
            raise ValueError(f"a revision must be a hash of the weights, got {self.revision!r}")
        at_least("evaluated model", "dimension", self.dimension, 1)


class Encode(Protocol):
    """A function from texts to embeddings."""

    def __call__(self, texts: Sequence[str], *, max_length: int | None = None) -> Embeddings:
        """Embed texts, each cut to some tokens; ``None`` for the encoder's own length."""
        ...


def by_role(encode: Encode, encoder: Encoder) -> dict[str, Any]:
    """Fields of an `EvaluatedModel` whose encoder has prompts or lengths by role; else none.

    A prompt that a task asks for by its name comes first, then the one of the role.
    """
    prompts, lengths = encoder.prompts, encoder.lengths
    if not any(prompts.values()) and not lengths:
        return {}

    def encode_as(texts: Sequence[str], role: str, prompt: str | None) -> Embeddings:
        first = prompts.get(role, "") if prompt is None else prompt
        return encode([f"{first}{text}" for text in texts], max_length=lengths.get(role))

    return {"encode_as": encode_as, "prompts": dict(prompts)}


class SentenceCache:
    """Encodes each distinct sentence of one checkpoint once, over all of its tests.

    Args:
        model: The checkpoint.
        limit: Most sentences to keep; what comes later is encoded when asked for and forgotten.
    """

    def __init__(self, model: EvaluatedModel, limit: int = 200_000) -> None:
        self.model = model
        self.limit = limit
        self.encoded = 0
        self._rows: dict[Hashable, int] = {}
        self._table = np.empty((0, model.dimension), dtype=np.float32)  # (kept, d)

    def __call__(
        self, texts: Sequence[str], role: str = "", prompt: str | None = None
    ) -> Embeddings:
        """Embed texts in the order given.

        Args:
            texts: n texts.
            role: ``query``, ``document`` or empty.
            prompt: Put before every text; ``None`` for the model's own.

        Returns:
            ``(n, d)`` float32.

        Raises:
            ValueError: If the encoder returns another shape or a value that is not finite.
        """
        keys: Sequence[Hashable] = texts
        if self.model.encode_as is None:
            role, prompt = "", None
        elif role or prompt is not None:
            keys = [(role, prompt, text) for text in texts]
        pairs = dict(zip(keys, texts, strict=True))
        new = {key: text for key, text in pairs.items() if key not in self._rows}
        table, rows = self._table, self._rows
        if new:
            table = np.concatenate([table, self._encode(list(new.values()), role, prompt)])
            start = len(self._table)
            if len(rows) + len(new) > self.limit:
                rows = {**rows, **{key: start + i for i, key in enumerate(new)}}
            else:
                rows.update((key, start + i) for i, key in enumerate(new))
                self._table = table
        return table[[rows[key] for key in keys]]

    def __len__(self) -> int:
        return len(self._rows)

    def _encode(self, texts: list[str], role: str, prompt: str | None) -> Embeddings:
        as_role = self.model.encode_as
        found = self.model.encode(texts) if as_role is None else as_role(texts, role, prompt)
        out = np.asarray(found, dtype=np.float32)
        if out.shape != (len(texts), self.model.dimension):
            raise ValueError(
                f"{self.model.name} encoded {len(texts)} texts to an array of shape {out.shape}, "
                f"not {(len(texts), self.model.dimension)}"
            )
        bad = int((~np.isfinite(out)).any(axis=1).sum())
        if bad:
            raise ValueError(
                f"{self.model.name} gave embeddings that are not finite for {bad} of "
                f"{len(texts)} texts: its training diverged"
            )
        self.encoded += len(texts)
        return out
