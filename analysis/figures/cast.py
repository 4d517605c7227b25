"""Samplers that a picture names and colours if it cannot do so for all."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from nsbench.analysis.figures.style import Look, looks

MOST = 9
"""Most samplers that one picture names."""
FIRST, LAST = 3, 2
REFERENCES = ("in_batch", "no_training")
_OTHERS = Look("#C4C4C4", "o")


@dataclass(frozen=True)
class Cast:
    """Samplers of a picture, in an order that matters there, such as by score.

    All of up to `MOST` are named. Of more, the two references are, the first three, the last two
    and some evenly between; the others are drawn in one grey behind them. The picture's table
    holds all.

    Attributes:
        order: The samplers.
        named: Those in the legend, drawn in their own colours.
    """

    order: tuple[str, ...]
    named: tuple[str, ...]

    @classmethod
    def of(cls, order: Iterable[str]) -> "Cast":
        """Make the cast of samplers in an order."""
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
        """Make the cast of a table by the mean of a column, highest first."""
        mean = table.groupby("sampler", sort=True)[column].mean()
        return cls.of(mean.sort_values(ascending=False, kind="stable").index)

    def drawn(self, table: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, Look, dict[str, Any]]]:
        """Yield each sampler's rows, its style, and label and place as matplotlib takes them."""
        own = looks(self.named)
        for sampler in self.order:
            named = sampler in self.named
            line = {"label": sampler, "zorder": 2.5} if named else {"zorder": 1.5}
            yield table[table["sampler"] == sampler], own.get(sampler, _OTHERS), line

    @property
    def note(self) -> str:
        """Words for the caption about the samplers without a name."""
        others = len(self.order) - len(self.named)
        return f"; grey: {others} more samplers, named in the table" if others else ""
