"""The page in a real browser: it sorts, filters and explains, asks nobody, and all can read it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.reporting.conftest import EVIL

BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
WIDTHS = (375, 1280)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs a browser: Debian's chromium-headless-shell")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def said() -> list[str]:
    """Everything that the page said on the console or asked of the network."""
    return []


def opened(
    browser: Browser, folder: Path, said: list[str], width: int = 1280, **how: object
) -> Page:
    context = browser.new_context(viewport={"width": width, "height": 900}, **how)  # type: ignore[arg-type]
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto(f"file://{folder / 'index.html'}")
    said[:] = [line for line in said if not line.startswith(("file://", "data:"))]
    return page


def column(page: Page, table: str, number: int) -> list[str]:
    cells = page.locator(f"{table} tbody tr:visible > :nth-child({number})")
    return cells.all_inner_texts()


ALL = "[aria-label='All evaluations'] table"


def test_it_sorts_by_numbers_and_by_words(
    browser: Browser, reported: Path, said: list[str]
) -> None:
    page = opened(browser, reported, said)
    button = page.locator(f"{ALL} thead button", has_text="robust")
    button.click()
    falling = [float(cell) for cell in column(page, ALL, 10)]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) > 5
    button.click()
    assert [float(cell) for cell in column(page, ALL, 10)] == sorted(falling)
    head = page.locator(f"{ALL} thead th", has_text="robust")
    assert head.get_attribute("aria-sort") == "ascending"
    page.locator(f"{ALL} thead button", has_text="suite").click()
    names = column(page, ALL, 6)
    assert names == sorted(names, reverse=True)
    assert not said


def test_it_filters(browser: Browser, reported: Path, said: list[str]) -> None:
    page = opened(browser, reported, said)
    every = len(column(page, ALL, 1))
    search = page.get_by_label("Filter rows of All evaluations")
    search.fill("trades 1/4")
    shown = column(page, ALL, 1)
    assert 0 < len(shown) < every
    assert all("trades" in name for name in shown)
    assert set(column(page, ALL, 7)) == {"Linf 1/4"}
    section = page.locator("#evaluations")
    assert section.get_by_role("status").inner_text() == f"{len(shown)} of {every} rows"
    search.fill("")
    section.get_by_label("only with flags").check()
    assert 0 < len(column(page, ALL, 1)) < every
    assert all(column(page, ALL, 12))
    assert not said


def test_flags_are_explained_to_mouse_and_keyboard(
    browser: Browser, reported: Path, said: list[str]
) -> None:
    page = opened(browser, reported, said)
    flag = page.locator(".flag").first
    tip = flag.locator(".tip")
    assert not tip.is_visible()
    flag.focus()
    assert tip.is_visible()
    assert "What to do:" in tip.inner_text()
    page.keyboard.press("Tab")
    assert not tip.is_visible()
    flag.hover()
    assert tip.is_visible()


def test_a_link_opens_a_training(browser: Browser, reported: Path, said: list[str]) -> None:
    page = opened(browser, reported, said)
    link = page.locator(f"{ALL} tbody a").first
    link.click()
    target = page.locator(f"[id='{str(link.get_attribute('href'))[1:]}']")
    assert target.get_attribute("open") is not None
    assert target.locator("dl").first.is_visible()


@pytest.mark.parametrize("scripts", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_read_at_any_width_and_without_scripts(
    width: int, scripts: bool, browser: Browser, reported: Path, said: list[str]
) -> None:
    page = opened(browser, reported, said, width, java_script_enabled=scripts)
    assert not said
    for heading in page.locator("h1, h2, h3, summary").all():
        box = heading.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    assert page.locator("figure svg").first.is_visible()
    smallest = page.locator("figure svg text").first.bounding_box()
    assert smallest is not None
    assert smallest["height"] >= 8  # pixels
    assert page.locator("th button").count() == 0 or scripts
    page.locator("details summary").first.click()
    assert page.locator("details dl").first.is_visible()


@pytest.mark.parametrize(("width", "scheme"), [*zip(WIDTHS, ["light", "dark"], strict=True)])
def test_nobody_is_kept_out(
    width: int, scheme: str, browser: Browser, reported: Path, said: list[str]
) -> None:
    """Labels, contrast AA, order of headings, what has a name: the rules of axe-core."""
    page = opened(browser, reported, said, width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = d.id.endsWith('b'))")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_foreign_words_are_words(browser: Browser, reported: Path, said: list[str]) -> None:
    page = opened(browser, reported, said)
    assert page.title() == "results - robench"
    missing = page.locator("#missing").inner_text()
    assert " ".join(EVIL.split()) in " ".join(missing.split())
    assert "robench run -m" in missing
    assert "--rerun failed" in missing
    text = (reported / "index.html").read_text(encoding="utf-8")
    assert len(re.findall("<script", text)) == 1
    assert "http" not in re.sub(r"(?s)<[^>]*>[^<]*", lambda tag: tag.group().split(">")[0], text)
