from made_results import make_cell, table_of, write_cell, write_matrix

from nsbench.analysis.figures.pictures import gather, write_figures
from nsbench.analysis.read.load import load_results
from nsbench.benchmarks.records import ResultsFolder


def test_scores_stand_by_the_number_of_training_texts(tmp_path):
    cells = []
    for seed in (0, 1):
        cells.append(make_cell("no_training", "none", seed))
        for limit in (0, 10, 100):
            cell = make_cell("in_batch", "none", seed)
            if limit:
                cell["limit"] = limit
                cell["labels"]["data"] += f", {limit} rows"
            cells.append(cell)
    folder = ResultsFolder(tmp_path / "r")
    write_matrix(folder, cells)
    for cell in cells:
        write_cell(folder, cell)
    material, _ = gather(load_results(folder.root))
    table, _ = table_of(material, "few_texts")
    assert table["limit"].tolist() == [10, 100, 0], "all texts last"
    assert table["place"].is_monotonic_increasing
    assert set(table["n_seeds"]) == {2}
    assert table["untrained"].nunique() == 1
    assert len(write_figures(material, tmp_path, ["few_texts"])) == 3
