"""What went where, and why not: the figures of a program, as data and for the terminal."""

from afmc.inspect.layer import layer_json, render_layer
from afmc.inspect.schema import compile_schema, inspect_schema
from afmc.inspect.screen import render
from afmc.inspect.tile import render_tile, tile_json
from afmc.inspect.why import render_why, why_json
from afmc.program.summary import inspect_json, misfit_json, summarise

__all__ = [
    "compile_schema",
    "inspect_json",
    "inspect_schema",
    "layer_json",
    "misfit_json",
    "render",
    "render_layer",
    "render_tile",
    "render_why",
    "summarise",
    "tile_json",
    "why_json",
]
