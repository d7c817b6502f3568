"""``afmc eval``: benchmarks on noisy tiles."""

from __future__ import annotations

import json as json_
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from afmc.cli import output, schemas
from afmc.cli.options import (
    Compensations,
    Figures,
    Folder,
    Instances,
    Json,
    Recalibrate,
    Seed,
    Temperatures,
    Times,
    Trust,
    listed,
)
from afmc.cli.progress import progress, validation


def eval(
    directory: Folder,
    tasks: Annotated[
        str,
        typer.Option(
            help="Tasks of lm-eval, arc_easy,lambada_openai, with examples before each question "
            "arc_easy:10; or the group afm-paper."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Tasks from JSON lines there, NAME.jsonl, without a network. Lines have query, "
            "choices and gold; context and continuation; text; or question and answer.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Questions of a task at most; all without it.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 8,
    folder: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Keep results there: results.json, and runs/ in lm-eval's format, from which an "
            "evaluation that was stopped goes on.",
        ),
    ] = None,
    instances: Instances = 3,
    seed: Seed = 0,
    at: Times = None,
    temperature: Temperatures = None,
    compensation: Compensations = None,
    recalibrate: Recalibrate = False,
    settings: Figures = None,
    trust_remote_code: Trust = False,
    schema: Annotated[bool, schemas.option("eval")] = False,
    json: Json = False,
) -> None:
    """Benchmarks of lm-evaluation-harness on noisy tiles, beside the digital model on the same
    questions: mean and spread over chips, the error over questions, and the paired difference.
    """
    from afmc.cli.settings import parse_overrides
    from afmc.evaluation.benchmarks.kept import RESULTS, check_output
    from afmc.evaluation.benchmarks.run import require_harness
    from afmc.evaluation.benchmarks.tasks import read_tasks
    from afmc.hardware.conditions import conditions_of
    from afmc.program.folder import read_program, require_weights
    from afmc.targets import load_target

    kept = read_program(directory)  # before anything that takes long
    require_weights(kept.program, "eval")
    require_harness()
    read = read_tasks(listed(tasks), data)
    if folder is not None:
        check_output(folder)
    overrides = parse_overrides(settings or [])
    several: dict[str, Any] = {
        "at": listed(at),
        "temperature": listed(temperature),
        "compensation": listed(compensation),
    }
    conditions = conditions_of(load_target(kept.target, overrides), **several)
    if data is not None:
        os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
    with progress(validation(instances, len(conditions))) as advance:
        advance("load", 0, 0)
        from afmc.cli.benchmark_tables import render
        from afmc.common.files import written
        from afmc.compiled_model import load

        model = load(directory, trust_remote_code=trust_remote_code, kept=kept, progress=advance)
        found = model.evaluate(
            read,
            limit=limit,
            batch=batch,
            keep=folder,
            instances=instances,
            seed=seed,
            **several,
            recalibrate=recalibrate,
            settings=overrides,
            progress=advance,
        )
    if folder is not None:
        with written(folder / "results.json", RESULTS, parents=True) as file:
            text = json_.dumps(found.to_json(), indent=1, ensure_ascii=False)
            file.write_text(text + "\n", encoding="utf-8")
    if json:
        output.print_json(found.to_json())
    else:
        output.show(render(found))
