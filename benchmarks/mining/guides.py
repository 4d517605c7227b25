"""A second, frozen encoder whose similarities guide mining or masking."""

import copy

import torch
from torch import Tensor

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.encoders import Encoder, encode_texts, encoders
from nsbench.benchmarks.encoders.pretrained import guide_spec
from nsbench.benchmarks.records.cache import Arrays
from nsbench.benchmarks.records.cell import RECIPE
from nsbench.benchmarks.seeds import seed_for
from nsbench.samplers._memory import Memory

_known: Memory[Tensor] = Memory(__name__, 1)  # a matrix goes through its data sets in turn


def guide_fingerprint(name: str) -> str:
    """Hash of a named guide's weights.

    Raises:
        ValueError: If it cannot be had here.
    """
    kind, params = guide_spec(name)
    spec = encoders.make(kind, **params)
    spec.check()
    return str(spec.fingerprint())


def guide_embeddings(world: World, name: str) -> Tensor:
    """``(T, d)`` normalised embeddings of all texts by a guide; d may differ from the encoder's.

    Args:
        world: The cell.
        name: Name of the guide, see `guide_spec`; empty for the cell's encoder as it is now.
    """
    if not name:
        return own_embeddings(world).clone()
    kind, params = guide_spec(name)
    world.note("passes_guide", len(world.data.texts))  # also where another cell has paid for it
    spec = encoders.make(kind, **params)
    spec.check()
    key = (str(spec.fingerprint()), name, world.data.digest, str(world.device))
    known = _known.get(key)
    if known is not None:
        return known

    def make() -> Arrays:
        # A guide without stored weights is random, but the same in all cells.
        guide = spec.build(world.data.texts, seed_for(0, "guide")).to(world.device)
        return {"embeddings": encode_texts(guide, world.data.texts)}

    made_from = ["guide", RECIPE, kind, params, spec.fingerprint(), world.data.digest]
    found = torch.from_numpy(world.shared(made_from, make)["embeddings"]).to(world.device)
    return _known.put(key, torch.nn.functional.normalize(found, dim=1))


def own_embeddings(world: World, *, asked: bool = False) -> Tensor:
    """``(T, d)`` normalised embeddings of all texts by the encoder in its current state.

    Shared by the cells that start from the same weights; passes are counted in each.

    Args:
        world: The cell.
        asked: Whether they are embedded as anchors, and not as documents.
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
