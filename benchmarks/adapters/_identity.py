"""Identity of texts in the features of sentence-transformers.

Tokens are no identity: they are padded on either side, wrapped in special tokens, cut to a length,
and preceded by prompts. The texts themselves pass through the input module when a batch is made,
so the module is given a ``preprocess`` that adds their hashes, which then travel with the features.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nsbench.benchmarks.adapters._batch import token_rows
from nsbench.benchmarks.data import normalise

IDS, TEXTS = "nsbench_text_hash", "nsbench_texts"
WORDS, WORDS_MASK = "nsbench_words", "nsbench_words_mask"
TOKENS = "nsbench_token_hash"
ADDED = (IDS, TEXTS, WORDS, WORDS_MASK, TOKENS)
"""Names under which features hold hashes, texts, and tokens without the prompt."""

Columns = Sequence[MutableMapping[str, Any]]


def text_hashes(texts: Sequence[str]) -> Tensor:
    """``(n,)`` int64 hashes; equal for texts that are equal after `normalise`."""
    digests = (
        hashlib.blake2b(normalise(t).encode("utf-8", "surrogatepass"), digest_size=8).digest()
        for t in texts
    )
    return torch.tensor(
        [int.from_bytes(d, "little", signed=True) for d in digests], dtype=torch.int64
    )


def as_texts(inputs: Sequence[Any]) -> list[str] | None:
    """Return inputs as texts, ``None`` for images and other inputs that are no texts."""
    found = []
    for given in inputs:
        if isinstance(given, str):
            found.append(given)
            continue
        if isinstance(given, Mapping) and len(given) == 1:  # {"query": text} of a router
            (only,) = given.values()
            if isinstance(only, str):
                found.append(only)
                continue
        try:
            found.append(json.dumps(given, ensure_ascii=False, sort_keys=True))
        except TypeError:
            return None
    return found


class Carrying:
    """The ``preprocess`` of an input module, whose features hold the identity of their texts.

    Args:
        module: The first module of a `SentenceTransformer`.

    Attributes:
        texts: Whether features hold the texts themselves, for a guide with another tokenizer.
        words: Whether features with a prompt also hold the tokens without it.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.before = module.__dict__.get("preprocess")
        self.texts = self.words = False

    def _made(self, inputs: Sequence[Any], **options: Any) -> Any:
        if self.before is not None:
            return self.before(inputs, **options)
        made: Any = type(self.module)
        return made.preprocess(self.module, inputs, **options)

    def __call__(self, inputs: Sequence[Any], prompt: str | None = None, **options: Any) -> Any:
        """Features of the inputs, with what identifies them."""
        features = self._made(inputs, prompt=prompt, **options)
        texts = as_texts(inputs)
        if not inputs or texts is None:
            return features
        features[IDS] = text_hashes(texts)
        if self.texts:
            features[TEXTS] = texts
        if self.words and prompt:
            ids, mask = token_rows(self._made(inputs, prompt=None, **options))
            features[WORDS], features[WORDS_MASK] = ids, mask
        return features


def carry_identity(model: Any, *, texts: bool, words: bool) -> None:
    """Let the features that a model makes from now on hold the identity of their texts.

    The model's own forward pass does not see what was added.

    Args:
        model: A `SentenceTransformer`, or one wrapped for several devices or compiled.
        texts: See `Carrying`.
        words: See `Carrying`.
    """
    module = next(iter(unwrapped(model).children()), None)
    if module is None or not hasattr(type(module), "preprocess"):
        return
    held = module.__dict__.get("preprocess")
    if not isinstance(held, Carrying):
        held = Carrying(module)
        module.preprocess = held
        module.register_forward_pre_hook(_without_identity)
    held.texts, held.words = held.texts or texts, held.words or words


def unwrapped(model: Any) -> Any:
    """Return the model inside wrappers of torch for several devices and for compiling."""
    while True:
        for name in ("_orig_mod", "module"):
            inner = getattr(model, name, None)
            if isinstance(inner, nn.Module):
                model = inner
                break
        else:
            return model


def _without_identity(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Take from the features what the model does not know; transformers would pass it on."""
    if inputs and isinstance(inputs[0], MutableMapping):
        for name in ADDED:
            inputs[0].pop(name, None)


@contextmanager
def hidden(features: MutableMapping[str, Any]) -> Iterator[MutableMapping[str, Any]]:
    """Features without what was added, for the model; afterwards it is there again."""
    held = {name: features.pop(name) for name in ADDED if name in features}
    try:
        yield features
    finally:
        features.update(held)


def same_tokenizer(left: Any, right: Any) -> bool:
    """Return True if two models give every text the same tokens, as far as tokenizers tell."""
    one, two = (_described(model) for model in (left, right))
    return one is not None and one == two


def _described(model: Any) -> Any:
    found: Any = getattr(unwrapped(model), "tokenizer", None)
    found = getattr(found, "backend_tokenizer", found)
    if not hasattr(found, "to_str"):
        return None
    return json.loads(found.to_str()) | {"padding": None, "truncation": None}


def wrapping_tokens(model: Any) -> list[int]:
    """Ids of the tokens that a model's tokenizer puts around texts; [] where it has none."""
    tokenizer = getattr(unwrapped(model), "tokenizer", None)
    names = ("cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id", "pad_token_id")
    found = {getattr(tokenizer, name, None) for name in names}
    return sorted(i for i in found if isinstance(i, int))
