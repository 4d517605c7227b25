"""Negatives from noise, moved a little to increase the loss.

Source: Zhou et al. 2022, Debiased Contrastive Learning of Unsupervised Sentence Representations
(DCLR). https://arxiv.org/abs/2205.00656 Defaults are those of the released code. The
gradient of the batch's InfoNCE with respect to a noise vector is written out, not traced.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nsbench.samplers import Interval, SimilarityContext, register
from nsbench.samplers._inner import ChoosesThen, inner_sampler


@register("noise")
class Noise(ChoosesThen):
    """Add Gaussian vectors, improved by gradient ascent on the loss, as shared negatives.

    Args:
        times: Noise vectors per anchor of the batch, in (0, 100]; all anchors share all of them.
        steps: Steps of gradient ascent, >= 0.
        step_size: Length of a step, in [0, 100]; a noise vector itself is about sqrt(d) long.
        then: Sampler that chooses from real candidates and noise together.
    """

    times: Annotated[float, Interval("(0, 100]")] = 1.0
    steps: Annotated[int, Interval("[0, inf)")] = 4
    step_size: Annotated[float, Interval("[0, 100]")] = 1e-3
    then: Annotated[str, inner_sampler] = "in_batch"
    reads: ClassVar[frozenset[str]] = frozenset({"anchors"})
    stochastic: ClassVar[bool] = True
    test_configs: ClassVar = (
        {"times": 2.5, "steps": 0},
        {"then": "complementary[phi=0.4]"},
        {"then": "complementary[phi=0.4,variant=official]"},
    )

    def made(self, context: SimilarityContext) -> Tensor:
        """``(B, S, d)`` noise, the same for every anchor."""
        anchors = context.require("anchors")  # (B, d)
        batch, size = anchors.shape
        count = max(1, int(batch * self.times))
        raw = torch.randn(
            (count, size), generator=context.generator, device=anchors.device
        )  # (S, d)
        for _ in range(self.steps):
            raw = raw + self.step_size * normalize(ascent(context, anchors.float(), raw), dim=-1)
        return normalize(raw, dim=-1).to(anchors.dtype).expand(batch, count, size)


def ascent(context: SimilarityContext, anchors: Tensor, raw: Tensor) -> Tensor:
    """``(S, d)`` gradient of the summed InfoNCE with respect to un-normalised noise.

    With p_in the softmax share of noise n in row i, and s_in its cosine with anchor z_i, that is
    sum_i p_in / temperature * (z_i - s_in n) / |raw|.

    Args:
        context: Real candidates, among which the positive and all that may be chosen count.
        anchors: ``(B, d)`` normalised.
        raw: ``(S, d)`` noise.
    """
    unit = normalize(raw, dim=-1)
    cosine = anchors @ unit.T  # (B, S)
    counted = context.negative_mask.scatter(1, context.positive[:, None], True)  # (B, N)
    real = (context.similarity.float() / context.temperature).masked_fill(~counted, -torch.inf)
    logits = torch.cat([real, cosine / context.temperature], dim=1)  # (B, N + S)
    share = logits.softmax(dim=1)[:, real.shape[1] :] / context.temperature  # (B, S)
    pull = share.T @ anchors - (share * cosine).sum(dim=0)[:, None] * unit  # (S, d)
    length: Tensor = torch.linalg.vector_norm(raw, dim=-1, keepdim=True)
    return pull / length
