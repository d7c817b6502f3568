"""SmolLM2-135M as MLIR: time and memory of lowering and of IREE, and logits against FX.

    python tests/benchmarks/mlir.py [--model NAME] [--target NAME] [--lengths 16 64]

Prints seconds, processor time and the largest resident size so far of this process, all measured,
stage by stage, and then for perfect and for noisy tiles the largest difference of logits from the
FX execution of the same tiles. It is 0 as long as all converters round alike; an input that lies
within rounding error of the middle between two codes may take the other, which later layers
amplify. So it is printed too for products that give what they gave in FX: then it is that of the
digital part alone, as is the largest difference of what products are given, against the largest
value of each.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from tables import Table, add_option
from torch import Tensor

import afmc
from afmc.compiled_model import CompiledModel
from afmc.lower.operators import bind_tiles
from afmc.mlir import Executable, lower
from afmc.mlir.tensors import stored_tensors
from afmc.simulator.replicas import Layer

STAGES = ("stage", "seconds", "processor time", "MB so far")
LOGITS = (
    "tiles", "first product that differs", "tokens", "largest logit", "largest difference",
    "with the products of FX", "their inputs, relative", "seconds",
)  # fmt: skip


@contextmanager
def stage(name: str, table: Table) -> Iterator[None]:
    start, worked = time.perf_counter(), processor_s()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds, busy = time.perf_counter() - start, processor_s() - worked
    table.add(name, f"{seconds:.1f}", f"{busy:.1f}", f"{peak:,.0f}")


def processor_s() -> float:
    """Processor time of this process and of those that it started and saw end."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))


class Recorder:
    """In the place of a layer of tiles: keeps what it was given, and what it gave."""

    def __init__(self, name: str, layer: Layer, calls: list[tuple[str, Tensor, Tensor]]) -> None:
        self.name, self.layer, self.calls = name, layer, calls

    def multiply(self, x: Tensor) -> Tensor:
        y = self.layer.multiply(x).clone()
        self.calls.append((self.name, x.reshape(-1, x.shape[-1]).clone(), y.flatten(0, -2)))
        return y


def with_the_products_of_fx(
    model: CompiledModel, text: str, ids: Tensor
) -> tuple[float, float, str]:
    """Largest difference of logits, largest relative one of what products are given, and the first
    product that would have come out otherwise, in words."""
    calls: list[tuple[str, Tensor, Tensor]] = []
    recorders = {name: Recorder(name, layer, calls) for name, layer in model.tiles.items()}
    model.write(seed=1)
    with bind_tiles(recorders), torch.inference_mode():  # type: ignore[arg-type]
        expected = model.digital_graph().module()(ids)
    model.write(seed=1)
    given: list[float] = []
    first: list[str] = []

    def product(matrix: str, x: Tensor) -> Tensor:
        name, theirs, result = calls[len(given)]
        assert name == matrix
        given.append(((x - theirs).abs().max() / theirs.abs().max()).item())
        with torch.inference_mode():
            off = ((model.tiles[matrix].multiply(x) - result).abs() > 1e-4).sum().item()
        if off and not first:
            first.append(f"{off:,} of {result.numel():,} outputs of {matrix}")
        return result

    tensors = stored_tensors(model.digital, model.digital_graph())
    found = Executable(text, tensors, product)(ids)
    return (found - expected).abs().max().item(), max(given), (first or ["none"])[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--target", default="afm-512-projected")
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 64])
    add_option(parser)
    options = parser.parse_args()
    stages = Table("mlir", "stages", STAGES, "All figures: measured.")
    logits = Table("mlir", "logits", LOGITS, "All figures: measured.", words=2)
    stages.begin()
    with stage("compile", stages):
        model = afmc.compile(options.model, options.target)
    with stage("torch.export", stages):
        model.digital_graph()
    with stage("lower to linalg", stages):
        text = lower(model)
    with stage("IREE", stages):
        executable = Executable.of(model, text)
    print(f"{len(text):,} bytes, {len(executable.signature.calls)} functions without a body")
    vocabulary = model.digital.get_submodule("lm_head").out_features
    assert isinstance(vocabulary, int)
    logits.begin()
    for name, on in (("perfect tiles", model.without_noise()), ("noisy tiles", model)):
        running = Executable.of(on, text)
        for length in options.lengths:
            generator = torch.Generator().manual_seed(length)
            ids = torch.randint(vocabulary, (1, length), generator=generator)
            on.write(seed=1)
            expected = on.graph()(ids)
            on.write(seed=1)  # the noise of reads begins anew
            start = time.perf_counter()
            found = running(ids)
            seconds = time.perf_counter() - start
            difference = (found - expected).abs().max().item()
            replayed, inputs, first = with_the_products_of_fx(on, text, ids)
            largest = f"{expected.abs().max().item():.1f}"
            logits.add(
                name, first, str(length), largest, f"{difference:.1e}", f"{replayed:.1e}",
                f"{inputs:.0e}", f"{seconds:.2f}",
            )  # fmt: skip
    stages.finish(options.write)
    logits.finish(options.write)


if __name__ == "__main__":
    main()
