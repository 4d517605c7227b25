import pytest
from made_results import make_cell, write_cell

from nsbench.analysis.read.difficulty import load_difficulty
from nsbench.analysis.read.load import load_results
from nsbench.analysis.read.names import settings_of, short_names
from nsbench.analysis.tables.leaderboard import make_leaderboard
from nsbench.analysis.tables.write import findings_of
from nsbench.benchmarks.keys import describe_choice
from nsbench.benchmarks.records import ResultsFolder


def value(name, label="", defaults=None, **params):
    """A choice as a cell holds it, and its name in the record."""
    plain = {"name": name, "params": params}
    return plain, label or describe_choice(plain, defaults or {})


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        # What differs is shown, the default too; what all share is not.
        (
            [value("hard", k=16, defaults={"k": 16}), value("hard", k=4, defaults={"k": 16})],
            ["hard(k=16)", "hard(k=4)"],
        ),
        (
            [value("queue", m=[1, 2], size=1), value("queue", m=[1, 2], size=2)],
            ["queue(size=1)", "queue(size=2)"],
        ),
        # The only choice of a component keeps what is off its default.
        ([value("hard", k=16, defaults={"k": 16})], ["hard"]),
        ([value("hard", k=4, defaults={"k": 16})], ["hard(k=4)"]),
        # Paths, hashes and long numbers are cut; a model stands alone.
        ([value("static", source="org/all-MiniLM-L6-v2")], ["static(all-MiniLM-L6-v2)"]),
        (
            [value("retrieval", path="mteb/scifact", revision="d56462d0e63a25450459c4f213e49ffd")],
            ["retrieval(scifact)"],
        ),
        ([value("topic", texts=142.45635022713694)], ["topic(texts=142)"]),
        ([value("joint", nli={"name": "file", "path": "a/nli.jsonl"})], ["joint(nli=nli.jsonl)"]),
        ([value("hub", columns={"text": "a"}, path="x/banking")], ["hub(banking)"]),
        # A label is kept.
        ([value("file", "tickets", path="a.jsonl")], ["tickets"]),
        ([value("file", "tickets, 10 rows", path="a.jsonl")], ["tickets, 10 rows"]),
        (
            [(value("file", path="x/a.jsonl")[0], "file(path=x/a.jsonl), 10 rows")],
            ["file(a.jsonl), 10 rows"],
        ),
        # Of many differing settings only those off their default; the plain one shows the two
        # that differ most.
        (
            [
                value("c", a=0, b=0, c=0, defaults={"a": 0, "b": 0, "c": 0}),
                value("c", a=1, b=0, c=0, defaults={"a": 0, "b": 0, "c": 0}),
                value("c", a=2, b=1, c=0, defaults={"a": 0, "b": 0, "c": 0}),
                value("c", a=0, b=0, c=1, defaults={"a": 0, "b": 0, "c": 0}),
            ],
            ["c(a=0, b=0)", "c(a=1)", "c(a=2, b=1)", "c(c=1)"],
        ),
        ([value("g", guide=""), value("g", guide="org/m")], ["g(no guide)", "g(guide=m)"]),
    ],
)
def test_names_say_what_differs_in_few_characters(values, wanted):
    assert short_names(values) == wanted


def test_views_are_named_like_single_choices():
    rates = [{"name": "cut", "params": {"rate": r}} for r in (0.1, 0.2)]
    none = {"name": "none", "params": {}}
    values = [
        ({"view1": [rates[0]], "view2": [rates[0]]}, "cut"),
        ({"view1": [none], "view2": [rates[1], none]}, "none | cut(rate=0.2) + none"),
        ({"view1": [], "view2": []}, "none"),
        ({"view1": [rates[0]], "view2": [none]}, "my label"),
    ]
    wanted = ["cut(rate=0.1)", "none | cut(rate=0.2) + none", "none", "my label"]
    assert short_names(values) == wanted


def test_no_two_values_get_one_name():
    near = [value("topic", texts=142.41), value("topic", texts=142.42)]
    assert short_names(near) == [text for _, text in near]
    far = [value("static", source="a/m"), value("static", source="b/m")]
    assert short_names(far) == [text for _, text in far]
    labelled = [value("hard", "m", k=4), value("m")]
    assert short_names(labelled) == ["m", "m"]  # as the records name them


def test_settings_are_split_outside_of_brackets():
    assert settings_of("a=[1, 2], b=f(x, y), c=1") == ["a=[1, 2]", "b=f(x, y)", "c=1"]


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
