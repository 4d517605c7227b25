"""The matrices of the proof that nothing moved: every registered name trains in one of them."""

from pathlib import Path

import pytest
from running import planned_of

from nsbench.benchmarks.augmentations import augmentations
from nsbench.benchmarks.candidates import candidates
from nsbench.benchmarks.objectives import objectives
from nsbench.benchmarks.regimes import regimes
from nsbench.samplers import samplers
from tools import same_results


@pytest.fixture
def matrices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, str]]]:
    """Samplers and objectives of the cells that are not skipped, by matrix."""
    monkeypatch.chdir(tmp_path)
    same_results.entailment_pairs(Path("pairs.jsonl"))
    same_results.batches_of_rows(Path("batches.txt"))
    registries = (samplers, candidates, objectives, augmentations, regimes)
    names = {
        kind: [entry.name for entry in registry]
        for kind, registry in zip(same_results.KINDS, registries, strict=True)
    }
    out = {}
    for name, changes in same_results.matrices(names, "pairs.jsonl").items():
        planned = planned_of(same_results.BASE | {"name": name} | changes)
        out[name] = [(p.cell.sampler.name, p.cell.objective.name) for p in planned if not p.skip]
    return out


def test_every_sampler_and_objective_trains_in_a_cell(
    matrices: dict[str, list[tuple[str, str]]],
) -> None:
    trained = {sampler for name in ("samplers", "layers") for sampler, _ in matrices[name]}
    assert {entry.name for entry in samplers} - {*same_results.UNTRAINED} == trained
    trained = {objective for _, objective in matrices["objectives"]}
    assert {entry.name for entry in objectives} - trained == set()


def test_batches_hold_every_row_once(tmp_path: Path) -> None:
    same_results.batches_of_rows(tmp_path / "b.txt")
    batches = [line.split() for line in (tmp_path / "b.txt").read_text().splitlines()]
    assert {len(batch) for batch in batches} == {same_results.BASE["budget"]["batch_size"]}
    rows = [int(row) for batch in batches for row in batch]
    assert sorted(rows) == list(range(320))
