"""``robench run``: the grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robench.cli.echo import echo
from robench.cli.options import (
    CONTEXT,
    RESULTS,
    FileName,
    folder,
    from_config,
    listed,
    merged,
    parts,
)

if TYPE_CHECKING:
    from fractions import Fraction

    import torch

    from robench.plan import Plan
    from robench.radius import Norm
    from robench.store.grid import Request


TYPED = "robench.cli.typed"
"""Where the context keeps the command line as it was typed."""


class _Parted(click.Command):
    """A command that can be asked again what was typed, for the further parts of a grid file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta.setdefault(TYPED, tuple(args))
        return super().parse_args(ctx, args)


@click.command(
    "run", cls=_Parted, context_settings=CONTEXT, short_help="Train and attack a grid of cells."
)
@listed(
    "--methods",
    "-m",
    metavar="A,B[K=V]",
    show_default=False,
    help='Training methods; settings in brackets: "trades[beta=1,3,6]" makes three cells.',
)
@listed("--dataset", default=["digits"], metavar="NAME,...", help="See robench list.")
@listed(
    "--model",
    metavar="NAME,...",
    show_default="the data set's",
    help="Networks to train; see robench list.",
)
@listed("--suite", default=["standard"], metavar="NAME,...", help="Attack suites.")
@click.option("--norm", default="Linf", metavar="Linf|L2|L1|flow", help="Of the threat model.")
@listed(
    "--eps",
    metavar="R,...",
    show_default="the data set's",
    help="Radii attacked, in [0, 1] pixel units: 0,2/255,8/255.",
)
@click.option(
    "--train-norm",
    default="",
    metavar="Linf|L2",
    show_default="--norm, or Linf",
    help="Norm trained against.",
)
@listed(
    "--train-eps",
    metavar="R,...",
    show_default="the data set's",
    help="Radii trained against.",
)
@listed("--seeds", default=["0"], metavar="0-2,7", help="One training a seed.")
@click.option(
    "--recipe",
    default="paper",
    metavar="paper|fast|smoke",
    help="How all methods are trained; see robench list recipes.",
)
@click.option(
    "--set",
    multiple=True,
    callback=merged,
    metavar="NAME=VALUE",
    show_default=False,
    help="recipe.FIELD for all methods, or METHOD.FIELD: recipe.epochs=20.",
)
@click.option(
    "--config",
    type=FileName(path_type=Path, dir_okay=False),
    is_eager=True,
    callback=from_config,
    expose_value=False,
    metavar="FILE",
    show_default=False,
    help="A TOML file with these options; the command line wins.",
)
@click.option("--results", type=folder, default=RESULTS, help="Where cells are kept.")
@click.option("--data-root", type=folder, default=Path("data"), help="A torchvision root.")
@click.option("--download", is_flag=True, help="Fetch a data set that is not there.")
@click.option(
    "--train-limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="For testing only: fewer training images; marked in every table.",
)
@click.option(
    "--test-limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="For testing only: fewer test images; marked in every table.",
)
@listed(
    "--checkpoints",
    default=["best,last"],
    metavar="best,last",
    help="Which weights are attacked.",
)
@click.option(
    "--save-adversarial",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Keep the first N test images as they were when an attack broke them, with their labels. "
    "Numbers stay the same, and evaluations done before stay as they are: --rerun always makes "
    "their images, and all else anew.",
)
@click.option("--device", default="auto", help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    default=1,
    metavar="N",
    help="CPU threads; more pay for large networks only, and change the last bits of a number.",
)
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(0, 256),
    default=1,
    metavar="N",
    help="Cells at once, each in a process of its own, which may crash; 0: in this process.",
)
@click.option(
    "--cell-timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MIN",
    help="Minutes after which a cell is stopped and counts as failed.",
)
@click.option(
    "--save-every",
    type=click.FloatRange(min=0),
    default=10,
    metavar="MIN",
    help="Minutes between saves within an epoch or an attack; each end of one is saved, too.",
)
@click.option(
    "--rerun",
    type=click.Choice(["missing", "failed", "always"]),
    default="missing",
    help="What is run again: nothing, what failed, everything.",
)
@click.option(
    "--plan",
    is_flag=True,
    help="Say what would run and what it costs, from a short probe; run nothing.",
)
@click.option("--json", is_flag=True, help="Progress as one JSON object a line.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option(
    "--verbose", "-v", is_flag=True, help="A line an epoch and attack; where failures come from."
)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Train what is missing, attack what is missing, and gather the tables.

    Everything is looked up and checked before anything runs. Stop it at any time: the same command
    goes on with the first cell that is not finished. Lists take commas, or the option again.
    """
    grids = [options, *parts(ctx, ctx.meta.get(TYPED, ()))]
    if options["cell_timeout"] and not options["jobs"]:
        raise click.UsageError("--cell-timeout needs a process to end: --jobs 1 or more")
    pairs = zip(grids, _elsewhere(grids), strict=True)
    requests = [_request(grid, elsewhere) for grid, elsewhere in pairs]
    import torch

    from robench.device import choose
    from robench.plan import plan

    torch.set_num_threads(options["threads"])
    device = choose(options["device"])
    # Workers load the data themselves, each on its own device; a plan is probed here.
    here = torch.device("cpu") if options["jobs"] and not options["plan"] else device
    planned = [plan(request, here) for request in requests]
    fine = [
        _run(one, request, grid, device)
        for one, request, grid in zip(planned, requests, grids, strict=True)
    ]
    return 0 if all(fine) else 1


def _elsewhere(grids: Sequence[dict[str, Any]]) -> list[frozenset[str]]:
    """Of the parts of a grid file, the settings that all share and whose method others train."""
    from robench.store.grid import choices

    trained = [{choice.method for choice in choices(grid["methods"])} for grid in grids]
    shared = set.intersection(*(set(grid["set"]) for grid in grids))
    heads = {name: name.partition(".")[0] for name in map(_name, shared)}
    others = [set.union(*trained) - methods for methods in trained]
    return [frozenset(name for name in heads if heads[name] in there) for there in others]


def _used(texts: Sequence[str], planned: "Plan", request: "Request") -> tuple[str, ...]:
    """Of a part's settings, those that something in it has a use for."""
    methods = {job.method.choice for job in planned.jobs}
    idle = {name for name in request.elsewhere if name.partition(".")[0] not in methods}
    return tuple(text for text in texts if _name(text) not in idle)


