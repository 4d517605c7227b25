"""Several data sets in one training, a batch at a time from one of them.

Source: one-source batches, drawn by size or weight: the training of BGE (FlagEmbedding), GritLM and
NV-Embed; Lee et al. 2024, NV-Embed. https://arxiv.org/abs/2405.17428
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np

from nsbench.benchmarks.data import datasets, register
from nsbench.benchmarks.data._types import DataSet, Ints, OwnTest, TrainingData
from nsbench.benchmarks.records.cell import named
from nsbench.samplers import Interval


@register("mixture")
class Mixture(DataSet):
    """The rows of several data sets; every batch holds rows of one, so that its negatives do too.

    A batch's data set is drawn by size or weight; the rows of each are read in shuffled
    epochs. Statistics are kept for each (``loss@NAME`` and so on), and its own tests are scored. A
    pool that mines finds texts of all of them.

    Args:
        parts: The data sets, names or tables with their parameters; at least two.
        weights: Share of the batches of each, > 0; a list, empty for the numbers of rows.
    """

    list_parameters: ClassVar[frozenset[str]] = frozenset({"parts"})

    parts: tuple[Any, ...]
    weights: Annotated[tuple[float, ...], Interval("(0, 1e9]")] = ()

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise ValueError(f"mixture: parts must name at least two data sets, got {self.parts!r}")
        if self.weights and len(self.weights) != len(self.parts):
            raise ValueError(
                f"mixture: {len(self.weights)} weights for {len(self.parts)} parts; give one each, "
                "or none for the numbers of rows"
            )
        try:
            assert self._sets
        except (TypeError, ValueError) as error:
            raise ValueError(f"mixture: parts: {error}") from None

    @property
    def _sets(self) -> list[DataSet]:
        entries: list[str | Mapping[str, Any]] = list(self.parts)
        chosen = [named(entry, "mixture: parts") for entry in entries]
        return [datasets.make(name, **params) for name, params in chosen]

    @property
    def transductive(self) -> tuple[str, ...]:  # type: ignore[override]  # those of the parts
        """As the parts."""
        return tuple(task for part in self._sets for task in part.transductive)

    def check(self) -> None:
        """As the parts."""
        for part in self._sets:
            part.check()

    def tests(self) -> Sequence[OwnTest]:
        """The tests of all parts.

        Raises:
            ValueError: If two have one name.
        """
        found = [test for part in self._sets for test in part.tests()]
        names = [test.name for test in found]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"mixture: two parts have a test called {twice[0]!r}")
        return found

    def __call__(self) -> TrainingData:
        """Read the parts and join them.

        Raises:
            ValueError: If some parts have classes of pairs, grades or meanings, and others none.
        """
        return joined([part() for part in self._sets], self.weights)


def joined(parts: Sequence[TrainingData], weights: Sequence[float] = ()) -> TrainingData:
    """Join data sets, equal texts held once; without weights, by their numbers of rows."""
    for name in ("nli", "grade", "others", "hidden"):
        there = [part.name for part in parts if getattr(part, name) is not None]
        if there:
            raise ValueError(f"mixture: {there[0]} has {name}, which a mixture does not join")
    numbers: dict[str, int] = {}
    places = [
        np.array([numbers.setdefault(text, len(numbers)) for text in part.texts], np.int64)
        for part in parts
    ]
    width = max(part.negatives.shape[1] for part in parts)
    negatives = np.full((sum(part.rows for part in parts), width), -1, np.int64)
    low = 0
    for part, place in zip(parts, places, strict=True):
        given = part.negatives
        filled = np.where(given >= 0, place[given], -1) if given.size else given
        negatives[low : low + part.rows, : given.shape[1]] = filled
        low += part.rows
    rows = [part.rows for part in parts]
    labels = [f"{i}-{part.name}" for i, part in enumerate(parts)]
    names = [part.name for part in parts]
    return TrainingData(
        name="+".join(names),
        texts=tuple(numbers),
        anchor=np.concatenate([p[d.anchor] for d, p in zip(parts, places, strict=True)]),
        positive=np.concatenate([p[d.positive] for d, p in zip(parts, places, strict=True)]),
        negatives=negatives,
        meaning=_meanings(parts, places, len(numbers)),
        revision=" ".join(part.revision for part in parts),
        query_ids={k: v for part in parts for k, v in part.query_ids.items()},
        document_ids={k: v for part in parts for k, v in part.document_ids.items()},
        report=_reports(parts),
        source=np.repeat(np.arange(len(parts)), rows),
        sources=tuple(names if len(set(names)) == len(names) else labels),
        shares=tuple(weights or map(float, rows)),
    )


def _meanings(parts: Sequence[TrainingData], places: Sequence[Ints], texts: int) -> Ints | None:
    """Meanings of all texts; those of different parts differ, and the first part's count."""
    if all(part.meaning is None for part in parts):
        return None
    out, low = np.full(texts, -1, np.int64), 0
    for part, place in zip(parts, places, strict=True):
        if part.meaning is None:
            continue
        new = (out[place] < 0) & (part.meaning >= 0)
        out[place[new]] = part.meaning[new] + low
        low += int(part.meaning.max(initial=-1)) + 1
    return out


def _reports(parts: Sequence[TrainingData]) -> Mapping[str, Any] | None:
    found = [part.report for part in parts if part.report]
    if not found:
        return None
    return {
        "bad_rows": ", ".join(dict.fromkeys(report["bad_rows"] for report in found)),
        "read": {name: n for report in found for name, n in report["read"].items()},
        "left_out": [item for report in found for item in report["left_out"]],
        "columns_not_read": sorted({c for report in found for c in report["columns_not_read"]}),
    }
