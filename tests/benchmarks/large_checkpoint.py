"""Mapping, measuring and writing a checkpoint that is larger than memory: gibibytes and seconds.

    python tests/benchmarks/large_checkpoint.py [--layers N] [--target T] [--folder DIR]

Writes a checkpoint with the shapes of Llama-2-7B, random weights in bfloat16 and input ranges
beside them, in shards of at most 2 GiB, compiles it with the weights left on disk in a process of
its own, verifies the result and deletes both. *Peak* is the largest resident size of that process;
*in memory* what the weights alone would be in float32. All measured, but for the last, which is
derived.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from transformers import LlamaConfig

from afmc.common.memory import GIB

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from checkpoints import write_checkpoint
from tables import Table, add_option

HEADINGS = ("weights", "checkpoint", "in memory, float32", "peak", "seconds", "written")
BASIS = "Size in memory: derived. The rest: measured."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--target", default="afm-512-projected")
    parser.add_argument("--folder", type=Path, help="Where there is room for twice the checkpoint.")
    add_option(parser)
    options = parser.parse_args()
    config = LlamaConfig(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=options.layers,
        num_attention_heads=32,
        num_key_value_heads=32,
        vocab_size=32000,
        max_position_embeddings=4096,
    )
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        checkpoint, out = Path(place) / "checkpoint", Path(place) / "out"
        start = time.perf_counter()
        parameters = write_checkpoint(config, checkpoint, input_range=4.0)
        size = sum(file.stat().st_size for file in checkpoint.iterdir())
        print(f"checkpoint: {parameters:,} weights, {size / GIB:.2f} GiB in shards of 2 GiB, "
              f"made in {time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip
        start = time.perf_counter()
        afmc = Path(sys.executable).with_name("afmc")
        command = [afmc, "compile", "-O0", checkpoint, "-t", options.target]
        subprocess.run(
            [*command, "--weights", "disk", "-o", out], check=True, stdout=subprocess.DEVNULL
        )
        seconds = time.perf_counter() - start
        measured = json.loads((out / "compile.json").read_text())
        written = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
        stages = ", ".join(f"{name} {s:.0f}" for name, s in measured["stages_s"].items())
        print(f"in memory: {4 * parameters / GIB:.1f} GiB in float32")
        print(f"peak: {measured['peak_rss_mb'] / 1024:.2f} GiB")
        print(f"seconds: {seconds:.0f} ({stages})")
        print(f"written: {written / GIB:.2f} GiB")
        table = Table("scale", "large-checkpoint", HEADINGS, BASIS, words=0)
        table.keep(
            f"{parameters:,}",
            f"{size / GIB:.2f} GiB",
            f"{4 * parameters / GIB:.1f} GiB",
            f"{measured['peak_rss_mb'] / 1024:.2f} GiB",
            f"{seconds:.0f}",
            f"{written / GIB:.2f} GiB",
        )
        verified = subprocess.run([afmc, "verify", out], check=False)
        print(f"afmc verify: exit status {verified.returncode}")
    table.finish(options.write)


if __name__ == "__main__":
    main()
