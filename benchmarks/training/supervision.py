"""The supervised side of a training step: a classifier of entailment next to the encoder."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import Encoder

CLASSES = 3


class EntailmentHead(nn.Module):
    """Linear classifier of (u, v, |u - v|), in the official variant also max(u, v) squared."""

    def __init__(self, dimension: int, variant: str) -> None:
        super().__init__()
        self.official = variant == "official"
        self.linear = nn.Linear((3 + self.official) * dimension, CLASSES)

    def forward(self, u: Tensor, v: Tensor) -> Tensor:
        """``(B, 3)`` logits of pooled, not normalised embeddings ``(B, d)``."""
        parts = [u, v, (u - v).abs()]
        if self.official:
            parts.append(torch.maximum(u, v).square())
        logits: Tensor = self.linear(torch.cat(parts, dim=1))
        return logits


class _Together(nn.Module):
    """Encoder and classifier for one optimizer, the encoder's parameters under their own names."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self.encoder.named_parameters(prefix, recurse, remove_duplicate)
        yield from self.head.named_parameters("entailment_head", recurse, remove_duplicate)


class Supervision:
    """Labels of a phase, its classifier, and the weight of the contrastive loss.

    Args:
        encoder: In training, on its device already.
        data: Entailment pairs: anchors are premises, positives hypotheses.
        variant: ``paper`` or ``official`` features.
        weight: Of the contrastive loss; 0 trains on the labels alone.
        joint: Whether premises and hypotheses are contrasted, each among themselves.
        seed: Of the classifier's initial weights.
    """

    def __init__(
        self,
        encoder: Encoder,
        data: TrainingData,
        *,
        variant: str,
        weight: float,
        joint: bool,
        seed: int,
    ) -> None:
        if data.nli is None:
            raise ValueError(f"{data.name} has no entailment labels")
        device = next(encoder.parameters()).device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = EntailmentHead(encoder.dimension, variant).to(device)
        self.labels = torch.from_numpy(np.asarray(data.nli, np.int64)).to(device)  # (R,)
        self.weight = weight
        self.joint = joint

    def trainable(self, encoder: nn.Module) -> nn.Module:
        """Return the module that the optimizer moves: encoder and classifier."""
        return _Together(encoder, self.head)

    def texts(self, premises: Tensor, hypotheses: Tensor) -> tuple[Tensor, Tensor]:
        """Texts of view 1 and view 2; jointly, either view has premises, then hypotheses."""
        if not self.joint:
            return premises, hypotheses
        both = torch.cat([premises, hypotheses])
        return both, both

    def logits(self, raw: Sequence[Tensor], batch: int) -> Tensor:
        """``(B, 3)`` logits from the pooled embeddings of the views."""
        u, v = (raw[0][:batch], raw[0][batch:]) if self.joint else (raw[0], raw[1])
        scores: Tensor = self.head(u.float(), v.float())
        return scores

    def loss(self, raw: Sequence[Tensor], rows: Tensor) -> Tensor:
        """0-dim mean cross-entropy of the rows ``(B,)``."""
        return functional.cross_entropy(self.logits(raw, len(rows)), self.labels[rows])

    def total(self, contrast: Tensor, entailment: Tensor) -> Tensor:
        """0-dim loss of a step; a contrastive loss of weight 0 is left out, even if not finite."""
        return entailment + self.weight * contrast if self.weight else entailment

    def accuracy(self, raw: Sequence[Tensor], rows: Tensor) -> Tensor:
        """0-dim share of rows whose class is the likeliest."""
        return (self.logits(raw, len(rows)).argmax(dim=1) == self.labels[rows]).double().mean()

    def apart(self, negative: Tensor, batch: int) -> Tensor:
        """A negative mask without pairs of a premise and a hypothesis.

        Args:
            negative: ``(A, N)``; its first columns are the views of the batch, in their order.
            batch: B rows of premises and as many of hypotheses.
        """
        if not self.joint:
            return negative
        anchors, columns = negative.shape
        side = torch.arange(max(anchors, columns), device=negative.device) % (2 * batch) >= batch
        same = side[:anchors, None] == side[None, :columns]
        views = 2 * batch * (1 if anchors == 2 * batch else 2)
        same[:, views:] = True
        return negative & same
