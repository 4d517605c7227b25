"""Choice of the weights of a transformer that train: all, those of the top layers, or some."""

import re
from fnmatch import fnmatchcase

from torch import nn

from nsbench.benchmarks.encoders import Encoder
from nsbench.benchmarks.encoders._sources import SourceError

ALL = "all"
_TOP = re.compile(r"top (\d{1,4})")


def check(owner: str, train: str, checkpointing: bool) -> None:
    """Raise ``ValueError`` unless both settings are of a legal kind."""
    if not isinstance(train, str) or not train.strip():
        legal = "'all', 'top N' or patterns of names of weights"
        raise ValueError(f"{owner}: train is {train!r}; legal: {legal}")
    if not isinstance(checkpointing, bool):
        raise ValueError(f"{owner}: checkpointing is {checkpointing!r}; legal: true or false")


def choose(encoder: Encoder, train: str) -> None:
    """Freeze all weights that are not to train.

    Args:
        encoder: A transformer encoder; its names of weights are matched without ``model.``.
        train: See `Transformer`.

    Raises:
        SourceError: If the model has fewer layers, or a pattern matches no weight.
    """
    if train == ALL:
        return
    names = {n.removeprefix("model."): p for n, p in encoder.named_parameters()}
    top = _TOP.fullmatch(train)
    chosen = _top(encoder, names, int(top[1])) if top else _matching(names, train.split())
    for name, weight in names.items():
        weight.requires_grad_(name in chosen)


def _matching(names: dict[str, nn.Parameter], patterns: list[str]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        more = {name for name in names if fnmatchcase(name, pattern)}
        if not more:
            some = ", ".join(list(names)[:: max(1, len(names) // 5)][:5])
            raise SourceError(f"train: no weight is called {pattern!r}; there are {some} ...")
        found |= more
    return found


def _top(encoder: Encoder, names: dict[str, nn.Parameter], count: int) -> set[str]:
    """Names of the weights of the last ``count`` layers and of what follows them."""
    model = encoder.model
    layers = int(model.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    lists = [
        (name, part)
        for name, part in encoder.named_modules()
        if isinstance(part, nn.ModuleList) and len(part) == layers
    ]
    if not lists:
        raise SourceError(
            f"train is 'top {count}', but {type(model).__name__} has no list of {layers} layers"
        )
    if count > layers:
        raise SourceError(f"train is 'top {count}', but the model has {layers} layers in a row")
    prefix = lists[0][0].removeprefix("model.") + "."
    ordered = list(names)
    below = [f"{prefix}{number}." for number in range(layers - count)]
    first = next(i for i, name in enumerate(ordered) if name.startswith(prefix))
    return {n for n in ordered[first:] if not n.startswith(tuple(below))}
