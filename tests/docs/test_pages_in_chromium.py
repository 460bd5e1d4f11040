"""The built site in a real browser: no barriers by axe-core's rules, no sideways scrolling, the start within reach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import axe_file, missing, seen_as, start_browser, violations, wider_than_the_window

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
MADE = {"genindex.html", "search.html", "py-modindex.html"}
"""Pages that Sphinx makes of itself."""
PAGES = sorted(path for path in SITE.rglob("*.html") if path.name not in MADE and "_static" not in path.parts)
pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.skipif(not PAGES, reason="needs the site: python -m tox run -e docs"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    started = start_browser(tmp_path_factory.mktemp("site"))
    yield started
    started.quit()


def opened(browser: Any, page: str, width: int) -> None:
    seen_as(browser, width=width)
    browser.get((SITE / page).as_uri())


@pytest.mark.parametrize("page", [str(path.relative_to(SITE)) for path in PAGES])
def test_a_page_has_no_barrier_and_fits_a_phone(browser: Any, page: str) -> None:
    opened(browser, page, 400)
    assert wider_than_the_window(browser) <= 0
    script = axe_file()
    if script is None:
        pytest.skip("needs axe-core: pip install axe-core-python")
    assert violations(browser, script) == []


@pytest.mark.parametrize("width", [400, 1280])
def test_the_first_commands_are_one_click_from_the_first_page(browser: Any, width: int) -> None:
    from selenium.webdriver.common.by import By

    opened(browser, "index.html", width)
    link = browser.find_element(By.CSS_SELECTOR, ".start a")
    assert link.rect["y"] + link.rect["height"] < 1000, "it is seen without scrolling"
    link.click()
    assert browser.find_element(By.TAG_NAME, "h1").text.startswith("From two files to a decision")
    assert "pip install" in browser.find_element(By.TAG_NAME, "article").text
