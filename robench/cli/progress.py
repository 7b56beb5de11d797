"""What a run says while it goes on: bars on a terminal, lines elsewhere, or JSON.

All of it goes to standard error; a reporter is one function that takes events.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from robench.cli.pulse import pulsing
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
    Working,
    to_plain,
)
from robench.printable import printable_fields


@dataclass(frozen=True)
class Style:
    """What of it is wanted."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False


@contextmanager
def reporter(style: Style) -> Iterator[Tell]:
    """What a run tells; an event may quote what others wrote, which is made harmless first."""
    with _suitable(style) as tell:
        yield lambda event: tell(printable_fields(event))


@contextmanager
def _suitable(style: Style) -> Iterator[Tell]:
    """The reporter that suits what is wanted and where standard error goes."""
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    if style.quiet and not style.json:
        yield _warnings
    elif live and not (style.json or style.verbose):
        with _bars() as tell:
            yield tell
    else:
        with pulsing(_json if style.json else _everything if style.verbose else _lines) as tell:
            yield tell


def _json(event: Event) -> None:
    click.echo(json.dumps(to_plain(event), allow_nan=False), err=True)


def _warnings(event: Event) -> None:
    if isinstance(event, Warned) or (isinstance(event, Finished) and event.status != "ok"):
        click.echo(_milestone(event), err=True)


def _lines(event: Event) -> None:
    match event:
        case Epoch():
            text = f"epoch {event.epoch}/{event.epochs}, loss {event.loss:.3f}{_look(event)}"
            click.echo(f"train     {event.cell}: {text}, {event.seconds:.1f} s", err=True)
        case Evaluating():
            click.echo(f"attack    {event.label}: {event.images} images", err=True)
        case Attacked() if event.seen == event.images:
            click.echo(f"attack    {event.cell}: {_attacked(event)}", err=True)
        case Finished() | Warned():
            click.echo(_milestone(event), err=True)
        case Working():
            at = "; ".join(f"{cell}: {text}" for cell, text in event.cells.items())
            click.echo(f"working   {event.minutes:.0f} min, {at or 'no cell yet'}", err=True)


def _everything(event: Event) -> None:
    _lines(event)
    if isinstance(event, Finished) and event.traceback:
        click.echo(event.traceback.rstrip(), err=True)


def _milestone(event: Finished | Warned) -> str:
    """What stays on the screen."""
    if isinstance(event, Warned):
        return f"warning   {event.text}"
    return f"{event.status:<9} {event.label}: {event.summary} ({event.seconds:.0f} s)"


def _attacked(event: Attacked) -> str:
    stands = "" if event.stand is None else f", {event.stand} stand"
    return f"{event.attack} at {event.eps}{stands}"


def _look(event: Epoch) -> str:
    if event.validation_natural is None or event.validation_robust is None:
        return ""
    return f", validation {event.validation_natural:.1%} natural {event.validation_robust:.1%} PGD"


@contextmanager
def _bars() -> Iterator[Tell]:
    """Live lines: the grid, and for each cell that is worked on its epochs or images."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    counts, left, label, detail = (Column(no_wrap=True, min_width=n) for n in (7, 5, 4, 0))
    label.ratio = detail.ratio = 1  # on a narrow terminal words give way, counts and times do not
    columns = (
        MofNCompleteColumn(table_column=counts),
        BarColumn(bar_width=8),
        TimeRemainingColumn(compact=True, table_column=left),
        TextColumn("{task.description}", markup=False, table_column=label),  # [settings]
        TextColumn("{task.fields[detail]}", table_column=detail),
    )
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True) as progress:
        grid, now = progress.add_task("grid", total=None, detail=""), dict[str, TaskID]()

        def begin(cell: str, label: str, total: int) -> None:
            end(cell)
            now[cell] = progress.add_task(label, total=total, detail="")

        def end(cell: str) -> None:
            if cell in now:
                progress.remove_task(now.pop(cell))

        def tell(event: Event) -> None:
            match event:
                case Started():
                    progress.update(grid, total=event.trainings + event.evaluations)
                case Training():
                    begin(event.cell, event.label, event.epochs)
                case Epoch() if event.cell in now:
                    detail = f"loss {event.loss:.2f}{_look(event).replace(' validation', '')}"
                    progress.update(now[event.cell], completed=event.epoch, detail=detail)
                case Evaluating():
                    begin(event.cell, event.label, event.images)
                case Attacked() if event.cell in now:
                    detail, seen, of = _attacked(event), event.seen, event.images
                    progress.update(now[event.cell], completed=seen, total=of, detail=detail)
                case Finished() | Warned():
                    console.print(_milestone(event), markup=False, soft_wrap=True)
                    if isinstance(event, Finished):
                        progress.advance(grid, 1 + event.dropped)
                        end(event.cell)

        yield tell
