"""mteb alone: what our scores are held to in tests and timings."""

from collections.abc import Sequence
from typing import Any


def plain_tasks(names: Sequence[str], *, load: bool = False) -> Sequence[Any]:
    """The task objects of mteb by name; with ``load`` their data are there and stay."""
    import mteb

    tasks: Sequence[Any] = mteb.get_tasks(tasks=list(names))
    for task in tasks if load else ():
        task.load_data()
    return tasks


def plain_scores(model: Any, tasks: Sequence[Any]) -> dict[str, float]:
    """Main score of every task as mteb alone computes it, nothing cached: what ours is held to.

    Args:
        model: A sentence-transformers model.
        tasks: Of `plain_tasks`.
    """
    import mteb

    found = mteb.evaluate(
        model,
        tasks,
        cache=None,
        overwrite_strategy="always",
        show_progress_bar=False,
    )
    return {result.task_name: float(result.get_score()) for result in found.task_results}
