"""The exported graph of a compiled model to text in MLIR, by torch-mlir."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature, InputKind, InputSpec

from afmc.common.version import VERSION
from afmc.compiled_model import CompiledModel
from afmc.errors import ModelError, OptionError, did_you_mean
from afmc.frontends.quiet import quiet
from afmc.mlir.calls import NAMESPACE, annotate, call_functions, declarations
from afmc.mlir.decompositions import table
from afmc.mlir.facts import facts_of
from afmc.mlir.packages import require
from afmc.mlir.tensors import stored_names

Dialect = Literal["linalg", "torch"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
ENTRY = "forward"
"""Name of the function from inputs to logits."""

_TORCH = "builtin.module(torchdynamo-export-to-torch-backend-pipeline{})"
_LINALG = (
    "builtin.module("
    "func.func(torch-scalarize-shapes,convert-torch-to-tmtensor,canonicalize,"
    "convert-torch-to-linalg,canonicalize,"
    "convert-torch-to-scf,convert-torch-to-arith,convert-torch-to-tensor),"
    "convert-torch-conversion-to-mlprogram,"
    "func.func(expand-strided-metadata,canonicalize,resolve-shaped-type-result-dims,cse),"
    "torch-func-backend-type-conversion,canonicalize,"
    "func.func(torch-finalizing-backend-type-conversion))"
)
"""The passes of torch-backend-to-linalg-on-tensors-backend-pipeline without its last check, which
refuses calls."""


def lower(model: CompiledModel, dialect: Dialect = "linalg") -> str:
    """The digital part of a compiled model as a module of MLIR, parsed back and verified.

    Its function ``forward`` takes what the model takes, and after that the tensors that only it
    reads, each with the attribute ``afmc.tensor``: its name in the safetensors files of the saved
    model. What is in none of these is in the text. Every analog product calls a function without a
    body, whose attributes say what is on the tiles. ``linalg`` has dialects of MLIR itself;
    ``torch`` that of torch-mlir.

    Raises OptionError where torch-mlir is missing, ModelError for what it cannot lower.
    """
    check_dialect(dialect)
    require("torch_mlir", "lowering to MLIR")
    graph = model.digital_graph()
    names = stored_names(model.digital, graph)
    name = model.program.model.name
    try:
        with quiet(), torch.no_grad():
            graph = graph.run_decompositions(table())
            arguments = _arguments(graph, names)
            module = _imported(graph)
            function = module.body.operations[0].operation
            call_functions(module, function)
            _run(_TORCH, module)
            if dialect == "linalg":
                _run(_LINALG, module)
    except Exception as error:  # torch-mlir raises nearly every type
        raise ModelError(f"{name} cannot be lowered to MLIR: {_cause_of(error)}.") from error
    _describe(module, model, arguments)
    text = f"{module}\n"
    if foreign := re.search(r"\btm_tensor\.\w+", text):
        raise ModelError(
            f"{name} cannot be lowered to the dialects of MLIR itself: it has {foreign[0]}, of "
            f"which only torch-mlir knows; --dialect torch goes as far as that."
        )
    _check(text, name)
    return text


def check_dialect(name: str) -> None:
    """Raises OptionError for one that there is not."""
    if name not in DIALECTS:
        raise OptionError(
            f"--dialect {name}: there is no such dialect, only {' and '.join(DIALECTS)}."
            f"{did_you_mean(name, DIALECTS)}"
        )


def _arguments(graph: ExportedProgram, names: Mapping[str, str]) -> list[tuple[str, str]]:
    """Makes the named constants arguments behind the inputs; gives what each argument is."""
    signature = graph.graph_signature
    inputs = [("input", name) for name in signature.user_inputs]
    kinds = (InputKind.PARAMETER, InputKind.BUFFER)
    lifted = [
        spec
        for spec in signature.input_specs
        if spec.kind in kinds and spec.target in names and spec.persistent is not False
    ]
    kept = [spec for spec in signature.input_specs if spec not in lifted]
    graph._graph_signature = ExportGraphSignature(  # there is no other way to change it
        [*kept, *(InputSpec(InputKind.USER_INPUT, spec.arg, None) for spec in lifted)],
        signature.output_specs,
    )
    return [*inputs, *(("tensor", names[str(spec.target)]) for spec in lifted)]


def _imported(graph: ExportedProgram) -> Any:
    from torch_mlir.dialects.torch import register_dialect
    from torch_mlir.extras.fx_importer import FxImporter
    from torch_mlir.ir import Context

    context = Context()
    register_dialect(context)
    importer = FxImporter(context=context)
    importer.import_program(graph, func_name=ENTRY)
    return importer.module


def _run(passes: str, module: Any) -> None:
    from torch_mlir.passmanager import PassManager

    with module.context:
        PassManager.parse(passes).run(module.operation)


def _describe(module: Any, model: CompiledModel, arguments: list[tuple[str, str]]) -> None:
    """Writes down what the module is, what its arguments are and what its calls stand for."""
    from torch_mlir.ir import ArrayAttr, DictAttr, Location, StringAttr

    compiled = model.compiled_program
    program = compiled.program
    with module.context, Location.unknown():
        about = {
            "model": program.model.name,
            "model_sha256": program.model.sha256,
            "target": compiled.target.name,
            "version": VERSION,
        }
        annotate(module.operation, about)
        for name, declaration in declarations(module).items():
            annotate(declaration, facts_of(program.matrix(name), compiled))
        function = module.body.operations[-1].operation
        function.attributes["arg_attrs"] = ArrayAttr.get(
            [
                DictAttr.get({f"{NAMESPACE}.{kind}": StringAttr.get(name)})
                for kind, name in arguments
            ]
        )


def _check(text: str, name: str) -> None:
    """Raises ModelError where torch-mlir does not read what it wrote."""
    from torch_mlir.dialects.torch import register_dialect
    from torch_mlir.ir import Context, Module

    context = Context()
    register_dialect(context)
    try:
        Module.parse(text, context).operation.verify()
    except Exception as error:
        raise ModelError(
            f"what {name} was lowered to is no valid MLIR: {_cause_of(error)}."
        ) from error


def _cause_of(error: Exception) -> str:
    """The operation that has no lowering, or the first line that says something."""
    said = str(error)
    if illegal := re.search(r"failed to legalize operation '(torch\.[\w.]+)'", said):
        named = re.search(r'"torch\.operator".*?name = "(torch\.[\w.]+)"', said)
        return f"torch-mlir has no lowering of {(named or illegal)[1]}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("Failure while")]
    return (lines[0] if lines else type(error).__name__).rstrip(".:")
