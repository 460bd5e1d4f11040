"""A headless Chromium for tests of pages, and axe-core in it."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1300,1000"),
    "--force-prefers-reduced-motion",  # else a click may miss what is still being scrolled to
)


def missing() -> str:
    """Say what a test of pages lacks; "" if nothing."""
    lacking = [
        *([] if importlib.util.find_spec("selenium") else ["selenium"]),
        *([] if BROWSER and DRIVER else ["Chromium and chromedriver on PATH"]),
    ]
    return f"needs {' and '.join(lacking)}" if lacking else ""


def axe_file() -> Path | None:
    """Return the script of axe-core, which is found without importing the package that brings it; None if none does."""
    for package in ("axe_core_python", "axe_playwright_python"):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            if (path := Path(folder) / "axe.min.js").is_file():
                return path
    return None


def start_browser(folder: Path) -> Chrome:
    """Start Chromium with a profile in some folder."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    browser.set_script_timeout(120)
    return browser


def seen_as(browser: Chrome, width: int = 1300, height: int = 1000, dark: bool = False) -> None:
    """Give the page some width in CSS pixels, and the light or the dark scheme."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def wider_than_the_window(browser: Chrome) -> int:
    """Return by how many pixels the page scrolls sideways."""
    root = "document.documentElement"
    return int(browser.execute_script(f"return {root}.scrollWidth - {root}.clientWidth"))


def violations(browser: Chrome, script: Path) -> list[str]:
    """Check the page that is open by the rules of axe-core: each rule that is broken, with the first element."""
    # By the protocol of the debugger, since a page's policy keeps scripts of others out.
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": script.read_text(encoding="utf-8") + "\n;0"})
    found: list[dict[str, Any]] = json.loads(
        browser.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']})"
            ".then((found) => done(JSON.stringify(found.violations)))"
        )
    )
    return [f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found]
