"""A headless Chromium for tests of pages, driven by Selenium.

It resolves no name and reaches nothing but loopback, so a page that needs a network
shows it as a complaint. What the console says, and what the content security policy
blocked, is kept for the test to assert on.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.e2e.programs import program

T = TypeVar("T")

WIDE = 1280
PHONE = 390
_PATIENCE = 15.0
"""Seconds that a page may take to come to what a test waits for."""
_HEIGHTS = {WIDE: 900, PHONE: 844}


class Browser:
    """One window. Blocks: a test whose event loop serves the page uses it through `asyncio.to_thread`."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def view(self, width: int = WIDE, *, dark: bool = False, still: bool = False) -> None:
        """Be that many pixels wide, light or dark; `still` is for those who want nothing to move."""
        phone = width < 600
        self._tell(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=_HEIGHTS.get(width, 900),
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self._tell("Emulation.setEmulatedMedia", features=features)

    def open(self, address: str | Path) -> None:
        """Go to an address, or to a file."""
        self.driver.get(address.resolve().as_uri() if isinstance(address, Path) else address)

    def find(self, selector: str) -> WebElement:
        """Wait for an element that can be seen, and give it."""
        return self.until(lambda: next((each for each in self.all(selector) if each.is_displayed()), None))

    def text(self, selector: str) -> str:
        """Give the text of what `find` finds, also where the page draws it anew just then."""
        return self.until(lambda: (self.find(selector).text,))[0]

    def all(self, selector: str) -> Sequence[WebElement]:
        """Give what matches a CSS selector now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def until(self, found: Callable[[], T | None]) -> T:
        """Wait until `found` gives something true, and give it. Raises TimeoutException.

        Where an element that it looks at was drawn anew meanwhile, it is called again.
        """
        again = (StaleElementReferenceException,)
        waiting = WebDriverWait(self.driver, _PATIENCE, poll_frequency=0.05, ignored_exceptions=again)
        return waiting.until(lambda _: found() or False)

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page, past its content security policy, and give what it returns."""
        return self.driver.execute_script(script, *arguments)

    def complaints(self) -> list[str]:
        """Give what the console holds at the level of a warning or worse, and forget it."""
        entries = self.driver.get_log("browser")
        return [each["message"] for each in entries if each["level"] in ("WARNING", "SEVERE")]

    def requests(self) -> list[str]:
        """Give the addresses that were asked for since the last time."""
        messages = (json.loads(each["message"])["message"] for each in self.driver.get_log("performance"))
        return [
            str(each["params"]["request"]["url"])
            for each in messages
            if each["method"] == "Network.requestWillBeSent"
        ]

    def overflow(self) -> int:
        """Say by how many pixels the page is wider than the window; 0 is right."""
        wider: int = self.run(
            "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
        )
        return wider

    def screenshot(self, file: Path) -> None:
        """Keep a picture of the whole page, what is below the window included."""
        picture = self._tell("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(picture["data"]))

    def forget(self) -> None:
        """Leave the page and its traces, for the next test."""
        self.driver.get("about:blank")
        self.driver.delete_all_cookies()
        self.complaints()
        self.requests()
        self.view()

    def _tell(self, command: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, arguments)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run Chromium until left; where it is missing the test is skipped, but in CI it fails."""
    options = ChromeOptions()
    options.binary_location = program("chromium")
    for argument in _arguments():
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # Its path is given, or Selenium would look for a driver to download.
    driver = Chrome(options=options, service=Service(program("chromedriver")))
    try:
        browser = Browser(driver)
        browser.view()
        yield browser
    finally:
        driver.quit()


def _arguments() -> Iterator[str]:
    yield "--headless=new"
    yield "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"
    yield "--disable-background-networking"
    yield "--disable-component-update"
    # /dev/shm is small in containers, and a full one ends the page.
    yield "--disable-dev-shm-usage"
    yield "--disable-gpu"
    yield "--force-color-profile=srgb"
    yield "--hide-scrollbars"
    if os.geteuid() == 0:
        # Chromium's sandbox does not work for root, which is what CI is.
        yield "--no-sandbox"
