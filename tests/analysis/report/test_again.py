"""The matrix file that the report gives for a method makes the very cells that it is given for."""

import tomllib

import pytest
from running import planned_of

from nsbench.analysis.report.again import matrix_text

BASE = {
    "data": [{"name": "planted", "rows": 300}],
    "encoders": [{"name": "static", "dimension": 16}],
    "seeds": [3, 1],
    "no_training": False,
    "budget": {"steps": 4, "batch_size": 8},
    "evaluation": {"tasks": ["own"]},
}
CASES = {
    "plain": {"samplers": ["in_batch"]},
    "parameters": {"samplers": [{"name": "hard", "k": 4}], "limits": [200]},
    "two views": {
        "samplers": ["random"],
        "augmentations": [{"view1": ["token_cutoff", "word_repetition"], "view2": "none"}],
    },
    "pool and objective": {
        "samplers": ["semi_hard"],
        "candidates": [{"name": "queue", "size": 40}],
        "objectives": [{"name": "info_nce", "temperature": 0.1}],
        "difficulty": {"every": 2},
    },
    "untrained": {"samplers": ["no_training"]},
    "dev": {"samplers": ["in_batch"], "evaluation": {"tasks": ["own"], "dev": "own"}},
}


@pytest.mark.parametrize("name", CASES)
def test_the_file_gives_the_same_keys(name):
    planned = planned_of(BASE | CASES[name])
    cell = planned[0].cell
    text = matrix_text(cell.plain() | {"labels": cell.labels}, [p.cell.seed for p in planned])
    again = planned_of(tomllib.loads(text))
    assert [p.cell.key for p in again] == [p.cell.key for p in planned]
