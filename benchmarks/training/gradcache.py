"""The gradient of a large batch in the memory of a small one.

Source: Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup
(GradCache). https://arxiv.org/abs/2101.06983 Encode in chunks without a graph, take the gradient of
the whole batch's loss with respect to the embeddings, then encode each chunk again, under the
random state it had, and send its share of that gradient through. The result is the gradient of the
whole batch, up to rounding; it costs a second forward pass.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations import TokenView
from nsbench.benchmarks.encoders import Encoder


class Chunked:
    """Embeddings of several views, encoded in chunks; `backward` completes the gradient.

    Use ``raw`` as if the encoder had just made it, call ``backward`` on the loss, then on this.

    Args:
        encoder: Whose parameters get the gradient.
        views: V views.
        chunk: Texts per pass, >= 1.

    Attributes:
        raw: V tensors ``(B, d)`` of pooled embeddings: leaves that gather a gradient.
    """

    def __init__(self, encoder: Encoder, views: Sequence[TokenView], chunk: int) -> None:
        self.encoder = encoder
        self._pieces = [split(view, chunk) for view in views]
        self._states: list[list[list[Tensor]]] = []
        self.raw: list[Tensor] = []
        device = views[0].ids.device
        with torch.no_grad():
            for pieces in self._pieces:
                states, out = [], []
                for piece in pieces:
                    states.append(random_state(device))
                    out.append(encoder(piece))
                self._states.append(states)
                self.raw.append(torch.cat(out))
        for value in self.raw:
            value.requires_grad_()

    def backward(self) -> None:
        """Send the gradient of ``raw`` through the encoder, chunk by chunk.

        Run it under the same autocast as the construction. The random state is left unchanged.
        """
        before = random_state(self.raw[0].device)
        for value, pieces, states in zip(self.raw, self._pieces, self._states, strict=True):
            if value.grad is None:  # no loss used this view
                continue
            parts = value.grad.split([len(piece.ids) for piece in pieces])
            for piece, state, part in zip(pieces, states, parts, strict=True):
                set_random_state(state, value.device)
                self.encoder(piece).backward(part)
        set_random_state(before, self.raw[0].device)


def split(view: TokenView, chunk: int) -> list[TokenView]:
    """A view in pieces of at most ``chunk`` rows, as wide as before.

    Raises:
        ValueError: If ``chunk`` is below 1.
    """
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    rows = torch.arange(len(view.ids), device=view.ids.device)
    return [view.take(part, view.ids.shape[1]) for part in rows.split(chunk)]


def random_state(device: torch.device) -> list[Tensor]:
    """Return the state of the generators that dropout may draw from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states


def set_random_state(states: list[Tensor], device: torch.device) -> None:
    """Restore a `random_state`."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
