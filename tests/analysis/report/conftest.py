"""Chromium for tests of the report; tests that need it are skipped with a reason without it."""

import shutil

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = [
    f"--{name}"
    for name in (
        *("no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
    )
]


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not BROWSER:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser):
    """Opens a report; any message on the console fails the test."""
    messages = []
    contexts = []

    def opened(path, address="", **settings):
        contexts.append(browser.new_context(accept_downloads=True, **settings))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)  # machines that share their cores
        page.on("console", lambda m: messages.append(m.text))
        page.on("pageerror", lambda e: messages.append(str(e)))
        page.goto(path.as_uri() + address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert messages == []
