"""Local files as task objects of mteb."""

from pathlib import Path
from typing import Any

from nsbench.benchmarks.evaluation.local_tasks import read_task
from nsbench.benchmarks.evaluation.mteb.adapter import contained, mteb_module
from nsbench.benchmarks.records.local_task import KINDS, LocalTask

SUBSET = "default"


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
        if kind.base == "AbsTaskRetrieval":
            ((name, split),) = data.items()
            tables = {k: Dataset.from_list(split[k]) for k in ("corpus", "queries")}
            made.dataset = {SUBSET: {name: split | tables}}
        else:
            made.dataset = DatasetDict({k: Dataset.from_dict(v) for k, v in data.items()})
        made.data_loaded = True
    return made
