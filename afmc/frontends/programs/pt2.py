"""Exported programs in .pt2 files, read without running anything that a file could bring along.

torch.export.load evaluates text of an archive as Python and may unpickle. Here the archive's JSON
is walked instead: operators must be among those of ATen that afmc knows, everything else is numbers
and names, weights are raw bytes. The module that results is exported anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import operator
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.export import ExportedProgram

from afmc.errors import ModelError
from afmc.frontends.graph import reasons
from afmc.frontends.graph.sources import drop_sources

Json = Mapping[str, Any]

_OPERATOR = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
_PART_OF_NAME = re.compile(r"[A-Za-z0-9_]+")
_ON_SIZES: dict[str, Callable[..., Any]] = {
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in "add eq floordiv ge gt le lt mod mul ne neg sub".split()
    },
    "torch.sym_max": torch.sym_max,
    "torch.sym_min": torch.sym_min,
}  # fmt: skip
_TYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64,
    6: torch.float16, 7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
_FORMATS = {
    1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d,
    4: torch.preserve_format,
}  # fmt: skip
_MOST_VALUES = 2**28
"""Most values of an example input."""


@dataclass(frozen=True, eq=False)
class Archive:
    module: nn.Module
    inputs: tuple[str, ...]
    example: tuple[Tensor, ...]
    """Made up, of the sizes that the program was exported with."""
    dynamic: tuple[tuple[int, ...], ...]
    """By input, the dimensions that may have any size."""
    sha256: str


class _Refused(Exception):
    """What is not done; one clause."""


def read(path: Path) -> Archive:
    """Raises ModelError, in one sentence, for what is damaged, unknown or pickled."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _Reader(archive).read(hashlib.sha256(content).hexdigest())
    except _Refused as error:
        raise ModelError(f"{path} is not read: {error}.") from error
    except (
        ArithmeticError, AttributeError, LookupError, RecursionError, RuntimeError, TypeError,
        ValueError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise ModelError(
            f"{path} is not a program that torch.export of torch {torch.__version__} saves, or is "
            f"damaged."
        ) from error


def write(exported: ExportedProgram, path: Path) -> None:
    """Writes it without its example inputs, which torch would pickle, and without paths of this
    machine."""
    drop_sources(exported)
    bare = ExportedProgram(
        root=exported.graph_module,
        graph=exported.graph,
        graph_signature=exported.graph_signature,
        state_dict=exported.state_dict,
        range_constraints=exported.range_constraints,
        module_call_graph=exported.module_call_graph,
        example_inputs=None,
        constants=exported.constants,
        verifiers=exported.verifiers,
    )
    buffer = io.BytesIO()  # torch's own file writer ends the process when a disk is full
    torch.export.save(bare, buffer)
    path.write_bytes(buffer.getbuffer())


class _Reader:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
            raise _Refused("it is compressed, which torch.export does not do")
        models = [name for name in archive.namelist() if re.search(r"/models/[^/]*\.json$", name)]
        if len(models) != 1:
            raise _Refused(f"it holds {len(models)} programs instead of one")
        self.root, _, file = models[0].partition("/models/")
        self.name = file.removesuffix(".json")
        self.program: Json = json.loads(archive.read(models[0]))

    def read(self, sha256: str) -> Archive:
        graph, signature = (self.program["graph_module"][k] for k in ("graph", "signature"))
        module = _Program(graph)
        tensors = {**self._tensors("weights"), **self._tensors("constants")}
        example, dynamic = [], []
        for spec in signature["input_specs"]:
            [(kind, said)] = spec.items()
            if kind == "user_input":
                value = said["arg"]["as_tensor"]["name"]
                made, free = _example(graph["tensor_values"][value], value)
                module.inputs.append(value)
                example.append(made)
                dynamic.append(free)
            elif kind in ("parameter", "buffer", "tensor_constant"):
                name = said[f"{kind}_name"]
                module.hold(said["arg"]["name"], name, tensors[name], parameter=kind == "parameter")
            else:
                raise _Refused(f"it has an input of the kind {kind}")
        for spec in signature["output_specs"]:
            [(kind, said)] = spec.items()
            if kind != "user_output":
                raise _Refused(
                    f"it has an output of the kind {kind}: call .eval() before exporting"
                )
            module.outputs.append(said["arg"])
        inputs = tuple(module.inputs)
        return Archive(module.eval(), inputs, tuple(example), tuple(dynamic), sha256)

    def _tensors(self, kind: str) -> dict[str, Tensor]:
        """By name in the model. Those that share memory share it here."""
        folder = f"{self.root}/data/{kind}"
        config = json.loads(self.archive.read(f"{folder}/{self.name}_{kind}_config.json"))["config"]
        stored: dict[str, Tensor] = {}
        found = {}
        for name, said in config.items():
            if said["use_pickle"] or said["tensor_meta"] is None:
                raise _Refused(f"{name} is pickled")
            meta, place = said["tensor_meta"], said["path_name"]
            kind_of = _type(meta["dtype"])
            if place not in stored:
                content = bytearray(self.archive.read(f"{folder}/{place}"))
                stored[place] = torch.frombuffer(content, dtype=torch.uint8) if content else (
                    torch.empty(0, dtype=torch.uint8)
                )  # fmt: skip
            sizes, strides = ([each["as_int"] for each in meta[k]] for k in ("sizes", "strides"))
            flat = stored[place].view(kind_of)
            if math.prod(sizes) > flat.numel():
                raise _Refused(f"{name} has more values than are stored")
            found[name] = flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"])
        return found


class _Program(nn.Module):
    """The nodes one after the other."""

    def __init__(self, graph: Json) -> None:
        super().__init__()
        self.inputs: list[str] = []
        self.outputs: list[Json] = []
        self._held: dict[str, str] = {}
        """Path of a tensor, by name of the value."""
        self._nodes = [(_target(node["target"]), node["inputs"], node["outputs"])
                       for node in graph["nodes"]]  # fmt: skip

    def hold(self, value: str, path: str, tensor: Tensor, *, parameter: bool) -> None:
        *folders, last = path.split(".")
        place: nn.Module = self
        for part in (*folders, last):
            if not _PART_OF_NAME.fullmatch(part) or hasattr(nn.Module(), part):
                raise _Refused(f"it has a tensor of the name {path!r}")
        for part in folders:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place.get_submodule(part)
        if last not in place._parameters and last not in place._buffers:
            if parameter:
                place.register_parameter(last, nn.Parameter(tensor, requires_grad=False))
            else:
                place.register_buffer(last, tensor)
        self._held[value] = path

    def forward(self, *inputs: Tensor) -> Any:
        values: dict[str, Any] = dict(zip(self.inputs, inputs, strict=True))
        for name, path in self._held.items():
            folder, _, last = path.rpartition(".")
            values[name] = getattr(self.get_submodule(folder), last)
        for run, given, made in self._nodes:
            positional = [_value(each["arg"], values) for each in given if each["kind"] != 2]
            named = {e["name"]: _value(e["arg"], values) for e in given if e["kind"] == 2}
            _keep(run(*positional, **named), made, values)
        return tuple(_value(each, values) for each in self.outputs)


def _target(text: str) -> Callable[..., Any]:
    """An operator that is known, and nothing else."""
    if text in _ON_SIZES:
        return _ON_SIZES[text]
    match = _OPERATOR.fullmatch(text)
    name = f"aten.{match[1]}" if match else ""
    if match is None or not {name, name.removesuffix("_")} & reasons.KNOWN:
        raise _Refused(f"it uses {text!r}, which is not among the operators that are known")
    found = getattr(getattr(torch.ops.aten, match[1]), match[2])
    if not isinstance(found, OpOverload):
        raise _Refused(f"it uses {text!r}, which is no operator")
    return found


def _value(argument: Json, values: Mapping[str, Any]) -> Any:
    """What an operator is given."""
    [(kind, said)] = argument.items()
    plain = {"as_int": int, "as_bool": bool, "as_string": str, "as_float": float}
    if kind in plain:
        return plain[kind](said)
    if kind.removesuffix("s") in plain:
        return [plain[kind.removesuffix("s")](each) for each in said]
    if kind == "as_none":
        return None
    if kind in ("as_tensor", "as_optional_tensor"):
        return values[said["name"]] if "name" in said else _value(said, values)
    if kind == "as_tensors":
        return [values[each["name"]] for each in said]
    if kind in ("as_sym_int", "as_sym_float", "as_sym_bool"):
        return values[said["as_name"]] if "as_name" in said else _value(said, values)
    if kind in ("as_sym_ints", "as_sym_floats", "as_sym_bools", "as_optional_tensors"):
        return [_value({kind.removesuffix("s"): each}, values) for each in said]
    if kind == "as_scalar_type":
        return _type(said)
    if kind == "as_memory_format":
        return _FORMATS[said]
    if kind == "as_layout" and said == 7:
        return torch.strided
    if kind == "as_device" and said["type"] == "cpu":
        return torch.device("cpu")
    raise _Refused(f"an operator is given something of the kind {kind}")


def _keep(result: Any, made: Sequence[Json], values: dict[str, Any]) -> None:
    """Under the names that the outputs have."""
    results = (result,) if len(made) == 1 else result or ()  # what checks something makes nothing
    for argument, each in zip(made, results, strict=True):
        [(kind, said)] = argument.items()
        if kind == "as_tensors":
            values.update(zip((name["name"] for name in said), each, strict=True))
        elif kind == "as_tensor":
            values[said["name"]] = each
        elif kind.startswith("as_sym_"):
            values[said["as_name"]] = each
        elif kind != "as_none":
            raise _Refused(f"an operator makes something of the kind {kind}")


def _type(number: int) -> torch.dtype:
    if number not in _TYPES:
        raise _Refused("it has tensors of a type that is not known")
    return _TYPES[number]


def _example(meta: Json, name: str) -> tuple[Tensor, tuple[int, ...]]:
    """A tensor like the one that the program was exported with, and its free dimensions."""
    sizes, free = [], []
    for place, each in enumerate(meta["sizes"]):
        if "as_int" not in each:
            free.append(place)
        sizes.append(int(each["as_int"] if "as_int" in each else each["as_expr"]["hint"]["as_int"]))
    if not sizes or math.prod(sizes) > _MOST_VALUES or min(sizes) < 1:
        raise _Refused(f"its input {name} has the sizes {sizes}")
    kind = _type(meta["dtype"])
    if not kind.is_floating_point:
        return torch.zeros(sizes, dtype=kind), tuple(free)
    drawn = torch.randn(sizes, generator=torch.Generator().manual_seed(0))
    return drawn.to(kind), tuple(free)
