"""Tiny models and their exports, each made once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from models import ARCHITECTURES, tiny_model
from torch.export import ExportedProgram

from afmc.frontends.graph.export import export

Tiny = Callable[[str], torch.nn.Module]
Exports = Callable[[str], tuple[torch.nn.Module, ExportedProgram]]


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def tiny() -> Tiny:
    return tiny_model


@pytest.fixture(scope="session")
def exports() -> Exports:
    """A tiny model and its export, for all tests that only look at it."""

    @cache
    def make(architecture: str) -> tuple[torch.nn.Module, ExportedProgram]:
        module = tiny_model(architecture)
        return module, export(module)

    return make
