"""The report in a real browser; skipped with a reason where there is none."""

import csv
import io
import itertools
import tomllib

import pytest
from made_results import (
    CHOSEN_TEXTS,
    TASKS,
    all_cells,
    evil_folder,
    make_cell,
    write_cell,
    write_choices,
    write_matrix,
)
from running import until

from nsbench.analysis.read.load import load_results
from nsbench.analysis.report.page import write_report
from nsbench.benchmarks.matrix.config import parse_config
from nsbench.benchmarks.records import ResultsFolder

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
WIDTHS = [390, 1400, 1920]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a complete small folder whose cells have choices, made once."""
    folder = ResultsFolder(tmp_path_factory.mktemp("ran") / "results")
    write_matrix(folder, all_cells())
    for cell in all_cells():
        paths = write_cell(folder, cell)
        name = cell["sampler"]["name"]
        if name in ("in_batch", "hard") and cell["seed"] == 0:
            write_choices(paths, {2: 0.2, 3: 0.7, -1: 0.1} if name == "hard" else {2: 1.0})
    return write_report(load_results(folder.root), tmp_path_factory.mktemp("report"))


def rows(page):
    return page.locator("#board table.leaderboard tbody tr")


def column(page, name):
    """Texts of one column of the leaderboard."""
    texts = page.locator(f"#board table.leaderboard tbody .c-{name}").all_inner_texts()
    return [" ".join(t.split()) for t in texts]


def head(page, name):
    return page.locator("#board thead th", has=page.get_by_role("button", name=name))


def status(page):
    return page.locator("#board [data-shown]").inner_text()


def test_leaderboard_sorts_by_column(show, report):
    page = show(report)
    button = head(page, "mean").get_by_role("button")
    button.click()
    assert head(page, "mean").get_attribute("aria-sort") == "descending"
    falling = [float(t.split()[0]) for t in column(page, "mean")]
    assert len(falling) == 4
    assert falling == sorted(falling, reverse=True)
    button = head(page, "mean").get_by_role("button")
    button.focus()
    page.keyboard.press("Enter")  # by keyboard too
    assert head(page, "mean").get_attribute("aria-sort") == "ascending"
    assert [float(t.split()[0]) for t in column(page, "mean")] == sorted(falling)
    assert page.evaluate("document.activeElement.textContent").startswith("mean")
    head(page, "sampler").get_by_role("button").click()
    names = column(page, "method")
    assert names == sorted(names)
    assert head(page, "mean").get_attribute("aria-sort") is None


def test_search_finds_and_filters_recompute(show, report):
    page = show(report, "#leaderboard?tab=rows")
    assert status(page) == "7 of 7 rows shown"
    page.get_by_label("Search").fill("hard")
    assert status(page) == "2 of 7 rows shown"
    assert page.evaluate("document.activeElement.value") == "hard"
    assert {r.split()[0] for r in column(page, "rank")} == {"1", "2"}
    page.get_by_label("Search").fill("random feature")
    before = column(page, "rank")
    page.get_by_label("Search").fill("")
    page.locator("#board .panel summary", has_text="Filter").click()
    page.locator("#board fieldset", has_text="sampler").get_by_label("hard", exact=True).uncheck()
    page.get_by_role("checkbox", name="no_training").uncheck()
    assert status(page).startswith("4 of 7 rows shown; ranks, letters and verdicts are recomputed")
    page.get_by_label("Search").fill("random feature")
    assert column(page, "rank") != before  # two methods above it are gone
    page.get_by_role("button", name="Show all again").click()
    page.get_by_label("Search").fill("")
    assert status(page) == "7 of 7 rows shown"


def test_tasks_left_out_change_the_means(show, report):
    page = show(report)
    whole = column(page, "mean")
    page.locator("#board .panel summary", has_text="Filter").click()
    page.locator("#board fieldset", has_text="task").get_by_label(TASKS[0]).uncheck()
    assert "the tasks left" in status(page)
    assert column(page, "mean") != whole


def test_the_baseline_can_be_changed(show, report):
    page = show(report)
    assert "baseline" in column(page, "verdict")[column(page, "method").index("in_batch")]
    page.locator("[data-baseline]").select_option("hard")
    verdicts = dict(zip(column(page, "method"), column(page, "verdict"), strict=True))
    assert "baseline" in verdicts["hard"]
    assert "worse" in verdicts["in_batch"]
    assert "baseline hard" in status(page)
    differences = dict(zip(column(page, "method"), column(page, "difference"), strict=True))
    assert differences["in_batch"].startswith("\u2212")


def test_verdicts_of_the_page_are_those_that_are_stored(show, report):
    page = show(report)
    for tab in ("rows", "samplers"):
        apart = page.evaluate(
            """(tab) => {
                const {rows, asStored} = judged({tab});
                const of = (r) => [r.stored("verdict"), r.stored("group"), r.stored("rank"),
                  r.stored("rank_lo"), r.stored("rank_hi")].map(String);
                const ours = (r) => [r.verdict, r.group, r.rank, r.rankLow, r.rankHigh].map(String);
                return {asStored, rows: rows.map((r) => [of(r), ours(r)])};
            }""",
            tab,
        )
        assert apart["asStored"]
        assert len(apart["rows"]) > 3
        for stored, ours in apart["rows"]:
            assert stored == ours


def test_columns_are_chosen_and_tables_taken_away(show, report):
    page = show(report)
    page.locator("#board .panel summary", has_text="Columns").click()
    page.get_by_role("checkbox", name=TASKS[1], exact=True).check()
    page.get_by_role("checkbox", name="letters").uncheck()
    assert head(page, TASKS[1]).count() == 1
    assert head(page, "letters").count() == 0
    found = {}
    for name in ("CSV", "Markdown", "LaTeX"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        found[name] = download.value.path().read_text("utf-8")
    lines = list(csv.DictReader(io.StringIO(found["CSV"])))
    assert [line["sampler"] for line in lines] == column(page, "method")
    shown = [t.split()[0] for t in column(page, "mean")]
    assert [f"{float(line['mean']):.2f}" for line in lines] == shown
    assert float(lines[0]["difference_low"]) < float(lines[0]["difference_high"])
    assert found["Markdown"].splitlines()[1].startswith("| ---: | --- |")
    assert r"in\_batch" in found["LaTeX"]
    assert found["LaTeX"].count(r"\\") == 1 + len(lines)


def test_tabs_work_by_keyboard(show, report):
    page = show(report)
    page.get_by_role("tab", name="Samplers").focus()
    page.keyboard.press("ArrowRight")
    tab = page.get_by_role("tab", name="Augmentations")
    assert tab.get_attribute("aria-selected") == "true"
    assert page.evaluate("document.activeElement.textContent") == "Augmentations"
    text = page.locator("#board-panel").inner_text()
    assert "feature_cutoff" in text
    assert "depends on the sampler" in text
    page.get_by_role("tab", name="Tasks").click()
    heads = page.locator("#board table.heat thead th").all_inner_texts()
    assert heads[2:] == list(TASKS)
    page.locator("#board table.heat").get_by_role("button", name=TASKS[2]).click()
    assert status(page).startswith("4 of 4 rows shown; ranks, letters and verdicts are recomputed")
    assert page.locator("[data-task]").input_value() == TASKS[2]


def test_two_methods_are_compared(show, report):
    page = show(report, "#compare")
    page.locator("[data-a]").select_option(label="hard")
    page.locator("[data-b]").select_option(label="random")
    body = page.locator("#compare-body")
    assert "hard is better than random: +5." in body.locator(".answer").inner_text()
    assert "A wins 9 of 9 pairs" in body.inner_text()
    assert body.locator("table").count() == 2
    assert body.locator("svg path[aria-roledescription=point]").count() == 9
    page.get_by_role("button", name="Swap").click()
    assert "random is worse than hard" in body.locator(".answer").inner_text()


def test_a_row_opens_its_cells(show, report):
    page = show(report, "#leaderboard?tab=rows")
    page.get_by_role("button", name="hard \u00d7 feature_cutoff").click()
    dialog = page.get_by_role("dialog")
    assert dialog.locator("table tbody tr").count() == 3
    first = dialog.locator("details").first
    first.locator("summary").click()
    text = first.inner_text()
    assert "collapse: rank < 2" in text
    assert "nsbench export results --cell" in text
    raw = tomllib.loads(first.locator("pre").first.inner_text())
    assert raw["seeds"] == [0]
    assert raw["samplers"] == ["hard"]
    assert raw["augmentations"][0]["view1"] == [{"name": "feature_cutoff", "rate": 0.2}]
    assert parse_config(raw).samplers == ["hard"]
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    assert "row=" not in page.url


def test_negatives_of_two_samplers_are_shown_as_texts(show, report):
    page = show(report, "#negatives-seen")
    body = page.locator("#negatives-body")
    assert body.locator("[data-anchor]").inner_text() == CHOSEN_TEXTS[0]
    assert body.locator("[data-list=a] li").count() == 1
    other = body.locator("[data-list=b] li").all_inner_texts()
    assert "probably false: text twin" in other[0]
    assert "probably false: same meaning" in other[1]
    assert "both" in other[1]
    assert "made, no text" in other[2]
    page.get_by_role("button", name="Next anchor").click()
    assert body.locator("[data-anchor]").inner_text() == CHOSEN_TEXTS[4]
    page.locator("[data-moment]").select_option("last")
    assert "similarity 0.31" in body.locator("[data-list=b] li").first.inner_text()


def test_the_explorer_names_and_explains_quantities(show, report):
    page = show(report, "#explorer")
    body = page.locator("#explorer-body")
    lines = body.locator("svg path[aria-roledescription='line mark']")
    lines.first.wait_for()
    assert lines.count() == 4
    assert "Higher is harder" in body.inner_text()
    body.get_by_role("checkbox", name="hard").uncheck()
    assert lines.count() == 3
    body.get_by_role("button", name="None").click()
    assert "No sampler is ticked" in body.inner_text()
    body.get_by_role("button", name="All samplers").click()
    page.locator("[data-quantity]").select_option("margin")
    assert "Margin to the positive" in body.locator("[role=img]").get_attribute("aria-label")
    page.locator("[data-quantity]").select_option("chosen_similarity")
    page.locator("[data-augmentation]").select_option("none")
    caption = body.locator("caption")
    assert "step 20" in caption.inner_text()
    body.get_by_role("slider").press("Home")
    assert "step 0" in caption.inner_text()
    # 0.4 + 5 x 0.03 at step 0, and 0.005 per seed 0, 1, 2
    first = body.locator("tbody tr").first.inner_text()
    assert first.split() == ["hard", "0.555", "0.55", "0.56"]


def test_charts_answer_the_mouse(show, report):
    page = show(report, "#explorer", viewport={"width": 1400, "height": 1000})
    points = page.locator("#explorer-body svg path[aria-roledescription=point]")
    points.first.wait_for()
    page.locator("#explorer-body .paper").scroll_into_view_if_needed()
    points.nth(1).hover(force=True)
    assert "lowest seed" in page.locator(".hint").inner_text()
    legend = page.locator("#explorer-body svg .role-legend-symbol path")
    assert legend.count() == 4
    legend.first.click(force=True)
    faded = page.locator("#explorer-body svg path[opacity='0.06']")
    until(lambda: faded.count() > 3)
    page.locator("#explorer-body").get_by_role("button", name="Enlarge").click()
    assert page.get_by_role("dialog").locator("svg.marks").count() == 1


def test_the_address_brings_the_same_view_back(show, report):
    page = show(report)
    page.get_by_role("tab", name="All rows").click()
    page.get_by_label("Search").fill("cutoff")
    head(page, "mean").get_by_role("button").click()
    before = column(page, "method")
    _, _, address = page.url.partition("#")
    again = show(report, f"#{address}")
    assert column(again, "method") == before
    assert again.get_by_label("Search").input_value() == "cutoff"
    assert head(again, "mean").get_attribute("aria-sort") == "descending"


def test_the_address_of_a_section_stays_at_its_heading(show, report):
    page = show(report, "#explorer", viewport={"width": 1400, "height": 700})
    page.locator("#explorer-body svg").first.wait_for()
    page.get_by_text("Previous anchor").wait_for()  # drawn above it, and later
    place = "document.getElementById('explorer').getBoundingClientRect().top"
    until(lambda: page.evaluate(f"Math.abs({place}) < 200"))
    page.mouse.move(700, 400)
    page.mouse.wheel(0, -900)  # the reader moves on
    until(lambda: page.evaluate(f"{place} > 300"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_mean_is_in_the_window_and_nothing_scrolls_sideways(show, report, width, scheme):
    page = show(report, viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for tab in ("Samplers", "All rows"):
        page.get_by_role("tab", name=tab).click()
        box = page.locator("#board tbody .c-mean").first.bounding_box()
        wide = page.locator("#board .wide").first.bounding_box()
        assert box["x"] + box["width"] <= wide["x"] + wide["width"]
    ground, ink = page.evaluate(
        "[getComputedStyle(document.documentElement).backgroundColor,"
        " getComputedStyle(document.documentElement).color]"
    )
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert ground != ink


def test_colours_can_be_chosen(show, report):
    page = show(report, color_scheme="light")
    page.get_by_role("button", name="dark").click()
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert ground != "rgb(255, 255, 255)"
    assert page.get_by_role("button", name="dark").get_attribute("aria-pressed") == "true"


def test_printing_shows_every_section(show, report):
    page = show(report)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.locator("#negatives-body [data-anchor]").wait_for()
    page.locator("#explorer-body svg").first.wait_for()
    assert page.locator("#cost-body p").count() > 0
    assert not page.locator("nav").is_visible()
    assert page.locator("details:not(.panel):not([open])").count() == 0


def test_nothing_from_a_file_is_run(tmp_path, show):
    path = write_report(load_results(evil_folder(tmp_path)), tmp_path)
    for address in ("", "#explorer", "#compare", "#leaderboard?tab=tasks", "#cost"):
        page = show(path, address)
        page.locator("#board table").first.wait_for()
        assert page.evaluate("window.evil") is None
        assert page.locator("script").count() == 6
    page.get_by_role("tab", name="Samplers").click()
    rows(page).first.get_by_role("button").click()
    page.get_by_role("dialog").locator("details").first.wait_for()
    assert page.evaluate("window.evil") is None


def test_page_without_curves_or_scores_opens(tmp_path, show):
    folder = ResultsFolder(tmp_path / "failed")
    write_cell(folder, make_cell(), status="failed")
    page = show(write_report(load_results(folder.root), tmp_path), "#explorer")
    page.locator("#explorer-body", has_text="No finished cell").wait_for()
    assert "baseline" in page.locator("#board tbody").inner_text()


def test_page_of_an_empty_folder_opens(tmp_path, show):
    (tmp_path / "runs").mkdir()
    page = show(write_report(load_results(tmp_path), tmp_path))
    assert "No cell has been planned" in page.locator("main").inner_text()


def test_headings_and_names_are_in_order(show, report):
    page = show(report)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))
    unnamed = page.evaluate(
        "[...document.querySelectorAll('input,select,button')].filter("
        "e => !e.closest('label') && !e.textContent.trim()).length"
    )
    assert unnamed == 0
    page.locator("#figures + details summary").click()
    until(lambda: page.evaluate("[...document.images].every(i => i.alt && i.naturalWidth > 0)"))


def violations(page):
    """What axe-core objects to, as ``rule (impact): places``; best practices are among it."""
    reason = "axe-playwright-python is not installed"
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=reason)
    found = axe.Axe().run(page).response["violations"]
    return [f"{v['id']} ({v['impact']}): {[n['target'] for n in v['nodes']][:5]}" for v in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_axe_finds_nothing(show, report, width, scheme):
    page = show(report, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")  # every section
    page.locator("#explorer-body svg").first.wait_for()
    assert violations(page) == []
    for tab in ("Augmentations", "Tasks", "All rows"):  # and after using it
        page.get_by_role("tab", name=tab).click()
        assert violations(page) == []
    page.get_by_label("Search").fill("no such row")
    assert violations(page) == []
    page.get_by_label("Search").fill("")
    rows(page).first.get_by_role("button").click()
    page.get_by_role("dialog").locator("details").first.wait_for()
    assert violations(page) == []


def test_axe_would_find_something(show, report):
    """A button without a name and text too faint to read, put into the same page."""
    page = show(report, color_scheme="light")
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
