"""What a compile is asked for, and what follows from that before any model is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from afmc.compiler.calibration import Method
from afmc.compiler.copies import as_kept, check_copies, with_copies
from afmc.compiler.pipeline import configure, load_passes, with_digital, with_objective
from afmc.data.text import Text, read_text
from afmc.errors import OptionError, did_you_mean
from afmc.frontends.door import Weights
from afmc.hardware.defects import Defects, gather_defects
from afmc.passes import Pass
from afmc.program.compiled import CompiledProgram
from afmc.program.folder import read_program
from afmc.program.observed import Routing
from afmc.program.program import RepairMethod
from afmc.program.recovery import STEPS
from afmc.program.rewriting import NAMES
from afmc.program.routing import read_routing
from afmc.targets import Target, load_target

LEVELS = (0, 1, 2, 3)
DEFAULT_LEVEL = 2
_BUDGETS = (0.0, 0.0, 0.02, 0.05)
"""Shares of the multiply-accumulates that may be digital, by level."""

REPAIR: tuple[RepairMethod, ...] = get_args(RepairMethod)


@dataclass(frozen=True)
class Options:
    """How a model is compiled, whatever model it is; the parameters of `afmc.compile`.

    What stands under a field describes it there and in the documentation. Nothing here needs
    torch, so that a mistake is said before it is imported.
    """

    target: str | Path | Target = "afm-512-projected"
    """A name, a ``.toml`` file, or a `Target`; without one, the tiles of the paper on analog
    foundation models."""
    digital: Sequence[str] = ()
    """Patterns of matrices to keep digital besides those that must be."""
    text: str | Path | Text | None = None
    """Calibrates the input ranges that the model does not bring along; without one, that of
    `afmc.data.text.read_text`, and above level 0 the model's own text where it is sampled soon
    enough."""
    level: int | None = None
    """What is done to recover accuracy, as with ``-O``: 0 nothing; 1 a constant prefix, rotations
    of inputs, ranges and limits of weights by error, and corrections of the mean, which take no
    multiply-accumulates on each token; 2 corrections in principal directions as well; 3 a choice,
    by what each matrix costs on tiles, of those that stay digital, and copies of others on spare
    crossbars. Without one, 2, or with `keep` that of the earlier compile."""
    without: Sequence[str] = ()
    """Steps of the recovery that are left out: any of ``prefix``, ``rotation``, ``clipping``,
    ``wires``, ``ranges``, ``digital``, ``copies``, ``correction`` and ``directions``."""
    digital_budget: float | None = None
    """Share of all multiply-accumulates that corrections, and at level 3 matrices, may take
    digitally; without one 0.02, at level 3 0.05."""
    tiles: int | None = None
    """Crossbars that blocks may fill at level 3, with copies whose products are averaged; without
    one those of the chips that are needed anyway."""
    rewrite: Sequence[str] = ()
    """Exact changes of the digital model's weights before it is mapped, found in its graph: any of
    ``untie``, ``fold_norms``, ``residual`` and ``heads``. What its graph does not allow, or what
    changes a logit, is left out; `CompiledModel.program.rewriting` says why."""
    calibration: str | None = None
    """``error``, ``std:K`` or ``percentile:P``, see `afmc.compiler.calibration.Method`; at level 0,
    and `without` ranges, ``std:18`` without one, else ``error``."""
    calibration_tokens: int = 4096
    """Tokens, or samples, on which input ranges are calibrated."""
    routing: str | Path | Routing | None = None
    """Which experts a sample of tokens goes to, an ``.npz`` file with an array [tokens, experts of
    a token] for each experts' module, or what was read of one; seen on the text without it."""
    objective: str | None = None
    """What the mapping is to be best in: ``tiles`` (the default), ``latency``, ``energy`` or
    ``accuracy``; `afmc.passes.cutting.choose` says what each of them counts."""
    defects: str | Path | Defects | Sequence[str | Path | Defects] | None = None
    """What is broken: CSV files, rates (``"cells_off=0.005,tiles=0.01,seed=7"``), `Defects`."""
    repair: str | Sequence[str] = REPAIR
    """What is done about stuck cells: ``permute`` (which row and column of a block goes to which
    line), ``pair`` (the working devices of a weight make up for the stuck ones), both, or
    ``none``."""
    keep: str | Path | None = None
    """A folder of an earlier compile with the same model, target and passes, whose placements stay
    except where `defects` hits them."""
    settings: Mapping[str, object] | None = None
    """Options of passes (``{"allocate.rule": "parallel"}``) and figures of the target
    (``{"target.system.chips": 8}``), as with ``--set``."""
    passes: Sequence[Pass] | None = None
    """In the place of partition, merge, split, replicate, allocate and place with `settings`."""
    shapes_only: bool = False
    """Reads the configuration and no weights. The mapping is the same; there are no input ranges,
    and nothing can be simulated."""
    weights: Weights = "auto"
    """Whether the weights of a folder or of the hub are read into ``memory``, or stay on ``disk``
    as safetensors and are read one at a time, for models that are larger than memory; by itself
    (``auto``) in memory if they fit. The program is the same."""

    def checked(self) -> Checked:
        """The hardware, the passes and everything else that the options name, read and checked.

        Raises OptionError, TargetError or ArtifactError, in one sentence.
        """
        self._check_recovery()
        self._check_weights()
        settings = dict(self.settings or {})
        figures = {key: settings.pop(key) for key in list(settings) if key.startswith("target.")}
        hardware = load_target(
            self.target, {key.removeprefix("target."): value for key, value in figures.items()}
        )
        routing = self.routing
        if isinstance(routing, str | Path):
            routing = read_routing(routing)
        defects = gather_defects(self.defects, hardware)
        text = self.text
        if isinstance(text, str | Path):
            text = read_text(text, "calibration")
        repair = parse_repair(self.repair)
        kept = None if self.keep is None else Kept(Path(self.keep), read_program(Path(self.keep)))
        level = self._level(kept)
        method = Method.parse(self._calibration(level))
        passes: Sequence[Pass] = load_passes() if self.passes is None else list(self.passes)
        passes = configure(passes, settings)
        if self.tiles is not None:
            passes = with_copies(passes, self.tiles)
        elif kept is not None and "replicate.tiles" not in settings:
            passes = as_kept(passes, kept.compiled.program)
        check_copies(passes, hardware, level, self.without, self.shapes_only)
        if self.digital:
            passes = with_digital(passes, tuple(self.digital))
        if self.objective is not None:
            passes = with_objective(passes, self.objective)
        budget = self.digital_budget
        if budget is None:
            budget = _BUDGETS[level]
        return Checked(
            self,
            hardware,
            tuple(passes),
            level,
            budget,
            method,
            routing,
            defects,
            repair,
            kept,
            text,
        )

    def _level(self, kept: Kept | None) -> int:
        if self.level is not None:
            return self.level
        if kept is None:
            return DEFAULT_LEVEL
        recovery = kept.compiled.program.recovery
        return 0 if recovery is None else recovery.level

    def _calibration(self, level: int) -> str:
        if self.calibration is not None:
            return self.calibration
        return "error" if level and "ranges" not in self.without else "std:18"

    def _check_recovery(self) -> None:
        unknown = next((name for name in self.rewrite if name not in NAMES), None)
        if unknown is not None:
            raise OptionError(f"there is no rewrite {unknown}; there are {', '.join(NAMES)}.")
        if self.level is not None and self.level not in LEVELS:
            raise OptionError(f"-O takes {LEVELS[0]} to {LEVELS[-1]}, not {self.level}.")
        unknown = next((name for name in self.without if name not in STEPS), None)
        if unknown is not None:
            raise OptionError(
                f"--without {unknown}: a recovery has the steps {', '.join(STEPS)}."
                f"{did_you_mean(unknown, STEPS)}"
            )
        if self.digital_budget is not None and not 0 <= self.digital_budget <= 1:
            raise OptionError(
                f"--digital-budget is a share of all multiply-accumulates, 0 to 1, not "
                f"{self.digital_budget:g}."
            )

    def _check_weights(self) -> None:
        if self.shapes_only and self.text is not None:
            raise OptionError(
                "a text calibrates input ranges on the weights, which --shapes-only does not read: "
                "leave one of the two out."
            )
        if self.weights not in get_args(Weights):
            raise OptionError(
                f"weights is one of {', '.join(get_args(Weights))}, not {self.weights!r}."
            )
        if self.shapes_only and self.weights != "auto":
            raise OptionError(
                f"--shapes-only reads no weights, so they are not in {self.weights}: leave one out."
            )


