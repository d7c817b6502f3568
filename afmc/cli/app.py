"""Commands and their options. What they do is in the Python API."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from afmc.cli import output, schemas, targets
from afmc.common.version import VERSION
from afmc.errors import AfmcError, CapacityError, OptionError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from afmc.program.compiled import Artifact

    ToJson = Callable[[Artifact, str], dict[str, Any]]
    Render = Callable[[Artifact, str, int], RenderableType]

app = typer.Typer(
    name="afmc",
    help="Compile language models, and other networks, onto analog in-memory computing tiles, and "
    "measure their accuracy there.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(targets.app, name="targets")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="What 'afmc compile -o DIR' wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON only; logs go to stderr.")]
TextFile = Annotated[
    Path | None,
    typer.Option(
        "--text",
        metavar="FILE",
        help="UTF-8 text. Without it, half of the help topics of Python's standard library; for "
        "the demo models, text of their own.",
    ),
]
DataFile = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="FILE.npz",
        help="Samples for a model that is no language model: an array 'inputs', or one for each "
        "input by its name; the first dimension counts samples. To calibrate input ranges, or with "
        "'labels' to measure accuracy.",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace what afmc wrote there of another model or for another target, too. Files "
        "that afmc did not write stay.",
    ),
]
Trust = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that came with a hub model.")
]
Lines = Annotated[int, typer.Option(min=1, metavar="N", help="Lines of a table at most.")]
Context = Annotated[
    str, typer.Option(help="Tokens that the costs are for, as in 'afmc costs': 512,2048.")
]
Batch = Annotated[str, typer.Option(help="Sequences at once, as in 'afmc costs'.")]
Phase = Annotated[str, typer.Option(help="decode or prefill, as in 'afmc costs'.")]
Seed = Annotated[int, typer.Option(min=0, help="Decides all device noise.")]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(f"afmc {VERSION}")
        raise typer.Exit


@app.command()
def compile(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="demo, demo-teacher, smollm2-135m, a Hugging Face folder or id (also of "
            "AIHWKIT-Lightning), or a .gguf, .onnx or .pt2 file; with --shapes-only also a .json "
            "configuration.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option("--target", "-t", metavar="T", help="A name ('afmc targets list') or .toml."),
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
    calibration: Annotated[
        str,
        typer.Option(
            metavar="METHOD",
            help="Input ranges that the model does not bring along, from text or samples: std:K "
            "(K standard deviations) or percentile:P (of absolute values).",
        ),
    ] = "std:18",
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
    json: Json = False,
) -> None:
    """Map a model onto tiles and write program, weights and graph to a folder.

    With --shapes-only it writes the program alone.
    """
    from afmc.cli.settings import parse_settings
    from afmc.common.files import kept_beside
    from afmc.data.samples import read_samples
    from afmc.data.text import read_text
    from afmc.frontends.find import resolve
    from afmc.hardware.defects import gather_defects
    from afmc.inspect import inspect_json, misfit_json, render
    from afmc.program.folder import check_writable, read_program
    from afmc.program.routing import read_routing
    from afmc.targets import load_target

    # What may be wrong is looked at before anything that takes long.
    pairs = parse_settings(settings or [])
    hardware = load_target(
        target, {k.removeprefix("target."): v for k, v in pairs.items() if k.startswith("target.")}
    )
    gather_defects(defects, hardware)
    if keep is not None:
        read_program(keep)
    name = Path(target).name.replace(".toml", "").replace(":", "-")
    stem = Path(model).name.removesuffix(".json").removesuffix(".onnx").removesuffix(".pt2")
    directory = directory or Path(f"{stem}.{name}")
    found = resolve(model, shapes_only=shapes_only)
    _, earlier = check_writable(directory, found.name, hardware, force=force)
    source = None if text is None else read_text(text, "calibration", model)
    samples = None if data is None else read_samples(data)
    sample = None if routing is None else read_routing(routing)

    with output.progress() as progress:
        progress("import", 0, 0)
        from afmc.compiler.compile import compile as compile_model
        from afmc.compiler.pipeline import load_passes

        try:
            result = compile_model(
                model,
                target,
                example_inputs=samples,
                digital=digital or (),
                text=source,
                calibration=calibration,
                routing=sample,
                defects=defects,
                repair=repair,
                keep=keep,
                objective=objective,
                settings=pairs,
                passes=load_passes(passes.split(",")) if passes else None,
                shapes_only=shapes_only,
                revision=revision,
                trust_remote_code=trust_remote_code,
                weights=weights,
                progress=progress,
            )
        except CapacityError as error:
            if json and error.report is not None:
                output.print_json(misfit_json(error))
            raise
        progress("save", 0, 0)
        result.save(directory, force=force)
    kept = result.as_artifact()
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


@app.command()
def inspect(
    directory: Folder,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Where these matrices are, and what shares their tiles: a module's path or its "
            "last part, a matrix, or a pattern with *, ? and [0-9] ('model.layers.0', q_proj, "
            "'model.layers.*.mlp.*').",
        ),
    ] = None,
    tile: Annotated[
        str | None,
        typer.Option(
            metavar="CHIP/TILE[/TIER]",
            help="What is on a tile: blocks, defects, the order of lines, and a picture.",
        ),
    ] = None,
    why: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Why these matrices are analog or digital, merged, cut and placed as they are.",
        ),
    ] = None,
    lines: Lines = 20,
    schema: Annotated[bool, schemas.option("inspect")] = False,
    json: Json = False,
) -> None:
    """What went where and why not: coverage, tiles, bound, gap, levers.

    With --layer, --tile or --why a closer look at one part of the mapping.
    """
    from afmc import inspect
    from afmc.program.folder import read_program

    views: tuple[tuple[str | None, ToJson, Render], ...] = (
        (layer, inspect.layer_json, inspect.render_layer),
        (tile, inspect.tile_json, inspect.render_tile),
        (why, inspect.why_json, inspect.render_why),
    )
    asked = [view for view in views if view[0] is not None]
    if len(asked) > 1:
        raise OptionError("--layer, --tile and --why are three questions: ask one at a time.")
    kept = read_program(directory)
    if not asked:
        if json:
            output.print_json(inspect.inspect_json(kept))
        else:
            output.show(inspect.render(kept))
    for name, to_json, render in asked:
        assert name is not None
        if json:
            output.print_json(to_json(kept, name))
        else:
            output.show(render(kept, name, lines))


@app.command()
def compare(
    directories: Annotated[
        list[Path],
        typer.Argument(metavar="DIR", help="What 'afmc compile -o DIR' wrote."),
    ],
    file: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.html", help="Write a page to look at it in a browser."
        ),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[DIR=]FILE",
            help="What 'afmc validate DIR --json' printed, to compare accuracy: of the folder with "
            "that model and target, or of DIR. Repeat for more.",
        ),
    ] = None,
    context: Context = "512,2048",
    batch: Batch = "1",
    phase: Phase = "decode",
    schema: Annotated[bool, schemas.option("compare")] = False,
    json: Json = False,
) -> None:
    """Several compiles side by side: figures, costs, accuracy, and options and target figures that
    differ.

    They may be of different models, which is then said.
    """
    from afmc.cli.costing import workloads
    from afmc.compare import compare, render

    asked = workloads(context, batch, phase)
    replaced = False
    if file is not None:
        from afmc.report import check_page

        replaced = check_page(file)
    found = compare(directories, asked, validation or [])
    if file is not None:
        from afmc.report import comparison_page, write_page

        page = comparison_page(found)
        write_page(file, page)
    if json:
        output.print_json(found.to_json())
    elif file is not None:
        size = len(page.encode())
        print(f"written to {file} ({size:,} bytes){output.replacing(replaced)}")
    else:
        output.show(render(found))


@app.command()
def export(
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="What 'afmc compile -o DIR' wrote.")
    ] = None,
    output_path: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="A table's file ends in .csv, .json (one array), .jsonl (an object a line) or "
            ".parquet (needs pyarrow). What an earlier export wrote there is replaced.",
        ),
    ] = None,
    format: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="NAME",
            help="table: the mapping, a row for each block. huggingface: a folder with the model, "
            "and the mapping of its tensors beside it. model-explorer: graphs to look at, and "
            "utilisation to colour them by. aihwkit: a Python file that configures that simulator. "
            "mlir: what is left to digital arithmetic as code, in which analog products are calls.",
        ),
    ] = "table",
    validation: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For model-explorer: what 'afmc validate DIR --by-matrix --json' printed, to "
            "colour by error.",
        ),
    ] = None,
    dialect: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For mlir: linalg (the default; what IREE and mlir-opt read) or torch.",
        ),
    ] = None,
    force: Force = False,
    schema: Annotated[
        bool,
        typer.Option(
            "--schema",
            help="Print the JSON Schema of what this writes (with --as), and do nothing else.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """The mapping as data: a row for each block, with its matrix and where it is; or in the format
    of another program.
    """
    from afmc.export.formats import schema_of, to_json, write

    if schema:
        output.print_json(schema_of(format))
        return
    if directory is None or output_path is None:
        raise OptionError("export needs a compiled folder and a file: afmc export DIR -o FILE.csv.")
    options = {"validation": validation, "dialect": dialect, "force": force or None}
    given = {key: value for key, value in options.items() if value is not None}
    replaced = output_path.exists() and bool(output_path.is_dir() or output_path.stat().st_size)
    made = write(format, directory, output_path, given)
    if json:
        output.print_json(to_json(made))
        return
    beside = f", and beside it {', '.join(each.name for each in made.more)}" if made.more else ""
    there = output.replacing(replaced)
    print(f"{made.what} written to {made.place} ({made.bytes:,} bytes){beside}{there}")
    for note in made.notes:
        print(f"note: {note}", file=sys.stderr)


@app.command()
def verify(
    directory: Folder,
    target: Annotated[
        str | None,
        typer.Option(
            "--target", "-t", metavar="T", help="Other hardware than what it was compiled for."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check a mapping independently of what made it: every weight held once, no overlap, nothing
    outside of the hardware, and every figure that is claimed. Exit status 1 if a check fails.
    """
    from afmc.cli.verification import render
    from afmc.verifier import verify

    report = verify(directory, target)
    if json:
        output.print_json(report.to_json())
    else:
        output.show(render(report))
    if not report.passed:
        raise typer.Exit(1)


