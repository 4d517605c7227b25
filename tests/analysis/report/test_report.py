import base64
import html
import json
import re
import tomllib
import zlib
from html.parser import HTMLParser

from made_results import EVIL, evil_folder, make_cell, write_cell, write_matrix

from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.page import inline_json, write_report
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


def test_report_is_one_file_without_addresses(standard, tmp_path):
    path = write_report(standard, tmp_path / "out")
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
        "in 6 of 6 cells of 1 sampler",
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
    scripts = [a for t, a in reader.tags if t == "script"]
    assert [a.get("id", "ours") for a in scripts] == [
        *("negatives", "curves", "data", "cells", "ours", "ours"),
    ]
    assert [a for t, a in reader.tags if "onerror" in a] == []
    assert "alert(1)</script>" not in text
    data = json.loads(reader.scripts[2])
    assert EVIL in data["looks"]
    curves = json.loads(zlib.decompress(base64.b64decode(reader.scripts[1])))
    assert EVIL in curves["pools"][0]["quantities"][0]["series"][EVIL]


def test_inline_json_cannot_end_its_element_and_reads_back():
    data = {"</script>": ["<!--", "&amp;", "\u2028"]}
    text = str(inline_json(data))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == data


def test_report_has_the_same_bytes_twice(standard, tmp_path):
    one = write_report(standard, tmp_path / "one").read_bytes()
    assert write_report(standard, tmp_path / "two").read_bytes() == one


def test_report_of_an_empty_folder(tmp_path):
    (tmp_path / "runs").mkdir()
    text = write_report(load_results(tmp_path), tmp_path).read_text("utf-8")
    assert "No cell has been planned or finished yet" in text


def test_the_matrix_file_of_the_report_reads_back(tmp_path):
    config = {
        "description": 'a "b" \\ \n \x7f é',
        "samplers": ["hard", {"name": "band", "high": [0.05, 0.5], "none": None}],
        "budget": {"steps": 3, "none": None},
    }
    write_matrix(ResultsFolder(tmp_path), [], **config)
    text = write_report(load_results(tmp_path), tmp_path).read_text("utf-8")
    (shown,) = re.findall(r'aria-label="Matrix file">(.*?)</pre>', text, re.DOTALL)
    assert tomllib.loads(html.unescape(shown)) == {
        "description": config["description"],
        "seeds": [0, 1],
        "samplers": ["hard", {"name": "band", "high": [0.05, 0.5]}],
        "budget": {"steps": 3},
    }
