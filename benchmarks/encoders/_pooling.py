"""Layers after a transformer's last one: pooling over tokens, and linear layers.

Source: the modes of the Pooling module of Reimers and Gurevych 2019, Sentence-BERT, section 3
(cls, max, mean), and of its library (https://sbert.net): ``weightedmean`` weights token i by i,
Muennighoff 2022, SGPT, equation 2. https://arxiv.org/abs/2202.08904
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.encoders import _folder, masked_mean
from nsbench.benchmarks.encoders._settings import read_object
from nsbench.benchmarks.encoders._sources import SourceError

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "torch.nn.modules.activation.Tanh": nn.Tanh,
    "torch.nn.modules.activation.ReLU": nn.ReLU,
    "torch.nn.modules.activation.GELU": nn.GELU,
    "torch.nn.modules.activation.Sigmoid": nn.Sigmoid,
    "torch.nn.modules.activation.SiLU": nn.SiLU,
    "torch.nn.modules.linear.Identity": nn.Identity,
}
"""Activations of a Dense module; none has a setting that a folder could state."""
_LARGEST = 1 << 16


def pool(modes: str, states: Tensor, view: TokenView) -> Tensor:
    """``(B, m d)`` poolings of the last layer's states ``(B, L, d)``, one after the other.

    Args:
        modes: m modes joined by ``+``: ``cls``, ``mean``, ``max``, ``lasttoken``, ``weightedmean``,
            ``mean_sqrt_len_tokens`` (the sum over the square root of the number).
        states: Padded at the end.
        view: Whose real tokens are read; those that are not averaged are left out of ``max`` and
            of all means.
    """
    return torch.cat([_pool(mode, states, view) for mode in modes.split("+")], dim=1)


def _pool(mode: str, states: Tensor, view: TokenView) -> Tensor:
    kept = view.averaged
    if mode == "cls":
        return states[:, 0]
    if mode == "mean":
        return masked_mean(states, kept)
    if mode == "max":
        return states.masked_fill(~kept[:, :, None], -torch.inf).amax(dim=1)
    if mode == "lasttoken":
        last = (view.lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[2])
        return states.gather(1, last).squeeze(1)
    weight = kept.to(states.dtype)
    if mode == "weightedmean":
        weight = weight * torch.arange(1, weight.shape[1] + 1, device=weight.device)
        return (states * weight[:, :, None]).sum(dim=1) / weight.sum(dim=1, keepdim=True)
    if mode == "mean_sqrt_len_tokens":
        total = (states * weight[:, :, None]).sum(dim=1)
        return total / weight.sum(dim=1, keepdim=True).clamp(min=1).sqrt()
    raise ValueError(f"no pooling {mode!r}; legal: {', '.join(_folder.POOLED_BY.values())}")


def dense_layers(places: Sequence[Path], width: int, *, device: str) -> nn.Sequential | None:
    """The Dense modules of a folder, ``width`` wide at first; ``None`` if there are none.

    Args:
        places: Their folders, in order.
        width: Of what is pooled.
        device: ``meta`` for layers without weights.

    Raises:
        SourceError: If one does not fit, or asks for something that is not done here.
    """
    layers: list[nn.Module] = []
    for place in places:
        layers += _dense(place, width, device)
        width = int(getattr(layers[-2], "out_features", width))
    return nn.Sequential(*layers) if layers else None


def _dense(place: Path, width: int, device: str) -> list[nn.Module]:
    path = place / "config.json"
    stated = read_object(path)
    name = stated.pop("activation_function", "torch.nn.modules.activation.Tanh")
    if name not in ACTIVATIONS:
        raise SourceError(
            f"{path}: activation_function is {name!r}; legal: {', '.join(ACTIVATIONS)}"
        )
    sizes = []
    for key in ("in_features", "out_features"):
        size = stated.pop(key, None)
        if type(size) is not int or not 1 <= size <= _LARGEST:
            raise SourceError(f"{path}: {key} is {size!r}; legal: 1 to {_LARGEST}")
        sizes.append(size)
    if sizes[0] != width:
        raise SourceError(f"{path}: in_features is {sizes[0]}, but what comes before has {width}")
    bias = stated.pop("bias", True)
    for key, value in stated.items():
        if value not in (None, False, "sentence_embedding"):
            raise SourceError(
                f"{path}: {key} is {value!r}, which an encoder of a matrix does not follow; legal: "
                "null or 'sentence_embedding'"
            )
    # Made without drawing: the weights are read, and no generator may move.
    layer = nn.Linear(sizes[0], sizes[1], bias=bool(bias), device="meta")
    weights = place / "model.safetensors"
    if not weights.is_file():
        raise SourceError(f"{place} has no model.safetensors")
    if device != "meta":
        from safetensors.torch import load_file

        try:
            read = {k.removeprefix("linear."): v.float() for k, v in load_file(weights).items()}
            layer.load_state_dict(read, assign=True)
        except (RuntimeError, OSError, ValueError) as error:
            first = " ".join(str(error).split())
            raise SourceError(f"{weights} does not fit its config.json: {first}") from None
        layer.requires_grad_(True)
    return [layer, ACTIVATIONS[name]()]
