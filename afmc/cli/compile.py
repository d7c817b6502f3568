"""``afmc compile``: a model onto tiles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from afmc.cli import complete, output, schemas
from afmc.cli.options import DataFile, Force, Json, TextFile, Trust, listed
from afmc.cli.progress import expected, progress


def compile(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            autocompletion=complete.models,
            help="demo, demo-teacher, smollm2-135m, a Hugging Face folder or id (also of "
            "AIHWKIT-Lightning), or a .gguf, .onnx or .pt2 file; with --shapes-only also a .json "
            "configuration.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target",
            "-t",
            metavar="T",
            help="A name ('afmc targets list') or .toml.",
            autocompletion=complete.targets,
        ),
    ] = "afm-512-projected",
    directory: Annotated[
        Path | None,
        typer.Option("-o", "--output-dir", metavar="DIR", help="[default: MODEL.TARGET]"),
    ] = None,
    shapes_only: Annotated[
        bool,
        typer.Option(
            "--shapes-only",
            help="Read the configuration and no weights: the same mapping, at any size, of which "
            "nothing can be simulated. MODEL may be a config.json.",
        ),
    ] = False,
    digital: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Keep these matrices digital: a module's path or its last part, with * and ?; "
            "lm_head, o_proj, 'model.layers.0.*'. Repeat for more.",
        ),
    ] = None,
    text: TextFile = None,
    data: DataFile = None,
    level: Annotated[
        int | None,
        typer.Option(
            "-O",
            metavar="LEVEL",
            min=0,
            max=3,
            help="What is done to recover accuracy: 0, nothing; 1, a constant prefix, rotated "
            "inputs, ranges and limits of weights by error; 2, corrections in principal directions "
            "as well, within --digital-budget; 3, a choice by what each matrix costs on tiles, "
            "which takes minutes: some digital, copies of others on spare crossbars. [default: 2; "
            "with --keep, that of DIR]",
        ),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(
            metavar="STEPS",
            help="Leave these steps of the recovery out: prefix, rotation, clipping, wires, "
            "ranges, digital, copies, correction, directions.",
        ),
    ] = None,
    rewrite: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Exact changes of the weights before they are mapped, found in the model's graph: "
            "untie, fold_norms, residual, heads, or several with commas between. What changes a "
            "logit is left out, and 'afmc inspect' says why.",
        ),
    ] = None,
    digital_budget: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Of all multiply-accumulates, for corrections and, with -O3, digital matrices. "
            "[default: 0.02; 0.05 with -O3]",
        ),
    ] = None,
    tiles: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Crossbars that copies may fill with -O3. [default: those of the chips that are "
            "needed anyway]",
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="Input ranges that the model does not bring along, from text or samples: error "
            "(with which products are least wrong), std:K (K standard deviations) or percentile:P "
            "(of absolute values). [default: error; std:18 with -O0]",
        ),
    ] = None,
    routing: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Which experts a sample of tokens goes to: an array [tokens, experts of a token] "
            "for each experts' module, by its path. Seen on the text without it.",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="What merging, cutting and packing are to be best in: tiles (fewest, the "
            "default), latency (no turns on a tile), energy (fewest tile reads) or accuracy "
            "(fewest row cuts).",
        ),
    ] = None,
    defects: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|RATES",
            help="What is broken: a CSV file, or rates for a random map, KEY=RATE,...,seed=N with "
            "chips, tiles, tiers, rows, columns (dead), cells_off and cells_on (stuck). Repeat to "
            "add a file to rates.",
        ),
    ] = None,
    repair: Annotated[
        str,
        typer.Option(
            metavar="METHODS",
            help="Of stuck cells: permute (rows and columns of a block), pair (the working devices "
            "of a weight make up for the stuck ones), both, or none.",
        ),
    ] = "permute,pair",
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="An earlier compile with the same model, target and passes: only blocks that "
            "--defects hits are placed anew.",
        ),
    ] = None,
    passes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="[default: partition,merge,split,replicate,allocate,place]"
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PASS.OPTION=V",
            help="An option of a pass (allocate.rule=parallel, split.style=balanced, "
            "merge.enabled=false, replicate.tiles=2000) or a figure of the target "
            "(target.crossbar.rows=1152).",
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit of a model on the hub.")
    ] = None,
    trust_remote_code: Trust = False,
    weights: Annotated[
        Literal["auto", "memory", "disk"],
        typer.Option(
            help="Where those of a folder or hub id are while it is compiled: in memory, or left "
            "on disk and read one at a time, for models larger than memory; auto leaves there "
            "what does not fit."
        ),
    ] = "auto",
    force: Force = False,
    schema: Annotated[bool, schemas.option("compile")] = False,
    json: Json = False,
) -> None:
    """Map a model onto tiles and write program, weights and graph to a folder.

    With --shapes-only it writes the program alone.
    """
    from afmc.cli.settings import parse_settings
    from afmc.common.files import kept_beside
    from afmc.compiler.options import Options
    from afmc.compiler.pipeline import load_passes
    from afmc.data.samples import read_samples
    from afmc.frontends.find import resolve
    from afmc.inspect import inspect_json, render
    from afmc.passes import name_of
    from afmc.program.folder import check_writable

    # What may be wrong is looked at before anything that takes long.
    checked = Options(
        target=target,
        digital=digital or (),
        text=text,
        level=level,
        without=listed(without),
        rewrite=listed(rewrite),
        digital_budget=digital_budget,
        tiles=tiles,
        calibration=calibration,
        routing=routing,
        objective=objective,
        defects=defects,
        repair=repair,
        keep=keep,
        settings=parse_settings(settings or []),
        passes=load_passes(passes.split(",")) if passes else None,
        shapes_only=shapes_only,
        weights=weights,
    ).checked()
    found = resolve(model, shapes_only=shapes_only)
    name = Path(target).name.replace(".toml", "").replace(":", "-")
    stem = Path(model).stem if Path(model).expanduser().is_file() else Path(model).name
    directory = directory or Path(f"{stem}.{name}")
    _, earlier = check_writable(directory, found.name, checked.target, force=force)
    samples = None if data is None else read_samples(data)

    shares = expected([name_of(step) for step in checked.passes], checked.level)
    with progress(shares) as advance:
        advance("import", 0, 0)
        from afmc.compiler.compile import compile_checked
        from afmc.compiler.context import Source

        source = Source(model, samples, revision=revision, trust_remote_code=trust_remote_code)
        result = compile_checked(source, checked, advance)
        advance("save", 0, 0)
        result.save(directory, force=force)
    kept = result.compiled_program
    if json:
        output.print_json(inspect_json(kept))
    else:
        output.show(render(kept))
    others = kept_beside(directory)
    what = f"written to {directory}"
    if earlier is not None:
        what += f", in place of {earlier}"
    if others:
        what += f"; kept {output.some(others)}"
    print(what, file=sys.stderr if json else sys.stdout)
