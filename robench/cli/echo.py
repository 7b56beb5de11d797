"""The one way in which commands print: what others wrote cannot drive the terminal."""

import click

from robench.printable import printable


def echo(said: object, *, err: bool = False, nl: bool = True) -> None:
    """Print lines of text, on standard error if ``err``."""
    click.echo(printable(str(said), "\n\t"), err=err, nl=nl)
