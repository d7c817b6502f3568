"""``afmc validate``: accuracy on noisy tiles."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from afmc.cli import output, schemas
from afmc.cli.options import (
    Compensations,
    DataFile,
    Figures,
    Folder,
    Instances,
    Json,
    Recalibrate,
    Seed,
    Temperatures,
    TextFile,
    Times,
    Trust,
    listed,
)
from afmc.cli.progress import progress, validation
from afmc.errors import OptionError


def validate(
    directory: Folder,
    text: TextFile = None,
    data: DataFile = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Use at most so many of --data; all without it.")
    ] = None,
    tokens: Annotated[int, typer.Option(min=2, help="Read at most so many tokens.")] = 4096,
    window: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Tokens a window. [default: 1024, --tokens or what the model takes, the fewest]",
        ),
    ] = None,
    instances: Instances = 5,
    seed: Seed = 0,
    at: Times = None,
    temperature: Temperatures = None,
    compensation: Compensations = None,
    calibrate: Annotated[
        int,
        typer.Option(
            metavar="PROBES",
            help="Also with each column's gain and offset corrected, measured with so many inputs.",
        ),
    ] = 0,
    recalibrate: Recalibrate = False,
    defects: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|RATES",
            help="Cells that stick besides those that this was compiled for, as for compile; "
            "programming does not know of them.",
        ),
    ] = None,
    settings: Figures = None,
    without_noise: Annotated[
        bool,
        typer.Option(
            "--without-noise",
            help="Perfect devices, wires and converters instead; the converters' bits stay.",
        ),
    ] = False,
    by_matrix: Annotated[
        bool,
        typer.Option(
            "--by-matrix",
            help="Also how wrong each matrix's products are, for 'afmc report' to colour by.",
        ),
    ] = False,
    rounded: Annotated[
        str | None,
        typer.Option(
            "--rtn",
            metavar="BITS[:GROUP]",
            help="Also the digital model with those weights rounded to the nearest: to 4 bits 4, "
            "in groups of 32 inputs 4:32.",
        ),
    ] = None,
    trust_remote_code: Trust = False,
    schema: Annotated[bool, schemas.option("validate")] = False,
    json: Json = False,
) -> None:
    """Accuracy on noisy tiles against the digital model: perplexity of a language model over
    non-overlapping windows of a text, or of a classifier the share of labelled samples (--data)
    that it gets right.

    Of several times, temperatures and compensations every combination is measured. A verdict
    follows: what is kept, or what accuracy collapses from and what to try.
    """
    from afmc.cli.settings import parse_overrides
    from afmc.data.samples import read_samples
    from afmc.data.text import read_text
    from afmc.hardware.conditions import conditions_of
    from afmc.hardware.defects import gather_defects
    from afmc.program.folder import read_program, require_weights
    from afmc.quantize.precision import Precision
    from afmc.targets import load_target

    kept = read_program(directory)  # before anything that takes long
    require_weights(kept.program, "validate")
    if data is not None and text is not None:
        raise OptionError("--text is for language models and --data for others: give one of them.")
    if data is not None and by_matrix:
        raise OptionError("--by-matrix is for language models: leave it out with --data.")
    if rounded is not None:
        Precision.parse(rounded)
        if data is not None:
            raise OptionError("--rtn is for language models: leave it out with --data.")
    labelled = None if data is None else read_samples(data)
    overrides = parse_overrides(settings or [])
    several: dict[str, Any] = {
        "at": listed(at),
        "temperature": listed(temperature),
        "compensation": listed(compensation),
    }
    asked_for = conditions_of(load_target(kept.target, overrides), **several, probes=calibrate)
    broken = gather_defects(defects, kept.target)
    source = read_text(text, "validation", kept.program.model.name)
    with progress(validation(instances, len(asked_for))) as advance:
        advance("load", 0, 0)
        from afmc.cli.validation_tables import render, render_classification
        from afmc.compiled_model import load

        model = load(directory, trust_remote_code=trust_remote_code, kept=kept, progress=advance)
        if overrides:
            model = model.on(overrides)
        if without_noise:
            model = model.without_noise()
        asked: dict[str, Any] = {
            "instances": instances,
            "seed": seed,
            **several,
            "calibrate": calibrate,
            "recalibrate": recalibrate,
            "defects": broken,
            "progress": advance,
        }
        if labelled is not None:
            counted = model.classify(labelled, samples=samples, **asked)
            found, table = counted.to_json(), render_classification(counted, model.target)
        else:
            result = model.validate(
                source,
                tokens=tokens,
                window=window,
                by_matrix=by_matrix,
                rounded=rounded,
                **asked,
            )
            found, table = result.to_json(), render(result, model.target)
    if json:
        output.print_json(found)
    else:
        output.show(table)
