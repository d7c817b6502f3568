"""Products on tiles as calls of functions that are declared, and have no body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afmc.mlir.facts import Fact

NAMESPACE = "afmc"
"""Before the names of functions and attributes: ``@afmc.layers.0.down_proj.weight``."""

Operation = Any
Module = Any
Type = Any
Value = Any


def symbol(matrix: str) -> str:
    return f"{NAMESPACE}.{matrix}"


def call_functions(module: Module, function: Operation) -> None:
    """Puts a call in the place of each ``torch.afmc.*`` operator, and declares what is called.

    All calls of a matrix have one type: the first dimension of what goes in and of what comes out
    may have any size.
    """
    from torch_mlir.dialects import func
    from torch_mlir.ir import (
        FlatSymbolRefAttr,
        FunctionType,
        InsertionPoint,
        Location,
        StringAttr,
    )

    declared: dict[str, list[Type]] = {}
    place = InsertionPoint(function)
    with module.context, Location.unknown():
        for operator in _operators(function):
            # The matrix is the first text among the operands, after the tensors.
            values = list(operator.operands)
            texts = [v for v in values if str(v.type) == "!torch.str"]
            tensors = values[: values.index(texts[0])]
            name = symbol(StringAttr(texts[0].owner.attributes["value"]).value)
            before = InsertionPoint(operator)
            arguments = [_cast(tensors[0], _any_length(tensors[0].type), before), *tensors[1:]]
            result = operator.results[0]
            types = [_any_length(result.type)]
            if name not in declared:
                kind = FunctionType.get([each.type for each in arguments], types)
                func.FuncOp(name, kind, visibility="private", ip=place)
                declared[name] = types
            call = func.CallOp(types, FlatSymbolRefAttr.get(name), arguments, ip=before)
            result.replace_all_uses_with(_cast(call.results[0], result.type, before))
            operator.erase()


def _operators(function: Operation) -> list[Operation]:
    from torch_mlir.ir import StringAttr

    return [
        each.operation
        for each in function.regions[0].blocks[0].operations
        if each.operation.name == "torch.operator"
        and StringAttr(each.operation.attributes["name"]).value.startswith(f"torch.{NAMESPACE}.")
    ]


def _any_length(tensor: Type) -> Type:
    """The type of a tensor with its first size left open."""
    from torch_mlir.ir import Type as AnyType

    sizes, dtype = str(tensor).removeprefix("!torch.vtensor<[").split("]")
    rest = sizes.split(",")[1:]
    return AnyType.parse(f"!torch.vtensor<[{','.join(['?', *rest])}]{dtype}")


def _cast(value: Value, kind: Type, place: Any) -> Value:
    from torch_mlir.ir import Operation as AnyOperation

    if value.type == kind:
        return value
    cast = AnyOperation.create(
        "torch.tensor_static_info_cast", results=[kind], operands=[value], ip=place
    )
    return cast.results[0]


def declarations(module: Module) -> dict[str, Operation]:
    """The functions without a body, by the name of their matrix."""
    from torch_mlir.ir import StringAttr

    found = {}
    for each in module.body.operations:
        name = StringAttr(each.operation.attributes["sym_name"]).value
        if not each.operation.regions[0].blocks:
            found[name.removeprefix(f"{NAMESPACE}.")] = each.operation
    return found


def annotate(operation: Operation, facts: Mapping[str, Fact]) -> None:
    """Writes them as attributes, ``afmc.rows = 576 : i64``."""
    for name, fact in facts.items():
        operation.attributes[f"{NAMESPACE}.{name}"] = _attribute(fact)


def _attribute(fact: Fact) -> Any:
    from torch_mlir.ir import (
        ArrayAttr,
        DenseI64ArrayAttr,
        F64Type,
        FloatAttr,
        IntegerAttr,
        IntegerType,
        StringAttr,
    )

    if isinstance(fact, str):
        return StringAttr.get(fact)
    if isinstance(fact, int):
        return IntegerAttr.get(IntegerType.get_signless(64), fact)
    whole = [each for each in fact if isinstance(each, int)]
    if len(whole) == len(fact):
        return DenseI64ArrayAttr.get(whole)
    # Not a dense array, which is printed with six digits.
    return ArrayAttr.get([FloatAttr.get(F64Type.get(), each) for each in fact])
