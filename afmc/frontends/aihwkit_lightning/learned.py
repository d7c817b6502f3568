"""What hardware-aware training with AIHWKIT-Lightning left in a model: ranges, limits, rounding.

The library clips and rounds weights anew whenever it multiplies by them. Here that is done once,
when the model is read, so that what goes to tiles is what the library would multiply by.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from afmc.errors import ModelError
from afmc.frontends.checkpoint.folder import INPUT_RANGE, WEIGHT_CLIP, Header
from afmc.frontends.checkpoint.inert import shown
from afmc.frontends.checkpoint.tensors import read_named
from afmc.program.model import even_pieces
from afmc.program.observed import Training


@dataclass(frozen=True)
class Learned:
    """Beside the weights of a checkpoint, by module."""

    ranges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Half widths of the input converters' ranges, of one or several row slices."""
    limits: Mapping[str, Tensor] = field(default_factory=dict)
    """[row slices, outputs]: the largest absolute weights."""
    analog: Collection[str] | None = None
    """The analog layers, where that is known."""


def read_learned(headers: Mapping[str, Header], pickled: Mapping[str, Tensor]) -> Learned:
    """Reads what a checkpoint learned. Raises ModelError for what is not a positive number."""
    ranges, limits = (read_named(headers, pickled, last) for last in (INPUT_RANGE, WEIGHT_CLIP))
    return learned_of(ranges, limits, lambda tensor: headers[tensor].file)


def learned_of(
    ranges: Mapping[str, Tensor],
    limits: Mapping[str, Tensor],
    place: Callable[[str], Path | str],
    analog: Collection[str] | None = None,
) -> Learned:
    """`place` says where a tensor is from. Raises ModelError for what is not a positive number."""
    for found, axes, last in ((ranges, 1, INPUT_RANGE), (limits, 2, WEIGHT_CLIP)):
        for module, values in found.items():
            _check_positive(values, axes, place(f"{module}.{last}"), module, last)
    widths = {module: tuple(values.double().tolist()) for module, values in ranges.items()}
    return Learned(widths, limits, analog)


@dataclass(frozen=True, eq=False)
class Fit:
    """From the weight of a layer to the one that the library would multiply by."""

    sizes: list[int]
    """Inputs of each row slice."""
    limits: Tensor | None
    """[row slices, outputs]: the largest absolute weights."""
    steps: float | None
    """Steps of a rounded weight between its limits."""
    whole: bool
    """A single limit for a row slice, that of its largest weight."""

    def __call__(self, weight: Tensor) -> Tensor:
        """[outputs, inputs], clipped and rounded."""
        parts = torch.split(weight.float(), self.sizes, dim=1)
        limits = [None] * len(parts) if self.limits is None else self.limits.float().unsqueeze(2)
        pairs = zip(parts, limits, strict=True)
        return torch.cat([_fitted(*pair, self.steps, self.whole) for pair in pairs], dim=1)

    def loose(self, weight: Tensor) -> int:
        """How many columns of row slices have no weight as large as their limit."""
        if self.limits is None:
            return 0
        parts = torch.split(weight.float(), self.sizes, dim=1)
        largest = torch.stack([part.abs().amax(dim=1) for part in parts])
        return int((largest < self.limits.float()).sum())


