"""The site builds without a warning, needs nothing from elsewhere, and its links lead somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import Browser, chromium
from filelock import FileLock

ROOT = Path(__file__).parents[2]
ELSEWHERE = re.compile(r"^\s*(?:[a-z]+:)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"url\(\s*['\"]?((?:https?:)?//[^)]+)|@import[^;]*", re.IGNORECASE)
LOADS = {("script", "src"), ("img", "src"), ("source", "src"), ("iframe", "src"), ("use", "href"),
         ("video", "src"), ("object", "data"), ("embed", "src"), ("link", "href")}  # fmt: skip
MERELY_SAID = {"canonical", "next", "prev", "alternate"}
"""Relations of a `link` that a browser does not load."""


@dataclass
class Html(HTMLParser):
    """The ids of a page, its links, and what it loads."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    _in_style: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        self.ids.update(found[name] for name in ("id", "name") if name in found)
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if "style" in found:
            self.styles.append(found["style"])
        said = tag == "link" and set(found.get("rel", "").split()) <= MERELY_SAID
        for name, value in found.items():
            if (tag, name) in LOADS and not said:
                self.loads.append(value)

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.styles.append(data)


@cache
def read(page: Path) -> Html:
    parser = Html()
    parser.feed(page.read_text("utf-8"))
    return parser


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once for all workers."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("THE SITE IS NOT BUILT: install what the group docs of pyproject.toml names")
    shared = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    folder = shared / "site"
    with FileLock(shared / "site.lock"):
        if not (folder / "index.html").exists():
            build(folder)
    return folder


def build(folder: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def pages(site: Path) -> list[Path]:
    """All pages; the links of 404.html depend on where the site will be."""
    return sorted(page for page in site.rglob("*.html") if page.name != "404.html")


def test_it_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").exists()
    made = {str(page.relative_to(site)) for page in pages(site)}
    assert {
        "reference/command-line.html",
        "reference/json-schemas.html",
        "reference/python.html",
        "reference/target-keys.html",
        "reference/targets/hermes-64.html",
    } <= made
    assert not [page for page in made if page.startswith("hooks")]


def test_the_reference_has_every_command_key_and_name(site: Path) -> None:
    import afmc

    commands = read(site / "reference/command-line.html").ids
    assert {"afmc-compile", "afmc-validate", "afmc-targets-show", "afmc-export"} <= commands
    names = read(site / "reference/python.html").ids
    assert all({f"afmc.{name}" for name in afmc.__all__} & names for name in afmc.__all__)
    assert {f"afmc.{name}" for name in afmc.__all__} <= names
    keys = (site / "reference/target-keys.html").read_text("utf-8")
    for key in ("read_latency_ns", "wire_row_ohm", "co_location"):
        assert f"<code>{key}</code>" in keys
    schemas = {file.stem for file in (site / "reference/schemas").glob("*.json")}
    assert {"inspect", "compare", "costs", "export", "export-huggingface", "target"} <= schemas


def test_the_architecture_has_every_layer_of_the_contract(site: Path) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    modules = [name for layer in layers for name in re.findall(r"[\w.]+", layer)]
    text = (site / "architecture.html").read_text("utf-8")
    drawn = re.findall(r"<text[^>]*>([^<]+)</text>", text)
    assert drawn == modules and len(modules) > 10
    heights = [float(top) for top in re.findall(r'<rect x="[^"]*" y="([^"]*)"', text)]
    assert len(set(heights)) == len(layers) and heights == sorted(heights)
    assert re.findall(r"<td><code>([\w.]+)</code></td>", text) == modules


def test_it_needs_nothing_from_elsewhere(site: Path) -> None:
    found = [
        f"{page.relative_to(site)}: {address}"
        for page in pages(site)
        for address in loaded(read(page))
        if ELSEWHERE.match(address)
    ]
    for sheet in site.rglob("*.css"):
        text = sheet.read_text("utf-8")
        found += [f"{sheet.name}: {match[0]}" for match in IN_STYLE.finditer(text)]
    assert not found


def loaded(page: Html) -> Iterator[str]:
    yield from page.loads
    for style in page.styles:
        yield from (match[1] or match[0] for match in IN_STYLE.finditer(style))


def test_every_link_inside_leads_somewhere(site: Path) -> None:
    everything = pages(site)
    wrong = [
        f"{page.relative_to(site)}: {link}"
        for page in everything
        for link in read(page).links
        if not leads_somewhere(page, link)
    ]
    assert not wrong, "\n".join(dict.fromkeys(wrong))
    assert sum(len(read(page).links) for page in everything) > 500


def leads_somewhere(page: Path, link: str) -> bool:
    """Whether there is such a file, and such a place in it; addresses elsewhere are not tried."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return parts.scheme in ("http", "https", "mailto")
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return False
    place = unquote(parts.fragment)
    return not place or target.suffix != ".html" or place in read(target).ids | {"__top"}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<h2 id="here">x</h2><a href="#here">x</a><img src="//cdn.example/x.png">')
    assert leads_somewhere(page, "#here") and leads_somewhere(page, "page.html#here")
    assert not leads_somewhere(page, "#there") and not leads_somewhere(page, "other.html")
    assert [address for address in loaded(read(page)) if ELSEWHERE.match(address)]


def test_ten_pages_in_a_browser(site: Path, tmp_path: Path) -> None:
    every = pages(site)
    chosen = [site / "index.html", site / "architecture.html", *every[:: max(1, len(every) // 12)]]
    with chromium(tmp_path / "profile") as driver:
        browser = Browser(driver)
        for number, page in enumerate(dict.fromkeys(chosen)):
            browser.open(page, scheme="dark" if number % 2 else "light")
            assert browser.all("article h1"), page
            assert browser.console() == [], page
        assert number >= 9
        browser.open(site / "index.html")
        browser.script(
            "document.querySelector('.md-search__input').focus();"
            "document.querySelector('.md-search__input').value = 'crossbar';"
            "document.querySelector('.md-search__input').dispatchEvent(new Event('keyup'));"
        )
        driver.implicitly_wait(20)
        assert browser.all(".md-search-result__item a")
        assert browser.console() == []
