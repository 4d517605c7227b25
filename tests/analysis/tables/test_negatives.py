"""What samplers chose, read from records that a run wrote, and from packed ones."""

import pytest
from made_results import CHOSEN_TEXTS as TEXTS
from made_results import make_cell, write_cell, write_choices

from nsbench.analysis.read.load import load_results
from nsbench.analysis.tables.negatives import NegativeTables, chosen
from nsbench.benchmarks.records import ResultsFolder
from nsbench.benchmarks.records.packing import pack, unpack


@pytest.fixture
def ran(tmp_path):
    """Two samplers that chose on the same batch, one seed each."""
    folder = ResultsFolder(tmp_path / "results")
    for name, weights in (("in_batch", {2: 0.2, 3: 0.7, -1: 0.1}), ("hard", {2: 1.0})):
        write_choices(write_cell(folder, make_cell(name)), weights)
    return folder


def table_of(root, sampler, **settings):
    results = load_results(root)
    tables = NegativeTables(results, **settings)
    (key,) = results.cells.loc[results.cells["sampler"] == sampler, "key"]
    assert len(tables) == 2
    return tables[key]


def test_anchors_come_with_their_heaviest_negatives_and_marks(ran):
    one, other = chosen(table_of(ran.root, "in_batch"), "first", anchors=5, most=2)
    assert (one.text, one.positive_text, one.count, one.candidates) == (TEXTS[0], TEXTS[1], 3, 7)
    assert [n.text for n in one.negatives] == [TEXTS[3], TEXTS[2]]
    assert [n.marks for n in one.negatives] == [("text twin",), ("same meaning",)]
    assert [n.rank for n in one.negatives] == [2, 1]
    assert other.text == TEXTS[4]
    (last,) = chosen(table_of(ran.root, "in_batch"), "last", anchors=1, most=9)
    assert [n.number for n in last.negatives] == [3, 2, -1]
    assert last.negatives[0].similarity == pytest.approx(0.31)
    with pytest.raises(ValueError, match="first, last"):
        chosen(table_of(ran.root, "in_batch"), "middle", anchors=1, most=1)


def test_packed_results_show_the_same(ran, tmp_path):
    pack(ran.root, tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "again")
    for moment in ("first", "last"):
        one, two = (
            chosen(table_of(root, "in_batch"), moment, anchors=9, most=9)
            for root in (ran.root, tmp_path / "again")
        )
        assert [c.text for c in one] == [c.text for c in two]
        assert [n.text for c in one for n in c.negatives] == [
            n.text for c in two for n in c.negatives
        ]


def test_private_texts_are_never_shown(ran, tmp_path, invoke):
    pack(ran.root, tmp_path / "packed", texts=False)
    unpack(tmp_path / "packed", tmp_path / "again")
    hidden = [table_of(ran.root, "hard", texts=False), table_of(tmp_path / "again", "hard")]
    for table in hidden:
        (one, _) = chosen(table, "first", anchors=2, most=2)
        assert one.text == one.positive_text == one.negatives[0].text == ""
        assert one.negatives[0].number == 2
    said = invoke("negatives", ran.root, "--no-texts")
    assert "text 2" in said.stdout
    assert "guitar" not in said.stdout


def test_the_command_puts_two_samplers_next_to_each_other(ran, invoke):
    said = invoke("negatives", ran.root, "--sampler", "hard", "--sampler", "in_batch")
    text = said.stdout
    assert text.index("hard: 1 of 7") < text.index("in_batch: 3 of 7")
    for part in (TEXTS[0], "positive, similarity 0.90", "! text twin", "weight 70.0%", "(made"):
        assert part in text, part
    wrong = invoke("negatives", ran.root, "--sampler", "hart", ends=1)
    assert "Did you mean 'hard'" in str(wrong.exception)
    wrong = invoke("negatives", ran.root, "--augmentation", "cutoff", ends=1)
    assert "known: none" in str(wrong.exception)


def test_cells_of_older_versions_are_named_as_without_choices(tmp_path, invoke):
    folder = ResultsFolder(tmp_path / "results")
    write_cell(folder, make_cell())
    said = invoke("negatives", folder.root, ends=1)
    assert "run the matrix again" in str(said.exception)