def _name(text: str) -> str:
    return text.partition("=")[0].strip()


def _run(
    planned: "Plan", request: "Request", options: dict[str, Any], device: "torch.device"
) -> bool:
    """Run a plan, or say what it would run; whether everything is there and fine."""
    from robench.cli.planned import announce, listing
    from robench.errors import ConfigError, StoreError
    from robench.store.asked import keep
    from robench.store.grid import to_config

    results: Path = options["results"]
    if options["plan"]:
        from robench.cli.forecasted import forecast

        announce(planned, device, err=False)
        listing(planned, results, options["rerun"])
        forecast(planned, results, options["rerun"], options["jobs"], device)
        echo(results)
        return True
    cells = {job.cell.name: [e.name for e in job.evaluations] for job in planned.jobs}
    try:
        kept = options | {"set": _used(options["set"], planned, request)}
        keep(results, to_config(kept), cells)
    except StoreError as error:  # before anything of it ran
        raise ConfigError(str(error)) from error
    if not (options["json"] or options["quiet"]):
        announce(planned, device, err=True)
    fine = _watched(planned, request, options)
    echo(results / "results.csv")
    return fine


def _watched(planned: "Plan", request: "Request", options: dict[str, Any]) -> bool:
    """Run a plan here or in worker processes, until it is done or asked to stop."""
    import signal

    from robench.cli import progress
    from robench.errors import Stopped
    from robench.executors import local
    from robench.executors.slots import Slots
    from robench.run import run
    from robench.watch import Watch, stoppable

    results, jobs, timeout = options["results"], options["jobs"], options["cell_timeout"]
    wanted = progress.Style(options["json"], options["quiet"], options["verbose"])
    with progress.reporter(wanted) as tell:
        watch, crew = Watch(tell, 60 * options["save_every"]), None
        if jobs:
            slots = Slots(local.environments(options["device"], jobs), timeout and 60 * timeout)
            watch.leaving = slots.kill
            order = local.Order(
                request=request, results=results, rerun=options["rerun"],
                device=options["device"], threads=options["threads"], save_every=watch.save_every,
                run=watch.run,
            )  # fmt: skip
            crew = local.crew(order, slots, watch)
        try:
            with stoppable(watch, signal.SIGINT, signal.SIGTERM):
                return run(planned, results, options["rerun"], watch, crew)
        except Stopped as stop:
            if options["rerun"] == "always":
                stop.go_on = "the same without --rerun always goes on from here"
            raise


def _request(options: dict[str, Any], elsewhere: frozenset[str] = frozenset()) -> "Request":
    """Texts to values; names are looked up later."""
    from robench import names
    from robench.errors import ConfigError
    from robench.radius import BALLS, parse_norm
    from robench.store.cell import KEPT
    from robench.store.grid import Request, choices, seeds

    methods = choices(options["methods"])
    if not methods:
        raise ConfigError("no method to train; for example --methods sensible,trades,madry")
    norm = parse_norm(options["norm"])
    train_norm = parse_norm(options["train_norm"] or (norm if norm in BALLS else "Linf"))
    if train_norm not in BALLS:
        raise ConfigError(f"--train-norm {train_norm}: training is against {' or '.join(BALLS)}")
    kept = [names.known("checkpoint", name, KEPT) for name in _names(options, "checkpoints")]
    return Request(
        methods=tuple(methods),
        datasets=_names(options, "dataset"),
        models=_names(options, "model", empty=True),
        suites=_names(options, "suite"),
        norm=norm,
        eps=_radii(options, "eps", norm),
        train_norm=train_norm,
        train_eps=_radii(options, "train_eps", train_norm),
        seeds=seeds(options["seeds"]),
        changes=dict(_assignment(text) for text in options["set"]),
        checkpoints=tuple(name for name in KEPT if name in kept),
        train_limit=options["train_limit"],
        test_limit=options["test_limit"],
        data_root=options["data_root"],
        download=options["download"],
        recipe=options["recipe"],
        save_adversarial=options["save_adversarial"],
        elsewhere=elsewhere,
    )


def _names(options: dict[str, Any], name: str, *, empty: bool = False) -> tuple[str, ...]:
    """The parts of a list; an empty option means the data set's own where ``empty`` allows it."""
    from robench.store.grid import split

    parts = tuple(dict.fromkeys(split(options[name])))
    if not parts and (options[name] or not empty):
        raise click.UsageError(f"--{name.replace('_', '-')} names nothing")
    return parts


def _radii(options: dict[str, Any], name: str, norm: "Norm") -> "tuple[Fraction, ...]":
    from robench.radius import parse_eps

    radii = [parse_eps(text, norm) for text in _names(options, name, empty=True)]
    return tuple(dict.fromkeys(radii))


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or "." not in name:
        raise click.UsageError(
            f"--set {text!r} is not of the form recipe.FIELD=VALUE or METHOD.FIELD=VALUE"
        )
    return name.strip(), value.strip()
