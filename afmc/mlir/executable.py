"""A lowered model that runs: compiled by IREE for this machine, its calls bound to products."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from afmc.compiled_model import CompiledModel
from afmc.errors import ModelError
from afmc.lower.operators import bind_tiles, grouped_mvm, mvm
from afmc.mlir.calls import NAMESPACE
from afmc.mlir.lowering import ENTRY, lower
from afmc.mlir.packages import require
from afmc.mlir.tensors import stored_tensors

Product = Callable[..., Tensor]
"""``product(matrix, x)`` for vectors [any number, rows], or ``product(bank, x, ends)`` for vectors
that are sorted by expert, of which up to row ``ends[e]`` are those of the experts up to e."""

_DEVICE = "local-sync"
_TARGET = ("--iree-llvmcpu-target-cpu=host",)


@dataclass(frozen=True)
class Signature:
    """What the text of a module says of its functions."""

    inputs: tuple[str, ...]
    tensors: tuple[str, ...]
    """Names of the arguments behind the inputs."""
    calls: Mapping[str, int]
    """How many operands the product with each matrix has."""


class Executable:
    """The function ``forward`` of a text in the dialects of MLIR, as `lower` makes it.

    Parameters
    ----------
    text: the module.
    tensors: those that the text names (``afmc.tensor``), by name.
    product: called for every analog product.

    Raises OptionError where IREE is missing, ModelError where it does not compile the text, or a
    tensor is missing.
    """

    def __init__(self, text: str, tensors: Mapping[str, Tensor], product: Product) -> None:
        require("iree.compiler", "running a lowered model")
        require("iree.runtime", "running a lowered model")
        self.signature = _read(text)
        missing = [name for name in self.signature.tensors if name not in tensors]
        if missing:
            raise ModelError(
                f"the lowered model reads the tensor {missing[0]}, which is not given."
            )
        self._tensors = [_array(tensors[name]) for name in self.signature.tensors]
        self._product = product
        self._failure: Exception | None = None
        self._forward = self._bind(_compiled(text))

    @classmethod
    def of(cls, model: CompiledModel, text: str | None = None) -> Executable:
        """On the tiles of a compiled model, which `CompiledModel.write` has put there.

        `text` is what `lower` makes of it, made here without it.
        """
        tensors = stored_tensors(model.digital, model.digital_graph())
        tiles = model.tiles

        def product(matrix: str, x: Tensor, ends: Tensor | None = None) -> Tensor:
            cols = model.program.matrix(matrix).cols
            with bind_tiles(tiles), torch.inference_mode():
                if ends is None:
                    return mvm(x, matrix, cols)
                return grouped_mvm(x, ends, matrix, cols)

        return cls(lower(model) if text is None else text, tensors, product)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Token numbers [batch, sequence] to logits; or what else the model reads."""
        self._failure = None
        try:
            result = self._forward(*map(_array, inputs), *self._tensors)
        except Exception:
            if self._failure is not None:  # of a product, which IREE tells in words of its own
                raise self._failure from None
            raise
        return torch.from_numpy(np.array(result.to_host()))

    def _bind(self, binary: bytes) -> Callable[..., Any]:
        from iree import runtime

        config = runtime.Config(_DEVICE)
        interface = runtime.PyModuleInterface(NAMESPACE, _Stateless)
        for matrix, operands in self.signature.calls.items():
            call = _Call(weakref.ref(self), matrix, config.device)
            interface.export(matrix, f"0{'r' * operands}_r", call.bound(operands))
        modules = [
            interface.create(),
            runtime.VmModule.copy_buffer(config.vm_instance, binary),
        ]
        context = runtime.SystemContext(vm_modules=modules, config=config)
        forward: Callable[..., Any] = context.modules.module[ENTRY]
        return forward


class _Stateless:
    """What IREE makes for each context that a module of Python's is in."""

    def __init__(self, interface: Any) -> None:
        pass


class _Call:
    """One function that the lowered model calls: buffers in, a buffer out."""

    def __init__(self, owner: weakref.ref[Executable], matrix: str, device: Any) -> None:
        self.owner, self.matrix, self.device = owner, matrix, device

    def bound(self, operands: int) -> Callable[..., Any]:
        """IREE looks at how many arguments it takes."""
        if operands == 1:
            return lambda state, x: self(x)
        return lambda state, x, ends: self(x, ends)

    def __call__(self, *references: Any) -> Any:
        from iree import runtime

        owner = self.owner()
        assert owner is not None  # it is being called
        views = [each.deref(runtime.HalBufferView) for each in references]
        given = [
            runtime.DeviceArray(self.device, view, implicit_host_transfer=True).to_host()
            for view in views
        ]
        try:
            result = owner._product(self.matrix, *(torch.from_numpy(np.array(a)) for a in given))
        except Exception as error:
            owner._failure = error
            raise
        view = self.device.allocator.allocate_buffer_copy(
            memory_type=runtime.MemoryType.DEVICE_LOCAL,
            allowed_usage=runtime.BufferUsage.DEFAULT | runtime.BufferUsage.MAPPING,
            device=self.device,
            buffer=_array(result),
            element_type=runtime.HalElementType.FLOAT_32,
        )
        return view.ref


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(tensor.detach().numpy())


@lru_cache(maxsize=4)
def _compiled(text: str) -> bytes:
    """Kept, because the same text is bound to several tiles."""
    from iree.compiler import tools

    try:
        binary: bytes = tools.compile_str(
            text, target_backends=["llvm-cpu"], extra_args=list(_TARGET)
        )
    except tools.CompilerToolError as error:
        said = [line for line in str(error).splitlines() if "error:" in line]
        raise ModelError(
            f"IREE does not compile the lowered model: {(said or [str(error)])[0].strip()}"
        ) from error
    return binary


def _read(text: str) -> Signature:
    from iree.compiler.ir import ArrayAttr, Context, DictAttr, Module, StringAttr

    context = Context()
    try:
        module = Module.parse(text, context)
    except Exception as error:
        raise ModelError(
            f"this is no MLIR that IREE reads: {str(error).splitlines()[-1].strip()}."
        ) from error
    names: dict[str, list[str]] = {"input": [], "tensor": []}
    calls: dict[str, int] = {}
    for each in module.body.operations:
        operation = each.operation
        name = StringAttr(operation.attributes["sym_name"]).value
        if name != ENTRY:
            matrix = StringAttr(operation.attributes[f"{NAMESPACE}.matrix"]).value
            calls[matrix] = len(operation.attributes["function_type"].value.inputs)
            continue
        for argument in ArrayAttr(operation.attributes["arg_attrs"]):
            for kind, found in names.items():
                if f"{NAMESPACE}.{kind}" in DictAttr(argument):
                    found.append(StringAttr(DictAttr(argument)[f"{NAMESPACE}.{kind}"]).value)
    return Signature(tuple(names["input"]), tuple(names["tensor"]), calls)
