"""``robench show``: one thing, with every number that will be used."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, width


@click.command("show", context_settings=CONTEXT, short_help="One thing with all its settings.")
@click.argument("kind", type=click.Choice(["method", "suite", "dataset", "model", "flag"]))
@click.argument("name")
def command(kind: str, name: str) -> int:
    """Print a method's settings and presets, a suite's attacks and budgets, a dataset's recipe.

    Every number is read from the object that will run. For a flag: what it means, what to do.
    """
    from contextlib import nullcontext

    from robench import plugins

    pages: dict[str, Callable[[str], Iterator[str | Path]]] = {
        "method": _method, "suite": _suite, "dataset": _dataset, "model": _model, "flag": _flag,
    }  # fmt: skip
    folder: plugins.Kind = "methods" if kind == "method" else "attacks"
    with plugins.blamed(folder, name) if kind in ("method", "suite") else nullcontext():
        lines = list(pages[kind](name))
    for line in lines:
        echo(line if isinstance(line, Path) else click.wrap_text(line, width()))
    return 0


def _method(name: str) -> Iterator[str | Path]:
    import inspect

    from robench import plugins, settings
    from robench.training.method import presets

    source, known = plugins.get("methods", name), presets(name)
    base = known["*"]
    yield source.summary()
    yield ""
    for paragraph in (inspect.getdoc(type(base)) or "").split("\n\n"):
        yield " ".join(paragraph.split())
        yield ""
    if base.control:
        yield f"negative control: known to be weak, broken by {base.control}"
    yield f"best checkpoint chosen by: {base.select_on} accuracy on the validation part"
    if base.starts_from():
        yield f"starts from: the best checkpoint of {base.starts_from()}, same data and seed"
    if base.stochastic:
        yield "stochastic: suites for stochastic models take the place of others"
    if own := base.adaptive("Linf"):
        yield f"an attack of its own in every suite: {_in_words(own)}"
    for stage in base.stages():
        yield f"stage {stage.name}: {stage.share:.0%} of the epochs" + "".join(
            f", recipe.{key}={settings.text(value)}" for key, value in stage.recipe.items()
        )
        most = base.passes(stage.name)
        yield (
            f"passes of an image in a step: {most.forwards} forward, {most.backwards} backward "
            "(fewer if attacks end early)"
        )
    yield ""
    yield from _settings(base)
    yield from _presets({key: preset for key, preset in known.items() if key != "*"}, base)
    yield source.path()


def _presets(known: dict[str, object], base: object) -> Iterator[str]:
    from robench import settings
    from robench.training.method import lookup

    for key, preset in known.items():
        dataset, _, model = key.partition("/")
        changed = settings.differences(preset, base, lookup(dataset, model))
        text = ", ".join(f"{path}={settings.text(new)}" for path, (new, _) in changed.items())
        yield f"on {key}: {text or 'the same'}"
    if known:
        yield ""


def _suite(name: str) -> Iterator[str | Path]:
    from robench import plugins
    from robench.adversary.suite import suite
    from robench.reporting.words import VERDICTS

    source, found = plugins.get("attacks", name), suite(name)
    yield source.summary()
    yield ""
    yield f"verdict: {VERDICTS[found.verdict]}"
    yield f"norms: {', '.join(found.norms)}"
    if found.needs:
        wanted = ", ".join(" or ".join(group) for group in found.needs)
        yield f"packages: {found.packages() or f'{wanted}, not installed'}"
    if found.attacks:
        yield "each attack sees the images that stand after those before it"
    if found.audit:
        yield (
            f"audit: {', '.join(found.audit.attacks)} on {found.audit.images} of the images that "
            "stand, at random; on all of them if one falls or any flag is up"
        )
    if found.looks > 1:
        yield f"looks: {found.looks} at every image; the majority counts"
    if found.when_random:
        yield f"on a stochastic model: suite {found.when_random} takes its place"
    if found.sources:
        yield f"crafted on cells of: {', '.join(found.sources)}"
    yield ""
    rows = []
    for attack_name, attack in (*found.attacks.items(), *found.measures.items()):
        more = getattr(attack, "budget", "")
        rows.append((attack_name, _in_words(attack) + (f"; {more}" if more else "")))
    yield from _definitions(rows)
    yield ""
    yield source.path()


def _in_words(attack: object) -> str:
    """What an attack or a measure is, with every setting."""
    from dataclasses import is_dataclass

    from robench import settings

    if not is_dataclass(attack):
        return str(getattr(attack, "__name__", repr(attack)))
    values = settings.describe(attack)
    text = ", ".join(f"{s.name}={settings.text(s.value)}" for s in values)
    return f"{type(attack).__name__} {text}"


def _dataset(name: str) -> Iterator[str]:
    from robench import settings
    from robench.data.catalogue import facts
    from robench.radius import show_eps
    from robench.training.recipes import READY, RECIPES

    known = facts(name)
    yield f"{name}: {known.summary}"
    yield ""
    yield f"images: {'x'.join(map(str, known.shape))}, {known.num_classes} classes"
    yield "default radius: " + ", ".join(f"{n} {show_eps(eps)}" for n, eps in known.eps.items())
    yield f"default model: {known.model}"
    yield ""
    yield "recipe (--set recipe.FIELD=VALUE):"
    yield from _settings(RECIPES[name])
    for other, ready in READY.items():
        changes = settings.differences(ready.of(name), RECIPES[name])
        if text := ", ".join(f"{path}={settings.text(new)}" for path, (new, _) in changes.items()):
            yield f"--recipe {other}: {text}"


def _model(name: str) -> Iterator[str]:
    from robench import names
    from robench.data.catalogue import DATASETS
    from robench.errors import ConfigError
    from robench.models.catalogue import MODELS, build, check
    from robench.models.classifier import num_parameters

    model = MODELS[names.known("model", name, MODELS)]
    yield f"{name}: {model.summary}"
    yield ""
    for dataset, facts in DATASETS.items():
        try:
            check(name, dataset, facts)
        except ConfigError:
            continue
        yield f"{dataset:<14} {num_parameters(build(name, facts, normalise=False)):>12,} parameters"


def _flag(name: str) -> Iterator[str]:
    from robench import names
    from robench.evaluation.flags import FLAGS

    flag = FLAGS[names.known("flag", name, FLAGS)]
    yield f"{name}: {flag.summary}"
    yield ""
    yield flag.why
    yield ""
    yield f"What to do: {flag.remedy}"


def _settings(of: object) -> Iterator[str]:
    """Name, value, range and help of every setting."""
    from robench import settings

    rows = [
        (s.name, f"{settings.text(s.value)} ({s.kind})" + f". {s.help}" * bool(s.help))
        for s in settings.describe(of)
    ]
    yield from _definitions(rows)
    yield ""


def _definitions(rows: list[tuple[str, str]]) -> list[str]:
    """Two columns, the second wrapped."""
    formatter = click.HelpFormatter(width=width(), indent_increment=0)
    if rows:
        with formatter.indentation():
            formatter.write_dl(rows)
    return formatter.getvalue().splitlines()
