"""``afmc export --as rtn``: the model with its weights rounded, as a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from afmc.common.files import check_folder, written_folder
from afmc.common.version import VERSION
from afmc.errors import OptionError
from afmc.export.exported import Exported
from afmc.export.huggingface.folder import saved_model
from afmc.frontends.door import Reading
from afmc.frontends.find import saved_in
from afmc.frontends.load import load_source
from afmc.frontends.loaded import save
from afmc.program.folder import made_of
from afmc.quantize.packed import CONFIG, check_packed, pack
from afmc.quantize.precision import Precision
from afmc.quantize.twin import rounded_twin

FORMS = ("float", "packed")


def export_rtn(
    directory: Path | str,
    folder: Path | str,
    *,
    bits: str | int = 4,
    group: str | int | None = None,
    form: str = "float",
    force: bool = False,
) -> Exported:
    """Writes the model with the weights that are on tiles rounded to `bits` bits, with a scale for
    each output, or for each `group` of inputs.

    `form` is ``float``, rounded weights in the type of the others, which everything reads; or
    ``packed``, integers and scales in the format of compressed-tensors (pack-quantized), which
    transformers reads where that is installed. A folder that this wrote before of the same model is
    replaced, with `force` any other one. Raises ArtifactError for a compile without weights, and
    OptionError for what is no model of transformers, or for options that cannot be.
    """
    directory, folder = Path(directory), Path(folder)
    words = str(bits) if group is None else f"{bits}:{group}"
    precision = Precision.parse(words)
    if form not in FORMS:
        raise OptionError(f"--set form={form}: a rounded model is {' or '.join(FORMS)}.")
    kept, place = saved_model(directory)
    made = made_of("rounded model", kept.program.model.name, kept.target)
    check_folder(folder, made, (CONFIG,), force=force)
    if form == "packed":
        check_packed(kept.program, precision)
    source = saved_in(place)
    assert source is not None
    loaded = load_source(source, Reading())
    if loaded.on_disk is not None:
        loaded = loaded.in_memory()
    with written_folder(folder, made, VERSION, force=force) as unfinished:
        twin: Any = rounded_twin(loaded.module, kept.program, precision)
        twin.config.tie_word_embeddings = False
        save(twin, loaded.tokenizer, unfinished)
        if form == "packed":
            pack(loaded.module, kept.program, precision, unfinished)
    count = len(kept.program.analog)
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return Exported(
        folder,
        f"{count:,} matrices, {precision},",
        size,
        {"matrices": count},
        ("no recovery, noise or converters are part of it: digital weights alone are rounded",),
    )
