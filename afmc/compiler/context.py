"""What the steps of a compile share: options, the model, what was seen of it, the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.export import ExportedProgram

from afmc.common.progress import Clock, Progress
from afmc.compiler.observe import Observed
from afmc.compiler.options import Checked
from afmc.data.samples import Samples
from afmc.frontends.load import ExampleInputs
from afmc.frontends.loaded import Loaded
from afmc.lower.recovered import Recovered
from afmc.recovery.spectrum import Seen


@dataclass(frozen=True)
class Source:
    """Where the model is, and how it is read."""

    model: str | Path | nn.Module | ExportedProgram
    example_inputs: ExampleInputs | None = None
    tokenizer: Any = None
    revision: str | None = None
    trust_remote_code: bool = False


@dataclass
class Context:
    """What every step may look at besides the program: options, the model, the clock."""

    checked: Checked
    loaded: Loaded
    samples: Samples | None
    clock: Clock
    progress: Progress
    observed: Observed = field(init=False)
    recovered: Recovered = field(default_factory=Recovered)
    """Tensors that belong to the program's recovery."""
    seen: Seen | None = None
    """What matrices read, once it was looked at, and on how many tokens, or samples."""
    seen_tokens: int = 0
    minded: Mapping[str, Tensor] | None = None
    """How much the model minds errors of each matrix's outputs, once it was looked at."""
    scales: Mapping[str, float] = field(default_factory=dict)
    """By matrix: the measured divergence over the one that `minded` predicts."""

    def __post_init__(self) -> None:
        self.observed = Observed(self.loaded, self.checked.text, self.samples)

    @property
    def shapes_only(self) -> bool:
        return self.checked.options.shapes_only
