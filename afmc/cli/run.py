"""``afmc run``: text from the model on noisy tiles."""

from __future__ import annotations

from typing import Annotated

import typer

from afmc.cli.options import Folder, Seed, Trust
from afmc.cli.progress import RUN, progress


def run(
    directory: Folder,
    prompt: Annotated[str, typer.Argument(help="Text to continue.")],
    max_tokens: Annotated[int, typer.Option(min=1, help="Tokens to add at most.")] = 50,
    seed: Seed = 0,
    instance: Annotated[int, typer.Option(min=0, help="Which manufactured chip.")] = 0,
    digital: Annotated[
        bool, typer.Option("--digital", help="The digital model instead, to compare.")
    ] = False,
    at: Annotated[str, typer.Option(help="Time since programming, for instance 1d.")] = "0s",
    temperature: Annotated[str, typer.Option(help="Temperature, for instance 85C.")] = "25C",
    compensation: Annotated[
        str | None, typer.Option(help="none, tile, column or reference; the target's by default.")
    ] = None,
    trust_remote_code: Trust = False,
) -> None:
    """Text from the model on noisy tiles, the likeliest token each time."""
    from afmc.hardware.conditions import conditions_of
    from afmc.program.folder import read_program, require_weights

    kept = read_program(directory)
    require_weights(kept.program, "run")
    kinds = [] if compensation is None else [compensation]
    [condition] = conditions_of(kept.target, [at], [temperature], kinds)
    with progress(RUN) as advance:
        advance("load", 0, 0)
        from afmc.compiled_model import load

        model = load(directory, trust_remote_code=trust_remote_code, kept=kept, progress=advance)
        advance("generate", 0, 0)
        answer = model.run(
            prompt,
            max_tokens=max_tokens,
            seed=seed,
            instance=instance,
            digital=digital,
            condition=condition,
        )
    print(answer)
