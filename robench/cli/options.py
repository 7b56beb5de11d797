"""What commands share: environment variables, the results folder, files of options."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

CONTEXT: dict[str, Any] = {
    "auto_envvar_prefix": "ROBENCH",
    "help_option_names": ["-h", "--help"],
    "show_default": True,
}
"""Every option has an environment variable: ``--data-root`` is ROBENCH_DATA_ROOT."""

RESULTS = Path("results/local")

SET = "robench.cli.set"
"""Where a command's context keeps the settings of a grid file."""

F = TypeVar("F", bound=Callable[..., Any])


class _Folder(click.Path):
    """A folder that is there or can be made: nothing on the way to it is a file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("the name is empty", param, ctx)
        path = Path(str(super().convert(value, param, ctx)))
        try:
            there = next(part for part in (path, *path.absolute().parents) if part.exists())
        except OSError as error:
            self.fail(f"{path}: {error.strerror}", param, ctx)
        if not there.is_dir():
            self.fail(f"{path}: {there} is no folder", param, ctx)
        return path


folder = _Folder(path_type=Path, file_okay=False)


def width() -> int:
    """Columns to write in: the terminal's, as long as lines stay readable."""
    import shutil

    return min(shutil.get_terminal_size().columns, 100)


def listed(*names: str, **attributes: Any) -> Callable[[F], F]:
    """An option that takes a list: parts between commas, the option again, or both.

    The command gets one text, as if all had been typed with commas.
    """

    def join(_: click.Context, __: click.Parameter, parts: Sequence[str]) -> str:
        return ",".join(parts)

    return click.option(*names, multiple=True, callback=join, **attributes)


def from_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Take a grid file's values as the defaults of a command's options; the command line wins.

    Values become text, so that they are checked as if they had been typed. The table ``set`` is
    merged with what is typed, setting by setting.
    """
    if path is None:
        return None
    from robench import names
    from robench.store.grid import flat, read_config

    options = [p for p in ctx.command.params if isinstance(p, click.Option)]
    known = {p.name: p for p in options if p.name != "config"}
    values: dict[str, Any] = {}
    for key, value in read_config(path).items():
        name = names.known(f"option of {path}", key.replace("-", "_"), known)
        if name == "set":
            ctx.meta[SET] = [f"{path}={_text(v)}" for path, v in flat(_table(value))]
        elif known[name].multiple:
            values[name] = [_text(v) for v in value] if isinstance(value, list) else [_text(value)]
        else:
            values[name] = _text(value)
    ctx.default_map = values
    return path


def merged(ctx: click.Context, _: click.Parameter, typed: Sequence[str]) -> tuple[str, ...]:
    """The settings of a grid file, then those typed: later ones win."""
    return (*ctx.meta.get(SET, ()), *typed)


def _table(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise click.UsageError("'set' in a config file is a table of settings by dotted name")
    return value


def _text(value: object) -> str:
    from robench import settings

    return settings.text(tuple(value) if isinstance(value, list) else value)
