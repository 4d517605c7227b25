"""Records parsed in shared pieces say what a plain parser says, whatever stands in them."""

import json
import math

import pytest

from nsbench.benchmarks.keys import pretty_json
from nsbench.benchmarks.records.shared import Shared, parse

RECORD = {
    "alarms": [{"name": "collapse", "text": 'a "quoted"\n "line": 1,\n "key": {'}],
    "cell": {"labels": {"sampler": "hard"}, "limit": 0, "sampler": {"name": "hard"}, "seed": 1},
    "cost": {"steps": 3.0},
    "environment": {"versions": {"torch": "2"}},
    "key": "abc",
    "reason": "},\n}",
    "status": "done",
}
TEXTS = {
    "as written": pretty_json(RECORD),
    "compact": json.dumps(RECORD),
    "indented otherwise": json.dumps(RECORD, indent=2) + "\n",
    "NaN inside": pretty_json(RECORD | {"cost": {"steps": math.nan}}),
    "NaN in the cell": pretty_json(RECORD | {"cell": {"seed": math.inf}}),
    "empty cell": pretty_json(RECORD | {"cell": {}}),
    "cell of another shape": pretty_json(RECORD | {"cell": [1, 2]}),
    "no object": "[1]\n",
    "empty": "{}\n",
    "key twice": '{\n "a": 1,\n "a": 2\n}\n',
}
BROKEN = {
    "cut short": pretty_json(RECORD)[:-40],
    "cut inside, whole at the end": pretty_json(RECORD)[:100] + "\n}\n",
    "two commas": '{\n "a": 1,,\n "b": 2\n}\n',
    "member missing": '{\n "a": 1,\n "b"\n}\n',
    "two members on a line": '{\n "a": 1, "b": 2,\n "c"\n}\n',
    "nothing": "",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_shared_parse_says_what_json_says(name: str) -> None:
    raw = TEXTS[name].encode()
    shared = Shared()
    for _ in range(2):  # the second time from what is kept
        assert str(shared.parse(raw)) == str(json.loads(raw))
    assert str(parse(raw)) == str(json.loads(raw))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_text_is_refused_whatever_was_read_before(name: str) -> None:
    shared = Shared()
    shared.parse(TEXTS["as written"].encode())
    with pytest.raises(ValueError, match=r"."):
        shared.parse(BROKEN[name].encode())


def test_equal_pieces_are_one_object_and_others_are_not() -> None:
    shared = Shared()
    one = shared.parse(pretty_json(RECORD).encode())
    two = shared.parse(pretty_json(RECORD | {"key": "other", "status": "failed"}).encode())
    other = {"versions": {"torch": "3"}}
    three = shared.parse(pretty_json(RECORD | {"environment": other}).encode())
    assert one["environment"] is two["environment"]
    assert one["cell"]["sampler"] is two["cell"]["sampler"]
    assert three["environment"] == other
    assert (one["key"], two["key"]) == ("abc", "other")
