"""Pages in headless Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Browser:
    """A page in Chromium. Anything on its console is a failure."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, file: Path, scheme: str = "light", width: int = 1280, height: int = 800) -> None:
        self.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip
        self.driver.get(file.as_uri())

    def command(self, name: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, parameters)

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def type(self, name: str, *text: str) -> None:
        """Over what is there."""
        self[name].send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.BACKSPACE, *text)

    def __getitem__(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def column(self, number: int) -> list[str]:
        """Column of the table of matrices, as it is shown."""
        code = """return [...document.querySelectorAll('#matrices-table tbody tr')]
            .map(row => row.cells[arguments[0]].textContent)"""
        found: list[str] = self.script(code, number)
        return found

    def colours(self) -> set[tuple[int, ...]]:
        """On the floor plan, once what was asked for is drawn."""
        code = """const done = arguments[0], canvas = document.getElementById('floor-canvas');
            requestAnimationFrame(() => requestAnimationFrame(() => {
              const {width, height} = canvas, copy = new OffscreenCanvas(width, height);
              const context = copy.getContext('2d', {willReadFrequently: true});
              context.drawImage(canvas, 0, 0);
              const all = context.getImageData(0, 0, width, height).data;
              const found = new Set();
              for (let i = 0; i < all.length; i += 4) {
                found.add(all[i] << 16 | all[i + 1] << 8 | all[i + 2]);
              }
              done([...found].slice(0, 5000));
            }))"""
        packed: list[int] = self.driver.execute_async_script(code)
        return {(each >> 16, each >> 8 & 255, each & 255) for each in packed}

    def console(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return found


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    chromedriver = shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        pytest.skip("NOT TESTED IN A BROWSER: install Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    yield driver
    driver.quit()
