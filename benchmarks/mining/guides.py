"""A second, frozen encoder whose similarities guide mining or masking."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import Encoder, _sources, encode_texts, encoders
from nsbench.benchmarks.encoders._prompts import DOCUMENT, QUERY, ROLES, prompt_for
from nsbench.benchmarks.encoders._settings import read_object
from nsbench.benchmarks.encoders.pretrained import guide_spec
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.records.cache import Arrays
from nsbench.benchmarks.records.cell import RECIPE
from nsbench.benchmarks.seeds import seed_for
from nsbench.samplers._cache import Cache

_known: Cache[Tensor] = Cache(__name__, 1)  # a matrix goes through its data sets in turn


def guide_fingerprint(name: str) -> str:
    """Hash of a named guide's weights.

    Raises:
        ValueError: If it cannot be had here.
    """
    spec = _spec(*guide_spec(name))
    spec.check()
    asked = f" with {content_key(dict(spec.prompts))}" if getattr(spec, "prompts", {}) else ""
    return f"{spec.fingerprint()}{asked}"


def _spec(kind: str, params: dict[str, object]) -> Any:
    """Recipe of a guide, with the prompts of queries and documents that its folder names."""
    spec: Any = encoders.make(kind, **params)
    source = getattr(spec, "source", "")
    if not source or spec.prompts:
        return spec
    folder = _sources.locate(source, spec.revision or None)
    stated = read_object(folder / "config_sentence_transformers.json").get("prompts")
    stated = stated if isinstance(stated, dict) else {}
    prompts = {role: str(stated[role]) for role in ROLES if stated.get(role)}
    return replace(spec, prompts=prompts) if prompts else spec


def queries_of(data: TrainingData) -> NDArray[np.bool_]:
    """``(T,)`` True for texts that are only ever anchors: the others are documents."""
    asked = np.zeros(len(data.texts), dtype=np.bool_)
    asked[data.anchor] = True
    shown = data.negatives[data.negatives >= 0]
    asked[np.concatenate([data.known[:, 1], shown])] = False
    return asked


def guide_embeddings(world: World, name: str) -> Tensor:
    """``(T, d)`` normalised embeddings of all texts by a guide; d may differ from the encoder's.

    A guide with prompts or lengths by role reads `queries_of` as queries, other texts as documents.

    Args:
        world: The cell.
        name: Name of the guide, see `guide_spec`; empty for the cell's encoder as it is now.
    """
    if not name:
        return own_embeddings(world).clone()
    kind, params = guide_spec(name)
    world.note("passes_guide", len(world.data.texts))  # also where another cell has paid for it
    spec = _spec(kind, params)
    spec.check()
    key = (str(spec.fingerprint()), name, world.data.digest, str(world.device))
    known = _known.get(key)
    if known is not None:
        return known

    def make() -> Arrays:
        # A guide without stored weights is random, but the same in all cells.
        guide = spec.build(world.data.texts, seed_for(0, "guide")).to(world.device)
        return {"embeddings": _encoded(guide, world.data)}

    made_from = ["guide", RECIPE, kind, params, spec.fingerprint(), world.data.digest]
    if prompts := getattr(spec, "prompts", {}):
        made_from.append({"prompts": dict(prompts), "data": world.data.name})
    found = torch.from_numpy(world.shared(made_from, make)["embeddings"]).to(world.device)
    return _known.put(key, torch.nn.functional.normalize(found, dim=1))


def _encoded(guide: Encoder, data: TrainingData) -> NDArray[np.float32]:
    """``(T, d)`` embeddings of all texts, each in its role."""
    if not any(guide.prompts.values()) and not guide.lengths:
        return encode_texts(guide, data.texts)
    asked = queries_of(data)
    out = np.empty((len(asked), guide.dimension), np.float32)
    for role, rows in ((QUERY, np.flatnonzero(asked)), (DOCUMENT, np.flatnonzero(~asked))):
        prompt = prompt_for(guide.prompts, data.name, role)
        texts = [prompt + data.texts[i] for i in rows]
        out[rows] = encode_texts(guide, texts, max_length=guide.lengths.get(role))
    return out


def own_embeddings(world: World, *, asked: bool = False) -> Tensor:
    """``(T, d)`` normalised embeddings of all texts, as anchors if ``asked``, by the encoder now.

    Shared by the cells that start from the same weights; passes are counted in each.
    """
    tokens = world.asked if asked else world.tokens
    weights = world.weights()
    if not weights:
        return world.embed(world.encoder, tokens)
    made: list[Tensor] = []

    def make() -> Arrays:
        made.append(world.embed(world.encoder, tokens))
        return {"embeddings": made[0].cpu().numpy()}

    found = world.shared([f"own{' asked' if asked else ''}", RECIPE, weights], make)["embeddings"]
    if made:
        return made[0]
    world.note("passes_mining", len(world.data.texts))  # as if it had paid
    return torch.from_numpy(found).to(world.device)


def role_embeddings(world: World, *, first: bool) -> tuple[Tensor, Tensor | None]:
    """``(T, d)`` normalised embeddings of all texts as documents, and as anchors if they differ.

    Args:
        world: The cell.
        first: Whether the encoder is as it was before its first step, which cells share.
    """

    def made(asked: bool) -> Tensor:
        if first:
            return own_embeddings(world, asked=asked)
        return world.embed(world.encoder, world.asked if asked else world.tokens)

    return made(False), None if world.queries is None else made(True)


def frozen_copy(encoder: Encoder) -> Encoder:
    """A copy of an encoder that no gradient reaches."""
    tokenizer = encoder.tokenizer
    twin = copy.deepcopy(encoder, {id(tokenizer): tokenizer})
    return twin.requires_grad_(False)
