"""The command line: a thin shell over the Python API. It imports little; commands import late."""

from afmc.cli.app import main

__all__ = ["main"]