@dataclass(frozen=True)
class Kept:
    """An earlier compile whose placements stay."""

    folder: Path
    compiled: CompiledProgram


@dataclass(frozen=True)
class Checked:
    """Options that were read and can be used: what `Options.checked` found behind them."""

    options: Options
    target: Target
    passes: tuple[Pass, ...]
    level: int
    """Of recovery: that of the options, of what is kept, or the usual one."""
    digital_budget: float
    method: Method
    routing: Routing | None
    defects: Defects | None
    repair: tuple[RepairMethod, ...]
    kept: Kept | None
    text: Text | None
    """None where a text of afmc's own calibrates."""

    @property
    def without(self) -> frozenset[str]:
        """Steps of the recovery that are switched off."""
        return frozenset(self.options.without)


def parse_repair(given: str | Sequence[str]) -> tuple[RepairMethod, ...]:
    """``permute,pair``, one of them or ``none``. Raises OptionError in one sentence."""
    words = [w.strip() for w in given.split(",")] if isinstance(given, str) else list(given)
    if words == ["none"]:
        return ()
    for word in words:
        if word not in REPAIR:
            raise OptionError(
                f"--repair {','.join(words)}: '{word}' is not one of {', '.join(REPAIR)}, and "
                f"'none' stands alone.{did_you_mean(word, REPAIR)}"
            )
    return tuple(method for method in REPAIR if method in words)
