"""A pass of one's own: keep the matrices digital whose tiles would be mostly empty."""

from __future__ import annotations

from dataclasses import dataclass, replace

import afmc
from afmc.compiler.pipeline import load_passes
from afmc.program.program import Program
from afmc.targets import Target


@dataclass(frozen=True)
class SkipSmall:
    least: float = 0.25
    """Share of a crossbar's cells that a matrix must fill to go there."""

    def __call__(self, program: Program, target: Target) -> Program:
        cells = target.crossbar.rows * target.crossbar.columns
        small = {
            matrix.name: f"fills less than {self.least:.0%} of a crossbar"
            for matrix in program.analog
            if matrix.weights < self.least * cells
        }
        return replace(program, digital={**(program.digital or {}), **small})


def main() -> None:
    partition, *rest = load_passes()
    model = afmc.compile("smollm2-135m", "ideal-512", passes=[partition, SkipSmall(0.5), *rest])
    for field in ("matrices_analog", "matrices_digital", "tiles_used", "utilization"):
        print(f"{field}: {getattr(model.summary, field)}")


if __name__ == "__main__":
    main()
