"""The contract of encoders, for plugin authors and for this package's own tests."""

import numpy as np
import torch

from nsbench.benchmarks.encoders import Encoder, EncoderSpec, encode_texts, encoders, hash_weights
from nsbench.samplers.testing import Contract, expect

ENCODERS: Contract[EncoderSpec] = Contract(encoders)
"""The contract of encoders."""
TEXTS = (
    "the cat sleeps on the mat",
    "a dog barks",
    "two boats cross the wide and quiet lake",
    "rain",
    "the train left without him",
)


@ENCODERS.law
def builds_the_same_twice(spec: EncoderSpec) -> None:
    """`check` passes; one seed gives one set of weights."""
    spec.check()
    one, two = (hash_weights(spec.build(TEXTS, 7).state_dict().items()) for _ in range(2))
    expect(one == two, "the same seed gives different weights")
    expect(bool(spec.fingerprint()), "it has no fingerprint; a random one is called 'random'")


@ENCODERS.law
def random_weights_follow_the_seed(spec: EncoderSpec) -> None:
    """Weights that are drawn differ between seeds, those that are loaded do not."""
    one, two = (hash_weights(spec.build(TEXTS, seed).state_dict().items()) for seed in (1, 2))
    drawn = spec.fingerprint() == "random"
    expect((one != two) == drawn, "the fingerprint does not say whether weights are drawn")


@ENCODERS.law
def encodes_to_its_dimension(spec: EncoderSpec) -> None:
    """``(n, dimension)`` finite numbers, one row a text, in the order given."""
    encoder = spec.build(TEXTS, 7)
    found = encode_texts(encoder, TEXTS)
    expect(found.shape == (len(TEXTS), encoder.dimension), f"shape {found.shape}")
    expect(bool(np.isfinite(found).all()), "an embedding is not finite")
    turned = encode_texts(encoder, TEXTS[::-1])[::-1]
    expect(bool(np.allclose(found, turned, atol=1e-5)), "the order of the texts changes them")


@ENCODERS.law
def neighbours_leave_no_trace(spec: EncoderSpec) -> None:
    """A text alone and among longer ones has the same embedding."""
    encoder = spec.build(TEXTS, 7)
    alone = np.concatenate([encode_texts(encoder, [t]) for t in TEXTS])
    expect(bool(np.allclose(alone, encode_texts(encoder, TEXTS), atol=1e-5)), "padding shows")


@ENCODERS.law
def learns(spec: EncoderSpec) -> None:
    """A gradient reaches its weights, and dropout is off unless a view asks for it."""
    encoder = spec.build(TEXTS, 7)
    one, two = _plain(encoder), _plain(encoder)
    expect(torch.allclose(one, two), "two passes of a plain view differ")
    one.square().sum().backward()
    slopes = [p.grad for p in encoder.parameters() if p.grad is not None]
    expect(any(bool(g.to_dense().abs().sum() > 0) for g in slopes), "no weight gets a gradient")


def _plain(encoder: Encoder) -> torch.Tensor:
    ids = [encoder.tokenizer(t, add_special_tokens=False)["input_ids"] or [0] for t in TEXTS]
    width = max(map(len, ids))
    rows = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    mask = torch.arange(width) < torch.tensor([len(row) for row in ids])[:, None]
    out: torch.Tensor = encoder(encoder.plain_view(rows, mask).replace(dropout=0.0))
    return out
