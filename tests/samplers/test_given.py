"""`given`: it keeps the row's own negatives, and a training on them is the loss written out."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_data import put

from nsbench.benchmarks.data import TrainingData
from nsbench.benchmarks.encoders import encoders
from nsbench.samplers import make
from nsbench.samplers.testing import make_context


def test_given_is_the_loop_over_the_rows_own_negatives() -> None:
    context = make_context(7, 31)
    own, may = context.require("own_negative"), context.negative_mask
    mask = make("given")(context).mask
    for row in range(7):
        expected = [c for c in range(31) if bool(may[row, c]) and bool(own[row, c])]
        assert mask[row].nonzero().flatten().tolist() == expected
    assert 0 < int(mask.sum()) < int(may.sum())


def triplets(given: list[int]) -> TrainingData:
    """Four rows, each with its anchor, its positive, and one negative or none (-1)."""
    return TrainingData(
        name="triplets",
        texts=tuple(f"text number {i} of {i % 3}" for i in range(12)),
        anchor=np.arange(4),
        positive=np.arange(4, 8),
        negatives=np.array(given)[:, None],
    )


def test_the_loss_is_that_of_positive_and_given_negative_alone() -> None:
    from made_training import method, opened

    given = [8, 9, -1, 6]  # the last: the positive of another row
    data = triplets(given)
    encoder = encoders.make("static", dimension=8).build(data.texts, 0)
    made = method("given", batch_size=4, steps=1)
    training = opened(encoder, data, made, every=1)
    with torch.no_grad():
        z = torch.nn.functional.normalize(training.world.embed(encoder), dim=1)
    losses = []
    for row, negative in enumerate(given):
        s_pos = float(z[row] @ z[row + 4]) / 0.05
        if negative >= 0:
            s_neg = float(z[row] @ z[negative]) / 0.05
            losses.append(float(np.log1p(np.exp(s_neg - s_pos))))
    done = training.finish()
    # A row without a negative has loss 0, and is counted.
    assert float(done.training["loss"].iloc[0]) == pytest.approx(sum(losses) / 4, rel=1e-4)
    table = done.difficulty[done.difficulty["step"] == 0].set_index("quantity")
    assert table.loc["chosen_count", "mean"] == 3 / 4
    assert table.loc["empty_rows", "mean"] == 1 / 4


def run_on(rows: list[dict[str, str]], small: Any, run_matrix: Any, tmp_path: Path) -> Any:
    path = put(tmp_path / "rows.jsonl", rows)
    raw = small(
        samplers=["given", "in_batch"],
        data=[{"name": "file", "path": str(path)}],
        budget={"steps": 4, "batch_size": 4, "learning_rate": 0.05},
        evaluation={"tasks": []},
    )
    _, records = run_matrix(raw)
    return {record.cell["sampler"]["name"]: record for record in records}


TRIPLETS = [
    {"anchor": f"a{i} x", "positive": f"a{i} good", "negative": f"a{i} bad"} for i in range(12)
]


def test_a_matrix_trains_on_triplets_alone(small: Any, run_matrix: Any, tmp_path: Path) -> None:
    records = run_on(TRIPLETS, small, run_matrix, tmp_path)
    assert {name: r.status for name, r in records.items()} == {"given": "done", "in_batch": "done"}
    assert records["given"].cost["negatives_per_anchor"] == 1
    assert records["in_batch"].cost["negatives_per_anchor"] > 1


def test_data_without_given_negatives_are_refused_before_anything_trains(
    small: Any, run_matrix: Any, tmp_path: Path
) -> None:
    pairs = [{k: r[k] for k in ("anchor", "positive")} for r in TRIPLETS]
    records = run_on(pairs, small, run_matrix, tmp_path)
    assert records["in_batch"].status == "done"
    assert records["given"].status == "skipped"
    assert "given needs given negatives" in records["given"].reason
