"""A linear layer on tiles: the batched path, and the drop-in replacement of nn.Linear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from afmc.errors import OptionError
from afmc.hardware.conditions import Condition
from afmc.passes.cutting.cuts import Style, cut
from afmc.program.model import largest_over
from afmc.simulator.converters import codes, digits_of
from afmc.simulator.correction import Correction, measure
from afmc.simulator.devices.base import device_of
from afmc.simulator.directions import Directions, Errors, measure_errors
from afmc.simulator.prepare import AS_IT_IS, Preparation
from afmc.simulator.row_slice import Plane, RowSlice, whole
from afmc.simulator.streams import Address
from afmc.simulator.tiles import Piece, Programmed, program
from afmc.targets import Target


class TileLinear(nn.Module):
    """``nn.Linear`` on the noisy tiles of a target.

    Computes what the reference simulator does (`afmc.simulator.reference`), a row slice at a time
    for all blocks and tokens at once. Weights are scaled beforehand so that the product comes out
    in steps of the output converter; rounding then differs from the reference only where a value
    lies within floating-point error of the middle between two steps.

    Parameters
    ----------
    linear: the layer to replace; its parameters are kept and not changed. ``weight`` is
        [outputs, inputs].
    target: the hardware.
    input_range: half width of the input converters' range, in units of the activation; needed when
        the target has input or output converters. Or one for each of so many row slices of nearly
        equal size, as AIHWKIT-Lightning's layers have: a block takes the largest of those whose
        rows it has.
    generator: decides the device noise; needed when the target's devices are noisy.
    style: how the weight is cut into blocks, as in the pass `split`.
    condition: time since programming, temperature and digital corrections; just programmed at 25
        degrees Celsius without it.

    Raises OptionError when an argument that the target needs is missing.
    """

    weight: Tensor
    bias: Tensor | None
    row_range: Tensor | None

    def __init__(
        self,
        linear: nn.Linear,
        target: Target,
        *,
        input_range: float | Sequence[float] | None = None,
        generator: torch.Generator | None = None,
        style: Style = "full",
        condition: Condition | None = None,
    ) -> None:
        super().__init__()
        self._setup(linear.weight, linear.bias, target, input_range, transposed=False)
        device = device_of(target)
        seed = 0
        if target.is_random:
            if generator is None:
                raise OptionError(
                    f"the devices of {target.name} are noisy: pass generator="
                    f"torch.Generator().manual_seed(...), or use target.without_noise()."
                )
            seed = int(torch.randint(2**62, (), generator=generator))
        pieces = pieces_of(self.in_features, self.out_features, target, style)
        condition = condition or Condition(compensation=target.device.compensation)

        def written(when: Condition) -> Programmed:
            weight = self.weight.detach()
            return program(weight, pieces, target, device, seed=seed, instance=0, condition=when)

        reads = torch.Generator().manual_seed(seed)
        correction = None
        if condition.probes:
            self.write(written(Condition()), reads)
            correction = self.measure(condition.probes, reads)
        self.write(written(condition), reads, correction)

    @classmethod
    def unwritten(
        cls,
        weight: Tensor,
        bias: Tensor | None,
        target: Target,
        input_range: float | Sequence[float] | None,
        *,
        transposed: bool,
        preparation: Preparation = AS_IT_IS,
    ) -> TileLinear:
        """A layer whose tiles `write` fills later; `transposed`: a weight [inputs, outputs].

        Ranges are those of the inputs as `preparation` leaves them.
        """
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer._setup(weight, bias, target, input_range, transposed, preparation)
        return layer

    def _setup(
        self,
        weight: Tensor,
        bias: Tensor | None,
        target: Target,
        input_range: float | Sequence[float] | None,
        transposed: bool,
        preparation: Preparation = AS_IT_IS,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.preparation = preparation
        self._held: Tensor | None = None
        self._errors: Errors | None = None
        self._transposed = transposed
        self.out_features, self.in_features = reversed(weight.shape) if transposed else weight.shape
        self.target = target
        given = input_range if isinstance(input_range, Sequence) else [input_range or 0.0]
        self._ranges = [float(each) for each in given] if target.needs_input_range else [1.0]
        possible = all(0 < each < float("inf") for each in self._ranges)
        if not possible or not 0 < len(self._ranges) <= self.in_features:
            raise OptionError(
                f"{target.name} needs an input_range above 0, to which its converters and the "
                f"noise of its reads refer."
            )
        self.input_range = None if input_range is None else max(given)
        self._range = max(self._ranges)
        self.register_buffer("row_range", None, persistent=False)
        self.slices = nn.ModuleList()
        self.offset: Tensor | None

    @property
    def ideal(self) -> Tensor:
        """[outputs, inputs]: what the tiles are to hold."""
        if self._held is None:
            weight = self.weight.detach()
            self._held = self.preparation.weights(weight.T if self._transposed else weight)
        return self._held

    def wanted(self, x: Tensor) -> Tensor:
        """The product in digital arithmetic, without the bias: [..., inputs] to [..., outputs]."""
        weight = self.weight.detach()
        return x @ (weight if self._transposed else weight.T)

    def write(
        self,
        programmed: Programmed,
        reads: torch.Generator,
        correction: Correction | None = None,
    ) -> None:
        """Puts the weights of one instance onto the tiles; the ones before are gone.

        `reads` draws what is drawn at each read; `correction` is what `measure` found.
        """
        self._reads = reads
        if len(self._ranges) > 1:
            programmed = self._in_own_ranges(programmed)
        if self.target.output.steps is None:
            programmed = whole(programmed)
        count = len(programmed.slices)
        self.slices = nn.ModuleList(RowSlice(programmed, i, self.target) for i in range(count))
        offset = None if correction is None else correction.apply_to(self._row_slices)
        self.register_buffer("offset", offset, persistent=False)
        self._errors = None

    def _in_own_ranges(self, programmed: Programmed) -> Programmed:
        """Sets the range of every row; what a slice with a smaller one gives counts for less."""
        count = self.in_features
        full = [largest_over(self._ranges, count, *rows) for rows in programmed.slices]
        by_slice = programmed.gain.new_tensor(full)
        sizes = torch.tensor([last - first for first, last in programmed.slices])
        self.register_buffer("row_range", by_slice.repeat_interleave(sizes), persistent=False)
        return replace(programmed, gain=programmed.gain * (by_slice / self._range).unsqueeze(1))

    def set_range(self, input_range: float) -> None:
        """Sets one range for all rows; what is on the tiles is in units of it, and stays."""
        self._ranges, self._range, self.input_range = [input_range], input_range, input_range

    def measure(self, probes: int, generator: torch.Generator) -> Correction:
        """Gain and offset of every column of every row slice, from so many random inputs."""
        x = torch.empty(probes, self.in_features, dtype=self.weight.dtype)
        x.normal_(std=self._range / 6, generator=generator)
        ideal = self.ideal
        if self.row_range is not None:
            share = self.row_range / self._range
            x.mul_(share)
            ideal = ideal * share  # full inputs of a smaller range count for less
        return measure(self.planes(x), self._row_slices, ideal, self._reads)

    def measure_errors(
        self, directions: Directions, reads: int, generator: torch.Generator
    ) -> Errors:
        """What products lack now, measured with so many reads for each direction of the input."""
        return measure_errors(directions, reads, self.wanted, self._on_tiles, generator)

    def correct(self, errors: Errors) -> None:
        """Adds what was measured to products from now on, until the tiles are written again."""
        self._errors = errors

    @property
    def _row_slices(self) -> list[RowSlice]:
        return [part for part in self.slices if isinstance(part, RowSlice)]

    def planes(self, x: Tensor) -> list[Plane]:
        """What the input converters apply to the rows, one after the other; [..., inputs]."""
        steps = self.target.input.steps
        full = self._range if self.row_range is None else self.row_range
        if steps is None:
            planes = [Plane(x if isinstance(full, float) and full == 1 else x / full, 1.0)]
        elif self.target.input.encoding == "bit_serial":
            code = codes(x, full, steps)
            planes = [
                Plane(each.of(code).div_(each.largest), each.largest * each.unit / (steps / 2))
                for each in digits_of(self.target)
            ]
        else:
            planes = [Plane(codes(x, full, steps).div_(steps / 2), 1.0)]
        if self.target.tile.read_phases == 1:
            return planes
        return [
            Plane((sign * plane.amplitude).clamp_(min=0), sign * plane.weight)
            for plane in planes
            for sign in (1, -1)
        ]

    def multiply(self, x: Tensor) -> Tensor:
        """The product without the bias, digital corrections included: [..., inputs] to
        [..., outputs]."""
        y = self._on_tiles(x)
        if self._errors is not None:
            self._errors.add_to(y, x)
        return y

    def _on_tiles(self, x: Tensor) -> Tensor:
        """What the tiles give."""
        planes = self.planes(self.preparation.inputs(x))
        total: Tensor | None = None
        for part in self.slices:
            partial: Tensor = part(planes, self._reads)
            total = partial if total is None else total.add_(partial)
        assert total is not None
        if self.offset is not None:
            total.add_(self.offset)
        return total if self._range == 1 else total.mul_(self._range)

    def forward(self, x: Tensor) -> Tensor:
        y = self.multiply(x)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"target={self.target.name}, input_range={self.input_range}"
        )


def pieces_of(rows: int, cols: int, target: Target, style: Style) -> list[Piece]:
    """One block a tile, tiles numbered along the rows."""
    pieces: list[Piece] = []
    row = 0
    for height in cut(rows, target.crossbar.rows, style).tolist():
        col = 0
        for width in cut(cols, target.crossbar.columns, style).tolist():
            address = Address(chip=0, tile=len(pieces), tier=0, row=0, col=0)
            pieces.append(Piece(row, col, height, width, address))
            col += width
        row += height
    return pieces
