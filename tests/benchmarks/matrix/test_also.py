"""Further products of a matrix: what they replace, what they keep, and what stays as it was."""

from pathlib import Path

import pytest
from running import Build, planned_of

from nsbench.benchmarks.matrix.config import ConfigError, load_config, names_hub, parse_config
from nsbench.benchmarks.matrix.expand import expand, expand_axes


def test_a_further_product_replaces_what_it_names_and_adds_each_cell_once(small: Build) -> None:
    other = {"name": "planted", "rows": 100}
    also = [
        {"samplers": ["in_batch"], "objectives": ["info_nce", "nt_xent"]},
        {"samplers": ["hard"], "data": [other], "augmentations": ["token_cutoff"]},
        {"candidates": ["queue"]},
    ]
    planned = planned_of(small(samplers=["in_batch", "hard"], seeds=[1, 2], also=also))
    told = [
        (c.sampler.name, c.augmentation, c.objective.name, c.candidates.name, c.data.params["rows"])
        for c in (p.cell for p in planned)
        if c.seed == 1
    ]
    assert told == [
        ("in_batch", "none", "info_nce", "in_batch", 200),
        ("hard", "none", "info_nce", "in_batch", 200),
        ("in_batch", "none", "nt_xent", "in_batch", 200),  # its info_nce is there already
        ("hard", "token_cutoff", "info_nce", "in_batch", 100),
        ("in_batch", "none", "info_nce", "queue", 200),
        ("hard", "none", "info_nce", "queue", 200),
    ]
    assert len(planned) == 2 * len(told)


def test_cells_and_files_without_it_are_as_they_were(small: Build) -> None:
    plain = parse_config(small(samplers=["in_batch", "hard"]))
    more = parse_config(small(samplers=["in_batch"], also=[{"samplers": ["hard"]}]))
    assert [p.cell.key for p in expand(plain)] == [p.cell.key for p in expand(more)]
    assert "also" not in plain.model_dump(mode="json", by_alias=True)
    dumped = more.model_dump(mode="json", by_alias=True)
    assert parse_config(dumped) == more


def test_its_data_are_looked_for_like_the_others(small: Build) -> None:
    further = {"data": [{"name": "hub", "path": "me/toy", "revision": "0" * 40}]}
    config = parse_config(small(also=[further, {"samplers": ["hard"]}]))
    assert names_hub(config)
    assert not names_hub(parse_config(small(also=[{"samplers": ["hard"]}])))
    assert [c.name for c in expand_axes(config)[1]] == ["planted", "hub"]
    tiny = parse_config(small(also=[{"encoders": ["tiny"]}, {"encoders": ["tiny"]}]))
    assert [c.name for c in expand_axes(tiny)[0]] == ["static", "tiny"]
    assert {p.cell.encoder.name for p in expand(tiny)} == {"static", "tiny"}


def test_its_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a\nb\n")
    (tmp_path / "m.toml").write_text(
        'schema = 1\nsamplers = ["in_batch"]\n'
        '[[also]]\ndata = [{ name = "file", path = "texts.txt" }]\n'
    )
    (further,) = load_config(str(tmp_path / "m.toml")).also
    assert further.data == [{"name": "file", "path": str(tmp_path / "texts.txt")}]


def test_an_unknown_key_is_named(small: Build) -> None:
    with pytest.raises(ConfigError, match="also") as error:
        parse_config(small(also=[{"sampler": ["hard"]}]))
    assert "'also.0.sampler'" in str(error.value)
    assert "samplers" in str(error.value)
