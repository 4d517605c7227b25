"""Views of texts: made from their tokens, joined into one pass, embedded.

How wide a view is follows from its longest text. That is read on the host, where lengths and the
numbers of a batch's texts are known, so that a device is never waited for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.augmentations import Augmentation, TokenView, ones_of
from nsbench.benchmarks.contrast.distributed import team
from nsbench.benchmarks.encoders import Encoder, TokenTable

_AT_ONCE = 1024


def on_device(value: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to the device without waiting for it."""
    return value.to(device, non_blocking=True)


@dataclass(frozen=True, eq=False)
class Texts:
    """Some texts of a corpus, on host and device.

    Attributes:
        host: ``(n,)`` int64 numbers of the texts, -1 for an empty place.
        ids: The same on the device.
        width: Tokens that hold the longest of them: a multiple of 8, or the table's width.
    """

    host: Tensor
    ids: Tensor
    width: int

    @classmethod
    def of(cls, tokens: TokenTable, host: Tensor) -> "Texts":
        """Copy ids of texts ``(n,)`` to where their tokens are."""
        lengths = tokens.lengths[host.clamp(min=0).numpy()]
        width = bucket(int(lengths.max()), tokens.ids.shape[1])
        return cls(host, on_device(host, tokens.ids.device), width)


def view_of(
    encoder: Encoder,
    tokens: TokenTable,
    texts: Texts,
    augmentations: Sequence[Augmentation] = (),
    generator: torch.Generator | None = None,
    *,
    fixed: bool = False,
) -> TokenView:
    """Return the view of some texts; an empty place shows the first text."""
    ids, mask = tokens.rows(texts.ids.clamp(min=0), texts.width)
    view = encoder.plain_view(ids, mask).replace(fixed=fixed)
    if tokens.prompt:  # no augmentation of words changes it
        view = view.replace(head=view.head + tokens.prompt)
    for augment in augmentations:
        view = augment(view, generator)
    return view


def forward(encoder: Encoder, views: Sequence[TokenView]) -> list[Tensor]:
    """Return pooled embeddings of several views; views with equal dropout share one pass."""
    if len({v.dropout for v in views}) > 1:
        return [encoder(v) for v in views]
    return list(encoder(joined(views)).split([len(v.ids) for v in views]))


def joined(views: Sequence[TokenView]) -> TokenView:
    """Return one view of all rows, padded to the longest."""
    if len(views) == 1:
        return views[0]
    kept = [v.kept for v in views if v.kept is not None]
    if kept and len(kept) < len(views):
        return joined([v.whole() for v in views])
    length = max(v.ids.shape[1] for v in views)

    def padded(value: Tensor, fill: float) -> Tensor:
        return functional.pad(value, (0, length - value.shape[1]), value=fill)

    def stacked(name: str, fill: float) -> Tensor | None:
        given = [getattr(v, name) for v in views]
        if all(g is None for g in given):
            return None
        shapes = [(1, 1) if g is None else tuple(g.shape[-2:]) for g in given]
        rows = max(s[0] for s in shapes)
        columns = max(s[1] for s in shapes)
        rows = rows if rows == 1 else length
        out = []
        for view, value in zip(views, given, strict=True):
            size = len(view.ids)
            if value is None:
                value = torch.full((size, 1, 1), fill, device=view.ids.device)
            if value.shape[-2] not in (1, rows):
                value = functional.pad(value, (0, 0, 0, rows - value.shape[-2]), value=fill)
            out.append(value.expand(size, rows, columns))
        return torch.cat(out)

    last = torch.arange(length, device=views[0].ids.device)
    return TokenView(
        ids=torch.cat([padded(v.ids, 0) for v in views]),
        mask=torch.cat([functional.pad(v.mask, (0, length - v.mask.shape[1])) for v in views]),
        positions=torch.cat(
            [
                torch.cat([v.positions, last[v.positions.shape[1] :].expand(len(v.ids), -1)], dim=1)
                for v in views
            ]
        ),
        width=views[0].width,
        scale=stacked("scale", 1.0),
        shift=stacked("shift", 0.0),
        dropout=views[0].dropout,
        kept=torch.cat(kept) if kept else None,
        fixed=views[0].fixed,
    )


def embed_texts(encoder: Encoder, tokens: TokenTable, texts: Tensor) -> Tensor:
    """``(n, d)`` normalised embeddings of ``(n,)`` texts, dropout off, detached.

    Of several processes that train together each encodes a part; all must call this alike.
    """
    group = team()
    mine = texts if len(texts) < group.size else texts[group.own(len(texts))]
    with torch.no_grad():
        view = view_of(encoder, tokens, Texts.of(tokens, mine))
        z = functional.normalize(encoder(view.replace(dropout=0.0)).float(), dim=-1)
        return z if len(texts) < group.size else group.gather(z, len(texts))


def embed_all(encoder: Encoder, tokens: TokenTable, note: Callable[[str, float], None]) -> Tensor:
    """``(T, d)`` normalised embeddings of all texts, dropout off; passes are noted."""
    order = torch.from_numpy(np.argsort(tokens.lengths, kind="stable"))
    device = tokens.ids.device
    out = torch.empty(len(order), encoder.dimension, device=device)
    for chosen in order.split(_AT_ONCE):
        out[on_device(chosen, device)] = embed_texts(encoder, tokens, chosen)
    note("passes_mining", len(order))
    return out


def untouched(view: TokenView, plain: TokenView) -> Tensor:
    """``(B,)`` bool, True where nothing of a text's tokens was changed."""
    width = min(view.ids.shape[1], plain.ids.shape[1])
    real = view.mask[:, :width]
    same = (view.lengths == plain.lengths) & (
        (view.ids[:, :width] == plain.ids[:, :width]) | ~real
    ).all(dim=1)
    place = torch.arange(view.ids.shape[1], device=view.ids.device)
    same = same & ((view.positions == place) | ~view.mask).all(dim=1)
    if view.dropout:
        return torch.zeros_like(same)
    if view.kept is not None:
        same = same & (ones_of(view.kept, view.lengths) == view.lengths * view.width)
    for value, neutral in ((view.scale, 1.0), (view.shift, 0.0)):
        if value is not None:
            kept = (value == neutral).all(dim=2).expand_as(view.mask) | ~view.mask
            same = same & kept.all(dim=1)
    return same


BUCKET = 8


def bucket(length: int, limit: int) -> int:
    """Token width of a batch whose longest text has ``length`` tokens: the next multiple of 8."""
    return min(-(-length // BUCKET) * BUCKET, limit)
