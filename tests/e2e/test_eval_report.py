"""`ragctl eval retrieval` of a real run, and its page, opened from disk in a browser, wide and narrow."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from rag_grpc.app import RunningServer
from rag_grpc.settings import Settings
from tests.e2e import shared_data
from tests.e2e.browser import PHONE, WIDE, Browser
from tests.e2e.programs import run

SPARE = 8
"""Pixels between a plot's edge and the window's, at least."""


@pytest.fixture
def store_name() -> str:
    """One store: the page is the same."""
    return "embedded"


async def _evaluated(server: RunningServer, *options: str) -> str:
    data = shared_data.folder("anthropic_docs")
    ended = await run(
        "ragctl",
        *("eval", "retrieval", "--server", server.grpc_address, "--json"),
        *("--corpus", str(data / "corpus.jsonl.gz")),
        *("--queries", str(data / "queries.jsonl.gz")),
        *("--qrels", str(data / "qrels.tsv.gz")),
        *options,
    )
    assert ended.code == 0, ended.stderr
    return ended.stdout


@pytest.fixture
async def report(server: RunningServer, tmp_path: Path) -> Path:
    """The page of a run that is compared with one of words alone."""
    earlier, page = tmp_path / "earlier.json", tmp_path / "report.html"
    earlier.write_text(await _evaluated(server, "--mode", "lexical"))
    compared = ("--compare", str(earlier), "--report", str(page))
    printed = json.loads(
        await _evaluated(server, "--language", "en", *compared, "--fail-under", "ndcg@10=0.7")
    )
    # Decision 14 and docs/quality.md have the figure: 0.798.
    assert printed["scores"]["ndcg@10"] == pytest.approx(0.798, abs=0.01)
    assert [each.name for each in server.store.collections()] == ["default"]
    return page


async def test_the_page_of_a_run(browser: Browser, settings: Settings, report: Path) -> None:
    assert settings.store == "embedded"
    await asyncio.to_thread(_look_at, browser, report)


async def test_the_page_of_answers(browser: Browser, server: RunningServer, tmp_path: Path) -> None:
    questions = shared_data.rows(shared_data.folder("anthropic_docs") / "queries.jsonl.gz")[:20]
    questions.append({"text": "Which horse won the Kentucky Derby in 1931?"})
    given, page = tmp_path / "questions.jsonl", tmp_path / "answers.html"
    given.write_text("".join(json.dumps({"question": each["text"]}) + "\n" for each in questions))
    await _evaluated(server, "--collection", "docs", "--keep")
    ended = await run(
        "ragctl",
        *("eval", "answers", "--server", server.grpc_address, "--json"),
        *("--answers", str(given), "--collection", "docs", "--report", str(page)),
    )
    assert ended.code == 0, ended.stderr
    printed = json.loads(ended.stdout)
    # The extractive generator quotes its sources, and the horse is in none of them.
    assert printed["scores"]["faithfulness"] > 0.8
    assert questions[-1]["text"] in printed["unanswered"]
    assert 0 < printed["scores"]["answered"] < 1
    assert len(printed["answers"]) + len(printed["unanswered"]) == len(questions)
    await asyncio.to_thread(_look_at_answers, browser, page)


def _look_at_answers(browser: Browser, page: Path) -> None:
    for width in (WIDE, PHONE):
        browser.view(width)
        browser.open(page)
        browser.find("summary").click()
        assert browser.find("details mark").text
        assert browser.overflow() == 0
        assert browser.complaints() == []


def _look_at(browser: Browser, report: Path) -> None:
    for width in (WIDE, PHONE):
        for dark in (False, True):
            browser.view(width, dark=dark)
            browser.open(report)
            assert browser.find("h1").text.startswith("Retrieval of eval-")
            assert browser.overflow() == 0
            plots = browser.all("svg")
            assert len(plots) == 3
            for plot in plots:
                assert plot.rect["width"] > 250
                assert plot.rect["x"] >= SPARE
                assert plot.rect["x"] + plot.rect["width"] <= width - SPARE
            _check_contrast(browser)
            _check_details(browser)
            assert browser.complaints() == []
            assert [each for each in browser.requests() if not each.startswith("file:")] == []
    _check_keys(browser)


def _check_contrast(browser: Browser) -> None:
    """The page's ink on its paper is told apart: 4.5 to 1 is what WCAG asks for."""
    ratio = browser.run(
        """
        const of = (element, what) =>
          getComputedStyle(element)[what].match(/[0-9.]+/g).slice(0, 3).map(v => v / 255);
        const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const light = ([red, green, blue]) =>
          0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
        const paper = light(of(document.body, 'backgroundColor'));
        return Math.min(...['body', '.soft', 'a', '.change.better'].map(each => {
          const ink = light(of(document.querySelector(each), 'color'));
          return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        }));
        """
    )
    assert ratio >= 4.5


def _check_details(browser: Browser) -> None:
    first = browser.find("details")
    assert first.get_attribute("open") is None
    first.find_element("css selector", "summary").click()
    inside = first.find_element("css selector", ".inside")
    assert "Should find" in inside.text
    assert len(inside.find_elements("css selector", "ol.found > li")) == 10
    assert browser.overflow() == 0


def _check_keys(browser: Browser) -> None:
    """By Tab alone one comes to the link that skips, to parts and tables, and to a query, which opens."""
    browser.open(browser.driver.current_url)
    reached: list[str] = []
    for _ in range(40):
        browser.press(Keys.TAB)
        reached.append(browser.run("const at = document.activeElement; return at.tagName + at.className"))
        if reached[-1] == "SUMMARY":
            break
    assert reached[0] == "Askip"
    assert reached.count("A") == 5
    assert reached.count("DIVscroll") == 2
    assert reached[-1] == "SUMMARY"
    assert browser.run("return document.querySelectorAll('details[open]').length") == 0
    browser.press(Keys.ENTER)
    assert browser.run("return document.querySelectorAll('details[open]').length") == 1
