"""The second-nearest cluster's centre as a hard negative, the anchor's own cluster as false ones.

Source: Deng et al. 2023, Clustering-Aware Negative Sampling for Unsupervised Sentence
Representation (ClusterNS). https://arxiv.org/abs/2305.09892 The centres follow the anchors by
online k-means. ``official`` moves them by the sum of their members, as the released code does,
``paper`` by the mean. Rows of the anchor's own cluster are handed on as attracted; the objective
`band_margin`, its pairing, keeps them near the positive, but not too near.
"""

from typing import Annotated, ClassVar

import torch
from torch import Tensor

from nsbench.samplers import Choice, Interval, Pairing, Selection, SimilarityContext, register


@register("cluster_negatives")
class ClusterNegatives:
    """Add the second-nearest centre; leave out the candidates of the anchor's own cluster.

    Until the batch's mean similarity has fallen far enough, there are no clusters, and every
    candidate is a negative.

    Args:
        clusters: Centres, K, from 2 to the batch size.
        momentum: Share by which a centre moves towards its members, in (0, 1].
        start_below: Mean similarity of a batch at which the clusters begin, in [-1, 1].
        same: What candidates of the anchor's own cluster are: ``attract``ed, for an objective that
            knows what to do with them, or ``drop``ped.
        variant: ``official`` or ``paper``, see above.
    """

    clusters: Annotated[int, Interval("[2, inf)")] = 64
    momentum: Annotated[float, Interval("(0, 1]")] = 1e-3
    start_below: Annotated[float, Interval("[-1, 1]")] = 0.4
    same: Annotated[str, Choice("attract", "drop")] = "attract"
    variant: Annotated[str, Choice("official", "paper")] = "official"
    objective: ClassVar[Pairing] = (
        "band_margin",
        {"alpha": 0.0, "beta": 0.3, "weight": 1e-3, "over": "attracted"},
    )
    needs: ClassVar[frozenset[str]] = frozenset({"anchors", "candidates", "centres"})
    may_empty: ClassVar[bool] = True
    test_configs: ClassVar = ({"same": "drop", "variant": "paper"},)

    def why_not(self, batch_size: int) -> str:
        """Say why a batch of that size cannot start the clusters, or nothing."""
        if batch_size >= self.clusters:
            return ""
        return f"{self.clusters} clusters start from as many anchors; a batch has {batch_size}"

    def synthesize(self, context: SimilarityContext) -> Tensor:
        """``(B, 1, d)`` second-nearest centre of every anchor."""
        centres = context.require("centres")
        nearness = context.require("anchors").to(centres.dtype) @ centres.T  # (B, K)
        second = nearness.topk(2, dim=1).indices[:, 1]
        return centres[second][:, None, :]

    def __call__(self, context: SimilarityContext) -> Selection:
        centres, candidates = context.require("centres"), context.require("candidates")
        begun = centres.square().sum() > 0
        mine = (context.require("anchors").to(centres.dtype) @ centres.T).argmax(dim=1)  # (B,)
        theirs = (candidates.to(centres.dtype) @ centres.T).argmax(dim=1)  # (N,)
        same = begun & (mine[:, None] == theirs[None, :])
        made = context.similarity.shape[1] - same.shape[1]
        same = torch.nn.functional.pad(same, (0, made)) & context.negative_mask
        kept = context.negative_mask & ~same
        if context.synthetic is not None:
            kept = kept & (begun | ~context.synthetic)
        return Selection(mask=kept, attract=same if self.same == "attract" else None)
