"""``nsbench audit``: its files, from a CSV and nothing else, with every text escaped."""

import json
from html import unescape
from pathlib import Path

import made_models
import pytest
from made_data import write_pairs
from typer.testing import CliRunner

from nsbench.analysis.recommend.page import Code, Says, Section, Table, html, markdown
from nsbench.benchmarks.data import datasets


def _app() -> object:
    import typer

    from nsbench.analysis.cli import recommend

    app = typer.Typer()
    app.callback()(lambda: None)
    recommend.add_commands(app)
    return app


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = datasets.make("planted", rows=120, false_negative_rate=0.2, seed=2)()
    path = tmp_path_factory.mktemp("pairs") / "my pairs.csv"
    return write_pairs(path, data, first="<script>alert(1)</script> | *bold*,x\n")


def _audit(data: Path, out: Path, *more: str) -> str:
    given = ["audit", str(data), "--model", "words", "--out", str(out), *more]
    done = CliRunner().invoke(_app(), given)
    assert done.exit_code == 0, done.output
    return done.output


def test_an_audit_of_a_csv_is_written_and_the_same_again(pairs: Path, tmp_path: Path) -> None:
    said = _audit(pairs, tmp_path / "one")
    assert "false negatives among random candidates" in said
    found = json.loads((tmp_path / "one/audit.json").read_text("utf-8"))
    assert found["facts"]["rows"] == 121
    assert found["false_negatives"]["by_swaps"][0]["high"] > 0.15  # 20 % are planted
    assert set(found["histograms"]) >= {"positives", "random", "bm25, first 10"}
    assert 0 < len(found["suspicious"]) <= 20
    _audit(pairs, tmp_path / "two")
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert Path("figures/difficulty.svg") in files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_judge_has_a_column(pairs: Path, tmp_path: Path) -> None:
    made_models.pairs(tmp_path / "scorer")
    said = _audit(pairs, tmp_path / "out", "--judge", str(tmp_path / "scorer"))
    assert "by local/scorer, among random candidates" in said
    page = (tmp_path / "out/audit.md").read_text("utf-8")
    assert "| number | by local/scorer |" in page
    assert "A second opinion" in page


def test_texts_are_escaped_in_both_pages() -> None:
    bad = "<script>alert(1)</script> | *x* \x1b[31m \u202e"
    sections = [Section(bad, [Says(bad), Table((bad,), ((bad,),)), Code(bad)])]
    page, text = html(bad, sections), markdown(bad, sections)
    assert "<script" not in page
    assert "\x1b" not in page + text
    assert "\u202e" not in page + text
    assert "&lt;script&gt;" in page
    assert "\\<script\\>alert(1)\\</script\\> \\| \\*x\\*" in text
    assert "default-src 'none'" in unescape(page)


def test_texts_without_positives_are_audited_and_not_estimated(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("".join(f"this is sentence number {i} of several\n" for i in range(60)))
    assert "not measurable" in _audit(path, tmp_path / "out")
