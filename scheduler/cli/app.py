"""The command `autoresearch`: its verbs, and the one place where an error becomes an exit code.

Exit codes: 0 done, 1 failure, 2 bad usage or configuration, 130 interrupted. Verbs raise
SchedulerError with a text for a person; here it becomes one line on stderr. Importing this file
loads neither Ray nor torch, pydantic, matplotlib or rich: `--help` answers at once.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from scheduler.cli.doctor import doctor
from scheduler.cli.files import best, export, log, plot
from scheduler.cli.init import init
from scheduler.cli.instructions import instructions, tell
from scheduler.cli.mcp import mcp
from scheduler.cli.notebook import notebook
from scheduler.cli.report import report
from scheduler.cli.reproduce import reproduce
from scheduler.cli.run import run
from scheduler.cli.serve import serve
from scheduler.cli.show import diff, show
from scheduler.cli.status import status, top
from scheduler.cli.steering import cancel, pause, stop, unpause
from scheduler.cli.submit import submit
from scheduler.cli.submit_job import submit_job
from scheduler.cli.timeline import timeline
from scheduler.errors import SchedulerError

app = typer.Typer(
    name="autoresearch",
    help="Machines that do research overnight: edits of a training script, each trained for the "
    "same budget, the best fed back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: its tables of rich take as long as the rest together
)
_VERBS = (
    *(init, run, serve, submit_job, tell, instructions, submit),
    *(pause, unpause, stop, cancel),
    *(status, top, show, diff, log, best, notebook, export, plot),
    *(timeline, report, reproduce, mcp, doctor),
)
for _verb in _VERBS:
    app.command()(_verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"autoresearch {version('autoresearch-ray')}")
        except PackageNotFoundError:
            typer.echo("autoresearch (from a checkout that is not installed)")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a verb."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process (SystemExit) with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a title may hold what a terminal can't show
    try:
        app(args=None if arguments is None else list(arguments), prog_name="autoresearch")
    except SchedulerError as error:
        _end(str(error), error.exit_code)
    except BrokenPipeError:
        # Who read the output has seen enough. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _end(str(error), 1)
    sys.exit(0)


def _end(message: str, code: int) -> NoReturn:
    from workers.log import clean

    red, reset = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    if os.environ.get("NO_COLOR"):
        red = reset = ""
    print(f"{red}error: {clean(message)}{reset}", file=sys.stderr)  # noqa: T201
    sys.exit(code)


if __name__ == "__main__":
    main()
