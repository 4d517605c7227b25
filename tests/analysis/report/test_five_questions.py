"""Five questions of a newcomer, answered by clicks in the report of ``published-static``."""

import re
import tomllib
from pathlib import Path

import pytest

from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.page import write_report
from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.records.packing import unpack

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
STORED = Path(__file__).resolve().parents[3] / "results" / "published-static" / "cells"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("published") / "results"
    unpack(STORED, root)
    return write_report(load_results(root), root)


@pytest.fixture
def page(show, report):
    return show(report, viewport={"width": 1400, "height": 1000})


def row(page, name):
    return page.locator("#board tbody tr").filter(
        has=page.get_by_role("button", name=re.compile(rf"^{re.escape(name)}$"))
    )


def test_which_sampler_is_best_and_is_it_real(page):
    """The first sentence says it; the leaderboard's first row gives interval and verdict."""
    first = page.locator("#findings ~ .findings li").first.inner_text()
    best = re.match(r"Use ([^:]+): \+[\d.]+ points \([\d.]+ to [\d.]+\) over in_batch", first)
    assert best, first
    page.get_by_role("link", name="Leaderboard").click()
    own = row(page, best[1])
    assert "better" in own.locator(".verdict").inner_text()
    assert own.locator(".c-seeds").inner_text() == "5"
    own.get_by_role("button").click()
    facts = page.get_by_role("dialog").locator(".facts").inner_text()
    assert re.search(r"against in_batch\+[\d.]+ \(\+[\d.]+ to \+[\d.]+\)", facts.replace("\n", ""))


def test_does_augmentation_matter(page):
    page.get_by_role("tab", name="Augmentations").click()
    lines = page.locator("#board tbody tr").all_inner_texts()
    assert len(lines) == 4
    assert any("baseline" in line and "none" in line for line in lines)
    assert any("better" in line or "worse" in line for line in lines)
    assert any(re.search(r"yes: .*\u2212[\d.]+ with .*, \+[\d.]+ with ", line) for line in lines)


def test_where_does_it_lose(page):
    """The tab of tasks has a red cell in the winner's row; comparing gives seed by seed."""
    page.get_by_role("tab", name="Tasks").click()
    winner = page.locator("#board table.heat tbody tr").first
    cells = winner.locator("td").all_inner_texts()
    lost = [i for i, text in enumerate(cells) if "\u2212" in text]
    assert lost
    heads = page.locator("#board table.heat thead th").all_inner_texts()
    task = heads[1:][lost[0]]
    page.get_by_role("link", name="Compare").click()
    body = page.locator("#compare-body")
    body.locator("[data-a]").select_option(label=winner.locator("th").inner_text().strip())
    body.locator("[data-b]").select_option(label="in_batch")
    line = body.locator("tbody tr").filter(has_text=task).first.inner_text()
    assert "\u2212" in line
    assert "of 5" in line
    assert "is better than in_batch" in body.locator(".answer").inner_text()


def test_what_did_it_feed_the_model_in_texts(page):
    page.get_by_role("link", name="See the negatives").click()
    page.locator("[data-nb]").select_option("hard_reweighted")
    body = page.locator("#negatives-body")
    anchors = set()
    for _ in range(3):
        anchors.add(body.locator("[data-anchor]").inner_text())
        for which in ("a", "b"):
            negatives = body.locator(f"[data-list={which}] li .text").all_inner_texts()
            assert len(negatives) > 3
            assert all(len(text.split()) > 1 for text in negatives)
        numbers = body.locator("[data-list=b] .numbers").first.inner_text()
        assert re.search(r"similarity 0\.\d\d.*rank \d+.*weight [\d.]+ %", numbers, re.DOTALL)
        page.get_by_role("button", name="Next anchor").click()
    assert len(anchors) == 3


def test_how_do_i_run_it_again(page):
    row(page, "hard_reweighted").get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    cell = dialog.locator("details").first
    cell.locator("summary").click()
    again, run, export = cell.locator("pre").all_inner_texts()[:3]
    config = parse_config(tomllib.loads(again))
    assert config.samplers[0]["name"] == "hard_reweighted"
    assert len(config.seeds) == 1
    assert run == "nsbench run again.toml --out again"
    assert export.startswith("nsbench export results --cell ")


def test_the_report_is_small(report):
    assert report.stat().st_size < 5_000_000
