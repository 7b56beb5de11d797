"""``robench new``: a plugin file to begin with."""

from pathlib import Path

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT


@click.command("new", context_settings=CONTEXT, short_help="Write a plugin file to begin with.")
@click.argument("kind", type=click.Choice(["method", "suite"]))
@click.argument("name")
def command(kind: str, name: str) -> int:
    """Write methods/NAME.py or attacks/NAME.py in the current folder.

    The file runs as it is and passes robench check.
    """
    import keyword
    import re

    from robench import plugins, templates
    from robench.errors import PluginError
    from robench.store.files import write

    folder, template = (
        ("methods", templates.METHOD) if kind == "method" else ("attacks", templates.SUITE)
    )
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name) or name[0] == "_":
        raise PluginError(f"{name!r} cannot be a plugin's name; use letters, digits and _")
    there = plugins.find("methods" if kind == "method" else "attacks").get(name)
    if there is not None:
        raise PluginError(f"there is a {kind} called {name!r} already: {there.path()}")
    path = Path(folder) / f"{name}.py"
    title = "".join(part.capitalize() for part in name.split("_"))
    taken = keyword.iskeyword(title) or title in re.findall(r"\w+", template)
    text = template.format(title=title, own=f"{title}Method" if taken else title)
    write(path, text.encode())
    flag = "--methods" if kind == "method" else "--methods madry --suite"
    echo(f"robench check {name}\nrobench run {flag} {name}\n{path}")
    return 0
