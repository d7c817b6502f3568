"""The page of several compiles in a browser: sorted, filtered, in dark and light, on a phone, on
paper."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import estimates
import kept
import pytest
import written
from browser import Browser
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from afmc.compare import compare
from afmc.program.folder import read_program
from afmc.report import comparison_page

COLUMN = """return [...arguments[0].tBodies[0].rows].filter(row => !row.hidden)
    .map(row => row.cells[arguments[1]].textContent.trim())"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three compiles, one with a long name, and a validation."""
    folder = tmp_path_factory.mktemp("compared")
    paths = [folder / "p", folder / ("a-long-name-" * 6), folder / "w"]
    kept.write(paths[0], "parallel")
    kept.write(paths[1], "serial")
    written.write(paths[2])
    value = estimates.validation(read_program(paths[2]), 2)
    (folder / "v.json").write_text(json.dumps(value))
    found = compare(paths, validations=[folder / "v.json"])
    file = folder / "page.html"
    file.write_text(comparison_page(found), encoding="utf-8")
    return file


def column(browser: Browser, table: WebElement, number: int) -> list[str]:
    found: list[str] = browser.script(COLUMN, table, number)
    return found


def test_tables_are_sorted_by_click_and_by_key(browser: Browser, page: Path) -> None:
    browser.open(page)
    glance = browser.all("#summary table")[0]
    heading = glance.find_elements(By.CSS_SELECTOR, "thead th")[3]
    button = heading.find_element(By.TAG_NAME, "button")
    assert heading.text.startswith("tiles")
    button.click()
    assert heading.get_attribute("aria-sort") == "ascending"
    tiles = [int(text.replace(",", "")) for text in column(browser, glance, 3)]
    assert tiles == sorted(tiles) and tiles[0] == 3 and tiles[-1] > 100
    button.send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "descending"
    assert [int(t.replace(",", "")) for t in column(browser, glance, 3)] == tiles[::-1]

    energies = browser.all("#energy table.energies")[0]
    third = energies.find_elements(By.CSS_SELECTOR, "thead button")[3]
    browser.script("arguments[0].click()", third)
    shown = column(browser, energies, 3)
    assert shown[0] == "not known" and shown[-1].endswith("J")
    joules = browser.script(
        "return [...arguments[0].tBodies[0].rows].map(row => Number(row.cells[3].dataset.v))",
        energies,
    )
    assert joules == sorted(joules) and joules[-1] > joules[1] >= 0
    foot = energies.find_element(By.TAG_NAME, "tfoot")
    assert foot.text.startswith("sum")  # which stays below

    figures = browser.all("#figures table")[0]
    [mark, name] = figures.find_elements(By.CSS_SELECTOR, "thead button")
    browser.script("arguments[0].click()", mark)
    marks = column(browser, figures, 0)
    assert marks == sorted(marks, reverse=True) and marks[0] == "≠" and marks[-1] == ""
    browser.script("arguments[0].click()", name)
    names = [each.lower() for each in column(browser, figures, 1)]
    assert names[0] == "architecture" and names[-1] == "weights on tiles"
    plain = figures.find_elements(By.CSS_SELECTOR, "thead th")[2]
    assert plain.get_attribute("aria-sort") is None  # values of all kinds are in no order


def test_what_is_equal_is_hidden_where_that_is_asked_for(browser: Browser, page: Path) -> None:
    browser.open(page)
    box = browser["differences"]
    rows = [len(column(browser, table, 0)) for table in browser.all("table.sides.sortable")]
    assert browser["differences-found"].text.endswith(f"of {sum(rows)} differ")
    browser.script("arguments[0].scrollIntoView({block: 'center'})", box)
    box.click()
    for table in browser.all("#figures table"):
        assert set(column(browser, table, 0)) == {"≠"}
    left = sum(len(column(browser, table, 0)) for table in browser.all("table.sides.sortable"))
    assert browser["differences-found"].text.startswith(f"{left} of")
    box.send_keys(Keys.SPACE)
    assert rows == [len(column(browser, t, 0)) for t in browser.all("table.sides.sortable")]


def test_bars_are_as_long_as_what_they_stand_for(browser: Browser, page: Path) -> None:
    browser.open(page)
    widths = """return [...arguments[0].querySelectorAll('.bar')].map(cell => {
        const rect = cell.querySelector('rect'), svg = cell.querySelector('svg');
        return [Number(cell.dataset.v),
                rect ? rect.getBoundingClientRect().width / svg.getBoundingClientRect().width : 0];
        })"""
    for table in browser.all("table.energies, table.glance"):
        found = browser.script(widths, table)
        most = max(value for value, _ in found)
        assert len(found) >= 3 and most > 0
        for value, width in found:
            assert width == pytest.approx(max(value, 0) / most, abs=2e-3)
    assert len(browser.all("figure.stack .lane svg[role=img] rect title")) > 6


def test_dark_light_and_paper(browser: Browser, page: Path) -> None:
    lightness = {}
    for scheme in ("light", "dark"):
        browser.open(page, scheme)
        code = "return getComputedStyle(document.body).backgroundColor"
        lightness[scheme] = sum(map(int, browser.script(code)[4:-1].split(",")))
    assert lightness["light"] > 700 and lightness["dark"] < 100
    browser.open(page, width=718)  # of A4 within Chromium's margins
    browser.command("Emulation.setEmulatedMedia", media="print")
    assert browser.script("return document.documentElement.scrollWidth") <= 718
    browser.command("Emulation.setEmulatedMedia", media="")
    pdf = base64.b64decode(browser.command("Page.printToPDF", printBackground=True)["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000


def test_at_a_phones_width_nothing_is_cut_off(browser: Browser, page: Path) -> None:
    browser.open(page, width=360, height=740)
    assert browser.script("return document.documentElement.scrollWidth") <= 360
    for details in browser.all("details"):
        browser.script("arguments[0].open = true", details)
    assert browser.script("return document.documentElement.scrollWidth") <= 360
    wide = """return [...document.querySelectorAll('main *')].filter(each =>
        !each.closest('.scroll') && each.getBoundingClientRect().right > 361)
        .map(each => each.outerHTML.slice(0, 100))"""
    assert browser.script(wide) == []


def test_what_assistive_technology_needs(browser: Browser, page: Path) -> None:
    browser.open(page)
    unnamed = """return [...document.querySelectorAll(`input, button, [role=img], [role=region],
        nav, section`)].filter(each => !(each.getAttribute('aria-label') ||
        each.getAttribute('aria-labelledby') || each.closest('label') || each.textContent.trim()))
        .map(each => each.outerHTML.slice(0, 200))"""
    assert browser.script(unnamed) == []
    bare = "return [...document.querySelectorAll('table')].filter(t => !t.caption).length"
    assert browser.script(bare) == 0
    unscoped = "return document.querySelectorAll('th:not([scope])').length"
    assert browser.script(unscoped) == 0
    browser.script("document.body.focus()")
    ActionChains(browser.driver).send_keys(Keys.TAB).perform()
    assert browser.script("return document.activeElement.className") == "skip"
    targets = """return [...document.querySelectorAll('nav a, a.skip')].filter(each =>
        !document.querySelector(each.getAttribute('href'))).length"""
    assert browser.script(targets) == 0
