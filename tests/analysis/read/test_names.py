from made_results import make_cell, write_cell

from nsbench.analysis.read.difficulty import load_difficulty
from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.write import findings_of
from nsbench.benchmarks.records import ResultsFolder


def test_a_results_folder_names_what_differs_in_every_table(tmp_path):
    folder = ResultsFolder(tmp_path)
    for seed in range(3):
        for sampler, k in (("in_batch", None), ("hard", 16), ("hard", 4)):
            cell = make_cell(sampler, "none", seed, **({} if k is None else {"k": k}))
            if k == 16:
                cell["labels"]["sampler"] = "hard"  # a default is not in the record's name
            write_cell(folder, cell)
    results = load_results(tmp_path)
    names = {"in_batch", "hard(k=16)", "hard(k=4)"}
    assert set(results.cells["sampler"]) == names
    board = make_leaderboard(results)
    assert set(board.rows["sampler"]) == names
    said = "\n".join(findings_of(board, board.pools[0]))
    assert "hard(k=16)" in said
    assert set(load_difficulty(results)[0]["sampler"]) == names
