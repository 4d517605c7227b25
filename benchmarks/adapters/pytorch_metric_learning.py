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

    The miner is asked anchor by anchor. It sees the anchor, its positive, which has the same label,
    and the candidates that the anchor may choose, each with a separate label. So a column that is
    barred for several anchors is barred for each of them, and no anchor is its own positive. A
    miner that takes a share of a whole batch, such as ``HDCMiner``, takes it of each anchor's
    pairs. An anchor for which it finds nothing keeps nothing. Its answer depends on the data, so it
    waits for the device, which our own samplers never do. What it draws is drawn from the context's
    generator.

    Args:
        miner: Name of the class in ``pytorch_metric_learning.miners``.
        arguments: Its keyword arguments.

    Raises:
        ValueError: If there is no such miner, or its arguments do not fit.
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
        except (TypeError, ValueError, AssertionError, KeyError) as error:
            raise ValueError(f"pml_miner: arguments do not fit {self.miner}: {error}") from None

    def __call__(self, context: SimilarityContext) -> Selection:
        """Ask the miner."""
        anchors = context.require("anchors").float()
        candidates = context.require("candidates").float()
        mask = torch.zeros_like(context.negative_mask)
        miner, device = self._made(), mask.device
        drawn = torch.randint(2**62, (1,), generator=context.generator, device=device)
        cuda = device.type == "cuda"
        with torch.random.fork_rng([device] if cuda else []), torch.no_grad():
            torch.default_generator.manual_seed(int(drawn))
            if cuda:
                torch.cuda.manual_seed(int(drawn))
            for row, own in enumerate(context.positive):
                columns = context.negative_mask[row].nonzero().flatten()
                if not len(columns):
                    continue
                seen = torch.cat([own[None], columns])
                labels = torch.arange(len(seen), device=device)
                found = miner(anchors[row : row + 1], labels[:1], candidates[seen], labels)
                mask[row, seen[found[2] if len(found) == 3 else found[3]]] = True
        return Selection(mask=mask & context.negative_mask)
