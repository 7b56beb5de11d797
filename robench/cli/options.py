"""What commands share: environment variables, the results folder, files of options."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

CONTEXT: dict[str, Any] = {
    "auto_envvar_prefix": "ROBENCH",
    "help_option_names": ["-h", "--help"],
    "show_default": True,
}
"""Every option has an environment variable: ``--data-root`` is ROBENCH_DATA_ROOT."""

RESULTS = Path("results/local")

folder = click.Path(path_type=Path, file_okay=False)


def width() -> int:
    """Columns to write in: the terminal's, as long as lines stay readable."""
    import shutil

    return min(shutil.get_terminal_size().columns, 100)


def from_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Take a grid file's values as the defaults of a command's options; the command line wins."""
    if path is None:
        return None
    from robench import names
    from robench.store.grid import flat, read_config

    known = {p.name: p for p in ctx.command.params if isinstance(p, click.Option)}
    values: dict[str, Any] = {}
    for key, value in read_config(path).items():
        name = names.known(f"option of {path}", key.replace("-", "_"), known)
        if name == "set":
            value = [f"{path}={_text(v)}" for path, v in flat(_table(value))]
        elif known[name].multiple:
            value = [_text(v) for v in value] if isinstance(value, list) else [_text(value)]
        values[name] = ",".join(map(_text, value)) if _is_plain_list(known[name], value) else value
    ctx.default_map = values
    return path


def _is_plain_list(option: click.Option, value: object) -> bool:
    return isinstance(value, list) and not option.multiple


def _table(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise click.UsageError("'set' in a config file is a table of settings by dotted name")
    return value


def _text(value: object) -> str:
    from robench import settings

    return settings.text(tuple(value) if isinstance(value, list) else value)
