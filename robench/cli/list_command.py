"""``robench list``: everything that can be named."""

from collections.abc import Iterator

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, width

KINDS = ("methods", "suites", "datasets", "models", "recipes", "flags")


@click.command("list", context_settings=CONTEXT, short_help="What can be named.")
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
def command(kinds: tuple[str, ...]) -> int:
    """List methods, suites, datasets, models, recipes, flags; broken plugin files with the reason.

    Imports no plugin and no torch.
    """
    broken = False
    for kind in kinds or KINDS:
        rows = list(_rows(kind))
        formatter = click.HelpFormatter(width=width())
        with formatter.section(kind):
            formatter.write_dl(rows)
        echo(formatter.getvalue().rstrip())
        broken = broken or any(summary.startswith("BROKEN") for _, summary in rows)
    return int(broken)


def _rows(kind: str) -> Iterator[tuple[str, str]]:
    if kind in ("methods", "suites"):
        from robench import plugins

        for source in plugins.find("methods" if kind == "methods" else "attacks").values():
            control = source.control()
            said = source.summary() + f" NEGATIVE CONTROL, broken by {control}." * bool(control)
            yield source.name, f"BROKEN: {source.problem}" if source.problem else said
    elif kind == "datasets":
        from robench.data.catalogue import DATASETS

        yield from ((name, facts.summary) for name, facts in DATASETS.items())
    elif kind == "models":
        from robench.models.catalogue import MODELS

        yield from ((name, model.summary) for name, model in MODELS.items())
    elif kind == "recipes":
        from robench.training.recipes import READY

        yield from ((name, ready.summary) for name, ready in READY.items())
    else:
        from robench.evaluation.flags import FLAGS

        yield from ((name, flag.summary) for name, flag in FLAGS.items())
