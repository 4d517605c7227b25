"""Bad input: one clear sentence that names the value and the legal ones, before anything trains."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from running import Build, invoked, planned_of, python

from nsbench.benchmarks.matrix.config import grid, load_config, suites
from nsbench.benchmarks.matrix.selecting import only


def message(raw: dict[str, Any]) -> str:
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        planned_of(raw, "m.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samplers": ["semihard"]}, ["'semihard'", "Did you mean 'semi_hard'?", "in_batch"]),
        ({"sampler": ["hard"]}, ["unknown key 'sampler'", "samplers"]),
        ({"budget": {"step": 5}}, ["'budget.step'", "Did you mean 'steps'?"]),
        ({"augmentations": [{"name": "token_cutoff", "rate": 1.5}]}, ["rate", "[0, 1]", "1.5"]),
        ({"samplers": [{"name": "hard", "kk": 5}]}, ["no parameter 'kk'", "Did you mean 'k'?"]),
        ({"samplers": [{"k": 5}]}, ["has no name"]),
        ({"samplers": [{"name": "topic", "then": [[]]}]}, ["then must name a sampler, got []"]),
        ({"objectives": [{"name": "learned", "inner": [{}]}]}, ["inner must name an objective"]),
        ({"samplers": []}, ["samplers"]),
        ({"seeds": [-1]}, ["seeds.0 is -1"]),
        ({"budget": {"learning_rate": float("nan")}}, ["learning_rate", "nan"]),
        ({"budget": {"steps": 0}}, ["budget.steps"]),
        ({"data": [{"name": "file", "path": "nowhere.jsonl"}]}, ["nowhere.jsonl"]),
        ({"data": ["plantd"]}, ["Did you mean 'planted'?"]),
        ({"encoders": ["statc"]}, ["Did you mean 'static'?"]),
        ({"encoders": ["./no/such/folder"]}, ["./no/such/folder"]),
        ({"encoders": ["nobody/nothing"]}, ["nobody/nothing", "HF_HUB_OFFLINE"]),
        ({"augmentations": [["none", "none", "none"]]}, ["view 1 and view 2"]),
        ({"objective_parameters": {"temperatur": 1}}, ["Did you mean 'temperature'?"]),
        ({"schema": 2}, ["schema"]),
    ],
)
def test_wrong_value_is_named(small: Build, change: dict[str, Any], words: list[str]) -> None:
    text = message(small(**change))
    for word in words:
        assert word in text
    assert "\n" not in text


def test_grids_multiply(small: Build) -> None:
    raw = small(
        samplers=[{"name": "hard", "k": [1, 2, 3]}, "in_batch"],
        augmentations=[
            "none",
            {"view1": "none", "view2": {"name": "token_cutoff", "rate": [0.1, 0.2]}},
        ],
        seeds=[1, 2],
    )
    planned = planned_of(raw)
    assert len(planned) == 4 * 3 * 2
    assert len({p.cell.key for p in planned}) == len(planned)
    texts = {str(p.cell) for p in planned}
    assert "hard(k=2) x none | token_cutoff(rate=0.1), seed 2" in texts


def test_default_written_out_is_the_same_cell(small: Build) -> None:
    plain = planned_of(small(samplers=["random"]))
    spelt = planned_of(small(samplers=[{"name": "random", "k": 16}]))
    assert plain[0].cell.key == spelt[0].cell.key


def test_untrained_row_stands_once_per_seed(small: Build) -> None:
    raw = small(no_training=True, augmentations=["none", "token_cutoff"], seeds=[1, 2])
    planned = planned_of(raw)
    assert sum(p.cell.sampler.name == "no_training" for p in planned) == 2


def test_only_keeps_matching_cells(small: Build) -> None:
    planned = planned_of(small(samplers=["random", "hard"], seeds=[1, 2]))
    assert len(only(planned, ["hard*"])) == 2
    assert len(only(planned, ["*seed 2"])) == 2
    with pytest.raises(ValueError, match="matches no cell"):
        only(planned, ["nothing*"])


def test_only_means_the_sampler_and_other_axes_by_name(small: Build) -> None:
    raw = small(
        samplers=["in_batch", "hard", "random"], candidates=["in_batch", "queue"], seeds=[1, 2]
    )
    planned = planned_of(raw)
    assert len(planned) == 12
    found = only(planned, ["in_batch*"])
    assert {p.cell.sampler.name for p in found} == {"in_batch"}
    assert len(found) == 4
    for pattern, count in (
        ("candidates=in_batch*", 6),
        ("candidates=queue*", 6),
        ("seed=2", 6),
        ("sampler=hard*", 4),
        ("objective=info_nce", 12),
        ("encoder=static*", 12),
        ("augmentation=none", 12),
        ("key=" + planned[0].cell.key, 1),
        (planned[0].cell.key[:6] + "*", 1),
    ):
        assert len(only(planned, [pattern])) == count, pattern
    assert len(only(planned, ["hard*", "seed=2"])) == 8
    for pattern in ("static*", "queue*", "info_nce", "pool=queue*"):
        with pytest.raises(ValueError, match="AXIS=GLOB for one of sampler"):
            only(planned, ["hard*", pattern])


def test_a_batch_larger_than_the_data_is_refused_or_skipped(small: Build) -> None:
    raw = small(data=[{"name": "planted", "rows": 100}], no_training=True)
    raw["budget"] |= {"batch_size": 500}
    with pytest.raises(ValueError, match=r"no cell .* can train: batch_size is 500, but .* 100"):
        planned_of(raw)
    raw["budget"] |= {"batch_size": [16, 500]}
    planned = planned_of(raw)
    skipped = [p for p in planned if p.skip]
    assert [p.cell.budget.batch_size for p in skipped] == [500]
    assert "only" in skipped[0].skip
    few = planned_of(raw | {"limits": [10], "no_training": False})
    assert not any(p.skip for p in few)  # few rows are repeated until they fill a batch


def test_extras_that_changed_give_new_keys_and_others_none(small: Build) -> None:
    raw = small(
        samplers=[
            "in_batch",
            "text_dedup",
            "incremental",
            {
                "name": "curriculum",
                "inner": "text_dedup",
                "parameter": "threshold",
                "start": 0.5,
                "end": 0.6,
            },
        ],
        encoders=[{"name": "static", "dimension": 16}, {"name": "tiny", "dimension": 16}],
    )
    told = {
        (p.cell.sampler.name, p.cell.encoder.name): p.cell.inputs.get("extras", "")
        for p in planned_of(raw)
    }
    assert told == {
        ("in_batch", "static"): "",
        ("in_batch", "tiny"): "",
        ("text_dedup", "static"): "",
        ("text_dedup", "tiny"): "token_overlap 2",
        ("curriculum", "static"): "",
        ("curriculum", "tiny"): "token_overlap 2",
        ("incremental", "static"): "cluster_match 2",
        ("incremental", "tiny"): "cluster_match 2",
    }


def test_dropout_of_elements_has_a_new_key_where_an_encoder_sums_tokens(small: Build) -> None:
    def inputs(encoder: str, augmentation: str) -> dict[str, str]:
        planned = planned_of(
            small(
                encoders=[{"name": encoder, "dimension": 16}],
                augmentations=[{"view1": "none", "view2": augmentation}],
                no_training=False,
            )
        )
        return dict(planned[0].cell.inputs)

    assert inputs("static", "embedding_dropout")["views"] == "embedding_dropout 2"
    assert "views" not in inputs("static", "token_cutoff")
    assert "views" not in inputs("tiny", "embedding_dropout")


def test_an_encoder_of_fixed_weights_is_evaluated_untrained_once(
    small: Build, tmp_path: Path
) -> None:
    from nsbench.benchmarks.encoders import encoders

    model: Any = encoders.make("tiny", dimension=16).build(["a b c", "d e"], 0)
    for part in (model.model, model.tokenizer):
        part.save_pretrained(tmp_path / "model")
    drawn = small(no_training=True, seeds=[1, 2, 3])
    fixed = drawn | {"encoders": [{"name": "transformer", "source": str(tmp_path / "model")}]}
    for raw, count in ((drawn, 3), (fixed, 1)):
        cells = [p.cell for p in planned_of(raw)]
        assert sum(c.sampler.name == "no_training" for c in cells) == count
        assert sum(c.sampler.name == "in_batch" for c in cells) == 3


def test_shared_objective_parameters_reach_every_objective(small: Build) -> None:
    planned = planned_of(small(objective_parameters={"temperature": 0.2}))
    assert planned[0].cell.objective.params["temperature"] == 0.2


def test_empty_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="empty list"):
        grid({"k": []})


@pytest.mark.parametrize("name", sorted(suites()))
def test_shipped_suites_are_legal(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    assert config.description


def cli(*arguments: str) -> Any:
    code = "from nsbench.benchmarks.cli.main import main; main()"
    return python("-c", code, *arguments)


def test_command_line_reports_one_line_and_exit_code_2(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text('schema = 1\nsamplers = ["semihard"]\n')
    done = cli("run", str(bad), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "Did you mean 'semi_hard'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_command_line_runs_the_smoke_suite_and_shows_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = cli("run", "smoke", "--out", str(out), "--workers", "1", "--only", "hard*")
    assert done.returncode == 0, done.stderr
    assert "2 done" in done.stdout
    assert "done hard x none, seed 1" in done.stderr
    shown = cli("status", str(out), "--json")
    assert '"done": 2' in shown.stdout


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = invoked("run", "smoke", "--dry-run", "--out", out)
    # On a busy machine the first, shorter try is enough, or takes too long.
    timed = r"timed(:| here: (8|20) steps of) static\(dimension=32\) on planted\(rows=500\)"
    assert re.search(timed, done.stdout)
    assert ("estimate for 7 cells to run" in done.stdout) == ("timed here" in done.stdout)
    assert not out.exists()


def test_list_names_source_and_parameters() -> None:
    done = invoked("list", "samplers", "--json")
    rows = {r["name"]: r for r in json.loads(done.stdout)}
    assert "Schroff" in rows["semi_hard"]["source"]
    assert rows["semi_hard"]["parameters"][0]["name"] == "margin"
    assert rows["median_triplet"]["objective"] == "truncated_triplet"
    wrong = invoked("list", "sampler", ends=1)
    assert isinstance(wrong.exception, ValueError)
    assert "samplers" in str(wrong.exception)


def test_a_list_valued_parameter_is_a_grid_only_as_a_list_of_lists() -> None:
    assert grid({"sizes": [1, 2]}, frozenset({"sizes"})) == [{"sizes": [1, 2]}]
    assert len(grid({"sizes": [[1], [2, 3]]}, frozenset({"sizes"}))) == 2
