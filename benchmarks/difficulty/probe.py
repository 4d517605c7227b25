"""A fixed set of texts, scored now and then for every cell: curves of all samplers on one axis.

Which texts is decided by the data alone, so cells that train on the same data, regardless of their
seed, sampler or model, answer the same questions. They are scored as they are, dropout off.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from nsbench.benchmarks.contrast.context import Known
from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.difficulty.geometry import UNIFORMITY_T
from nsbench.benchmarks.difficulty.shares import skewness
from nsbench.benchmarks.difficulty.statistics import point, summary
from nsbench.benchmarks.keys import content_key
from nsbench.benchmarks.records import PROBE_COLUMNS, PROBE_HARDEST
from nsbench.samplers import places

TEXTS = 256
ANCHORS = 128
RANKED = 32
MEASUREMENTS = 4  # in addition to the one before training


def probe_texts(data: TrainingData) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Ids of the probe's texts, drawn by the data's own hash; the first half are its anchors.

    No two are equal after normalisation. Fewer than `TEXTS` where the data has fewer.
    """
    _, first = np.unique(data.group, return_index=True)
    draw = np.random.default_rng(int(content_key(["probe", data.digest]), 16))
    return draw.permutation(np.sort(first).astype(np.int64))[:TEXTS]


class Probe:
    """Scores the probe's texts and compares with earlier scores.

    Measured are, under ``probe_*``: similarity of all candidates and of the hardest 5 % of each
    anchor; similarity and percentile (0 = hardest) now of those that were hardest at the start;
    Jaccard overlap of the hardest sets now with those of the last measurement and of the start (by
    chance it is about k / (2 N - k)); drift, the mean of 1 - cos between a text's embeddings now
    and at the last measurement, and at the start; share of the hardest that mean the
    same as their anchor, where that is known; hubness, how unevenly the candidates are spread over
    the anchors' hardest (`skewness` of their counts; by chance that of a binomial); effective rank
    of the texts' embeddings, exp of the entropy of their centred singular values, in [1, d];
    their uniformity, in [-8, 0], smaller is more uniform.

    Args:
        data: The training data.
        known: Duplicates and known positives among its texts.
        embed: ``(n,)`` text ids, on the host, to ``(n, d)`` normalised embeddings, dropout off, no
            gradient.
        steps: Of the training.
        device: Where tensors live.
    """

    def __init__(
        self,
        data: TrainingData,
        known: Known,
        embed: Callable[[Tensor], Tensor],
        steps: int,
        device: torch.device,
        *,
        ask: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._numbers = torch.from_numpy(probe_texts(data))
        self._texts = self._numbers.to(device)
        self._anchors = min(ANCHORS, max(1, len(self._texts) // 2))
        self._embed, self._ask = embed, ask
        left = self._texts[: self._anchors]
        twins, pairs = known.twins(left, self._texts), known.pairs(left, self._texts)
        self._eligible = ~(twins | pairs)
        self._truth = known.truth(left, self._texts)
        self._k = max(1, int(PROBE_HARDEST * len(self._texts)))
        self._due = {steps * (i + 1) // MEASUREMENTS - 1 for i in range(MEASUREMENTS)} - {-1}
        self._start: tuple[Tensor, Tensor] | None = None
        self._last: tuple[Tensor, Tensor] | None = None
        self._order: Tensor | None = None

    @property
    def passes(self) -> int:
        """Encoder passes of one measurement."""
        return len(self._texts) + (0 if self._ask is None else self._anchors)

    def due(self, step: int) -> bool:
        """Return True if ``step`` is followed by a measurement: at each quarter of the training."""
        return step in self._due and step > 0

    def measure(self) -> Mapping[str, Tensor]:
        """Return ``{quantity: (S,)}`` of the current encoder; nothing waits for the device."""
        z = self._embed(self._numbers)  # (T, d)
        asked = (
            z[: self._anchors] if self._ask is None else self._ask(self._numbers[: self._anchors])
        )
        scores = (asked @ z.T).masked_fill(~self._eligible, -torch.inf)  # (A, T)
        order = scores.argsort(dim=1, descending=True, stable=True)
        hardest = order[:, : self._k]  # (A, k)
        some = scores.gather(1, hardest) > -torch.inf
        now = (z, hardest)
        start = self._start or now
        last = self._last or now
        rank = places(order)
        percentile = (rank + 0.5) / self._eligible.sum(dim=1, keepdim=True).clamp(min=1)
        at_start = scores.gather(1, start[1])
        was = at_start > -torch.inf
        out = {
            "probe_candidate_similarity": summary(scores, self._eligible, -1, 1),
            "probe_hardest_similarity": summary(scores.gather(1, hardest), some, -1, 1),
            "probe_start_hardest_similarity": summary(at_start, was, -1, 1),
            "probe_start_hardest_percentile": summary(percentile.gather(1, start[1]), was, 0, 1),
            "probe_drift": _apart(z, last[0]),
            "probe_drift_from_start": _apart(z, start[0]),
            "probe_overlap": self._jaccard(hardest, last[1]),
            "probe_overlap_with_start": self._jaccard(hardest, start[1]),
            "probe_hubness": point(skewness(_counts(hardest, some, len(self._texts)))),
            "probe_effective_rank": point(_effective_rank(z)),
            "probe_uniformity": point(_uniformity(z)),
        }
        if self._truth is not None:
            same = self._truth.gather(1, hardest).double()
            out["probe_hardest_same_meaning"] = summary(same, some, 0, 1)
            every = (self._truth & self._eligible).double().sum() / self._eligible.sum()
            out["probe_same_meaning"] = point(every)
        self._start, self._last, self._order = start, now, order[:RANKED]
        return out

    def ranking(self) -> pd.DataFrame:
        """Return the anchors' ranking of candidates at the last measurement, with `PROBE_COLUMNS`.

        The hardest of every anchor; all that may be a negative, of the first `RANKED` anchors.
        Numbers are places among the probe's texts, which are the same for all cells of one data
        set, so agreement between seeds and models can be read off the files.
        """
        if self._last is None or self._order is None:
            return pd.DataFrame(columns=list(PROBE_COLUMNS))
        ranked = self._order.cpu().numpy()
        parts = []
        for low, ids in ((0, ranked), (len(ranked), self._last[1].cpu().numpy()[len(ranked) :])):
            anchors, places = np.indices(ids.shape)
            columns = (anchors.ravel() + low, places.ravel(), ids.ravel())
            parts.append(pd.DataFrame(dict(zip(PROBE_COLUMNS, columns, strict=True))))
        table = pd.concat(parts, ignore_index=True)
        able = self._eligible.cpu().numpy()
        return table[able[table["anchor"], table["candidate"]]].astype("int16")

    def state(self) -> dict[str, Any]:
        """Everything a resumed cell needs."""
        return {"start": self._start, "last": self._last, "order": self._order}

    def load(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""

        def here(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(here, value))
            return None if value is None else value.to(self._texts.device)

        self._start, self._last, self._order = (here(state[k]) for k in ("start", "last", "order"))

    def _jaccard(self, left: Tensor, right: Tensor) -> Tensor:
        """Statistics over anchors of the overlap of two sets of ids, each ``(A, k)``."""
        both = (left[:, :, None] == right[:, None, :]).sum(dim=(1, 2)).double()
        value = both / (left.shape[1] + right.shape[1] - both)
        return summary(value, torch.ones_like(value, dtype=torch.bool), 0, 1)


def _counts(ids: Tensor, some: Tensor, size: int) -> Tensor:
    """``(size,)`` how often each of the numbers ``(A, k)`` occurs where ``some`` holds."""
    zero = torch.zeros(size, dtype=torch.float64, device=ids.device)
    return zero.scatter_add_(0, ids.flatten(), some.flatten().to(zero.dtype))


def _effective_rank(z: Tensor) -> Tensor:
    """As in `nsbench.benchmarks.difficulty.geometry.spectrum`, on the device."""
    centred = (z - z.mean(dim=0)).double()
    # Singular values by the smaller of the two Gram matrices.
    gram = centred @ centred.T if len(z) < z.shape[1] else centred.T @ centred
    # A diverged model has no spectrum; that its loss is not finite is said where losses are read.
    s = torch.linalg.eigvalsh(gram.nan_to_num(0.0, 0.0, 0.0)).clamp(min=0).sqrt()
    p = s / s.sum().clamp(min=1e-12)
    return torch.exp(-(p * p.clamp(min=1e-30).log()).sum())


def _uniformity(z: Tensor) -> Tensor:
    """As in `nsbench.benchmarks.difficulty.geometry.uniformity`, on the device."""
    squared = (2 - 2 * (z @ z.T)).clamp(min=0).double()
    potential = torch.exp(-UNIFORMITY_T * squared).fill_diagonal_(0)
    return (potential.sum() / (len(z) * (len(z) - 1))).log()


def _apart(now: Tensor, before: Tensor) -> Tensor:
    """Statistics over texts of 1 - cos of two embeddings of the same text."""
    value = 1 - (now * before).sum(dim=1)
    return summary(value, torch.ones_like(value, dtype=torch.bool), 0, 2)