@app.command()
def costs(
    directory: Folder,
    context: Annotated[
        str, typer.Option(help="Tokens that a token attends to, or of a prompt: 512 or 512,2048.")
    ] = "512",
    batch: Annotated[str, typer.Option(help="Sequences at once: 1 or 1,32.")] = "1",
    phase: Annotated[
        str,
        typer.Option(help="decode: a token of each sequence. prefill: a prompt of each."),
    ] = "decode",
    against: Annotated[
        str, typer.Option(help="Digital hardware to compare with: h100, int8-dimc, or none.")
    ] = "h100,int8-dimc",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="target.KEY=V",
            help="Another figure of the target, for instance target.cache.bandwidth_GB_s=68.",
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json", help="Write a token as a trace for Perfetto or chrome://tracing."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write a row for each part of each workload instead of tables; the ending is that "
            "of 'afmc export'.",
        ),
    ] = None,
    schema: Annotated[bool, schemas.option("costs")] = False,
    json: Json = False,
) -> None:
    """Energy, latency and area of a token, part by part, from the mapping that was made; every
    figure with its basis, and what nobody has published left out and named.
    """
    from afmc.cli import costing
    from afmc.cli.settings import parse_overrides
    from afmc.export import check_costs, costs_table, export
    from afmc.program.folder import read_program, with_figures

    replaced = file is not None and check_costs(file)
    traced = trace is not None and costing.check_trace(trace)
    kept = read_program(directory)
    target = with_figures(kept.target, parse_overrides(settings or []))
    results = costing.estimates(kept.program, target, context, batch, phase, against)
    if trace is not None:
        costing.write_trace(trace, [each for each, _ in results])
        print(f"trace written to {trace}{output.replacing(traced)}", file=sys.stderr)
    rows = 0 if file is None else export(costs_table(costing.every(results)), file)
    if json:
        output.print_json(costing.to_json(results))
        return
    if file is not None:
        size = file.stat().st_size
        print(f"{rows:,} parts written to {file} ({size:,} bytes){output.replacing(replaced)}")
        return
    for each, baselines in results:
        output.show(costing.render(each, baselines))


