"""Adversarial views: moved along the gradient of a loss before they are trained on."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nsbench.benchmarks.augmentations import Augmentation, TokenView
from nsbench.benchmarks.contrast.context import Known, lay_out, mask_candidates
from nsbench.benchmarks.training.supervision import Supervision

Loss = Callable[[list[Tensor]], Tensor]


def attackers(augmentations: Sequence[Augmentation]) -> list[Augmentation]:
    """Return the augmentations that need the gradient of a loss."""
    return [a for a in augmentations if hasattr(a, "perturb")]


def attacked(
    views: Sequence[TokenView],
    augmentations: Sequence[Sequence[Augmentation]],
    encode: Callable[[Sequence[TokenView]], list[Tensor]],
    loss: Loss,
) -> list[TokenView]:
    """Return the views after their adversarial augmentations; weights get no gradient.

    Args:
        views: The clean views.
        augmentations: Those of each view.
        encode: Gives the pooled embeddings of several views.
        loss: Of those embeddings, 0-dim; its gradient at the clean views is followed.
    """
    moved = [bool(attackers(a)) for a in augmentations]
    zero = [
        torch.zeros(*v.ids.shape, v.width, device=v.ids.device, requires_grad=m)
        for v, m in zip(views, moved, strict=True)
    ]
    probes = [
        v.replace(shift=z if v.shift is None else v.shift + z) if m else v
        for v, z, m in zip(views, zero, moved, strict=True)
    ]
    wanted = [z for z, m in zip(zero, moved, strict=True) if m]
    found = iter(torch.autograd.grad(loss(encode(probes)), wanted))
    out = []
    for view, mine, m in zip(views, augmentations, moved, strict=True):
        if m:
            gradient = next(found)
            for augment in attackers(mine):
                view = augment.perturb(view, gradient)  # type: ignore[attr-defined]
        out.append(view)
    return out


def attack_loss(
    known: Known,
    texts1: Tensor,
    texts2: Tensor,
    temperature: float,
    supervision: Supervision | None,
    index: Tensor,
) -> Loss:
    """Return the loss whose gradient an adversarial view follows: entailment's, else NT-Xent.

    Args:
        known: Which texts are duplicates or positives of each other.
        texts1: ``(B,)`` texts of view 1.
        texts2: ``(B,)`` texts of view 2.
        temperature: Of NT-Xent.
        supervision: Labels and their classifier, where the regime has them.
        index: ``(B,)`` rows of the batch.
    """

    def loss(raw: list[Tensor]) -> Tensor:
        if supervision is not None:
            # Each view as if it were the one that is classified.
            return torch.stack([supervision.loss([r], index) for r in raw]).sum()
        z = [functional.normalize(r.float(), dim=-1) for r in raw]
        contrast = lay_out(z[0], z[1], texts1, texts2, both=True)
        allowed = mask_candidates(contrast, known).negative
        allowed = allowed.scatter(1, contrast.positive[:, None], True)
        logits = contrast.anchors @ contrast.columns.T / temperature
        return functional.cross_entropy(logits.masked_fill(~allowed, -torch.inf), contrast.positive)

    return loss
