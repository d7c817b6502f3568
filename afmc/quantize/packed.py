"""Rounded weights as integers and scales, in the format of compressed-tensors (pack-quantized).

Source: https://github.com/vllm-project/compressed-tensors: names, order of bits and configuration.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from afmc.errors import OptionError
from afmc.program.model import Matrix
from afmc.program.program import Program
from afmc.quantize.precision import Precision
from afmc.quantize.round_to_nearest import Rounded, round_to_nearest

BITS = (4, 8)
"""That fit into words of 32 bits without a rest."""
CONFIG, _WEIGHTS = "config.json", "model.safetensors"


def check_packed(program: Program, precision: Precision) -> None:
    if precision.bits not in BITS:
        raise OptionError(
            f"--set form=packed holds weights of {' or '.join(map(str, BITS))} bits, not "
            f"{precision.bits}: leave it out."
        )
    other = next((m for m in program.analog if not m.layer.endswith(".Linear")), None)
    if other is not None:
        raise OptionError(
            f"--set form=packed holds linear layers, but {other.name} is {other.layer}: leave it "
            f"out."
        )
    uneven = next((m for m in program.analog if m.rows % (precision.group or m.rows)), None)
    if uneven is not None:
        raise OptionError(
            f"--set form=packed needs whole groups, but {uneven.name} has {uneven.rows:,} inputs: "
            f"choose a group that divides them."
        )


def pack(module: nn.Module, program: Program, precision: Precision, folder: Path) -> None:
    """Puts integers and scales in the place of the rounded weights, in one file."""
    tensors: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
        file.unlink()
    (folder / f"{_WEIGHTS}.index.json").unlink(missing_ok=True)
    dtype = next(each.dtype for each in tensors.values() if each.is_floating_point())
    for matrix in program.analog:
        weight = module.get_submodule(matrix.module).weight
        assert isinstance(weight, Tensor)
        rounded = round_to_nearest(weight.detach(), precision)
        del tensors[f"{matrix.module}.weight"]
        tensors |= _packed(matrix, rounded, precision, dtype)
    save_file(tensors, folder / _WEIGHTS, {"format": "pt"})
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    quantized = {matrix.module for matrix in program.analog}
    config["quantization_config"] = _scheme(
        precision,
        [n for n, m in module.named_modules() if isinstance(m, nn.Linear) and n not in quantized],
    )
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _packed(
    matrix: Matrix, rounded: Rounded, precision: Precision, dtype: torch.dtype
) -> dict[str, Tensor]:
    """As compressed-tensors names and packs them: from the lowest bits of each word upwards."""
    per_word = 32 // precision.bits
    unsigned = rounded.codes.long() + 2 ** (precision.bits - 1)
    missing = -unsigned.shape[1] % per_word
    padded = torch.nn.functional.pad(unsigned, (0, missing)).reshape(len(unsigned), -1, per_word)
    words = (padded << (torch.arange(per_word) * precision.bits)).sum(dim=2)
    signed = torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)
    return {
        f"{matrix.module}.weight_packed": signed.contiguous(),
        f"{matrix.module}.weight_scale": rounded.scales.to(dtype).contiguous(),
        f"{matrix.module}.weight_shape": torch.tensor(rounded.codes.shape, dtype=torch.int64),
    }


def _scheme(precision: Precision, ignored: list[str]) -> dict[str, Any]:
    weights = {
        "num_bits": precision.bits,
        "type": "int",
        "symmetric": True,
        "strategy": "group" if precision.group else "channel",
        "group_size": precision.group,
        "dynamic": False,
    }
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ignored,
    }