@app.command()
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
    instances: Annotated[int, typer.Option(min=1, help="Manufactured chips to draw.")] = 5,
    seed: Seed = 0,
    at: Annotated[
        str | None,
        typer.Option(help="Times since programming: 0s (the default), or 1s,1h,1d,30d,1y."),
    ] = None,
    temperature: Annotated[
        str | None, typer.Option(help="Temperatures: 25C (the default), or 25C,85C.")
    ] = None,
    compensation: Annotated[
        str | None,
        typer.Option(
            help="Digital corrections of drift and temperature, the target's own by default: none, "
            "tile (a factor for each block), column, reference (from a reference column)."
        ),
    ] = None,
    calibrate: Annotated[
        int,
        typer.Option(
            metavar="PROBES",
            help="Also with each column's gain and offset corrected, measured with so many inputs.",
        ),
    ] = 0,
    defects: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|RATES",
            help="Cells that stick besides those that this was compiled for, as for compile; "
            "programming does not know of them.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="target.KEY=V",
            help="A figure of the target for this validation alone (target.device.noise=none).",
        ),
    ] = None,
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
    trust_remote_code: Trust = False,
    json: Json = False,
) -> None:
    """Accuracy on noisy tiles against the digital model: perplexity of a language model over
    non-overlapping windows of a text, or of a classifier the share of labelled samples (--data)
    that it gets right.

    Of several times, temperatures and compensations every combination is measured.
    """
    from afmc.cli.settings import parse_overrides
    from afmc.data.samples import read_samples
    from afmc.data.text import read_text
    from afmc.hardware.conditions import conditions_of
    from afmc.hardware.defects import gather_defects
    from afmc.program.folder import read_program, require_weights
    from afmc.targets import load_target

    kept = read_program(directory)  # before anything that takes long
    require_weights(kept.program, "validate")
    if data is not None and text is not None:
        raise OptionError("--text is for language models and --data for others: give one of them.")
    if data is not None and by_matrix:
        raise OptionError("--by-matrix is for language models: leave it out with --data.")
    labelled = None if data is None else read_samples(data)
    overrides = parse_overrides(settings or [])
    several: dict[str, Any] = {
        "at": _listed(at),
        "temperature": _listed(temperature),
        "compensation": _listed(compensation),
    }
    conditions_of(load_target(kept.target, overrides), **several, probes=calibrate)
    broken = gather_defects(defects, kept.target)
    source = read_text(text, "validation", kept.program.model.name)
    with output.progress() as progress:
        progress("load", 0, 0)
        from afmc.cli.validation import render, render_classification
        from afmc.compiled_model import load

        model = load(directory, trust_remote_code=trust_remote_code, kept=kept)
        if overrides:
            model = model.on(overrides)
        if without_noise:
            model = model.without_noise()
        asked: dict[str, Any] = {
            "instances": instances,
            "seed": seed,
            **several,
            "calibrate": calibrate,
            "defects": broken,
            "progress": progress,
        }
        if labelled is not None:
            counted = model.classify(labelled, samples=samples, **asked)
            found, table = counted.to_json(), render_classification(counted, model.target)
        else:
            result = model.validate(
                source, tokens=tokens, window=window, by_matrix=by_matrix, **asked
            )
            found, table = result.to_json(), render(result, model.target)
    if json:
        output.print_json(found)
    else:
        output.show(table)


