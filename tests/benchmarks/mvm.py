"""A matrix product on tiles against nn.Linear and AIHWKIT-Lightning, interleaved in one run.

    python tests/benchmarks/mvm.py [--threads N]

Prints the median over the rounds of each layer's time divided by nn.Linear's in the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import afmc

LAYERS = ((576, 1536), (2048, 2048), (4096, 4096))
BATCHES = (1, 8, 64, 512)


def lightning(linear: nn.Linear, max_input_size: int) -> Callable[[Tensor], Tensor] | None:
    """Their layer with the same converters, ranges and row splits; None where not installed."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            from aihwkit_lightning.nn import AnalogLinear
            from aihwkit_lightning.simulator.configs import TorchInferenceRPUConfig
    except ImportError:
        return None
    config = TorchInferenceRPUConfig()
    config.forward.inp_res = config.forward.out_res = 254
    config.forward.out_bound = 14.0
    config.mapping.max_input_size = max_input_size
    config.pre_post.input_range.enable = True
    rows, cols = linear.in_features, linear.out_features
    layer = AnalogLinear(rows, cols, bias=False, rpu_config=config)
    layer.set_weights_and_biases(linear.weight.detach(), None)
    layer.input_range.data.fill_(3.0)
    return layer.eval()


def seconds(layer: Callable[[Tensor], Tensor], x: Tensor, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        layer(x)
    return (time.perf_counter() - start) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, fp32, time / nn.Linear's time")
    print(f"{'layer':>12} {'batch':>6} {'nn.Linear':>12} {'TileLinear':>11} {'Lightning':>10}")
    target = afmc.load_target("afm-512-projected").without_noise()
    for rows, cols in LAYERS:
        linear = nn.Linear(rows, cols, bias=False)
        ours = afmc.TileLinear(linear, target, input_range=3.0)
        layers = {"linear": linear, "tile": ours, "lightning": lightning(linear, 512)}
        for batch in BATCHES:
            x = torch.randn(batch, rows)
            calls = max(1, 2**28 // (rows * cols * batch))
            ratios: dict[str, list[float]] = {"tile": [], "lightning": []}
            base = []
            with torch.inference_mode():
                for _ in range(options.rounds):
                    once = {n: seconds(f, x, calls) for n, f in layers.items() if f is not None}
                    base.append(once["linear"])
                    for name, measured in ratios.items():
                        if name in once:
                            measured.append(once[name] / once["linear"])
            shown = [f"{statistics.median(r):.2f}" if r else "-" for r in ratios.values()]
            size = f"{rows} x {cols}"
            milliseconds = f"{1e3 * statistics.median(base):.3f} ms"
            print(f"{size:>12} {batch:>6} {milliseconds:>12} {shown[0]:>11} {shown[1]:>10}")


if __name__ == "__main__":
    main()