def fits(
    module: nn.Module,
    learned: Learned,
    training: Training | None,
    place: Path | str,
    log: Callable[[str], None],
) -> dict[str, Fit]:
    """What is to be done to the weights of analog layers, by the path of the layer.

    Where it is not known which layers are analog, those with input ranges or limits are; where none
    has any, all linear ones. No weight is read. Raises ModelError where what was learned does not
    fit the model.
    """
    names = {path for path, _ in (*module.named_modules(), *module.named_parameters())}
    if strange := sorted({*learned.ranges, *learned.limits} - names):
        log(
            f"{place} has input ranges or limits for what the model does not have, first "
            f"{shown(strange[0])}"
        )
    layers = {path: each for path, each in module.named_modules() if isinstance(each, nn.Linear)}
    for path in {**learned.ranges, **learned.limits}:
        if path in layers:
            _check_shapes(path, layers[path], learned, place)
    analog = learned.analog or learned.ranges or learned.limits or layers
    found = {}
    for path, layer in layers.items():
        if path not in analog:
            continue
        limit = learned.limits.get(path)
        if limit is None and training is not None and training.clip == "learned":
            raise ModelError(
                f"{place} lacks {path}.{WEIGHT_CLIP}, by which its configuration clips weights."
            )
        steps = None if training is None else training.weight_steps
        if limit is None and steps is None:
            continue
        count = _pieces(path, layer.in_features, learned, training)
        whole = limit is None and training is not None and training.weight_steps_of == "tile"
        found[path] = Fit(even_pieces(layer.in_features, count), limit, steps, whole)
    return found


def fit(module: nn.Module, wanted: Mapping[str, Fit], log: Callable[[str], None]) -> None:
    """Leaves in the layers of a module what `fits` found for them."""
    loose = 0
    for path, each in wanted.items():
        layer = module.get_submodule(path)
        weight = layer.get_parameter("weight").detach()
        loose += each.loose(weight)
        layer.register_parameter("weight", nn.Parameter(each(weight), requires_grad=False))
    say_loose(loose, log)


def say_loose(columns: int, log: Callable[[str], None]) -> None:
    """Tells where output converters are not used as in training."""
    if columns:
        log(
            f"{columns:,} columns of row slices have a learned limit above their largest weight, "
            f"to which the range of output converters refers here"
        )


def _fitted(part: Tensor, limit: Tensor | None, steps: float | None, whole: bool) -> Tensor:
    """Clipped to the limit of each column, and rounded; [outputs, inputs of a row slice]."""
    if limit is None:
        limit = part.abs().amax(dim=1, keepdim=True)
        limit = limit.amax().expand_as(limit) if whole else limit
    step = limit if steps is None else 2 * limit / steps
    step = torch.where(step == 0, 1.0, step)
    most = 1.0 if steps is None else steps / 2
    level = (part / step).clamp(-most, most)
    return (level if steps is None else level.round()) * step


def _pieces(path: str, rows: int, learned: Learned, training: Training | None) -> int:
    for found in (learned.ranges.get(path), learned.limits.get(path)):
        if found is not None:
            return len(found)
    most = None if training is None else training.max_rows
    return -(-rows // most) if most else 1


def _check_positive(values: Tensor, axes: int, place: Path | str, module: str, last: str) -> None:
    where = f"{place} has in {shown(module)}.{last}"
    if values.dim() != axes or not values.numel():
        shape = " x ".join(map(str, values.shape)) or "a single number"
        wanted = "[row slices]" if axes == 1 else "[row slices, outputs]"
        raise ModelError(f"{where} the shape {shape} instead of {wanted}.")
    bad = values[~((values > 0) & torch.isfinite(values))]
    if len(bad):
        raise ModelError(
            f"{where} {len(bad):,} of {values.numel():,} values that are no numbers above 0, "
            f"first {bad[0].item():g}."
        )


def _check_shapes(path: str, layer: nn.Linear, learned: Learned, place: Path | str) -> None:
    ranges, limit = learned.ranges.get(path), learned.limits.get(path)
    if ranges is not None and len(ranges) > layer.in_features:
        raise ModelError(
            f"{place} has {len(ranges)} values in {path}.{INPUT_RANGE}, but the layer has "
            f"{layer.in_features} inputs to cut into row slices."
        )
    slices = limit is not None and len(ranges or limit)
    if limit is not None and (
        limit.shape != (slices, layer.out_features) or len(limit) > layer.in_features
    ):
        raise ModelError(
            f"{place} has the shape {' x '.join(map(str, limit.shape))} in {path}.{WEIGHT_CLIP}, "
            f"but the layer has {slices} row slices of {layer.out_features} outputs."
        )
