"""A token on a real GPU, against what the digital baseline of the cost model says of it.

    python tests/benchmarks/gpu_decode.py [--measured FILE.json [--write]]

Without a file it measures, on the GPU of this machine and with PyTorch alone: models with the
shapes of Llama-3.2-1B and Phi-3-mini and random weights in bfloat16 decode one token after another
with a cache of so many tokens, as one CUDA graph. Milliseconds by CUDA events, the median of runs;
joules from the counter of the whole board (NVML), idle time left out. It prints JSON. With such a
file it needs no GPU and prints the ratios of `afmc costs --against h100` to it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tables import Table, add_option
from torch import Tensor
from torch.nn import functional

CONTEXTS = (512, 2048)
SECONDS = 4.0
_ON: dict[str, Any] = {"device": "cuda", "dtype": torch.bfloat16}
_CACHE = ("keys", "values")


@dataclass(frozen=True)
class Shapes:
    layers: int
    hidden: int
    wide: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int


MODELS = {
    "llama-3.2-1b": Shapes(16, 2048, 8192, 32, 8, 64, 128256),
    "phi-3-mini": Shapes(32, 3072, 8192, 32, 32, 96, 32064),
}


class Decoder:
    """One token through all layers; the cache is full, and its last place is written anew."""

    def __init__(self, shapes: Shapes, context: int) -> None:
        self.shapes = shapes
        width, kv = shapes.heads * shapes.head, shapes.kv_heads * shapes.head

        def weight(rows: int, cols: int) -> Tensor:
            values = torch.randn(rows, cols, device="cuda", dtype=torch.bfloat16)
            return values.mul_(cols**-0.5)

        self.layers = [
            {
                "qkv": weight(width + 2 * kv, shapes.hidden),
                "o": weight(shapes.hidden, width),
                "gate_up": weight(2 * shapes.wide, shapes.hidden),
                "down": weight(shapes.hidden, shapes.wide),
                "keys": torch.randn(1, shapes.kv_heads, context, shapes.head, **_ON),
                "values": torch.randn(1, shapes.kv_heads, context, shapes.head, **_ON),
            }
            for _ in range(shapes.layers)
        ]
        self.head = weight(shapes.vocabulary, shapes.hidden)
        self.norm = torch.ones(shapes.hidden, **_ON)
        angle = torch.rand(shapes.head // 2, device="cuda").repeat(2)
        self.cos, self.sin = angle.cos().bfloat16(), angle.sin().bfloat16()

    def _turned(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat([-other, one], dim=-1) * self.sin

    def __call__(self, x: Tensor) -> Tensor:
        s = self.shapes
        kv = s.kv_heads * s.head
        for each in self.layers:
            normed = functional.rms_norm(x, (s.hidden,), self.norm)
            qkv = functional.linear(normed, each["qkv"])
            q, k, v = qkv.split([s.heads * s.head, kv, kv], dim=-1)  # type: ignore[no-untyped-call]
            each["keys"][:, :, -1] = self._turned(k.view(1, s.kv_heads, s.head))
            each["values"][:, :, -1] = v.view(1, s.kv_heads, s.head)
            attended = functional.scaled_dot_product_attention(
                self._turned(q.view(1, s.heads, 1, s.head)),
                each["keys"],
                each["values"],
                enable_gqa=True,
            )
            x = x + functional.linear(attended.reshape(1, -1), each["o"])
            normed = functional.rms_norm(x, (s.hidden,), self.norm)
            gate, up = functional.linear(normed, each["gate_up"]).chunk(2, dim=-1)
            x = x + functional.linear(functional.silu(gate) * up, each["down"])
        return functional.linear(functional.rms_norm(x, (s.hidden,), self.norm), self.head)


def captured(step: Callable[[Tensor], Tensor], x: Tensor) -> torch.cuda.CUDAGraph:
    torch.compiler.reset()  # or sizes of the model before become variables
    compiled = torch.compile(step, fullgraph=True, dynamic=False)
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            compiled(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        compiled(x)
    return graph


class Board:
    """The energy counter of a GPU, in joules since its driver was loaded."""

    def __init__(self) -> None:
        self._nvml = ctypes.CDLL("libnvidia-ml.so.1")
        self._nvml.nvmlInit_v2()
        self._device = ctypes.c_void_p()
        self._nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(self._device))

    def joules(self) -> float:
        value = ctypes.c_ulonglong()
        code = self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._device, ctypes.byref(value))
        if code:
            raise RuntimeError(f"NVML gives no energy: error {code}")
        return value.value / 1000


def idle_power_W(board: Board) -> float:
    torch.cuda.synchronize()
    time.sleep(3)
    start, before = time.perf_counter(), board.joules()
    time.sleep(3)
    return (board.joules() - before) / (time.perf_counter() - start)


@torch.inference_mode()
def measured(shapes: Shapes, context: int, board: Board) -> dict[str, float]:
    decoder = Decoder(shapes, context)
    graph = captured(decoder, torch.randn(1, shapes.hidden, **_ON))
    for _ in range(200):
        graph.replay()
    torch.cuda.synchronize()
    times: list[float] = []
    tokens, start, before = 0, time.perf_counter(), board.joules()
    while time.perf_counter() - start < SECONDS:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()
        for _ in range(50):
            graph.replay()
        last.record()
        last.synchronize()
        times.append(first.elapsed_time(last) / 50)
        tokens += 50
    spent, took = board.joules() - before, time.perf_counter() - start
    weights = sum(t.numel() for each in decoder.layers for n, t in each.items() if n not in _CACHE)
    weights += decoder.head.numel()
    return {
        "token_ms": statistics.median(times),
        "token_mJ": 1000 * spent / tokens,
        "power_W": spent / took,
        "weights_read_TB_s": 2 * weights / statistics.median(times) / 1e9,
        "tokens": tokens,
    }


def measure() -> dict[str, Any]:
    board = Board()
    torch.manual_seed(0)
    torch.zeros(1, device="cuda")
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "idle_W": idle_power_W(board),
        "runs": [],
    }
    for name, shapes in MODELS.items():
        for context in CONTEXTS:
            run = {"model": name, "context": context, **measured(shapes, context, board)}
            print(json.dumps(run), file=sys.stderr, flush=True)
            found["runs"].append(run)
            torch.cuda.empty_cache()
    return found


HEADINGS = ("model, context", "measured", "the baseline says", "energy", "time")


def against(found: dict[str, Any], baseline: str, write: bool) -> None:
    """What the cost model says of each run, and how many times the measured figure that is."""
    import afmc
    from afmc.costs import Workload, estimate_baseline
    from afmc.targets import Baseline
    from afmc.targets.loader import load_description

    hardware = load_description(baseline)
    assert isinstance(hardware, Baseline)
    basis = (
        f"Measured: on an {found['device']} (idle {found['idle_W']:.0f} W, torch "
        f"{found['torch']}), energy of the whole board. The baseline: derived, by the figures of "
        f"`{baseline}`; energy and time: how many times the measured ones."
    )
    table = Table("costs", "gpu", HEADINGS, basis)
    table.begin()
    for run in found["runs"]:
        config = Path(__file__).parents[2] / "examples" / "configs" / f"{run['model']}.json"
        program = afmc.compile(config, "ideal-512", shapes_only=True, level=0).program
        costs = estimate_baseline(program, hardware, Workload(context=run["context"]))
        ms, mJ = costs.latency_ns / 1e6, costs.energy_nJ / 1e6
        table.add(
            f"{run['model']}, {run['context']:,}",
            f"{run['token_mJ']:.0f} mJ, {run['token_ms']:.2f} ms",
            f"{mJ:.0f} mJ, {ms:.2f} ms",
            f"x {mJ / run['token_mJ']:.2f}",
            f"x {ms / run['token_ms']:.2f}",
        )
    table.finish(write)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measured", type=Path, metavar="FILE.json")
    parser.add_argument("--baseline", default="h100")
    add_option(parser)
    options = parser.parse_args()
    if options.measured is None:
        print(json.dumps(measure(), indent=1))
    else:
        against(json.loads(options.measured.read_text()), options.baseline, options.write)


if __name__ == "__main__":
    main()
