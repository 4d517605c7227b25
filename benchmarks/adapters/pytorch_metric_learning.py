"""Miners of pytorch-metric-learning as samplers.

    loss = NegativeSamplingLoss(model, PmlMiner("BatchHardMiner"))
    nsbench run matrix.toml --plugin-path nsbench.benchmarks.adapters.pml    # as "pml_miner"

Source: Musgrave et al. 2020, PyTorch Metric Learning. https://arxiv.org/abs/2008.09164
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from nsbench.samplers import Selection, SimilarityContext, suggest


@dataclass(frozen=True)
class PmlMiner:
    """Keep the negatives that a miner of pytorch-metric-learning pairs with the anchor.

    The miner sees anchors and columns with labels: a column that an anchor may not choose has the
    anchor's own label, all others have separate labels. What it pairs beyond that is masked. An
    anchor for which it finds nothing keeps nothing. Its answer depends on the data, so it waits
    for the device, which our own samplers never do.

    Args:
        miner: Name of the class in ``pytorch_metric_learning.miners``.
        arguments: Its keyword arguments.
    """

    miner: str = "MultiSimilarityMiner"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs: ClassVar[frozenset[str]] = frozenset({"anchors", "candidates"})
    may_empty: ClassVar[bool] = True
    stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._made()

    def _made(self) -> Any:
        from pytorch_metric_learning import miners

        legal = [n for n in dir(miners) if n.endswith("Miner") and not n.startswith("Base")]
        if self.miner not in legal:
            raise ValueError(f"pml_miner: miner is {self.miner!r}. {suggest(self.miner, legal)}")
        try:
            return getattr(miners, self.miner)(**self.arguments)
        except TypeError as error:
            raise ValueError(f"pml_miner: arguments do not fit {self.miner}: {error}") from None

    def __call__(self, context: SimilarityContext) -> Selection:
        """Ask the miner."""
        anchors, candidates = context.require("anchors"), context.require("candidates")
        barred = ~context.negative_mask  # (B, N)
        own = torch.arange(barred.shape[1], device=barred.device) + len(barred)
        labels = torch.where(barred.any(dim=0), barred.float().argmax(dim=0), own)  # (N,)
        found = self._made()(anchors.float(), labels[context.positive], candidates.float(), labels)
        rows, columns = (found[0], found[2]) if len(found) == 3 else (found[2], found[3])
        mask = torch.zeros_like(context.negative_mask)
        mask[rows, columns] = True
        return Selection(mask=mask & context.negative_mask)
