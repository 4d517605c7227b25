from pathlib import Path

import pandas as pd
from made_data import beir
from running import Build, Run

from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.samplers import make
from nsbench.samplers.testing import make_context


def documents(folder: Path) -> dict[str, str]:
    """Retrieval data whose test query names the one document that holds its word."""
    texts = ["cats chase mice", "dogs bark", "rain in spain"], ["spain", "dogs"]
    beir(folder, *texts, train="q1\tc1\t1\n", test="q0\tc2\t1\n")
    return {"name": "retrieval", "path": str(folder), "test": "test"}


def test_bm25_ranking_chooses_nothing() -> None:
    assert not make("bm25_ranking")(make_context(4, 9)).mask.any()


def test_bm25_ranking_is_a_row_of_retrieval_tests_only(
    small: Build, run_matrix: Run, tmp_path: Path
) -> None:
    data = [documents(tmp_path)]
    matrix = small(samplers=["bm25_ranking"], data=data, seeds=[1, 2])
    folder, records = run_matrix(matrix)
    assert [r.status for r in records] == ["done"]  # one row for all seeds
    ((paths, _),) = folder.records()[0]
    table = pd.read_parquet(paths.queries)
    assert table.set_index("metric")["value"].to_dict()["ndcg_at_10"] == 1.0
    _, records = run_matrix(small(samplers=["bm25_ranking", "in_batch"]), tmp_path / "other")
    (told,) = (r.reason for r in records if r.status == "skipped")
    assert told == "bm25_ranking ranks documents, and planted's own test is no retrieval task"
    (tmp_path / "held.csv").write_text("sentence1,sentence2,score\na b,a c,1\nd,e,0\nf,g,2\n")
    tasks = [{"name": "held", "kind": "sts", "path": str(tmp_path / "held.csv")}]
    mixed = small(samplers=["bm25_ranking", "no_training"], evaluation={"tasks": tasks})
    _, records = run_matrix(mixed, tmp_path / "mixed")
    told = {r.status: r.reason for r in records}
    assert told["skipped"] == "bm25_ranking ranks documents, and held is no retrieval task"


def test_bm25_ranking_beside_other_tasks_has_the_scores_that_it_can_have(
    small: Build, run_matrix: Run, tmp_path: Path
) -> None:
    data = [documents(tmp_path)]
    (tmp_path / "held.csv").write_text(
        "sentence1,sentence2,score\ncats chase mice,mice run,3\ndogs bark,rain in spain,0\n"
        "cats and dogs,dogs and cats,5\nspain,mice,1\n"
    )
    held = {"name": "held", "kind": "sts", "path": str(tmp_path / "held.csv")}
    names = ["bm25_ranking", "no_training"]
    asked = small(samplers=names, data=data, evaluation={"tasks": ["own", held]}, seeds=[1, 2])
    folder, records = run_matrix(asked)
    assert {r.status for r in records} == {"done"}
    ranked = next(r for r in records if r.cell["labels"]["sampler"] == "bm25_ranking")
    assert ranked.evaluation["unranked"] == ["held"]
    leaderboard = make_leaderboard(load_results(folder.root), baseline="no_training")
    row = leaderboard.rows.set_index("sampler").loc["bm25_ranking"]
    own = next(t for t in leaderboard.tasks if t != "held")
    assert row[own] == 100.0
    assert pd.isna(row["held"])
    assert pd.isna(row["mean"])  # no mean over unequal task sets
    assert (row["n_failed"], row["n_missing"]) == (0, 0)
    (statistics,) = leaderboard.pools
    told = "no mean for bm25_ranking x none: it ranks documents, which is not all of the tasks"
    assert told in statistics.notes
