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

PARTS, PART = "robench.cli.parts", "robench.cli.part"
"""How many tables ``grid`` the file has, and which one is looked at."""

F = TypeVar("F", bound=Callable[..., Any])


class _Folder(click.Path):
    """A folder that is there or can be made: nothing on the way to it is a file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("the name is empty", param, ctx)
        if not _is_text(str(Path(value).absolute())):
            self.fail(f"{value}: a name has to be text, in UTF-8", param, ctx)
        path = Path(str(super().convert(value, param, ctx)))
        try:
            there = next(part for part in (path, *path.absolute().parents) if part.exists())
        except OSError as error:
            self.fail(f"{path}: {error.strerror}", param, ctx)
        if not there.is_dir():
            self.fail(f"{path}: {there} is no folder", param, ctx)
        return path


class FileName(click.Path):
    """A file's name, one that a file can have."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name as a path."""
        if not _is_text(str(value)):
            self.fail(f"{value}: a name has to be text, in UTF-8", param, ctx)
        return super().convert(value, param, ctx)


def _is_text(name: str) -> bool:
    """Whether a name can be put into a file of results: no zero, no byte that is no character."""
    try:
        return b"\0" not in name.encode()
    except UnicodeEncodeError:
        return False


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
    merged with what is typed, setting by setting. Of several tables ``grid`` the context says which
    one; what stands above them holds for all.
    """
    if path is None:
        return None
    from robench.store.grid import read_config

    content = read_config(path)
    parts = _tables(content.pop("grid", [{}]), "grid")
    _tables(content.pop("claim", []), "claim")  # the report's
    ctx.meta[PARTS] = len(parts)
    part = parts[ctx.meta.get(PART, 0)]
    ctx.meta[SET] = []
    values = _values(ctx, path, content)  # first what holds for all
    ctx.default_map = values | _values(ctx, path, part)
    return path


def _values(ctx: click.Context, path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    from robench import names
    from robench.store.grid import flat

    options = [p for p in ctx.command.params if isinstance(p, click.Option)]
    known = {p.name: p for p in options if p.name != "config"}
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = names.known(f"option of {path}", key.replace("-", "_"), known)
        if name == "set":
            ctx.meta[SET] += [f"{path}={_text(v)}" for path, v in flat(_table(value))]
        elif known[name].multiple:
            values[name] = [_text(v) for v in value] if isinstance(value, list) else [_text(value)]
        else:
            values[name] = _text(value)
    return values


def parts(ctx: click.Context, typed: Sequence[str]) -> list[dict[str, Any]]:
    """The options of every further part of a grid file, with what was typed."""
    found = []
    for part in range(1, ctx.meta.get(PARTS, 1)):
        ctx.meta[PART] = part
        with ctx.command.make_context(ctx.info_name, [*typed], parent=ctx.parent) as further:
            found.append(further.params)
    ctx.meta.pop(PART, None)
    return found


def merged(ctx: click.Context, _: click.Parameter, typed: Sequence[str]) -> tuple[str, ...]:
    """The settings of a grid file, then those typed: later ones win."""
    return (*ctx.meta.get(SET, ()), *typed)


def _tables(value: object, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise click.UsageError(f"{name!r} in a config file is a list of tables: [[{name}]]")
    return value or [{}]


def _table(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise click.UsageError("'set' in a config file is a table of settings by dotted name")
    return value


def _text(value: object) -> str:
    from robench import settings

    return settings.text(tuple(value) if isinstance(value, list) else value)
