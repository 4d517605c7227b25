"""The report in a real browser; skipped with a reason where there is none."""

import itertools
import shutil

import pytest
from made_results import evil_folder, make_cell, write_cell

from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.page import write_report
from nsbench.benchmarks.records import ResultsFolder

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = [
    pytest.mark.skipif(not BROWSER, reason="no Chromium is installed"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FLAGS = [
    f"--{name}"
    for name in (
        *("no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
    )
]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(standard, tmp_path_factory):
    """The report of the standard folder, made once."""
    return write_report(standard, tmp_path_factory.mktemp("report"))


@pytest.fixture
def show(browser, report):
    """Opens a report; any message on the console fails the test."""
    messages = []
    contexts = []

    def opened(path=report, **settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("console", lambda m: messages.append(m.text))
        page.on("pageerror", lambda e: messages.append(str(e)))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert messages == []


def column(page, number):
    cells = page.locator(f".board >> nth=0 >> tbody tr:visible > :nth-child({number})")
    return [t.strip() for t in cells.all_inner_texts()]


def head(page, name):
    return page.locator(".board >> nth=0 >> thead th", has=page.get_by_role("button", name=name))


def test_leaderboard_sorts_by_column(show):
    page = show()
    names = page.locator(".board >> nth=0 >> thead th").all_inner_texts()
    place = names.index("mean") + 1
    button = head(page, "mean").get_by_role("button")
    button.click()
    assert head(page, "mean").get_attribute("aria-sort") == "descending"
    falling = [float(t.split()[0]) for t in column(page, place)]
    assert falling == sorted(falling, reverse=True)
    button.focus()
    page.keyboard.press("Enter")  # by keyboard too
    assert head(page, "mean").get_attribute("aria-sort") == "ascending"
    rising = [float(t.split()[0]) for t in column(page, place)]
    assert rising == sorted(falling)
    head(page, "sampler").get_by_role("button").click()
    samplers = column(page, names.index("sampler") + 1)
    assert samplers == sorted(samplers)
    assert head(page, "mean").get_attribute("aria-sort") is None


def test_leaderboard_filters_and_searches(show):
    page = show()
    board = page.locator(".board >> nth=0")
    assert board.get_by_role("status").inner_text() == "7 of 7 rows"
    board.locator("[data-facet=augmentation]").select_option("feature_cutoff")
    assert board.get_by_role("status").inner_text() == "3 of 7 rows"
    board.get_by_label("Search").fill("hard")
    assert board.get_by_role("status").inner_text() == "1 of 7 rows"
    board.locator("[data-facet=augmentation]").select_option("")
    assert board.get_by_role("status").inner_text() == "2 of 7 rows"


def test_curves_are_picked(show):
    page = show()
    lines = page.locator("#picker [data-paper] polyline")
    assert lines.count() == 4
    page.get_by_role("checkbox", name="hard").uncheck()
    assert lines.count() == 3
    page.get_by_role("button", name="None").click()
    assert lines.count() == 0
    assert "No sampler" in page.locator("#picker [data-paper]").inner_text()
    page.get_by_role("button", name="All samplers").click()
    page.get_by_label("Quantity").select_option("margin")
    assert "positive less chosen" in page.locator("#picker svg[role=img]").get_attribute(
        "aria-label"
    )
    page.locator("[data-augmentation]").select_option("none")
    assert lines.count() == 4


def test_slider_reads_out_the_values_of_a_step(show):
    page = show()
    page.get_by_label("Quantity").select_option("chosen_similarity")
    rows = page.locator("#picker [data-values] tr")
    assert "step 20" in page.locator("#picker [data-caption]").inner_text()
    page.get_by_role("slider").press("Home")
    assert "step 0" in page.locator("#picker [data-caption]").inner_text()
    # 0.4 + 5 x 0.03 at step 0, and 0.005 per seed 0, 1, 2
    assert rows.first.inner_text().split() == ["hard", "0.555", "0.55", "0.56"]
    page.get_by_role("slider").press("ArrowRight")
    assert "step 5" in page.locator("#picker [data-caption]").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_page_never_scrolls_sideways(show, width, scheme):
    page = show(viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground, ink = page.evaluate(
        "[getComputedStyle(document.documentElement).backgroundColor,"
        " getComputedStyle(document.documentElement).color]"
    )
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert ground != ink


def test_nothing_from_a_file_is_run(tmp_path, show):
    page = show(write_report(load_results(evil_folder(tmp_path)), tmp_path))
    assert page.evaluate("window.evil") is None
    assert page.locator("script").count() == 2
    assert page.locator("#picker polyline").count() >= 1


def test_page_without_curves_or_scores_opens(tmp_path, show):
    folder = ResultsFolder(tmp_path / "failed")
    write_cell(folder, make_cell(), status="failed")
    page = show(write_report(load_results(folder.root), tmp_path))
    assert "No finished cell" in page.locator("#picker").inner_text()


def test_headings_and_names_are_in_order(show):
    page = show()
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input,select,button')].filter("
        "e => !e.closest('label') && !e.textContent.trim()).length"
    )
    assert unnamed == 0
    assert page.evaluate("[...document.images].every(i => i.alt && i.naturalWidth > 0)")


def violations(page):
    """What axe-core objects to, as ``rule (impact): places``; best practices are among it."""
    reason = "axe-playwright-python is not installed"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    found = axe.Axe().run(page).response["violations"]
    return [f"{v['id']} ({v['impact']}): {[n['target'] for n in v['nodes']][:5]}" for v in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(show, width, scheme):
    page = show(viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert violations(page) == []
    page.get_by_role("button", name="None").click()  # and after using it
    page.locator(".board >> nth=0").get_by_label("Search").fill("no such row")
    assert violations(page) == []


def test_axe_would_find_something(show):
    """A button without a name and text too faint to read, put into the same page."""
    page = show(color_scheme="light")
    page.evaluate(
        """() => {
            const main = document.querySelector("main");
            main.append(document.createElement("button"));
            const faint = document.createElement("p");
            faint.textContent = "faint";
            faint.style.color = "#eee";
            main.append(faint);
        }"""
    )
    found = " ".join(violations(page))
    assert "button-name (critical)" in found
    assert "color-contrast (serious)" in found
