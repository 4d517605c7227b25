"""Short names: what differs between the values of an axis, and between cells."""

from dataclasses import replace
from typing import Any

import pytest
from running import Build, planned_of

from nsbench.benchmarks.keys import describe_choice
from nsbench.benchmarks.matrix.selecting import only
from nsbench.benchmarks.records.names import CellNames, settings_of, short_names


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


@pytest.fixture
def several(small: Build) -> list[Any]:
    cut = {"name": "token_cutoff"}
    return planned_of(
        small(
            samplers=["in_batch", "hard", {"name": "hard", "k": 4}, {"name": "random", "k": 8}],
            augmentations=["none", cut | {"rate": 0.1}, cut | {"rate": 0.2}],
        )
    )


def test_cells_are_named_by_what_differs(several: list[Any]) -> None:
    cells = [p.cell for p in several]
    names = CellNames(cells)
    rate = ["none", "token_cutoff(rate=0.1)", "token_cutoff(rate=0.2)"]
    samplers = ["in_batch", "hard(k=16)", "hard(k=4)", "random(k=8)"]
    assert [names(c) for c in cells] == [f"{s} x {r}, seed 1" for s in samplers for r in rate]
    assert str(cells[3]) == "hard x none, seed 1"  # the default is not in the whole text


def test_further_axes_are_named_where_cells_of_a_sampler_differ(small: Build) -> None:
    raw = small(samplers=["in_batch", "hard"], candidates=["in_batch", "queue"], seeds=[1, 2])
    cells = [p.cell for p in planned_of(raw)]
    assert [CellNames(cells)(c) for c in cells if c.seed == 2] == [
        *("in_batch x none x in_batch, seed 2", "in_batch x none x queue, seed 2"),
        *("hard x none x in_batch, seed 2", "hard x none x queue, seed 2"),
    ]
    few = [c for c in cells if c.candidates.name == "queue"]
    assert CellNames(few)(few[0]) == "in_batch x none, seed 1"
    data = [replace(few[0], limit=n) for n in (10, 20)]
    assert [CellNames(data).method(c) for c in data] == [
        f"in_batch x none x planted(rows=200), {n} rows" for n in (10, 20)
    ]


def test_names_do_not_change_keys(several: list[Any]) -> None:
    before = [p.cell.key for p in several]
    CellNames([p.cell for p in several])
    assert [replace(p.cell).key for p in several] == before


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("hard", 6),  # the component
        ("hard(k=16)", 3),  # short
        ("hard(k=4)", 3),  # short and in full
        ("hard x *", 3),  # in full: the default is not shown
        ("hard(k=16) x token_cutoff(rate=0.2), seed 1", 1),
        ("sampler=hard(k=16)", 3),
        ("augmentation=token_cutoff(rate=0.1)", 4),
    ],
)
def test_only_takes_names_in_both_forms(several: list[Any], pattern: str, count: int) -> None:
    assert len(only(several, [pattern])) == count


def test_only_shows_a_short_name_where_nothing_fits(several: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"cells read like in_batch x none, seed 1\. A pattern"):
        only(several, ["hard(k=5)"])
