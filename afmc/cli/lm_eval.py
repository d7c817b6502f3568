"""``python -m afmc.cli.lm_eval``: lm-evaluation-harness's own command line, which knows ``afmc``.

For instance ``python -m afmc.cli.lm_eval --model afmc --model_args dir=FOLDER,instance=0 --tasks
arc_easy``; importing this registers the model for whoever calls lm_eval from Python.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lm_eval.__main__ import cli_evaluate
from lm_eval.api.registry import register_model

from afmc.cli import output
from afmc.compiled_model import load
from afmc.errors import AfmcError, OptionError
from afmc.evaluation.benchmarks.harness import OnTilesLM
from afmc.hardware.conditions import conditions_of
from afmc.program.folder import read_program, require_weights


@register_model("afmc")
class CompiledLM(OnTilesLM):
    """One chip of a folder that ``afmc compile`` wrote, or with ``digital=true`` the model as it
    came.

    Raises OptionError, ArtifactError and TargetError in one sentence.
    """

    def __init__(
        self,
        dir: str = "",
        instance: int = 0,
        seed: int = 0,
        at: str = "0s",
        temperature: str = "25C",
        compensation: str | None = None,
        digital: bool = False,
        batch_size: int | str | None = 8,
        device: str | None = None,
        max_batch_size: int | None = None,
        trust_remote_code: bool = False,
        **others: object,
    ) -> None:
        if others:
            raise OptionError(
                f"--model_args {next(iter(others))}: afmc takes dir, instance, seed, at, "
                f"temperature, compensation and digital."
            )
        batch = str(8 if batch_size is None else batch_size)
        if not batch.isdigit() or int(batch) < 1:
            raise OptionError(
                f"batch_size={batch}: a batch that is found by trying reads the tiles on the way; "
                f"give a number."
            )
        if not dir:
            raise OptionError("give the folder that 'afmc compile' wrote: --model_args dir=FOLDER.")
        kept = read_program(Path(dir))
        require_weights(kept.program, "eval")
        kinds = [] if compensation is None else [compensation]
        [condition] = conditions_of(kept.target, [at], [temperature], kinds)
        on_tiles = load(dir, kept=kept, trust_remote_code=trust_remote_code).on_tiles
        if not digital:
            on_tiles.write(seed=seed, instance=instance, condition=condition)
        super().__init__(on_tiles, digital=digital, batch_size=int(batch))


def main() -> None:
    """Runs lm-eval's command; what the user can mend is one sentence and exit status 2."""
    try:
        cli_evaluate()
    except AfmcError as error:
        output.error(str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()
