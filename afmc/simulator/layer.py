"""A linear layer on tiles: the batched path, and the drop-in replacement of nn.Linear."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from afmc.errors import OptionError
from afmc.passes.split import Style, cut
from afmc.simulator.converters import codes
from afmc.simulator.devices import device_of
from afmc.simulator.random import Address
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
        the target has input or output converters.
    generator: decides the device noise; needed when the target's devices are noisy.
    style: how the weight is cut into blocks, as in the pass `split`.

    Raises OptionError when an argument that the target needs is missing.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        linear: nn.Linear,
        target: Target,
        *,
        input_range: float | None = None,
        generator: torch.Generator | None = None,
        style: Style = "full",
    ) -> None:
        super().__init__()
        self._setup(linear.weight, linear.bias, target, input_range, transposed=False)
        device = device_of(target)
        seed = 0
        if device is not None:
            if generator is None:
                raise OptionError(
                    f"the devices of {target.name} are noisy: pass generator="
                    f"torch.Generator().manual_seed(...), or use target.without_noise()."
                )
            seed = int(torch.randint(2**62, (), generator=generator))
        pieces = pieces_of(self.in_features, self.out_features, target, style)
        self.write(program(self.weight.detach(), pieces, target, device, seed=seed, instance=0))

    @classmethod
    def unwritten(
        cls,
        weight: Tensor,
        bias: Tensor | None,
        target: Target,
        input_range: float | None,
        *,
        transposed: bool,
    ) -> TileLinear:
        """A layer whose tiles `write` fills later; `transposed`: a weight [inputs, outputs]."""
        layer = cls.__new__(cls)
        nn.Module.__init__(layer)
        layer._setup(weight, bias, target, input_range, transposed)
        return layer

    def _setup(
        self,
        weight: Tensor,
        bias: Tensor | None,
        target: Target,
        input_range: float | None,
        transposed: bool,
    ) -> None:
        self.weight = weight
        self.bias = bias
        self.out_features, self.in_features = reversed(weight.shape) if transposed else weight.shape
        self.target = target
        self.input_range = input_range
        converts = target.input.bits is not None or target.output.bits is not None
        if converts and not input_range:
            raise OptionError(f"the converters of {target.name} need an input_range above 0.")
        self._slices: list[tuple[int, int]] = []

    def write(self, programmed: Programmed) -> None:
        """Puts the weights of one instance onto the tiles; the ones before are gone."""
        weight = programmed.weight
        scale_in = self._input_step
        if self.target.output.steps is None:
            # Perfect output converters: partial sums add up exactly, so there is one slice.
            self._slices = [(0, self.in_features)]
            held, steps = [weight * scale_in], [None]
        else:
            assert self.input_range is not None and self.target.output.bound is not None
            self._slices = list(programmed.slices)
            bound = self.input_range * self.target.output.bound * programmed.w_max
            step_out = 2 * bound / self.target.output.steps  # [slices, cols]
            held = [
                weight[:, first:last] * (scale_in / step).unsqueeze(1)
                for (first, last), step in zip(self._slices, step_out, strict=True)
            ]
            steps = list(step_out)
        for index, (cells, step) in enumerate(zip(held, steps, strict=True)):
            self.register_buffer(f"cells{index}", cells.detach().contiguous(), persistent=False)
            self.register_buffer(f"step{index}", step, persistent=False)

    @property
    def _input_step(self) -> float:
        """What one code of the input converter stands for; 1 where the converter is perfect."""
        if self.target.input.steps is None:
            return 1.0
        assert self.input_range is not None
        return 2 * self.input_range / self.target.input.steps

    def multiply(self, x: Tensor) -> Tensor:
        """The tiles' part, without the bias: [..., inputs] to [..., outputs]."""
        if self.target.input.steps is not None:
            assert self.input_range is not None
            x = codes(x, self.input_range, self.target.input.steps)
        if self.target.output.steps is None:
            return functional.linear(x, self.get_buffer("cells0"))
        limit = self.target.output.steps / 2
        total: Tensor | None = None
        for index, (first, last) in enumerate(self._slices):
            partial = functional.linear(x[..., first:last], self.get_buffer(f"cells{index}"))
            partial.round_().clamp_(-limit, limit)
            step = self.get_buffer(f"step{index}")
            total = partial.mul_(step) if total is None else total.addcmul_(partial, step)
        assert total is not None
        return total

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