@app.command()
def report(
    directory: Folder,
    file: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE.html", help="[default: DIR/report.html]"),
    ] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What 'afmc validate DIR --json' printed, to show accuracy. Repeat for more.",
        ),
    ] = None,
    context: Context = "512,2048",
    batch: Batch = "1",
    phase: Phase = "decode",
) -> None:
    """One self-contained HTML page: floor plan, matrices, costs, accuracy, provenance."""
    from afmc.cli import costing
    from afmc.evaluation.reading import read_validation
    from afmc.program.folder import read_program
    from afmc.report import check_page, render, write_page

    kept = read_program(directory)
    file = file or directory / "report.html"
    replaced = check_page(file)
    validations = [read_validation(path, kept) for path in validation or []]
    estimated = costing.estimates(kept.program, kept.target, context, batch, phase, "none")
    page = render(kept, [each for each, _ in estimated], validations)
    write_page(file, page)
    print(f"written to {file} ({len(page.encode()):,} bytes){output.replacing(replaced)}")


@app.command()
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
    with output.progress() as progress:
        progress("load", 0, 0)
        from afmc.compiled_model import load

        model = load(directory, trust_remote_code=trust_remote_code, kept=kept)
        progress("generate", 0, 0)
        answer = model.run(
            prompt,
            max_tokens=max_tokens,
            seed=seed,
            instance=instance,
            digital=digital,
            condition=condition,
        )
    print(answer)


def _listed(text: str | None) -> list[str]:
    """``1s,1h`` as two."""
    return [each.strip() for each in text.split(",")] if text is not None else []


@app.command()
def doctor(json: Json = False) -> None:
    """Versions, what is missing, what to install."""
    from afmc.cli.doctor import diagnose, render

    found = diagnose()
    if json:
        output.print_json(found)
    else:
        output.show(render(found))
    if found["missing"]:
        raise typer.Exit(1)


def main() -> None:
    """Runs a command. The user's mistakes are one sentence on stderr and exit status 2."""
    try:
        app()
    except AfmcError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except MemoryError:
        print("error: this takes more memory than the machine has.", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        sys.stderr.close()
        sys.exit(0)
