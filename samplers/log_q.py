"""All candidates, those that come up often with less weight.

Source: Yi et al. 2019, Sampling-bias-corrected neural modeling for large corpus item
recommendations (logQ correction). https://doi.org/10.1145/3298689.3346996 A text that is in
many rows is met in many batches and pushed away more than the corpus warrants; its logit is
lessened by the logarithm of how often it is drawn. Common code (TensorFlow Recommenders) clips that
share at 1e-6 and corrects the positive too, which here is a weight relative to the positive's.
Sentence pairs of STS repeat many texts.
"""

from typing import Annotated, ClassVar

import torch

from nsbench.samplers import Choice, Interval, Selection, SimilarityContext, register


@register("log_q")
class LogQ:
    """Weigh every candidate with one over the share of the training rows that hold its text.

    Args:
        relative: ``positive``: to the same share of the anchor's positive, so that texts that all
            come up equally often weigh 1 each; ``nothing``: the share as it is.
        least: Smallest share that counts, in [1e-12, 1].
    """

    relative: Annotated[str, Choice("positive", "nothing")] = "positive"
    least: Annotated[float, Interval("[1e-12, 1]")] = 1e-6
    needs: ClassVar[frozenset[str]] = frozenset({"frequency"})
    test_configs: ClassVar = ({"relative": "nothing", "least": 0.01},)

    def __call__(self, context: SimilarityContext) -> Selection:
        share = context.require("frequency").float().clamp(self.least, 1)  # (N,)
        log = -torch.log(share)[None, :].expand(context.similarity.shape)  # (B, N)
        if self.relative == "positive":
            log = log - log.gather(1, context.positive[:, None])
        return Selection(mask=context.negative_mask, log_weight=log.contiguous())
