"""Who is drawn in a look of their own where a picture cannot hold them all."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nsbench.analysis.figures.style import Look, look

MOST = 9
"""Samplers that one picture names."""
FIRST, LAST = 3, 2
REFERENCES = ("in_batch", "no_training")
_OTHERS = Look("#C4C4C4", "o")


@dataclass(frozen=True)
class Cast:
    """Samplers of a picture, in the order that tells them apart there, such as by score.

    All of up to `MOST` are named. Of more, the two references are, the first three, the last two
    and some evenly between; the others are drawn in one grey behind them. The table beside the
    picture always holds all.

    Attributes:
        order: The samplers.
        named: Those that keep their look and stand in the legend.
    """

    order: tuple[str, ...]
    named: tuple[str, ...]

    @classmethod
    def of(cls, order: Iterable[str]) -> "Cast":
        """The cast of samplers in an order."""
        order = tuple(map(str, order))
        if len(order) <= MOST:
            return cls(order, order)
        extra = [s for s in order if s not in REFERENCES]
        between = extra[FIRST:-LAST]
        room = MOST - (len(order) - len(extra)) - FIRST - LAST
        picked = {between[(2 * i + 1) * len(between) // (2 * room)] for i in range(room)}
        shown = {*extra[:FIRST], *picked, *extra[-LAST:], *REFERENCES}
        return cls(order, tuple(s for s in order if s in shown))

    @classmethod
    def by(cls, table: pd.DataFrame, column: str) -> "Cast":
        """Samplers of a table by the mean of a column, highest first."""
        mean = table.groupby("sampler", sort=True)[column].mean()
        return cls.of(mean.sort_values(ascending=False, kind="stable").index)

    def look(self, sampler: str) -> Look:
        """How a sampler is drawn."""
        return look(sampler) if sampler in self.named else _OTHERS

    def line(self, sampler: str) -> dict[str, Any]:
        """Label, and place before or behind the others, as matplotlib takes them."""
        if sampler in self.named:
            return {"label": sampler, "zorder": 2.5}
        return {"zorder": 1.5}

    @property
    def note(self) -> str:
        """What the caption says of those without a name."""
        others = len(self.order) - len(self.named)
        return f"; grey: {others} more samplers, named in the table" if others else ""
