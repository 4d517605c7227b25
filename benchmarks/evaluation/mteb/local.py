"""Local files as task objects of mteb."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nsbench.benchmarks.evaluation.local_tasks import read_task
from nsbench.benchmarks.evaluation.mteb.adapter import contained, mteb_module
from nsbench.benchmarks.records.local_task import KINDS, LocalTask

SUBSET = "default"


class WholeDraws(random.Random):
    """mteb's draws for its ten clusterings, those drawn again that lack a label.

    mteb draws with replacement. A label of few texts is then missing from many draws, and a draw of
    one label gives every clustering, also that of a constant model, full marks.

    Args:
        labels: Of each text. Where `TRIES` draws lack one, its first text takes the place of one of
            a label with several.
        state: Of mteb's own generator.
    """

    def __init__(self, labels: Sequence[int], state: Any) -> None:
        super().__init__()
        self.labels = tuple(labels)
        self.setstate(state)

    def __deepcopy__(self, memo: Any) -> "WholeDraws":
        """Return a copy in the same state; that of the base class would lose the labels."""
        return WholeDraws(self.labels, self.getstate())

    def choices(  # type: ignore[override]
        self, population: Sequence[int], weights: Any = None, *, k: int = 1, **more: Any
    ) -> list[int]:
        """Return k of the population, drawn with replacement, that hold every label."""
        every = set(self.labels)
        for _ in range(TRIES):
            drawn = super().choices(population, weights, k=k, **more)
            if every == {self.labels[i] for i in drawn}:
                return drawn
        counts = Counter(self.labels[i] for i in drawn)
        for label in sorted(every - set(counts)):
            place = next((i for i, d in enumerate(drawn) if counts[self.labels[d]] > 1), None)
            if place is None:
                break
            counts[self.labels[drawn[place]]] -= 1
            counts[label] = 1
            drawn[place] = self.labels.index(label)
        return drawn


TRIES = 20
LARGEST_SAMPLE = 16_384
"""Most texts that one of the ten clusterings draws, as in mteb; of a smaller file, as many."""


def mteb_task(task: LocalTask) -> Any:
    """A fresh task object of mteb's class for the kind, its data loaded.

    Raises:
        ValueError: As `read_task`.
        FileNotFoundError: If a file is missing.
    """
    from datasets import Dataset, DatasetDict

    data, kind = read_task(task), KINDS[task.kind]
    with contained():
        bases = mteb_module().abstasks
        metadata = mteb_module().TaskMetadata(
            name=task.name,
            description="A local file.",
            dataset={"path": f"local/{Path(task.path).name}", "revision": task.digest or "local"},
            type=kind.category,
            eval_splits=[task.split if task.kind == "retrieval" else "test"],
            eval_langs=["eng-Latn"],
            main_score=kind.main_score,
            is_public=False,
        )
        given: dict[str, Any] = {"metadata": metadata}
        if task.kind == "sts":
            scores = data["test"]["score"]
            given |= {"min_score": min(scores), "max_score": max(scores)}
        if task.kind == "clustering":
            number = len(data["test"]["labels"])
            given |= {"max_fraction_of_documents_to_embed": None}
            given["max_documents_per_cluster"] = min(LARGEST_SAMPLE, number)
        made = type(f"Local{kind.category}", (getattr(bases, kind.base),), given)()
        if task.kind == "clustering":
            made.rng_state = WholeDraws(data["test"]["labels"], made.rng_state.getstate())
        if kind.base == "AbsTaskRetrieval":
            ((name, split),) = data.items()
            tables = {k: Dataset.from_list(split[k]) for k in ("corpus", "queries")}
            made.dataset = {SUBSET: {name: split | tables}}
        else:
            made.dataset = DatasetDict({k: Dataset.from_dict(v) for k, v in data.items()})
        made.data_loaded = True
    return made
