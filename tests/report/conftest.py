"""Compiles to report on: one by hand, one of a real model's shapes, one too large for its tiles to
be shown one by one; and a browser to look at their pages in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import kept
import pytest
import written
from browser import Browser, chromium
from programs import compiled, program_of

from afmc.program.compiled import CompiledProgram
from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.targets import load_target

if TYPE_CHECKING:
    from selenium import webdriver

MEASURED = {"wall_s": 1.0, "peak_rss_mb": 2.0, "stages_s": {"export": 0.5}, "torch": "2"}


def experts(layers: int = 6, copies: int = 128) -> Program:
    """Banks of experts behind attention: 36 tiles of 512 x 512 an expert."""
    matrices = []
    for i in range(layers):
        name = f"model.layers.{i}"
        matrices += [
            Matrix(f"{name}.attn.qkv.weight", 2048, 3072, f"{i}.norm", module=f"{name}.attn.qkv"),
            Matrix(f"{name}.attn.o.weight", 2048, 2048, f"{i}.attn", module=f"{name}.attn.o"),
            Matrix(
                f"{name}.mlp.experts.up", 2048, 2816, f"{i}.mlp", copies, 8.0, module=f"{name}.mlp"
            ),
            Matrix(
                f"{name}.mlp.experts.down", 1408, 2048, f"{i}.e", copies, 8.0, module=f"{name}.mlp"
            ),
        ]
    return program_of(matrices, "experts")


@pytest.fixture(scope="session")
def by_hand() -> CompiledProgram:
    return CompiledProgram(kept.program("serial"), kept.target("serial"), (), MEASURED)


@pytest.fixture(scope="session")
def smollm2_shapes() -> CompiledProgram:
    return CompiledProgram(written.program(), written.TARGET, (), MEASURED)


@pytest.fixture(scope="session")
def large() -> CompiledProgram:
    target = load_target("afm-512-projected")
    return CompiledProgram(compiled(experts(), target), target, (), MEASURED)


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def browser(driver: webdriver.Chrome) -> Iterator[Browser]:
    """Anything on its console, and anything that was fetched, is a failure."""
    browser = Browser(driver)
    yield browser
    assert browser.console() == []
    assert browser.script("return performance.getEntriesByType('resource').length") == 0
