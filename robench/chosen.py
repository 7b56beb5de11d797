"""From an entry of ``--methods`` to what it trains: its preset, settings, recipe and name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from robench import plugins, settings
from robench.adversary.pgd import PGD
from robench.data import catalogue as data_catalogue
from robench.data.catalogue import Facts
from robench.errors import ConfigError
from robench.models import catalogue as model_catalogue
from robench.radius import Norm
from robench.settings import Plain
from robench.store.grid import Choice, Request
from robench.training.method import (
    Adversarial,
    Method,
    inside,
    lookup,
    method,
    preset_for,
    presets,
)
from robench.training.recipe import Recipe
from robench.training.recipes import recipe


@dataclass(frozen=True)
class Chosen:
    """A method on a data set with a network, before radii and seeds."""

    choice: Choice
    """With the settings that make the method again from its preset."""
    dataset: str
    facts: Facts
    model: str
    recipe: Recipe
    method: Method
    settings: Plain
    """The method's, as files and keys hold them."""
    deviates: str
    """Where its recipe departs from the shared one, in words."""
    label: str
    """Method and changed settings, as in tables."""
    start: "Chosen | None" = None
    """What trains the weights that it starts with."""

    @property
    def line(self) -> tuple[str, ...]:
        """The method, what it starts from, what that starts from."""
        return (self.choice.method, *(self.start.line if self.start else ()))


def shared_recipe(dataset: str, request: Request) -> Recipe:
    """The recipe of a data set, as the grid names it and changes it for all methods.

    Raises:
        ConfigError: no such data set, recipe or field, or a value out of range.
    """
    data_catalogue.facts(dataset)
    return settings.change(
        "recipe", recipe(request.recipe, dataset), _below("recipe", request.changes)
    )


def check_changes(request: Request, trainings: Sequence[Chosen]) -> None:
    """See to it that every change has a use: for the recipe, a method, or what one starts from.

    Raises:
        ConfigError: one has none, here or in another part of the grid file.
    """
    used = dict.fromkeys(name for training in trainings for name in training.line)
    for name in request.changes:
        head = name.partition(".")[0]
        if head not in ("recipe", *used) and name not in request.elsewhere:
            raise ConfigError(
                f"--set {name}: {head!r} is neither 'recipe' nor one of the methods: "
                f"{', '.join(used)}"
            )


def choose(request: Request, shared: Mapping[str, Recipe]) -> Iterator[Chosen]:
    """Every method of a grid on every data set and network.

    Raises:
        ConfigError, PluginError: a name, a setting or a combination that makes no sense.
    """
    for name in dict.fromkeys(choice.method for choice in request.methods):
        presets(name)  # all names first: a slip in the last one should not wait for the others
    for dataset in request.datasets:
        facts = data_catalogue.facts(dataset)
        for model in request.models or (facts.model,):
            model_catalogue.check(model, dataset, facts)
            for choice in request.methods:
                with plugins.blamed("methods", choice.method):
                    chosen = _training(choice, dataset, facts, model, shared[dataset], request)
                yield chosen


def _training(
    choice: Choice,
    dataset: str,
    facts: Facts,
    model: str,
    shared: Recipe,
    request: Request,
    after: tuple[str, ...] = (),
) -> Chosen:
    """``after``: the methods that wait for this one's weights."""
    name = choice.method
    if name in after:
        raise ConfigError(f"{' starts from '.join((*after, name))}: which begins?")
    changes = {**_below(name, request.changes), **_without_recipe(choice.changes)}
    preset = _preset(name, dataset, model, request.train_norm)
    by_name = partial(_preset, dataset=dataset, model=model, norm=request.train_norm)
    chosen = settings.change(name, preset, changes, by_name)
    recipe = settings.change("recipe", shared, _below("recipe", choice.changes))
    if recipe.padding == "reflect" and recipe.pad >= facts.shape[1]:
        raise ConfigError(f"recipe.pad cannot reflect {recipe.pad} pixels of {facts.shape[1]}")
    changed = _changed(chosen, preset, by_name)
    stored = _changed(chosen, method(name, dataset, model=model), lookup(dataset, model))
    own = {f"recipe.{p}": new for p, (new, _) in settings.differences(recipe, shared).items()}
    brackets = ",".join(f"{path}={settings.text(v)}" for path, v in sorted((changed | own).items()))
    source = chosen.starts_from()
    start = (
        _training(Choice(source), dataset, facts, model, shared, request, (*after, name))
        if source
        else None
    )
    return Chosen(
        Choice(name, {path: settings.text(value) for path, value in stored.items()}),
        dataset,
        facts,
        model,
        recipe,
        chosen,
        settings.plain(chosen),
        _deviations(chosen, recipe, shared),
        f"{name}[{brackets}]" if brackets else name,
        start,
    )


def _preset(name: str, dataset: str, model: str, norm: Norm) -> Method:
    """A method with its preset for a data set and a network.

    Those for a data set quote step sizes of Linf; in another norm such a step is so short that the
    attack would stay where it starts, so there it is relative to eps.
    """
    found = method(name, dataset, model=model)
    if norm == "Linf":
        return found
    return settings.change(name, found, dict.fromkeys(_quoted(name, found, dataset, model)))


def _quoted(name: str, found: Method, dataset: str, model: str) -> Iterator[str]:
    """The settings that are PGD's step size, of a method and of those in it, where quoted."""
    quoted = preset_for(presets(name), dataset, model) != "*"
    if quoted and isinstance(found, Adversarial) and isinstance(found.attack, PGD):
        yield "attack.step_size"
    for path, held in inside(found):
        sizes = _quoted(held.choice, held, dataset, model)
        yield from (f"{path}.{size}" for size in sizes)


def _changed(new: Method, old: Method, by_name: settings.Lookup) -> dict[str, object]:
    return {path: value for path, (value, _) in settings.differences(new, old, by_name).items()}


def _deviations(chosen: Method, recipe: Recipe, shared: Recipe) -> str:
    """Where a method leaves the shared recipe: asked for in brackets, or by a stage of its own."""
    found = [_differ("", recipe, shared)]
    for stage in chosen.stages():
        present = settings.change(f"stage {stage.name!r}: recipe", recipe, stage.recipe)
        found.append(_differ(f"{stage.name}: ", present, recipe))
    return "; ".join(part for part in found if part)


def _differ(prefix: str, new: Recipe, old: Recipe) -> str:
    differences = settings.differences(new, old).items()
    return prefix * bool(differences) + ", ".join(
        f"{name}={settings.text(value)} (shared {settings.text(before)})"
        for name, (value, before) in differences
    )


def _below(prefix: str, changes: Mapping[str, object]) -> dict[str, object]:
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in changes.items() if k.startswith(start)}


def _without_recipe(changes: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in changes.items() if not name.startswith("recipe.")}
