"""The page in headless Chromium: start a demo run, watch, stop and resume it, and tag a demo clip with its model.

Screenshots are kept next to the test's other files, for people to look at.
"""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.service.conftest import serving

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TRAINING_MS = 1_500_000
VIEWPORTS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 375, "height": 800}}
MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""With these options Chromium records beeps and does not ask for permission."""
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        if path is None and not Path(playwright.chromium.executable_path).exists():
            pytest.fail("no Chromium is here; install one (apt install chromium, or playwright install chromium)")
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", *MICROPHONE])
        yield running
        running.close()


@contextlib.contextmanager
def opened(browser: Browser, address: str, viewport: str) -> Iterator[Page]:
    """A page that must not log errors, request other addresses, or scroll sideways."""
    context = browser.new_context(viewport=VIEWPORTS[viewport])  # type: ignore[arg-type]
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if is_mistake(message) else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if not is_own(request.url, address) else None)
    page.goto(address)
    yield page
    assert said == []
    assert page.evaluate(SIDEWAYS) == 0
    context.close()


def is_mistake(message: ConsoleMessage) -> bool:
    """True if the page logged an error; Chromium also logs every answer with a status of 4xx."""
    return message.type == "error" and "Failed to load resource" not in message.text


def is_own(url: str, address: str) -> bool:
    return url.startswith((address, f"blob:{address}", "data:"))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_demo_run_is_started_watched_stopped_resumed_and_used(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as (address, _process):
        with opened(browser, address, "desktop") as page:
            expect(page.get_by_role("heading", name="No model yet")).to_be_visible()
            start_demo(page)
            expect(page.get_by_test_id("run-state")).to_have_text("running", timeout=60_000)
            wait_for_points(page, wait_for_points(page, 2))
            expect(page.get_by_test_id("loss-chart").locator("canvas")).to_be_visible()
            page.get_by_test_id("stop-run").click()
            expect(page.get_by_test_id("run-state")).to_have_text("stopped", timeout=120_000)
            expect(page.get_by_test_id("loss-chart").locator("canvas")).to_be_visible()
            page.screenshot(path=tmp_path / "stopped.png", full_page=True)
            expect(page.get_by_test_id("error-message")).to_have_count(0)
            page.get_by_test_id("resume-run").click()
            expect(page.get_by_test_id("run-state")).to_have_text("done", timeout=TRAINING_MS)
            page.get_by_test_id("use-model").click()
            page.get_by_test_id("model-name").fill("mine")
            page.get_by_role("button", name="Create model").click()
            expect(page.get_by_role("link", name="Tag with mine")).to_be_visible()
            expect(page.get_by_role("columnheader", name="clips")).to_be_visible(timeout=120_000)
            page.screenshot(path=tmp_path / "done.png", full_page=True)
            page.get_by_role("link", name="Tag with mine").click()
            expect(page.get_by_test_id("model-select")).to_have_value("mine")
        clip, name = demo_clip(address, tmp_path)
        for viewport in VIEWPORTS:
            with opened(browser, address, viewport) as page:
                page.get_by_test_id("file-input").set_input_files(clip)
                first = page.get_by_test_id("tag-row").first
                expect(first).to_be_visible(timeout=60_000)
                page.screenshot(path=tmp_path / f"tagged_{viewport}.png", full_page=True)
                assert first.get_attribute("data-name") == name
                expect(page.get_by_test_id("tag-result")).to_contain_text("mine")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_microphone_is_recorded_and_heard_live(browser: Browser, tmp_path: Path, model_path: Path) -> None:
    model = ["--model", f"small={model_path}"]
    with serving(tmp_path, *model) as (address, _process), opened(browser, address, "phone") as page:
        page.get_by_role("button", name="Record").click()
        page.wait_for_timeout(1500)
        page.get_by_role("button", name="Stop and tag").click()
        expect(page.get_by_test_id("tag-result")).to_contain_text("recording", timeout=30_000)
        expect(page.get_by_test_id("tag-row")).to_have_count(3)
        page.get_by_role("button", name="Listen live").click()
        expect(page.get_by_text("Now", exact=True)).to_be_visible(timeout=30_000)
        page.screenshot(path=tmp_path / "live.png", full_page=True)
        page.get_by_role("button", name="Stop listening").click()
        expect(page.get_by_text("In total", exact=True)).to_be_visible(timeout=30_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_is_reached_by_keyboard_and_mistakes_are_said(
    browser: Browser, tmp_path: Path, model_path: Path
) -> None:
    model = ["--model", f"small={model_path}"]
    with serving(tmp_path, *model) as (address, _process), opened(browser, address, "desktop") as page:
        reached = set()
        for _ in range(25):
            page.keyboard.press("Tab")
            reached.add(
                page.evaluate("document.activeElement.dataset.testid ?? document.activeElement.textContent.trim()")
            )
        assert {"nav-models", "nav-runs", "model-select", "file-input", "Record", "Listen live"} <= reached
        (tmp_path / "text.wav").write_bytes(b"no sound")
        page.get_by_test_id("file-input").set_input_files(tmp_path / "text.wav")
        expect(page.get_by_test_id("error-message")).to_contain_text("'text.wav' cannot be decoded")
        page.get_by_test_id("nav-runs").focus()
        page.keyboard.press("Enter")
        page.get_by_text("More settings").click()
        page.get_by_label("One key=value per line").fill("loop.epoch=3")
        page.get_by_test_id("start-run").press("Enter")
        expect(page.get_by_test_id("error-message")).to_contain_text("did you mean 'epochs'")
        page.get_by_test_id("run-epochs").fill("2")
        page.get_by_label("One key=value per line").fill("loop.epochs=3")
        page.get_by_test_id("start-run").press("Enter")
        expect(page.get_by_test_id("error-message")).to_contain_text("'loop.epochs' is also set by a field above")


def start_demo(page: Page) -> None:
    """Start the demo recipe with one seed."""
    page.get_by_test_id("nav-runs").click()
    page.get_by_test_id("recipe-select").select_option("demo.yaml")
    page.get_by_test_id("run-seeds").fill("0")
    page.get_by_text("More settings").click()
    page.get_by_label("One key=value per line").fill("loop.evaluate_every_epochs=2")
    page.get_by_test_id("start-run").click()


def wait_for_points(page: Page, most: int) -> int:
    """Wait until the loss curve has more points than a number, and return how many it has."""
    end = time.monotonic() + TRAINING_MS / 1000
    while (count := int(page.get_by_test_id("loss-chart").get_attribute("data-points") or 0)) <= most:
        assert time.monotonic() < end
        page.wait_for_timeout(200)
    return count


def demo_clip(address: str, folder: Path) -> tuple[Path, str]:
    """An evaluation clip of the class with the best score, and the name of that class."""
    with urllib.request.urlopen(f"{address}/v1/runs") as answer:
        run = json.load(answer)["runs"][0]
    with urllib.request.urlopen(f"{address}/v1/runs/{run['id']}/per-class") as answer:
        classes = json.load(answer)["classes"]
    (manifest,) = (folder / "state" / "demo_corpora").glob("*/manifest.csv")
    with manifest.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "eval"]
    for best in sorted(classes, key=lambda one: -(one["seeds"]["0"] or 0.0)):
        alone = [row for row in rows if row["labels"] == best["id"]]
        if alone:
            return manifest.parent / alone[0]["path"], best["name"]
    raise AssertionError("no clip of the demo has one label")
