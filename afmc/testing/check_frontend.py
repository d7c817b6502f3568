"""The conformance test of a frontend: what it promises whoever compiles a file of its kind."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from afmc.errors import AfmcError, ModelError
from afmc.frontends.door import Frontend, Reading, Source, list_frontends
from afmc.frontends.find import resolve, saved_in
from afmc.frontends.graph.export import export
from afmc.frontends.graph.loops import structure_of
from afmc.frontends.load import load_source
from afmc.frontends.loaded import Loaded
from afmc.program.model import Matrix
from afmc.testing.check_target import Finding

_DAMAGED = 8
"""Copies of a file in which bytes are exchanged."""

_ALONE = """
import importlib, sys
from pathlib import Path
module, name, path = sys.argv[1:]
found = getattr(importlib.import_module(module), name)().find(Path(path))
sys.exit(3 if found is None or {"torch", "transformers"} & set(sys.modules) else 0)
"""


def check_frontend(name: str, model: str | Path) -> list[Finding]:
    """What is right and wrong with a frontend, tried on a file, or on a folder that it reads.

    `model` is one that it reads. It is not changed: what is damaged are copies, of files only.
    Raises OptionError for a name that there is not, and ModelError for a model that is not there.
    """
    frontend = list_frontends().get(name)
    model = Path(model)
    if frontend is None:
        return [Finding("wrong", f"there is no frontend {name!r}")]
    source = resolve(str(model))
    if source.frontend != name:
        return [Finding("wrong", f"{model} is read by the frontend {source.frontend}")]
    findings = [_finds_without_torch(frontend, model)]
    try:
        loaded = frontend.load(source, Reading())
        return [
            *findings,
            *_is_ready(loaded, source),
            _is_the_same_again(frontend, loaded, source),
            _is_read_again(loaded),
            *(_refuses_damaged(frontend, model) if model.is_file() else ()),
        ]
    except Exception as error:  # whatever a plug-in raises
        return [*findings, Finding("wrong", f"{model} is not loaded: {error!r}")]


def _finds_without_torch(frontend: Frontend, model: Path) -> Finding:
    kind = type(frontend)
    command = [sys.executable, "-c", _ALONE, kind.__module__, kind.__qualname__, str(model)]
    paths = {"PYTHONPATH": ":".join(each for each in sys.path if each)}
    made = subprocess.run(command, capture_output=True, text=True, env=paths, check=False)
    if made.returncode == 0:
        return Finding("passed", "it finds the model without torch")
    if made.returncode == 3:
        return Finding("wrong", "it imports torch, or finds nothing, before anything is loaded")
    said = (made.stderr.splitlines() or ["nothing"])[-1]
    return Finding("wrong", f"it cannot find a model in a process of its own: {said}")


def _is_ready(loaded: Loaded, source: Source) -> Iterator[Finding]:
    wrong = [
        text
        for text, right in (
            (
                "the model is in training mode",
                loaded.graph is not None or not loaded.module.training,
            ),
            ("its name is not what the user wrote", loaded.name == source.name),
            ("sha256 is no SHA-256", re.fullmatch("[0-9a-f]{64}", loaded.sha256) is not None),
            (
                "it has parameters that take gradients",
                not any(each.requires_grad for each in loaded.module.parameters()),
            ),
            (
                "it has floating-point weights that are not float32",
                all(
                    each.dtype == torch.float32
                    for each in loaded.module.parameters()
                    if each.is_floating_point()
                ),
            ),
        )
        if not right
    ]
    for text in wrong:
        yield Finding("wrong", text)
    if wrong:
        return
    matrices = _matrices(loaded)
    if not matrices:
        yield Finding("wrong", "the model has no matrix")
        return
    weights = sum(matrix.weights for matrix in matrices)
    yield Finding("passed", f"it gives a model of {len(matrices)} matrices, {weights:,} weights")


def _is_the_same_again(frontend: Frontend, loaded: Loaded, source: Source) -> Finding:
    again = frontend.load(source, Reading())
    if again.sha256 != loaded.sha256 or not _alike(again, loaded):
        return Finding("wrong", "the same file gives another model the second time")
    return Finding("passed", "the same file gives the same model, with the same hash")


def _is_read_again(loaded: Loaded) -> Finding:
    """What a compiled folder holds of it is the same network."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        loaded.save(folder)
        found = saved_in(folder)
        if found is None:
            return Finding("wrong", "what is saved of it in a compiled folder is not found there")
        if not _alike(load_source(found, Reading()), loaded):
            return Finding("wrong", "what is saved of it in a compiled folder holds other weights")
    return Finding("passed", "what is saved of it in a compiled folder is the same network")


def _refuses_damaged(frontend: Frontend, model: Path) -> Iterator[Finding]:
    """A file that ends too early is refused; one with other bytes is refused, or is a model."""
    content = model.read_bytes()
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / f"damaged{model.suffix}"

        def read(damaged: bytes) -> Callable[[], Loaded | None]:
            copy.write_bytes(damaged)

            def tried() -> Loaded | None:
                found = frontend.find(copy)
                if found is None:
                    return None
                return frontend.load(Source(str(copy), "", found), Reading())

            return tried

        for size in (0, len(content) // 2):
            said = _sentence(read(content[:size]))
            if said is not None:
                yield Finding("wrong", f"a file that ends after {size:,} bytes {said}")
                return
        generator = torch.Generator().manual_seed(0)
        for _ in range(_DAMAGED):
            damaged = bytearray(content)
            for at in torch.randint(len(content), (4,), generator=generator).tolist():
                damaged[at] ^= 0xFF
            said = _sentence(read(bytes(damaged)))
            if said is not None and said != "is accepted":
                yield Finding("wrong", f"a file with other bytes {said}")
                return
    yield Finding("passed", "it refuses files that end early, in one sentence")


def _sentence(attempt: Callable[[], Loaded | None]) -> str | None:
    """What is wrong with how an attempt is refused; None where it is refused in one sentence."""
    try:
        loaded = attempt()
    except ModelError as error:
        return "is refused in several lines" if "\n" in str(error) else None
    except AfmcError as error:
        return f"is refused as {type(error).__name__}, not as ModelError"
    except Exception as error:  # whatever a plug-in raises
        return f"fails: {error!r}"
    return None if loaded is None else "is accepted"


def _matrices(loaded: Loaded) -> tuple[Matrix, ...]:
    if loaded.graph is not None:
        return tuple(loaded.graph.structure(None).matrices)
    return tuple(structure_of(loaded.module, export(loaded.module)).matrices)


def _alike(one: Loaded, other: Loaded) -> bool:
    ours, theirs = _weights(one), _weights(other)
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


def _weights(loaded: Loaded) -> dict[str, torch.Tensor]:
    """Parameters by name; of a graph, whose names differ between formats, by matrix."""
    held: dict[str, torch.Tensor] = dict(loaded.module.named_parameters(remove_duplicate=False))
    if loaded.graph is None:
        return held
    return {
        matrix.name: held[matrix.name if matrix.name in held else f"{matrix.module}.weight"]
        for matrix in _matrices(loaded)
    }
