"""The guide that a cell reads is part of its key, wherever a matrix names it."""

from pathlib import Path
from typing import Any

import pytest
from made_models import save_transformer
from running import Build, planned_of

from nsbench.benchmarks.matrix.config import names_hub, parse_config
from nsbench.benchmarks.matrix.expand import Planned

CURRICULUM = {"name": "curriculum", "parameter": "margin", "start": 0.1, "end": 0.0}


def planned(raw: dict[str, Any]) -> Planned:
    (one,) = planned_of(raw)
    return one


def model(folder: Path, spread: float) -> None:
    save_transformer(folder, "bert", initializer_range=spread)


@pytest.mark.parametrize(
    "sampler",
    [
        {"name": "guided", "guide": "{}"},
        CURRICULUM | {"inner": "guided[guide='{}']"},
        {"name": "noise", "then": "guided[guide='{}']"},
    ],
)
def test_a_guide_inside_another_sampler_is_part_of_the_key(
    small: Build, tmp_path: Path, sampler: dict[str, Any]
) -> None:
    place = tmp_path / "guide"
    named = {k: v.format(place) if isinstance(v, str) else v for k, v in sampler.items()}
    model(place, 0.3)
    before = planned(small(samplers=[named])).cell
    assert "guide" in before.inputs
    model(place, 0.2)
    assert planned(small(samplers=[named])).cell.key != before.key


def test_a_cell_without_a_guide_has_no_hash_of_one(small: Build) -> None:
    assert "guide" not in planned(small(samplers=[{"name": "noise", "then": "guided"}])).cell.inputs


def test_a_guide_inside_a_sampler_that_a_teacher_contradicts_is_skipped(
    small: Build, tmp_path: Path
) -> None:
    model(tmp_path / "guide", 0.3)
    inside = {"name": "noise", "then": f"guided[guide='{tmp_path / 'guide'}']"}
    with pytest.raises(ValueError, match="a cell has one guide"):
        planned(small(samplers=[inside], objectives=["margin_mse"]))


def test_a_guide_of_the_hub_is_seen_inside_another_sampler(small: Build) -> None:
    inside = {"name": "noise", "then": "guided[guide='someone/model']"}
    assert names_hub(parse_config(small(samplers=[inside])))
    assert not names_hub(parse_config(small(samplers=[{"name": "noise", "then": "guided"}])))


def test_lengths_that_the_embeddings_do_not_have_are_no_cell_that_fails(small: Build) -> None:
    raw = small(objectives=["matryoshka", "info_nce"])
    skips = [p.skip for p in planned_of(raw)]
    assert skips[0].startswith(
        "matryoshka: dimensions has 32, but the encoder's embeddings have 16"
    )
    assert skips[1] == ""
