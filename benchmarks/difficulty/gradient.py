"""Push of an objective on the similarities of the negatives, as autograd gives it.

Every loss that is a function of similarities is measured alike: by dL/ds, the derivative of an
anchor's loss by its similarity to each chosen negative. Of InfoNCE it is the softmax weight over
the temperature. Of a hinge at rest, or of a debiased loss at its floor, it is 0: such an anchor has
no shares. Importance weights that carry a gradient may attract a negative; its derivative is then
negative, and its share is that of the absolute value.

Source: ours; the derivative of InfoNCE is equation 3 of Wang and Liu 2021, Understanding the
Behaviour of Contrastive Loss. https://arxiv.org/abs/2012.09740
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nsbench.samplers import EXTRAS, Objective, Selection, SimilarityContext

HIGHEST_PULL = 4.0
"""Quantiles of the pull of an objective that is not balanced are exact to this / 2048 below it."""
_ROWS = ("similarity", "positive", "negative_mask")


@dataclass(frozen=True, eq=False)
class Push:
    """Derivatives of an objective by the similarities of one batch.

    Attributes:
        shares: ``(R, N)`` |dL/ds| of each chosen negative over the row's sum; rows without a
            gradient are 0, all others sum to 1.
        signed: ``(R, N)`` the same with the sign of dL/ds: below 0 a negative is attracted.
        moved: ``(R,)`` bool, True where any negative has a gradient.
        pull: ``(R,)`` sum of |dL/ds| times the objective's temperature, 1 where it has none. Of
            InfoNCE it is the softmax weight of all negatives, in [0, 1].
        highest: Right edge of the pull's quantiles.
    """

    shares: Tensor
    signed: Tensor
    moved: Tensor
    pull: Tensor
    highest: float = 1.0

    @classmethod
    def of(
        cls,
        context: SimilarityContext,
        selection: Selection,
        objective: Objective | None = None,
    ) -> "Push":
        """Return the push on what was chosen.

        Nothing waits for the device, and no weight gets a gradient.

        Args:
            context: What the sampler saw, B anchors.
            selection: What it chose; of M levels, R is M B, level by level.
            objective: The estimator; without one InfoNCE at the context's temperature.
        """
        unit: float | Tensor = context.temperature
        if objective is None:
            parts = [_softmax_derivative(context, part) for part in selection.parts()]
        else:
            parts = [derivative(objective, context, part) for part in selection.parts()]
            unit = getattr(objective, "temperature", 1.0)
        gradient = torch.cat(parts).masked_fill(~by_row(context, selection)[1].mask, 0.0)
        size = gradient.abs()
        total = size.sum(dim=1, keepdim=True)  # (R, 1)
        moved = total > 0
        over = torch.where(moved, total, torch.ones_like(total))
        balanced = objective is None or bool(getattr(objective, "balanced", False))
        return cls(
            shares=torch.where(moved, size / over, 0.0),
            signed=torch.where(moved, gradient / over, 0.0),
            moved=moved[:, 0],
            pull=total[:, 0] * unit,
            highest=1.0 if balanced else HIGHEST_PULL,
        )

    def by_anchor(self, anchors: int) -> Tensor:
        """``(B, N)`` shares of each anchor, those of its levels averaged where they have any."""
        if len(self.shares) == anchors:
            return self.shares
        levels = len(self.shares) // anchors
        whole = self.shares.view(levels, anchors, -1).sum(dim=0)
        return whole / whole.sum(dim=1, keepdim=True).clamp(min=1e-12)


def derivative(objective: Objective, context: SimilarityContext, selection: Selection) -> Tensor:
    """``(B, N)`` derivative of each anchor's loss by its similarities, by autograd.

    Args:
        objective: The estimator.
        context: What the sampler saw; its similarity is that of the loss.
        selection: What it chose, of one level.
    """
    with torch.enable_grad():
        live = context.similarity.detach().float().requires_grad_()
        loss = objective(live, context, selection).sum()
        if not loss.requires_grad:
            return torch.zeros_like(live)
        (found,) = torch.autograd.grad(loss, live, allow_unused=True, materialize_grads=True)
    return found.detach()


def by_row(context: SimilarityContext, selection: Selection) -> tuple[SimilarityContext, Selection]:
    """A selection of M levels as one of M B rows, with the context of each row.

    The loss is a mean over levels, so each level counts as an anchor does. A flat selection is
    returned as it is.
    """
    if selection.mask.dim() == 2:
        return context, selection
    levels = selection.mask.shape[0]
    rows = _ROWS + tuple(name for name, extra in EXTRAS.items() if extra.axes.startswith("B"))
    repeated = {
        name: torch.cat([value] * levels)
        for name in rows
        if (value := getattr(context, name)) is not None
    }
    weight, attract = selection.log_weight, selection.attract
    flat = Selection(
        mask=selection.mask.flatten(0, 1),
        log_weight=None if weight is None else weight.flatten(0, 1),
        attract=None if attract is None else attract.flatten(0, 1),
    )
    return context.replace(**repeated), flat


def softmax_weights(context: SimilarityContext, selection: Selection) -> Tensor:
    """``(B, N)`` softmax of s / temperature + log weight over the chosen; empty rows are 0.

    It is the share of each negative in the gradient of InfoNCE, and of no other objective.
    """
    logits = _logits(context, selection)
    # A row of -inf alone would be NaN; its softmax is defined as 0.
    some = selection.mask.any(dim=1, keepdim=True)
    return torch.where(some, torch.softmax(torch.where(some, logits, 0.0), dim=1), 0.0)


def _logits(context: SimilarityContext, selection: Selection) -> Tensor:
    logits = context.similarity.float() / context.temperature
    if selection.log_weight is not None:
        logits = logits + selection.log_weight.detach()
    return logits.masked_fill(~selection.mask, -torch.inf)


def _softmax_derivative(context: SimilarityContext, selection: Selection) -> Tensor:
    """``(B, N)`` dL/ds of InfoNCE, in closed form."""
    weights = softmax_weights(context, selection)
    negatives = _logits(context, selection).logsumexp(dim=1)
    pull = torch.sigmoid(negatives - context.positive_similarity.float() / context.temperature)
    return weights * pull[:, None] / context.temperature
