"""A module as a graph of ATen operations, by torch.export."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind

from afmc.errors import ModelError
from afmc.frontends.quiet import quiet

_BATCH, SEQUENCE = 2, 17  # of the example; 1 would be taken for a constant, 17 is no model's size

BEHIND = "afmc_prefix"
"""Name in the graph of what makes the cache behind which sequences stand."""

_CONSTANT_KINDS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def export(
    module: torch.nn.Module,
    *,
    dynamic: bool = True,
    tokens: int = SEQUENCE,
    behind: torch.nn.Module | None = None,
) -> ExportedProgram:
    """The graph from ``input_ids`` [batch, sequence] to logits, or else the last hidden state.

    Both sizes are dynamic, or else those of an example, which is traced sooner. A module that loops
    over the tokens has a graph of as many as the example's alone: `length_of`. Parameters keep the
    names that they have in `module` and share its memory. `behind` makes, of how many sequences
    there are, the cache behind which these stand. Raises ModelError for a module in training mode
    or one that cannot be exported.
    """
    name = type(module).__name__
    if module.training:
        raise ModelError(f"{name} is in training mode: call .eval() on it first.")
    config = getattr(module, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{name} is an encoder with a decoder: models with one input, input_ids, are compiled"
            " now."
        )
    device = next((p.device for p in module.parameters()), None)
    example = _example(config, tokens).to(device)
    if not dynamic:
        return _traced(module, example, (), behind)
    try:
        return _traced(module, example, (0, 1), behind)
    except ModelError as error:
        try:
            return _traced(module, example, (0,), behind)
        except ModelError:
            raise error from error.__cause__


def length_of(exported: ExportedProgram) -> int | None:
    """How many tokens the graph takes; None for any number."""
    names = exported.graph_signature.user_inputs
    value = next(n.meta["val"] for n in exported.graph.nodes if n.name in names)
    return value.shape[1] if isinstance(value.shape[1], int) else None


def _traced(
    module: torch.nn.Module,
    example: torch.Tensor,
    free: Sequence[int],
    behind: torch.nn.Module | None,
) -> ExportedProgram:
    """With these of both sizes free."""
    sizes = {"input_ids": dict.fromkeys(free, Dim.DYNAMIC)} if free else None
    try:
        # Without gradients the graph has no regions that switch them off.
        with quiet(), torch.no_grad(), _grouped_experts(module):
            return torch.export.export(
                _Logits(module, behind), (example,), dynamic_shapes=sizes, strict=False
            )
    except ModelError:
        raise
    except Exception as error:  # torch.export lets through what the module raises
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        cause = lines[0].rstrip(".") if lines else type(error).__name__
        raise ModelError(
            f"{type(module).__name__} cannot be exported by torch.export: {cause}."
        ) from error


@contextmanager
def _grouped_experts(module: Any) -> Iterator[None]:
    """Within it, experts are products over tokens that are sorted by expert, where transformers
    has that for the model: a graph whose shape does not depend on what the router chooses.
    """
    if not hasattr(module, "set_experts_implementation"):
        yield
        return
    before = module.get_experts_implementation()
    with suppress(ValueError, ImportError, RuntimeError):  # not for this model
        module.set_experts_implementation("grouped_mm")
    try:
        yield
    finally:
        module.set_experts_implementation(before)


def constant_names(exported: ExportedProgram) -> Mapping[str, str]:
    """Placeholder in the graph -> name in the model, for parameters and buffers."""
    return {
        spec.arg.name: spec.target
        for spec in exported.graph_signature.input_specs
        if spec.kind in _CONSTANT_KINDS and spec.target is not None
    }


def parameter_names(exported: ExportedProgram) -> Mapping[str, str]:
    """Placeholder in the graph -> name in the model, for parameters alone."""
    return {
        spec.arg.name: spec.target
        for spec in exported.graph_signature.input_specs
        if spec.kind is InputKind.PARAMETER and spec.target is not None
    }


class _Logits(torch.nn.Module):
    """One tensor in, one tensor out.

    It holds the module's own children instead of the module, so that every name in the exported
    program is the model's own, without a prefix.
    """

    def __init__(self, module: torch.nn.Module, behind: torch.nn.Module | None) -> None:
        super().__init__()
        self._parameters = module._parameters
        self._buffers = module._buffers
        self._modules = dict(module._modules)
        if behind is not None:
            self._modules[BEHIND] = behind
        self._non_persistent_buffers_set = module._non_persistent_buffers_set
        self.training = module.training
        self.__dict__["_original"] = module  # not as a child

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        original = self.__dict__["_original"]
        behind = self._modules.get(BEHIND)
        if behind is not None:
            cache = behind(input_ids.shape[0])
            output = original.forward(input_ids=input_ids, past_key_values=cache, use_cache=True)
            return first_tensor(output, type(original).__name__)
        accepted = inspect.signature(original.forward).parameters
        if "input_ids" not in accepted:
            output = original.forward(input_ids)
        elif "use_cache" in accepted:
            output = original.forward(input_ids=input_ids, use_cache=False)
        else:
            output = original.forward(input_ids=input_ids)
        return first_tensor(output, type(original).__name__)


def first_tensor(output: Any, name: str) -> torch.Tensor:
    """The output, the first tensor of several, or of a model of transformers the logits."""
    several = output if isinstance(output, (tuple, list)) else ()
    for candidate in (
        output,
        getattr(output, "logits", None),
        getattr(output, "last_hidden_state", None),
        *several,
    ):
        if isinstance(candidate, torch.Tensor):
            return candidate
    raise ModelError(f"{name} returns neither a tensor nor logits nor a last hidden state.")


def tokens_of_example(config: Any, tokens: int = SEQUENCE) -> int:
    """So many, or fewer where the model's context is shorter."""
    positions = getattr(config, "max_position_embeddings", None)
    return max(2, min(tokens, positions - 2)) if positions else tokens


def _example(config: Any, tokens: int) -> torch.Tensor:
    """Token ids [2, tokens] within a small vocabulary and a short context."""
    sequence = tokens_of_example(config, tokens)
    vocabulary = getattr(config, "vocab_size", None) or SEQUENCE
    return (torch.arange(_BATCH * sequence) % min(vocabulary, 16)).reshape(_BATCH, sequence)
