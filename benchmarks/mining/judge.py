"""A cross-encoder that scores an anchor's own negatives as a training meets them.

Source: Qu et al. 2021, RocketQA, section 3.2: a cross-encoder denoises mined negatives.
https://arxiv.org/abs/2010.08191
"""

import numpy as np
import torch
from torch import Tensor

from nsbench.benchmarks.contrast.world import World
from nsbench.benchmarks.encoders import _sources
from nsbench.benchmarks.encoders._identity import identity
from nsbench.benchmarks.mining.dataset.rescore import load_rescorer


def scorer_fingerprint(name: str) -> str:
    """Hash of a cross-encoder's weights and settings.

    Raises:
        ValueError: If it cannot be had here.
    """
    return identity(_sources.locate(name))


class Judge:
    """Scores of pairs, each kept once it is known.

    A row's negatives are scored together, regardless of the rest of its batch, so that a resumed
    training gets the same numbers.
    """

    def __init__(self, name: str, world: World) -> None:
        self.world = world
        self.scorer = load_rescorer(name, device=str(world.device))
        self.known: dict[tuple[int, ...], list[float]] = {}

    def scores(self, anchors: Tensor, own: Tensor) -> Tensor:
        """``(B, n)`` float32 score of every anchor with its own negatives, 0 in empty places.

        Args:
            anchors: ``(B,)`` texts, on the host.
            own: ``(B, n)`` texts of each anchor's negatives, on the host, -1 for none.
        """
        out = np.zeros(own.shape, np.float32)
        for row, (anchor, found) in enumerate(zip(anchors.tolist(), own.tolist(), strict=True)):
            there = [text for text in found if text >= 0]
            if there:
                known = self._of(anchor, there)
                out[row, np.array(found) >= 0] = known
                self.world.note("pairs_judged", len(there))
        return torch.from_numpy(out)

    def _of(self, anchor: int, own: list[int]) -> list[float]:
        key = anchor, *own
        if key not in self.known:
            texts = self.world.data.texts
            found = self.scorer.score([(texts[anchor], texts[other]) for other in own])
            self.known[key] = found.tolist()
        return self.known[key]
