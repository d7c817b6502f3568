"""From the model that comes with afmc to code for a compiler of one's own, and back to logits.

    python examples/mlir_digital.py [--target NAME] [--tokens N] [-o FILE.mlir]

Compiles it onto noisy tiles, writes what is left to digital arithmetic as MLIR, compiles that file
with IREE, which knows nothing of afmc, binds its calls to the simulator's tiles, runs it, and
prints the largest difference from the execution in PyTorch.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

import afmc
from afmc.lower.operators import bind_tiles, mvm
from afmc.mlir import Executable, export_mlir


def main(arguments: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="afm-512-projected")
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "demo.afm"
        model = afmc.compile("demo", options.target)
        model.save(place)  # or: afmc compile demo -o demo.afm
        file = options.output or Path(folder) / "digital.mlir"
        made = export_mlir(place, file)  # or: afmc export demo.afm --as mlir -o digital.mlir
        print(f"{file.name}: {made.what}, {made.bytes:,} bytes")

        tiles = model.tiles
        columns = {matrix.name: matrix.cols for matrix in model.program.analog}
        used: list[str] = []

        def product(matrix: str, x: Tensor) -> Tensor:
            """Where hardware, or another simulator, would come in."""
            used.append(matrix)
            with bind_tiles(tiles):
                return mvm(x, matrix, columns[matrix])

        tensors = load_file(place / "model" / "model.safetensors")
        forward = Executable(file.read_text(), tensors, product)
    known = forward.signature
    print(f"compiled by IREE: {len(known.tensors)} tensors, {len(known.calls)} functions bound")

    ids = torch.arange(options.tokens).unsqueeze(0) % 97
    model.write(seed=1)
    expected = model.graph()(ids)
    model.write(seed=1)  # the same chip; what is drawn at each read begins anew
    with torch.inference_mode():
        found = forward(ids)
    difference = (found - expected).abs().max().item()
    print(f"logits {list(found.shape)} from {len(used)} products on noisy tiles")
    print(f"largest logit {expected.abs().max().item():.3f}, largest difference {difference:.1e}")
    return difference


if __name__ == "__main__":
    main()
