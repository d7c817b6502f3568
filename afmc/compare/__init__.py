"""Compiles side by side, as data and for the terminal."""

from afmc.compare.comparison import Comparison, compare
from afmc.compare.rows import Row
from afmc.compare.schema import compare_schema
from afmc.compare.screen import render

__all__ = ["Comparison", "Row", "compare", "compare_schema", "render"]
