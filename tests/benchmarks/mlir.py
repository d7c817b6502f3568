"""SmolLM2-135M as MLIR: time and memory of lowering and of IREE, and logits against FX.

    python tests/benchmarks/mlir.py [--model NAME] [--target NAME] [--lengths 16 64]

Prints seconds, processor time and the largest resident size so far of this process, all measured,
stage by stage, and then for perfect and for noisy tiles the largest difference of logits from the
FX execution of the same tiles. Converters round, so that it is 0 as a rule; with --target ideal-512
it is that of the arithmetic.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

import afmc
from afmc.mlir import Executable, lower


@contextmanager
def stage(name: str) -> Iterator[None]:
    start, worked = time.perf_counter(), processor_s()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{name:18} {time.perf_counter() - start:8.1f} s {processor_s() - worked:8.1f} s of a "
        f"processor {peak:8,.0f} MB",
        flush=True,
    )


def processor_s() -> float:
    """Of this process and of those that it started and saw end."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--target", default="afm-512-projected")
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 64])
    options = parser.parse_args()
    with stage("compile"):
        model = afmc.compile(options.model, options.target)
    with stage("torch.export"):
        model.digital_graph()
    with stage("lower to linalg"):
        text = lower(model)
    with stage("IREE"):
        executable = Executable.of(model, text)
    print(f"{len(text):,} bytes, {len(executable.signature.calls)} functions without a body")
    vocabulary = model.digital.get_submodule("lm_head").out_features
    assert isinstance(vocabulary, int)
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
            print(
                f"{name}, {length} tokens: largest difference of logits {difference:.2e}, largest "
                f"logit {expected.abs().max().item():.1f}; {seconds:.2f} s"
            )


if __name__ == "__main__":
    main()
