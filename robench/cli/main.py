"""The entry point: commands found by name, errors as one line, exit codes.

0: all is well; 1: a cell failed or diverged; 2: something asked for makes no sense, nothing ran;
3: a fault in robench; 130 and 143: stopped by Ctrl-C or SIGTERM, and ready to go on.
"""

import importlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from robench import __version__
from robench.cli.echo import echo
from robench.errors import RobenchError, Stopped

COMMANDS = (
    "run", "report", "status", "list", "show", "check", "audit", "transfer", "compare", "diff",
    "merge", "clean", "export", "import-checkpoint", "new", "doctor",
)  # fmt: skip


class Commands(click.Group):
    """Commands live in modules of their own names, imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The function ``command`` of the module with the command's name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"robench.cli.{cmd_name.replace('-', '_')}_command")
        command: click.Command = module.command
        return command

    def make_context(self, *given: Any, **extra: Any) -> click.Context:
        """Read the arguments, which prints the help if it is asked for."""
        with _until_read():
            return super().make_context(*given, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _until_read():
            return super().invoke(ctx)


@contextmanager
def _until_read() -> Iterator[None]:
    """A reader that has seen enough (``| head``) is no failure."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(0) from None


_HELP = """Compare robust training methods under attacks that do not flatter them.

\b
robench run --methods sensible,trades,madry    train and attack; again: go on
robench report                                 tables and figures
"""


@click.command(cls=Commands, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="robench")
def cli() -> None:
    """The group that holds all commands."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit code."""
    # Read by OpenMP when torch is imported: idle threads should sleep, not spin.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):  # not every terminal has all characters
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _warnings_echoed():
            code = cli.main(args=arguments, prog_name="robench", standalone_mode=False)
    except click.exceptions.Exit as done:
        code = done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        echo(error.format_message())
        code = 2
    except click.ClickException as error:
        code = _say(error.format_message(), error.exit_code)
    except RobenchError as error:
        code = _say(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        code = _say(f"interrupted; {Stopped.go_on}", 130)
    except Stopped as stop:
        code = _say(f"{stop}; {stop.go_on}", stop.exit_code)
    except Exception as error:
        if os.environ.get("ROBENCH_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {error}"
        code = _say(f"{what} (a fault in robench; ROBENCH_TRACEBACK=1 shows where)", 3)
    sys.exit(code or 0)


@contextmanager
def _warnings_echoed() -> Iterator[None]:
    """Python's own warnings quote lines of plugin files, so they are printed as all else is."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: object = None,
        line: str | None = None,
    ) -> None:
        echo(f"warning: {filename}:{lineno}: {category.__name__}: {message}", err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _say(message: str, code: int) -> int:
    echo(f"error: {' '.join(message.split())}", err=True)
    return code
