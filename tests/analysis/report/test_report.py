import json
import re
import tomllib
from html.parser import HTMLParser

import pytest
from made_results import EVIL, evil_folder, make_cell, write_cell

from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.page import inline_json, write_report
from nsbench.analysis.report.toml_text import toml_text
from nsbench.benchmarks.records import ResultsFolder


class Reader(HTMLParser):
    """Collects tags with attributes, and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self._inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag == "script"

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.scripts.append(data)


def test_report_is_one_file_without_addresses(build, tmp_path):
    path = write_report(load_results(build()), tmp_path / "out")
    text = path.read_text("utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    for _, attributes in Reader(text).tags:
        for name in ("src", "href", "srcset", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style


def test_report_says_what_there_is(build, tmp_path):
    root = build(seeds=4, leave_out=lambda c: c["sampler"]["name"] == "hard" and c["seed"] == 3)
    write_cell(ResultsFolder(root), make_cell("hard", "none", 3), status="failed")
    (root / "runs" / "stray.txt").write_text("")
    text = write_report(load_results(root), tmp_path).read_text("utf-8")
    for part in (
        "hard is best: +",
        "look at them before you use it",
        "Traceback:",
        "failed &lt;b&gt;because&lt;/b&gt;",
        "collapse",
        "rank &lt; 2",
        "stray.txt",
        "Unfinished cells: 1",
        "nsbench run matrix.toml",
        "planted(rows=100)",
        "2.13.0",
        "Student",
    ):
        assert part in text, part


def test_report_escapes_everything(tmp_path):
    text = write_report(load_results(evil_folder(tmp_path)), tmp_path).read_text("utf-8")
    reader = Reader(text)
    assert len(reader.scripts) == 2  # the curves and our own
    assert [a for t, a in reader.tags if "onerror" in a] == []
    assert "alert(1)</script>" not in text
    data = json.loads(reader.scripts[0])
    assert EVIL in data["looks"]


def test_inline_json_cannot_end_its_element_and_reads_back():
    data = {"</script>": ["<!--", "&amp;", "\u2028"]}
    text = str(inline_json(data))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == data


def test_report_has_the_same_bytes_twice(build, tmp_path):
    results = load_results(build())
    one = write_report(results, tmp_path / "one").read_bytes()
    assert write_report(results, tmp_path / "two").read_bytes() == one


def test_report_of_an_empty_folder(tmp_path):
    (tmp_path / "runs").mkdir()
    text = write_report(load_results(tmp_path), tmp_path).read_text("utf-8")
    assert "No cell has been planned or finished yet" in text


def test_toml_reads_back():
    data = {
        "name": 'a "b" \\ \n \x7f é',
        "steps": 3,
        "rate": 1e-5,
        "on": True,
        "samplers": ["hard", {"name": "band", "high": [0.05, 0.5], "inner": {"x y": 1}}],
        "empty": [],
        "budget": {"steps": [1, 2], "none": None, "deep": {"a": {"b": 1}}},
        "none": None,
    }
    read = tomllib.loads(toml_text(data))
    assert read == {
        **{k: v for k, v in data.items() if k != "none"},
        "budget": {"steps": [1, 2], "deep": {"a": {"b": 1}}},
    }
    with pytest.raises(ValueError, match="TOML has no"):
        toml_text({"a": {1, 2}})
