"""The window of every row: widened where filters leave too few, and why a row is still short."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.mining.corpus import REASONS, Corpus, mine
from nsbench.benchmarks.mining.settings import MineSettings, Window
from nsbench.benchmarks.mining.sources import Floats, Ints, Source

_TIMES = 4  # how much wider each time
_CODE = {name: code for code, name in enumerate(REASONS)}
_SETTINGS = {
    "too_near_positive": ("margin", "relative_margin"),
    "too_similar": ("max_score",),
    "too_dissimilar": ("min_score",),
}
"""Settings by the reason that they give for not taking a candidate."""


@dataclass(frozen=True, eq=False)
class InWindow:
    """Candidates of R rows, each from its window.

    Attributes:
        ids: ``(R, M)`` text of each candidate, best first; -1 in empty places.
        scores: ``(R, M)`` by the source; NaN in empty places.
        ranks: ``(R, M)`` place in the row's ranking; -1 in empty places.
        by_reason: ``(R, len(REASONS))`` candidates examined, by what became of them.
        stops: ``(R,)`` place after the last of each row's window.
    """

    ids: Ints
    scores: Floats
    ranks: Ints
    by_reason: Ints
    stops: Ints

    @property
    def rejected(self) -> dict[str, int]:
        """Number of candidates by what became of them."""
        return dict(zip(REASONS, self.by_reason.sum(axis=0).tolist(), strict=True))

    def shortages(self, short: NDArray[np.bool_], settings: MineSettings) -> dict[str, int]:
        """Rows by what left them with too few.

        Args:
            short: ``(R,)`` True for rows that found too few.
            settings: What the set was mined by.

        Returns:
            Number of short rows by setting: of several filters the one that turned most candidates
            away, ``sampler`` where the window had enough, ``corpus`` where no setting helps.
        """
        out: dict[str, int] = {}
        codes = [_CODE[reason] for reason in _SETTINGS]
        for counts in self.by_reason[short].tolist():
            turned_away = [counts[code] for code in codes]
            if counts[_CODE["kept"]] >= settings.negatives:
                name = "sampler"
            elif max(turned_away):
                reason = REASONS[codes[turned_away.index(max(turned_away))]]
                given = [n for n in _SETTINGS[reason] if getattr(settings, n) is not None]
                name = " and ".join(given)
            elif counts[_CODE["before_window"]]:
                name = "range_min"
            else:
                name = "corpus"
            out[name] = out.get(name, 0) + 1
        return dict(sorted(out.items()))


def in_window(
    corpus: Corpus, source: Source, settings: MineSettings, s_pos: Floats, *, widen: bool = True
) -> InWindow:
    """Find the candidates of every row.

    An automatic window (``range_max`` 0) grows for the rows that filters leave with fewer than
    ``negatives``, until they have them, or none of the further texts can pass.

    Args:
        corpus: The distinct texts.
        source: Scores between them.
        settings: Window and filters.
        s_pos: ``(R,)`` what margins are measured from.
        widen: Let the window grow.
    """
    window = settings.window(corpus.most_known)
    window = replace(window, need=window.depth)
    found = _in_places(corpus, source, window, s_pos)
    stop, last = window.stop, len(corpus.candidates)
    while widen and settings.widens and stop < last:
        kept = found.by_reason[:, _CODE["kept"]]
        # Scores fall: behind a text that is too dissimilar, or has no score, nothing can pass.
        ended = found.by_reason[:, [_CODE["too_dissimilar"], _CODE["nothing"]]].any(axis=1)
        again = ((kept < settings.negatives) & ~ended).nonzero()[0]
        if not len(again):
            break
        stop = min(last, stop * _TIMES)
        wider = _in_places(corpus.only(again), source, replace(window, stop=stop), s_pos[again])
        for name in ("ids", "scores", "ranks", "by_reason", "stops"):
            getattr(found, name)[again] = getattr(wider, name)
    return found


def _in_places(corpus: Corpus, source: Source, window: Window, s_pos: Floats) -> InWindow:
    rng = np.random.default_rng(0)  # draws nothing: only padding would
    found = mine(corpus, source, window, shortage="fewer", rng=rng, positive_score=s_pos)
    counts = [(found.codes == code).sum(axis=1) for code in range(len(REASONS))]
    stops = np.full(len(found.ids), window.stop)
    return InWindow(found.ids.copy(), found.scores, found.ranks, np.stack(counts, axis=1), stops)
