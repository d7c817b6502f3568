"""The command line: a thin shell over the Python API. Importing it is cheap; commands import late."""

from afmc.cli.app import main

__all__ = ["main"]
