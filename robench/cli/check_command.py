"""``robench check``: conformance of a plugin."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT

if TYPE_CHECKING:
    from robench.plugins import Source


@click.command("check", context_settings=CONTEXT, short_help="Whether a plugin keeps its contract.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def command(names: tuple[str, ...]) -> int:
    """Check methods or suites by NAME, or by the path of a file in methods/ or attacks/.

    On a tiny task, in seconds on a CPU. Leaves with 1 when something is wrong.
    """
    sources = [_source(name) for name in names]
    import torch

    from robench.check.check import check

    torch.set_num_threads(1)  # tiny tensors: a second thread only waits
    bad = 0
    for source in sources:
        echo(f"{source.name} ({source.path()})")
        for finding in check(source):
            bad += bool(finding.problem)
            mark = "WRONG" if finding.problem else "ok   "
            echo(f"  {mark} {finding.what}")
            if finding.problem:
                echo(f"        {finding.problem}")
    echo("all is well" if not bad else f"{bad} things to mend")
    return int(bad > 0)


def _source(name: str) -> "Source":
    from robench import plugins
    from robench.errors import PluginError

    path = Path(name)
    if path.suffix == ".py":
        for kind in plugins.KINDS:
            if path.parent.resolve() in plugins.folders(kind):
                return plugins.get(kind, path.stem)
        raise PluginError(f"{name} is in no plugin folder; put it in ./methods or ./attacks")
    found = {kind: plugins.find(kind) for kind in plugins.KINDS}
    both = [kind for kind in plugins.KINDS if name in found[kind]]
    if len(both) == 2:
        raise PluginError(f"{name!r} is a method and a suite; name its file: methods/{name}.py")
    if not both:
        from robench import names

        names.known("plugin", name, [*found["methods"], *found["attacks"]], PluginError)
    return found[both[0]][name]
