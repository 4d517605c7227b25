"""mteb's data as lists: the same rows, and no slow columns."""

from datasets import Dataset, DatasetDict

from nsbench.benchmarks.evaluation.mteb.columns import with_lists

ROWS = {"text": ["a", "b", "c"], "label": [2, 0, 1]}


def test_columns_are_lists_and_rows_are_as_before():
    plain = Dataset.from_dict(ROWS)
    for made, one in (
        (with_lists(plain), lambda d: d),
        (with_lists(DatasetDict(test=plain)), lambda d: d["test"]),
        (with_lists({"en": DatasetDict(test=plain)}), lambda d: d["en"]["test"]),
    ):
        found = one(made)
        assert isinstance(found, Dataset)
        assert type(found["label"]) is list
        assert {name: found[name] for name in found.column_names} == ROWS
        assert list(found) == list(plain)
        assert found[1] == plain[1]
        assert found[:2] == plain[:2]
        assert type(plain["label"]) is not list  # the task's own data are left alone


def test_columns_stay_lists_when_columns_are_chosen_as_mteb_does():
    made = with_lists(DatasetDict(test=Dataset.from_dict(ROWS | {"id": [1, 2, 3]})))
    assert type(made.select_columns(["label", "text"])["test"]["label"]) is list


def test_a_corpus_with_queries_is_left_as_it_is():
    judged = {"test": {"corpus": Dataset.from_dict(ROWS), "relevant_docs": {"q": {"d": 1}}}}
    assert with_lists({"default": judged})["default"] is judged
    assert with_lists(None) is None
