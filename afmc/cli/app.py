"""The command line: its commands, and what is done about errors."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from afmc.cli import failure, output, targets
from afmc.cli.compare import compare
from afmc.cli.compile import compile
from afmc.cli.costs import costs
from afmc.cli.doctor import doctor
from afmc.cli.eval import eval
from afmc.cli.export import export
from afmc.cli.inspect import inspect
from afmc.cli.report import report
from afmc.cli.run import run
from afmc.cli.validate import validate
from afmc.cli.verbosity import LogFile, Quiet, Verbose, verbosity, with_verbosity
from afmc.cli.verify import verify
from afmc.common.version import VERSION
from afmc.errors import AfmcError

app = typer.Typer(
    name="afmc",
    help="Compile language models, and other networks, onto analog in-memory computing tiles, and "
    "measure their accuracy there.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(targets.app, name="targets")

for _command in (
    compile,
    inspect,
    compare,
    export,
    verify,
    costs,
    validate,
    eval,
    report,
    run,
    doctor,
):
    app.command()(with_verbosity(_command))


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    log_file: LogFile = None,
) -> None:
    verbosity.set(quiet, verbose, log_file)
    if version:
        print(f"afmc {VERSION}")
        raise typer.Exit


def main() -> None:
    """Runs a command. The user's mistakes are one sentence on stderr and exit status 2; with
    --json they are an object on stdout, too."""
    if sys.stdout is None:
        output.error("the standard output is closed: give one, for instance /dev/null.")
        sys.exit(2)
    try:
        try:
            status = app(standalone_mode=False)
        except typer.TyperException as error:
            status = failure.usage(error)
        except typer.Abort:
            print("Aborted.", file=sys.stderr)
            status = 1
        except (AfmcError, MemoryError) as error:
            status = failure.say(error)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        sys.stderr.close()
        status = 0
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF, errno.EFBIG):
            raise
        output.error(f"the standard output cannot be written: {error.strerror}.")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python still has to write
        status = 2
    finally:
        verbosity.end()
    sys.exit(status or 0)
