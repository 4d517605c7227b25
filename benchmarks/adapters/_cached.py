"""The loss of a large batch in the memory of a small one, inside sentence-transformers.

Source: Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup
(GradCache). https://arxiv.org/abs/2101.06983 As in `training.gradcache`, but the second pass runs
when the trainer calls ``backward`` on the loss, so that its scaling reaches every chunk.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from nsbench.benchmarks.adapters._facts import Facts
from nsbench.benchmarks.adapters._identity import ADDED, Columns, unwrapped
from nsbench.benchmarks.training.gradcache import random_state, set_random_state


def piece(features: Mapping[str, Any], begin: int, end: int) -> dict[str, Any]:
    """Copy rows ``begin:end`` of a tokenised column.

    Raises:
        ValueError: If a feature is not laid out by rows.
    """
    if "offsets" in features:
        starts, ids = features["offsets"], features["input_ids"]
        last = int(starts[end]) if end < len(starts) else len(ids)
        first = int(starts[begin])
        flat = {"input_ids": ids[first:last], "offsets": starts[begin:end] - first}
        return {n: v for n, v in features.items() if not isinstance(v, Tensor)} | flat
    out, rows = {}, rows_of(features)
    for name, value in features.items():
        if not isinstance(value, Tensor) or value.dim() == 0 or name == "prompt_length":
            out[name] = value
        elif len(value) == rows:
            out[name] = value[begin:end].clone()  # a pooling may change the mask in place
        else:
            raise ValueError(
                f"mini_batch_size cannot cut {name} of shape {tuple(value.shape)} into the "
                f"{rows} rows of the batch: set mini_batch_size = 0"
            )
    return out


def rows_of(features: Mapping[str, Any]) -> int:
    """Return the number of texts of a tokenised column."""
    for name in ("offsets", "attention_mask", "input_ids"):
        if name in features:
            return len(features[name])
    raise ValueError(f"mini_batch_size needs tokenised texts, got {', '.join(features)}")


class Chunks:
    """Embeddings of the columns of a batch, made in chunks; `backward` completes the gradient.

    Args:
        model: The model in training.
        columns: Features of each column.
        size: Texts per pass, >= 1.

    Attributes:
        embeddings: Pooled embeddings, one list of chunks a column; leaves where gradients are on.
    """

    def __init__(self, model: Any, columns: Columns, size: int) -> None:
        self.model = model
        self._pieces = []
        for column in columns:
            features = {n: v for n, v in column.items() if n not in ADDED}
            rows = rows_of(features)
            cuts = [(i, min(i + size, rows)) for i in range(0, rows, size)]
            self._pieces.append((features, cuts))
        self._device = next(iter(unwrapped(model).parameters())).device
        kind = self._device.type
        self._autocast = (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        self._states: list[list[Tensor]] = []
        learning = torch.is_grad_enabled()
        self.embeddings: list[list[Tensor]] = []
        with torch.no_grad():
            for features, cuts in self._pieces:
                made = []
                for begin, end in cuts:
                    self._states.append(random_state(self._device))
                    made.append(self.model(piece(features, begin, end))["sentence_embedding"])
                self.embeddings.append(made)
        if learning:
            self.embeddings = [
                [part.detach().clone().requires_grad_() for part in made]
                for made in self.embeddings
            ]

    def backward(self, factor: Tensor) -> None:
        """Send the embeddings' gradient, times a factor, through the model, chunk by chunk."""
        before = random_state(self._device)
        work = [
            (features, cut, leaf)
            for (features, cuts), leaves in zip(self._pieces, self.embeddings, strict=True)
            for cut, leaf in zip(cuts, leaves, strict=True)
        ]
        enabled, kind = self._autocast
        for place, (features, cut, leaf) in enumerate(work):
            set_random_state(self._states[place], self._device)
            with self._synchronised(place == len(work) - 1), torch.enable_grad():
                with torch.autocast(self._device.type, dtype=kind, enabled=enabled):
                    made = self.model(piece(features, *cut))["sentence_embedding"]
                share = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                if made.requires_grad:
                    made.backward(share * factor.to(share.dtype))
        set_random_state(before, self._device)

    def _synchronised(self, last: bool) -> AbstractContextManager[Any]:
        """Gradients of several processes are averaged once, with the last chunk."""
        waits = getattr(self.model, "no_sync", None)
        return nullcontext() if last or waits is None else waits()


def cached_loss(loss: Any, columns: Columns, facts: Facts) -> Tensor:
    """0-dim loss of a batch whose embeddings are made in chunks.

    Args:
        loss: Has ``model``, ``mini_batch_size``, ``calculate_loss`` and ``numbers``; wrappers such
            as MatryoshkaLoss replace ``calculate_loss``. The gradient of its learned numbers is
            held back until ``backward``, which may scale it.
        columns: Features of each column.
        facts: About their texts.
    """
    chunks = Chunks(loss.model, columns, loss.mini_batch_size)
    if not torch.is_grad_enabled():
        total: Tensor = loss.calculate_loss(chunks.embeddings, facts)
        return total
    numbers = list(loss.numbers.parameters())
    before = [number.grad for number in numbers]
    for number in numbers:
        number.grad = None
    total = loss.calculate_loss(chunks.embeddings, facts, with_backward=True)
    found = [number.grad for number in numbers]
    for number, held in zip(numbers, before, strict=True):
        number.grad = held

    def complete(factor: Tensor) -> None:
        chunks.backward(factor)
        for number, share in zip(numbers, found, strict=True):
            if share is not None:
                share = share * factor.to(share)
                number.grad = share if number.grad is None else number.grad + share

    total = total.detach().requires_grad_()
    total.register_hook(complete)
    return total
