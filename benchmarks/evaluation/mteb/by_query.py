"""Scores of a retrieval task's queries, as mteb computes them on its way to the task's score."""

from dataclasses import replace
from typing import Any

from nsbench.benchmarks.evaluation.ranking import DEPTH, QueryScores, scored


def by_query(task: Any) -> list[QueryScores]:
    """Have a retrieval task fill a list with the scores of its queries while it is evaluated.

    mteb hands them to ``task_specific_scores``, a method for subclasses, which is called as before.
    """
    found: list[QueryScores] = []
    before = getattr(task, "task_specific_scores", None)
    if before is None:
        return found

    def kept(
        scores: Any, qrels: Any, results: Any, hf_split: str, hf_subset: str
    ) -> dict[str, float]:
        relevant = {query: qrels[query] for query in scores}
        skip = int(task.skip_first_result)
        ranked = {
            query: sorted(hits, key=lambda d: (hits[d], d), reverse=True)[skip : skip + DEPTH]
            for query, hits in ((query, results[query]) for query in scores)
        }
        name = task.metadata.name
        found.append(replace(scored(hf_split, name, ranked, relevant), subset=hf_subset))
        out: dict[str, float] = before(scores, qrels, results, hf_split, hf_subset)
        return out

    task.task_specific_scores = kept
    return found
