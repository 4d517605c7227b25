"""The negatives of a first step, counted by where they come from."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import planned_of, small_matrix

from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.training.first_step import Block, first_step, told
from nsbench.samplers import samplers
from tools.same_results import FITTED, batches_of_rows

BATCH = 16
GRADED = {"cosent", "angle"}


def blocks(
    sampler: Any, pool: Any = "in_batch", objective: Any = "", **data: Any
) -> dict[str, Block]:
    layers = isinstance(sampler, dict) and sampler["name"] == "lower_layer"
    raw = small_matrix(
        samplers=[sampler],
        encoders=[{"name": "tiny" if layers else "static", "dimension": 16}],
        data=[{k: v for k, v in ({"name": "planted", "rows": 200} | data).items() if v}],
        **({"candidates": [pool]} if pool else {}),
        **({"objectives": [objective]} if objective else {}),
    )
    (planned,) = planned_of(raw)
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


def test_an_anchors_own_negatives_are_counted_apart() -> None:
    pool = {"name": "corpus", "shortage": "fewer", "source": "random", "negatives": 2}
    shared = blocks("in_batch", pool)["given or mined negatives"]
    private = blocks("in_batch", pool | {"share": "own"})["given or mined negatives"]
    assert shared.own == private.own == private.chosen
    assert 1.5 < private.own <= 2 < shared.chosen
    (line,) = told([private])
    assert f"({private.own:g} of them the anchor's own)" in line
    (plain,) = blocks("in_batch").values()
    assert plain.own == 0
    assert "own" not in told([plain])[0]


def test_a_pool_that_bars_the_batch_says_so() -> None:
    queue = {"name": "queue", "size": 64, "in_batch": False}
    barred = blocks("in_batch", queue, rows=200)
    batch = barred["texts of the batch"]
    assert (batch.eligible, batch.equal, batch.known) == (0, 0, 0)
    assert batch.barred == ((batch.columns - 1, "barred by the pool"),)
    assert told([batch])[0].endswith(
        f"0 chosen as negatives; ruled out {batch.columns - 1} barred by the pool"
    )
    with_batch = blocks("in_batch", queue | {"in_batch": True}, rows=200)["texts of the batch"]
    assert with_batch.eligible > 0
    assert with_batch.barred == ()


def test_reasons_add_up_to_the_columns() -> None:
    pool = {"name": "corpus", "shortage": "fewer", "source": "random", "negatives": 2}
    directions = {"name": "in_batch", "directions": "q_d+q_q+d_q+d_d"}
    apart = {"name": "in_batch", "directions": "q_d+d_q", "partition": "per_direction"}
    for given in (pool | {"share": "own"}, pool, directions, apart):
        for block in blocks("in_batch", given).values():
            barred = sum(count for count, _ in block.barred)
            known = block.eligible + block.equal + block.known + barred
            has_positive = block.kind == "texts of the batch"
            assert known == pytest.approx(block.columns - has_positive), block
    private = blocks("in_batch", pool | {"share": "own"})["given or mined negatives"]
    assert [why for _, why in private.barred] == ["other anchors' own"]


def test_four_directions_are_told_apart_by_whom_they_are_compared_with() -> None:
    found = blocks("in_batch", {"name": "in_batch", "directions": "q_d+q_q+d_q+d_d"})
    assert found["texts of the batch"].columns == 2 * BATCH
    assert found["texts of the batch, compared with the positive"].columns == 2 * BATCH


def test_made_and_stored_candidates_are_blocks_and_weights_are_said() -> None:
    made = blocks({"name": "mixed", "hardest": 4, "pairs": 3, "with_anchor": 0})
    assert made["made by the sampler"].columns == 3
    assert np.isfinite(made["made by the sampler"].similarity)
    queue = blocks("in_batch", {"name": "queue", "size": 32, "start": "warm"})
    assert queue["stored by the pool"].columns == 32
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


def described(sampler: Any, pool: Any = "", objective: Any = "") -> list[Block]:
    """Blocks of a cell whose rows have a given negative, with what holds of all."""
    data = {"name": "negated", "rest": "prefix", "data": {"name": "planted", "rows": 320}}
    found = list(blocks(sampler, pool, objective, rows=None, **data).values())
    assert found
    assert len(told(found)) == len(found)
    for block in found:
        assert block.columns > 0
        assert 0 <= block.chosen <= block.eligible <= block.columns
        assert block.chosen + block.attracted <= block.eligible
        assert (block.chosen > 0) == np.isfinite(block.weight)
    return found


@pytest.mark.parametrize("name", [e.name for e in samplers if e.attribute("trains", True)])
def test_a_cell_of_every_sampler_is_described(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    batches_of_rows(Path("batches.txt"))
    found = described({"name": name} | FITTED.get(name, {}))
    assert any(block.chosen for block in found)
    kinds = {block.kind for block in found}
    if name not in {"debiased", "hard_debiased"}:  # of two views, all against all
        assert "given or mined negatives" in kinds
    if hasattr(samplers.make(name, **FITTED.get(name, {})), "synthesize"):
        assert "made by the sampler" in kinds


@pytest.mark.parametrize("name", sorted({e.name for e in objectives} - GRADED))
def test_a_cell_of_every_objective_is_described(name: str) -> None:
    assert any(b.chosen for b in described("in_batch", "", {"name": name} | FITTED.get(name, {})))


@pytest.mark.parametrize(
    ("pool", "kind", "columns"),
    [
        ({"name": "replaced", "negatives": 2}, "given or mined negatives", 3 * BATCH),
        ({"name": "frozen_corpus"}, "stored by the pool", 640),
        ({"name": "queue", "size": 64, "start": "warm"}, "stored by the pool", 64),
        ({"name": "memory", "size": 64, "start": "warm"}, "stored by the pool", 64),
    ],
)
def test_a_cell_of_every_pool_is_described(pool: dict[str, Any], kind: str, columns: int) -> None:
    found = {block.kind: block for block in described("in_batch", pool)}
    assert found[kind].columns == columns
    assert found[kind].chosen > 0
