"""The page in a browser: pointed at, typed at, in dark and light, at a phone's width, on paper."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import estimates
import pytest
from browser import Browser
from distributed import with_distributions
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

import afmc
from afmc.evaluation.reading import validation_of
from afmc.program.compiled import CompiledProgram
from afmc.report import render

CONFIGS = Path(__file__).parents[2] / "examples" / "configs"


@pytest.fixture(scope="module")
def small_page(smollm2_shapes: CompiledProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All tiles of a model, its costs and its accuracy."""
    names = [m.name for m in smollm2_shapes.program.matrices]
    costs = [estimates.costs(names, context, steps=400) for context in (512, 2048)]
    seen = with_distributions(smollm2_shapes)
    page = render(seen, costs, [validation_of(seen, estimates.validation(seen, 6))])
    file = tmp_path_factory.mktemp("small") / "page.html"
    file.write_text(page, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def large_page(large: CompiledProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Chips as cells, and nothing but the mapping."""
    file = tmp_path_factory.mktemp("large") / "page.html"
    file.write_text(render(large), encoding="utf-8")
    return file


def test_the_summary_is_one_screen(browser: Browser, small_page: Path) -> None:
    browser.open(small_page)
    bottom = browser.script(
        "return document.querySelector('.cards').getBoundingClientRect().bottom"
    )
    assert bottom < 400
    text = browser["summary"].text
    for word in ("fits", "tokens a second", "energy of a token", "perplexity", "tile reads"):
        assert word in text


def test_the_floor_plan_is_searched_and_zoomed(browser: Browser, small_page: Path) -> None:
    browser.open(small_page)
    canvas, search = browser["floor-canvas"], browser["floor-search"]
    whole = browser.colours()
    assert len(whole) > 30
    search.send_keys("model.layers.7")
    assert browser["floor-found"].text.endswith("tiles hold it")
    hits = int(browser["floor-found"].text.split()[0])
    assert 0 < hits < 60  # and not those of layers 17 and 27
    assert browser.colours() != whole  # what was not found has faded
    search.send_keys(Keys.ENTER)
    assert "model.layers.7." in browser["floor-info"].text
    for button in ("floor-in", "floor-in", "floor-out", "floor-all"):
        before = browser.colours()
        browser[button].click()
        assert browser.colours() and before
    browser.type("floor-search", "k_proj")
    assert browser["floor-found"].text.endswith("tiles hold it")  # of a merged matrix
    browser.type("floor-search", "nowhere")
    assert browser["floor-found"].text == "nothing of that name is on tiles"
    assert canvas.get_attribute("tabindex") == "0"


def test_the_floor_plan_from_the_keyboard(browser: Browser, small_page: Path) -> None:
    browser.open(small_page)
    browser["floor-all"].send_keys(Keys.TAB)  # the plan comes next in the order of focus
    assert browser.script("return document.activeElement.id") == "floor-canvas"
    canvas, info = browser["floor-canvas"], browser["floor-info"]
    assert info.text.startswith("Chip 0, tile 0") and "rows 0 to" in info.text
    canvas.send_keys(Keys.ARROW_RIGHT)
    assert info.text.startswith("Chip 0, tile 1\n")
    canvas.send_keys(Keys.ARROW_DOWN)
    assert info.text.startswith("Chip 0, tile 9\n")
    canvas.send_keys(Keys.ARROW_LEFT, Keys.ARROW_UP)
    assert info.text.startswith("Chip 0, tile 0\n")
    canvas.send_keys("+++-0", Keys.END)
    last = info.text
    assert not last.startswith("Chip 0,")
    canvas.send_keys(Keys.HOME)
    assert info.text.startswith("Chip 0, tile 0") and info.get_attribute("aria-live") == "polite"
    assert len(browser.all("#floor-info svg[role=img]")) == 1


def test_the_floor_plan_is_pointed_at_and_dragged(browser: Browser, small_page: Path) -> None:
    browser.open(small_page)
    canvas, info = browser["floor-canvas"], browser["floor-info"]
    assert "Point at a cell" in info.text
    browser.script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    for offset in range(-100, 100, 30):  # somewhere there is a tile
        move = ActionChains(browser.driver).move_to_element_with_offset(canvas, offset, offset // 2)
        move.perform()
    assert info.text.startswith("Chip ") and "of its cells hold weights" in info.text
    for value, legend in (
        ("use", "100 %"),
        ("energy", "J a token"),
        ("error", "30.0 % relative error"),
        ("kind", "o_proj"),
    ):
        Select(browser["floor-colour"]).select_by_value(value)
        assert legend in browser["floor-legend"].text
        assert len(browser.colours()) > 3
    before = browser.script("return document.getElementById('floor-canvas').toDataURL()")
    ActionChains(browser.driver).click_and_hold(canvas).move_by_offset(90, 40).release().perform()
    browser.colours()
    assert browser.script("return document.getElementById('floor-canvas').toDataURL()") != before


def test_matrices_are_filtered_and_sorted(browser: Browser, small_page: Path) -> None:
    browser.open(small_page)
    assert len(browser.column(0)) == 211
    browser["matrices-filter"].send_keys("layers.3.")
    assert len(browser.column(0)) == 7 and browser["matrices-found"].text == "7 of 211 matrices"
    heading = browser.all("#matrices-table thead th")[1]
    heading.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert heading.get_attribute("aria-sort") == "ascending"
    sizes = [eval(text.replace(" x ", "*")) for text in browser.column(1)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    heading.find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert heading.get_attribute("aria-sort") == "descending"
    assert [eval(text.replace(" x ", "*")) for text in browser.column(1)] == sorted(sizes)[::-1]
    browser.type("matrices-filter")
    Select(browser["matrices-where"]).select_by_visible_text("digital")
    assert browser.column(0) == ["lm_head.weight"] and browser.column(8) == ["digital"]
    Select(browser["matrices-where"]).select_by_value("")
    browser["matrices-filter"].send_keys("layers.5.mlp.down")
    [button] = browser.all("#matrices-table tbody button")
    button.click()  # to where it is on the floor plan
    assert browser.script("return document.activeElement.id") == "floor-canvas"
    assert "model.layers.5.mlp.down_proj.weight" in browser["floor-info"].text


def test_figures_that_only_some_compiles_have_are_sorted(
    browser: Browser, small_page: Path
) -> None:
    browser.open(small_page)
    headings = browser.all("#matrices-table thead th")
    names = [heading.text.split(" ↕")[0] for heading in headings]
    assert names[10:] == ["energy", "inputs clipped", "error of products"]
    for column, smallest, largest in (
        (10, "1 nJ", "211 nJ"),
        (11, "not known", "2.09 %"),  # of the one that is digital
        (12, "not known", "30.00 %"),
    ):
        headings[column].find_element(By.TAG_NAME, "button").click()
        values = browser.column(column)
        assert (values[0], values[-1]) == (smallest, largest)


def test_how_full_scale_is_used(browser: Browser, small_page: Path) -> None:
    browser.open(small_page)
    weights, inputs = browser.all("#scale table")
    assert "at most 1/256" in weights.text and "clipped" in inputs.text
    assert "1,024 tokens of letters.txt (measured)" in browser["scale"].text
    button = inputs.find_elements(By.CSS_SELECTOR, "thead button")[2]
    cell = "return [...arguments[0].tBodies[0].rows].map(row => row.cells[2].textContent)"
    browser.script("arguments[0].click()", button)
    clipped = [float(text.split()[0]) for text in browser.script(cell, inputs)]
    assert clipped == sorted(clipped) and clipped[0] < clipped[-1]


def test_other_tables_are_sorted(browser: Browser, small_page: Path) -> None:
    browser.open(small_page)
    table = browser.all("#costs table.sortable")[0]
    button = table.find_elements(By.CSS_SELECTOR, "thead button")[1]
    cell = "return [...arguments[0].tBodies[0].rows].map(row => row.cells[0].textContent)"
    assert browser.script(cell, table)[0] == "tile reads"
    browser.script("arguments[0].click()", button)
    assert browser.script(cell, table)[0] == "chip-to-chip links"  # not known comes before 100 nJ
    assert browser.script(cell, table)[-1] == "tile reads"


def test_a_large_system(browser: Browser, large_page: Path) -> None:
    browser.open(large_page)
    assert "Aggregated: this system has" in browser["floor"].text
    canvas, info = browser["floor-canvas"], browser["floor-info"]
    browser["floor-search"].send_keys("layers.4.mlp.experts")
    assert browser["floor-found"].text.endswith("chips hold it")
    browser["floor-search"].send_keys(Keys.ENTER)
    canvas.send_keys("nn")
    chip = info.text.split("\n")[0]
    assert chip.startswith("Chip ") and "model.layers.4.mlp.experts" in info.text
    assert not browser["floor-back"].is_displayed() and browser["floor-open"].is_displayed()
    canvas.send_keys(Keys.ENTER)
    assert browser["floor-back"].is_displayed() and not browser["floor-open"].is_displayed()
    assert f"{chip} is laid out like chip" in info.text and "tile 0" in info.text
    canvas.send_keys(Keys.ARROW_RIGHT)
    assert "tile 1" in info.text
    canvas.send_keys(Keys.ESCAPE)
    assert info.text.startswith(chip)
    Select(browser["matrices-show"]).select_by_value("kinds")
    assert browser["matrices-found"].text == "4 of 4 kinds"
    [unfold] = [b for b in browser.all("#matrices-table tbody button") if "experts.up" in b.text]
    unfold.click()
    assert unfold.get_attribute("aria-expanded") == "true"
    assert len(browser.column(0)) == 4 + 6
    assert "model.layers.5.mlp.experts.up" in browser.column(0)


@pytest.mark.parametrize("page", ["small_page", "large_page"])
def test_dark_light_and_paper(browser: Browser, page: str, request: pytest.FixtureRequest) -> None:
    file: Path = request.getfixturevalue(page)
    lightness, cards = {}, {}
    for scheme in ("light", "dark"):
        browser.open(file, scheme)
        code = "return getComputedStyle(document.body).backgroundColor"
        lightness[scheme] = sum(map(int, browser.script(code)[4:-1].split(",")))
        cards[scheme] = {"light": (255, 255, 255), "dark": (28, 32, 37)}[
            scheme
        ] in browser.colours()
    assert lightness["light"] > 700 and lightness["dark"] < 100
    assert cards == {"light": True, "dark": True}
    pdf = base64.b64decode(browser.command("Page.printToPDF", printBackground=True)["data"])
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000


@pytest.mark.parametrize("page", ["small_page", "large_page"])
def test_at_a_phones_width_nothing_is_cut_off(
    browser: Browser, page: str, request: pytest.FixtureRequest
) -> None:
    browser.open(request.getfixturevalue(page), width=360, height=740)
    assert browser.script("return document.documentElement.scrollWidth") <= 360
    for details in browser.all("details"):
        browser.script("arguments[0].open = true", details)
    assert browser.script("return document.documentElement.scrollWidth") <= 360
    browser.script("document.getElementById('floor-canvas').focus()")
    browser["floor-canvas"].send_keys(Keys.HOME)
    assert browser["floor-info"].text.startswith("Chip 0")


CUT = """return [...document.querySelectorAll('.scroll')]
    .filter(each => each.offsetParent !== null && each.scrollWidth > each.clientWidth + 1)
    .map(each => [each.getAttribute('aria-label'), each.scrollWidth, each.clientWidth])"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", ["small_page", "large_page"])
def test_no_table_is_cut_off(
    browser: Browser, page: str, width: int, request: pytest.FixtureRequest
) -> None:
    browser.open(request.getfixturevalue(page), width=width, height=800)
    for details in browser.all("details"):
        browser.script("arguments[0].open = true", details)
    for shown in ("kinds", "all"):
        Select(browser["matrices-show"]).select_by_value(shown)
        assert browser.script(CUT) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_accuracy_is_in_the_first_row_of_cards(
    browser: Browser, small_page: Path, width: int
) -> None:
    browser.open(small_page, width=width, height=800)
    cards = browser.all("#summary .cards > div")
    first_row = [each.text for each in cards if each.location["y"] == cards[0].location["y"]]
    assert any("perplexity" in text or "accuracy" in text for text in first_row)


def test_no_figure_has_more_digits_than_anyone_reads(small_page: Path, large_page: Path) -> None:
    for page in (small_page, large_page):
        html = re.sub(r"<(script|style)\b.*?</\1>", "", page.read_text(), flags=re.S)
        text = re.sub(r"<[^>]*>", "\n", html)
        assert re.findall(r".*\d\.\d{7,}.*", text) == []


def test_what_assistive_technology_needs(browser: Browser, small_page: Path) -> None:
    browser.open(small_page)
    unnamed = """return [...document.querySelectorAll(`input, select, button, canvas, [role=img],
        [role=region], nav, section`)].filter(each => !(each.getAttribute('aria-label') ||
        each.getAttribute('aria-labelledby') || each.closest('label') || each.textContent.trim()))
        .map(each => each.outerHTML.slice(0, 200))"""
    assert browser.script(unnamed) == []
    bare = "return [...document.querySelectorAll('table')].filter(t => !t.caption).length"
    assert browser.script(bare) == 0
    unscoped = "return document.querySelectorAll('th:not([scope])').length"
    assert browser.script(unscoped) == 0
    assert browser.script("return document.documentElement.lang") == "en"
    browser.script("document.body.focus()")
    ActionChains(browser.driver).send_keys(Keys.TAB).perform()
    assert browser.script("return document.activeElement.className") == "skip"


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("smollm2-135m", "hermes-64"),
        ("smollm2-135m", "pcm-34"),
        ("smollm2-135m", "moe-3d"),
        ("deepseek-v3", "afm-512-projected"),
    ],
)
def test_the_page_of_a_real_model(
    browser: Browser, tmp_path: Path, model: str, target: str
) -> None:
    """Its mapping and its costs, made as a user makes them: clicked, filtered, sorted, zoomed."""
    compiled = afmc.compile(CONFIGS / f"{model}.json", target, shapes_only=True, level=0)
    page = compiled.report(tmp_path / "page.html")
    print(f"{model} on {target}: {page.stat().st_size:,} bytes")  # shown by pytest -rP
    assert page.stat().st_size < 1_000_000
    browser.open(page)
    text = browser["summary"].text
    assert f"{compiled.summary.tiles_used:,}" in text and "tokens a second" in text
    assert "not known" not in text.split("energy of a token")[1][:40]
    browser["floor-search"].send_keys("model.layers.4.", Keys.ENTER)
    assert browser["floor-found"].text.endswith("hold it")
    assert "model.layers.4." in browser["floor-info"].text
    for colour in ("kind", "use", "energy", "layer"):
        Select(browser["floor-colour"]).select_by_value(colour)
        browser["floor-in"].click()
        assert len(browser.colours()) > 2
    browser["floor-all"].click()
    Select(browser["matrices-show"]).select_by_value("all")
    browser["matrices-filter"].send_keys("layers.4.mlp")
    names = browser.column(0)
    assert names and all("layers.4.mlp" in name for name in names)
    browser.all("#matrices-table thead th button")[10].click()  # energy
    assert browser.all("#matrices-table thead th")[10].get_attribute("aria-sort") == "ascending"
    parts = browser.all("#costs table.sortable")[0]
    parts.find_elements(By.CSS_SELECTOR, "thead button")[1].click()
    assert "products on tiles" in parts.text or "row drivers" in parts.text
