"""Verdicts by query of retrieval tests: read, compared, shown, packed and made again."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import make_cell, write_cell, write_matrix

from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.published import differences, publish
from nsbench.analysis.tables.by_query import query_table
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.pools import pools
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.packing import pack, unpack

QUERIES = 50


def by_query(sampler: str, seed: int) -> pd.DataFrame:
    """nDCG and recall of each query: `hard` gains 0.2 at the first half of the queries."""
    rng = np.random.default_rng(seed)
    values = 0.5 + 0.1 * np.sin(np.arange(QUERIES)) + 0.02 * rng.normal(size=QUERIES)
    values += np.where(np.arange(QUERIES) < QUERIES // 2, {"hard": 0.2}.get(sampler, 0.0), 0.0)
    names = [f"q{i:02d}" for i in range(QUERIES)]
    parts = [
        pd.DataFrame(
            {
                "task": "SciFact",
                "split": "test",
                "subset": "default",
                "query": names,
                "metric": metric,
                "value": values * factor,
            }
        )
        for metric, factor in (("ndcg_at_10", 1.0), ("recall_at_100", 0.5))
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = ResultsFolder(tmp_path / "out")
    cells = [make_cell(s, "none", seed) for s in ("in_batch", "hard") for seed in range(2)]
    write_matrix(folder, cells)
    for cell in cells:
        name, seed = cell["sampler"]["name"], cell["seed"]
        table = by_query(name, seed)
        mean = float(table["value"][:QUERIES].mean())
        paths = write_cell(folder, cell, scores={"SciFact": mean})
        table.to_parquet(paths.queries, index=False)
    return folder.root


def table_of(root: Path) -> tuple[pd.DataFrame, list[str]]:
    results = load_results(root)
    return query_table(results, pools(results), make_leaderboard(results))


def test_methods_are_compared_query_by_query(root: Path) -> None:
    table, notes = table_of(root)
    assert not notes
    assert set(table["metric"]) == {"ndcg_at_10"}, "one metric, though two are kept"
    hard, base = table.iloc[0], table.iloc[1]
    assert (hard["sampler"], base["sampler"]) == ("hard", "in_batch")
    assert (hard["n_queries"], hard["n_seeds"], base["n_seeds"]) == (QUERIES, 2, 2)
    assert hard["difference"] == pytest.approx(100 * 0.2 * 0.5)
    assert (hard["higher"], hard["lower"]) == (0.5, 0.0)
    assert hard["difference_low"] > 5
    assert (hard["verdict"], base["verdict"]) == ("better", "baseline")


def test_two_seeds_have_a_verdict_by_query_where_they_have_none_by_seed(root, invoke) -> None:
    board = make_leaderboard(load_results(root))
    assert set(board.rows["verdict"]) == {"no verdict", "baseline"}
    shown = invoke("leaderboard", root, "--by", "query")
    assert "SciFact, test: ndcg_at_10 over 50 queries" in shown.output
    assert "+10.00" in shown.output
    assert (root / "tables" / "by_query.csv").is_file()
    assert "better | 50 % | 0 % | 2 |" in (root / "tables" / "by_query.md").read_text()


def test_other_queries_and_damaged_tables_are_left_out_and_named(root: Path) -> None:
    one, two, *_ = sorted((root / "runs").iterdir())
    table = pd.read_parquet(one / "queries.parquet")
    table[table["query"] != "q00"].to_parquet(one / "queries.parquet", index=False)
    (two / "queries.parquet").write_bytes(b"no table")
    _, notes = table_of(root)
    assert "has other queries of SciFact" in " ".join(notes)
    assert str(two / "queries.parquet") in " ".join(notes)


def test_packed_results_keep_the_main_metric_of_every_query(root: Path, tmp_path: Path) -> None:
    assert pack(root, tmp_path / "packed")[1] == []
    unpack(tmp_path / "packed", tmp_path / "again")
    before, after = table_of(root)[0], table_of(tmp_path / "again")[0]
    numbers = ["mean", "difference", "difference_low", "higher"]
    np.testing.assert_allclose(after[numbers], before[numbers], atol=1e-3)
    kept = pd.read_parquet(next((tmp_path / "again" / "runs").rglob("queries.parquet")))
    assert len(kept) == QUERIES
    pack(tmp_path / "again", tmp_path / "packed-again")
    one, two = ((tmp_path / p / "queries.parquet").read_bytes() for p in ("packed", "packed-again"))
    assert one == two


def test_a_pack_without_room_for_them_says_so(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nsbench.benchmarks.records import packed_tables

    monkeypatch.setitem(packed_tables.MOST, "queries", 4 * QUERIES - 1)
    _, bad = pack(root, tmp_path / "packed")
    assert bad == ["queries of all cells: 200 rows, more than the 199 kept"]
    assert not (tmp_path / "packed" / "queries.parquet").exists()


def test_published_results_hold_the_table(root: Path, tmp_path: Path) -> None:
    assert publish(root, tmp_path / "published") == []
    assert (tmp_path / "published" / "tables" / "by_query.md").is_file()
    assert differences(tmp_path / "published") == []


def test_without_scores_by_query_there_is_no_table_and_a_sentence(tmp_path, invoke) -> None:
    folder = ResultsFolder(tmp_path / "out")
    cells = [make_cell("in_batch", "none", 0)]
    write_matrix(folder, cells)
    write_cell(folder, cells[0])
    shown = invoke("leaderboard", folder.root, "--by", "query")
    assert "only retrieval and reranking tests give them" in shown.output
    assert not (folder.root / "tables" / "by_query.csv").exists()
