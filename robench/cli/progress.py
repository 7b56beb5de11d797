"""What a run says while it goes on: bars on a terminal, lines elsewhere, or JSON.

All of it goes to standard error; a reporter is one function that takes events.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from robench.events import (
    Attacked,
    Epoch,
    Evaluating,
    Event,
    Finished,
    Started,
    Tell,
    Training,
    Warned,
)


@contextmanager
def reporter(as_json: bool, quiet: bool) -> Iterator[Tell]:
    """The reporter that suits where standard error goes."""
    if as_json:
        yield _json
    elif quiet:
        yield _warnings
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bars() as tell:
            yield tell
    else:
        yield _lines


def _json(event: Event) -> None:
    click.echo(json.dumps({"event": type(event).__name__.lower(), **asdict(event)}), err=True)


def _warnings(event: Event) -> None:
    if isinstance(event, Warned):
        click.echo(f"warning   {event.text}", err=True)


def _lines(event: Event) -> None:
    match event:
        case Training() | Started():
            return
        case Epoch():
            look = _look(event)
            text = f"epoch {event.epoch}/{event.epochs}, loss {event.loss:.3f}{look}"
            click.echo(f"train     {event.cell}: {text}, {event.seconds:.1f} s", err=True)
        case Evaluating():
            click.echo(f"attack    {event.label}: {event.images} images", err=True)
        case Attacked():
            if event.seen == event.images:
                stand = f"{event.stand}/{event.seen} stand"
                click.echo(f"attack    {event.cell}: {event.attack}, {stand}", err=True)
        case _:
            _milestone(event)


def _milestone(event: Event) -> None:
    """What every reporter prints and keeps on the screen."""
    if isinstance(event, Finished):
        text = f"{event.label}: {event.summary} ({event.seconds:.0f} s)"
        click.echo(f"{event.status:<9} {text}", err=True)
    else:
        _warnings(event)


def _look(event: Epoch) -> str:
    if event.validation_natural is None or event.validation_robust is None:
        return ""
    return f", validation {event.validation_natural:.1%} natural {event.validation_robust:.1%} PGD"


@contextmanager
def _bars() -> Iterator[Tell]:
    """Two live lines: the grid, and the epochs or images of what is being done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeRemainingColumn(compact=True),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True) as progress:
        grid = progress.add_task("grid", total=None, detail="")
        now = progress.add_task("", total=None, detail="", visible=False)

        def tell(event: Event) -> None:
            match event:
                case Started():
                    progress.update(grid, total=event.trainings + event.evaluations)
                case Training():
                    progress.reset(now, total=event.epochs, description=event.label, detail="",
                                   visible=True)  # fmt: skip
                case Epoch():
                    detail = f"loss {event.loss:.2f}{_look(event).replace('validation ', '')}"
                    progress.update(now, completed=event.epoch, detail=detail)
                case Evaluating():
                    progress.reset(now, total=event.images, description=event.label, detail="",
                                   visible=True)  # fmt: skip
                case Attacked():
                    detail = f"{event.attack}: {event.stand}/{event.seen} stand"
                    progress.update(now, completed=event.seen, detail=detail)
                case Finished():
                    progress.update(now, visible=False)
                    progress.advance(grid)
                    _milestone(event)
                case Warned():
                    _milestone(event)

        yield tell
