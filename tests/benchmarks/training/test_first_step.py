"""The negatives of a first step, counted by where they come from."""

from typing import Any

import numpy as np
import pytest

from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.matrix.expand import expand
from nsbench.benchmarks.training.first_step import Block, first_step, told

BATCH = 16


def blocks(sampler: Any, pool: Any = "in_batch", **data: Any) -> dict[str, Block]:
    raw: dict[str, Any] = {
        "schema": 1,
        "name": "made",
        "samplers": [sampler],
        "candidates": [pool],
        "augmentations": ["none"],
        "encoders": [{"name": "static", "dimension": 16}],
        "data": [{"name": "planted", "rows": 200} | data],
        "seeds": [1],
        "no_training": False,
        "budget": {"steps": 3, "batch_size": BATCH},
    }
    (planned,) = expand(parse_config(raw))
    assert not planned.skip
    return {block.kind: block for block in first_step(planned.cell)}


def test_one_direction_meets_the_other_positives() -> None:
    (block,) = blocks("in_batch", {"name": "in_batch", "directions": "one"}).values()
    assert block.kind == "texts of the batch"
    assert block.columns == BATCH
    assert block.eligible + block.equal + block.known == BATCH - 1
    assert block.chosen == block.eligible
    assert block.weight == 1


def test_mined_negatives_are_a_block_and_a_sampler_chooses_among_all() -> None:
    pool = {"name": "corpus", "shortage": "fewer", "source": "random", "negatives": 2}
    found = blocks({"name": "hard", "k": 5}, pool)
    assert found["given or mined negatives"].columns == 2 * BATCH
    assert sum(b.chosen for b in found.values()) == 5
    assert sum(b.eligible for b in found.values()) > 2 * BATCH


def test_four_directions_are_told_apart_by_whom_they_are_compared_with() -> None:
    found = blocks("in_batch", {"name": "in_batch", "directions": "q_d+q_q+d_q+d_d"})
    assert found["texts of the batch"].columns == 2 * BATCH
    assert found["texts of the batch, compared with the positive"].columns == 2 * BATCH


def test_made_and_stored_candidates_are_blocks_and_weights_are_said() -> None:
    made = blocks({"name": "mixed", "hardest": 4, "pairs": 3, "with_anchor": 0})
    assert made["made by the sampler"].columns == 3
    assert np.isfinite(made["made by the sampler"].similarity)
    queue = blocks("in_batch", {"name": "queue", "size": 32, "start": "warm"})
    assert queue["stored from earlier batches"].columns == 32
    (weighted,) = blocks({"name": "hardness", "alpha": 2.0}).values()
    assert weighted.weight != 1


def test_sentences_name_blocks_counts_masks_and_false_negatives() -> None:
    found = blocks("in_batch", false_negative_rate=0.2)
    (line,) = told(list(found.values()))
    (block,) = found.values()
    assert line.startswith("texts of the batch: 16 columns; per anchor ")
    assert f"{block.chosen:g} chosen as negatives" in line
    assert f"{block.false:.1%} false negatives" in line
    assert 0.05 < block.false < 0.4


def test_a_cell_without_a_step_has_nothing_to_describe() -> None:
    with pytest.raises(ValueError, match="takes no step"):
        blocks("no_training")
