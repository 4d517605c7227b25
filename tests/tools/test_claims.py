"""Two methods of a board compared directly: by seed, alone, and refused where a row is missing."""

from pathlib import Path

import pandas as pd
import pytest

from tools import claims

BASE = {"family": "sts", "augmentation": "none", "objective": "info_nce", "data": "d"}
TOML = """
[[claims]]
claim = "a | helps"
source = "a paper"
claimed = "a gain"
method = { sampler = "hard" }
against = { sampler = "in_batch" }
ours = [{ board = "board-x"PLACE }]
"""


def put(tmp_path: Path, place: str = "") -> Path:
    rows = [
        BASE | {"sampler": "in_batch", "augmentation": "other", "tuned_scores": "9.0 9.0 9.0 9.0"},
        BASE
        | {"sampler": "in_batch", "tuned_verdict": "baseline", "tuned_scores": "1.0 2.0 3.0 4.0"},
        BASE | {"sampler": "hard", "tuned_scores": "2.0 3.1 4.0 4.9"},
        BASE | {"sampler": "hard", "augmentation": "other", "tuned_scores": "9.0 9.0 9.0 9.0"},
        BASE | {"sampler": "hard", "family": "pairs", "tuned_scores": "0.0 1.0 2.1 3.0"},
        BASE | {"sampler": "in_batch", "family": "pairs", "tuned_scores": "1.0 2.0 3.0 4.0"},
    ]
    tables = tmp_path / "board-x" / "tables"
    tables.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(tables / "tuned.csv", index=False)
    folder = tmp_path / "summary"
    folder.mkdir()
    (folder / "claims.toml").write_text(TOML.replace("PLACE", place))
    return folder


def test_a_pair_is_compared_by_seed_on_the_first_family_and_the_baselines_views(
    tmp_path: Path,
) -> None:
    (row,) = claims.compared(put(tmp_path)).to_dict("records")
    assert row["difference"] == pytest.approx(1.0)
    assert row["difference_low"] < 1.0 < row["difference_high"]
    assert (row["verdict"], row["n_seeds"], row["family"]) == ("better", 4, "sts")


def test_another_family_may_be_named(tmp_path: Path) -> None:
    (row,) = claims.compared(put(tmp_path, ', family = "pairs"')).to_dict("records")
    assert row["difference"] == pytest.approx(-0.975)
    assert row["verdict"] == "worse"


def test_a_method_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"tuned\.csv has 0 rows with .*'data': 'e'"):
        claims.compared(put(tmp_path, ', data = "e"'))


def test_what_is_stored_is_checked(tmp_path: Path) -> None:
    folder = put(tmp_path)
    claims.main([str(folder)])
    assert "## a \\| helps" in (folder / "claims.md").read_text("utf-8")
    claims.main([str(folder), "--check"])
    (folder / "claims.csv").write_text("other\n")
    with pytest.raises(SystemExit, match=r"claims\.csv is not what the boards give"):
        claims.main([str(folder), "--check"])
