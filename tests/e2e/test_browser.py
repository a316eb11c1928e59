"""The browser that other tests use shows what a page does wrong."""

from pathlib import Path

import pytest

from tests.e2e.browser import PHONE, WIDE, Browser

FAR = "https://example.org/a.png"
PAGE = f"""<!doctype html><meta name="viewport" content="width=device-width"><title>a page</title>
<style>* {{ margin: 0 }}</style><h1>hello</h1><p style="width: 500px">wide</p><img src="{FAR}" alt="">
<script>console.error("broken")</script>"""


def test_it_reaches_no_network_and_keeps_complaints(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE)
    browser.open(page)
    assert browser.find("h1").text == "hello"
    # They come when they come: the picture is waited for as the script runs.
    complaints: list[str] = []

    def both() -> bool:
        complaints.extend(browser.complaints())
        return len(complaints) == 2

    browser.until(both)
    assert sum(FAR in each for each in complaints) == 1
    assert sum("broken" in each for each in complaints) == 1
    assert FAR in browser.requests()
    assert browser.complaints() == []


def test_it_is_as_wide_and_dark_as_it_is_told(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(PAGE)
    for width, dark, overflow in ((WIDE, False, 0), (PHONE, True, 500 - PHONE)):
        browser.view(width, dark=dark)
        browser.open(page)
        assert browser.run("return document.documentElement.clientWidth") == width
        assert browser.run("return matchMedia('(prefers-color-scheme: dark)').matches") is dark
        assert browser.overflow() == pytest.approx(overflow, abs=1)  # scaled to a window, and rounded
        picture = tmp_path / "pictures" / f"{width}.png"
        browser.screenshot(picture)
        assert picture.read_bytes().startswith(b"\x89PNG")
