"""From a grid as typed to the cells that will run: everything is looked up and checked first."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import torch

from robench import plugins, settings
from robench.adversary.suite import Suite, suite
from robench.data import catalogue as data_catalogue
from robench.data.catalogue import Facts
from robench.data.load import Data, load
from robench.errors import ConfigError
from robench.models import catalogue as model_catalogue
from robench.radius import Norm, show_eps
from robench.store.cell import Cell, Evaluation
from robench.store.grid import Choice, Request
from robench.training.method import Adversarial, Method, method, presets
from robench.training.recipe import RECIPES, Recipe


@dataclass(frozen=True)
class Job:
    """A cell, the method it trains, and the evaluations asked for."""

    cell: Cell
    method: Method
    shared: Recipe
    """The recipe of the grid, which the cell's own may depart from."""
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True)
class Plan:
    """All jobs of a grid, and what they share."""

    jobs: tuple[Job, ...]
    suites: Mapping[str, Suite]
    data: Mapping[str, Data]
    recipes: Mapping[str, Recipe]
    """The shared recipe of each data set."""
    notes: tuple[str, ...] = field(default=())
    """What a person should know before it starts."""


@dataclass(frozen=True)
class _Training:
    """One training of the grid, before data and seeds."""

    choice: Choice
    dataset: str
    facts: Facts
    model: str
    recipe: Recipe
    method: Method
    deviates: str
    label: str


def plan(request: Request, device: torch.device) -> Plan:
    """Look up everything that a grid names, read its data, and lay out its cells.

    Raises:
        ConfigError, PluginError, DataError: before anything has run.
    """
    shared = {name: _shared_recipe(name, request) for name in request.datasets}
    suites = {name: suite(name) for name in request.suites}
    for name, found in suites.items():
        found.check(name, request.norm)
    trainings = list(_trainings(request, shared))
    for name in request.datasets:
        facts = data_catalogue.facts(name)
        _check_radii(name, facts, request.norm, _radii(request.eps, facts, request.norm))
        _check_radii(name, facts, request.train_norm, _train_radii(request, facts))
    data = {name: _load(name, request, device) for name in request.datasets}
    jobs = [
        Job(cell, training.method, shared[training.dataset], evaluations)
        for training in trainings
        for cell, evaluations in _cells(training, request, data[training.dataset])
    ]
    unique = {job.cell.key: job for job in jobs}
    notes = dict.fromkeys(note for job in unique.values() for note in _notes(job))
    return Plan(tuple(unique.values()), suites, data, shared, tuple(notes))


def _shared_recipe(dataset: str, request: Request) -> Recipe:
    data_catalogue.facts(dataset)
    chosen = [choice.method for choice in request.methods]
    for name in request.changes:
        head = name.partition(".")[0]
        if head != "recipe" and head not in chosen:
            raise ConfigError(
                f"--set {name}: {head!r} is neither 'recipe' nor one of the methods: "
                f"{', '.join(dict.fromkeys(chosen))}"
            )
    return settings.change("recipe", RECIPES[dataset], _below("recipe", request.changes))


def _trainings(request: Request, shared: Mapping[str, Recipe]) -> Iterator[_Training]:
    for name in dict.fromkeys(choice.method for choice in request.methods):
        presets(name)  # all names first: a slip in the last one should not wait for the others
    for dataset in request.datasets:
        facts = data_catalogue.facts(dataset)
        for model in request.models or (facts.model,):
            model_catalogue.check(model, dataset, facts)
            for choice in request.methods:
                yield _training(choice, dataset, facts, model, shared[dataset], request)


def _training(
    choice: Choice, dataset: str, facts: Facts, model: str, shared: Recipe, request: Request
) -> _Training:
    name = choice.method
    changes = {**_below(name, request.changes), **_without_recipe(choice.changes)}
    preset = _preset(name, dataset, request.train_norm)
    chosen = settings.change(name, preset, changes)
    recipe = settings.change("recipe", shared, _below("recipe", choice.changes))
    if recipe.padding == "reflect" and recipe.pad >= facts.shape[1]:
        raise ConfigError(f"recipe.pad cannot reflect {recipe.pad} pixels of {facts.shape[1]}")
    changed, stored = _changed(chosen, preset), _changed(chosen, method(name, dataset))
    own = {f"recipe.{p}": new for p, (new, _) in settings.differences(recipe, shared).items()}
    brackets = ",".join(f"{path}={settings.text(v)}" for path, v in sorted((changed | own).items()))
    return _Training(
        Choice(name, {path: settings.text(value) for path, value in stored.items()}),
        dataset,
        facts,
        model,
        recipe,
        chosen,
        _deviations(chosen, recipe, shared),
        f"{name}[{brackets}]" if brackets else name,
    )


def _preset(name: str, dataset: str, norm: Norm) -> Method:
    """A method with its preset for a data set.

    Presets quote step sizes of Linf; in another norm such a step is so short that the attack would
    stay where it starts, so there it is relative to eps.
    """
    found = method(name, dataset)
    if norm == "Linf" or not isinstance(found, Adversarial):
        return found
    return settings.change(name, found, {"attack.step_size": None})


def _changed(new: Method, old: Method) -> dict[str, object]:
    return {path: value for path, (value, _) in settings.differences(new, old).items()}


def _cells(
    training: _Training, request: Request, data: Data
) -> Iterator[tuple[Cell, tuple[Evaluation, ...]]]:
    """A cell for every radius of training and seed, and its evaluations."""
    for eps in _train_radii(request, training.facts):
        for seed in request.seeds:
            cell = Cell(
                method=training.choice.method,
                plugin=plugins.get("methods", training.choice.method).digest(),
                settings=settings.plain(training.method),
                recipe=training.recipe,
                dataset=training.dataset,
                data=data.digest,
                train_limit=data.train_limit,
                model=training.model,
                norm=request.train_norm,
                eps=eps,
                seed=seed,
                changes=training.choice.changes,
                label=training.label,
                deviates=training.deviates,
            )
            radii = _radii(request.eps, training.facts, request.norm)
            yield cell, tuple(_evaluations(cell, request, data, radii))


def _evaluations(
    cell: Cell, request: Request, data: Data, radii: tuple[Fraction, ...]
) -> Iterator[Evaluation]:
    for checkpoint in request.checkpoints:
        for name in request.suites:
            for eps in radii:
                yield Evaluation(
                    cell=cell.key,
                    checkpoint=checkpoint,
                    suite=name,
                    plugin=plugins.get("attacks", name).digest(),
                    norm=request.norm,
                    eps=eps,
                    test_limit=data.test_limit,
                )


def _load(name: str, request: Request, device: torch.device) -> Data:
    return load(
        name,
        request.data_root,
        device,
        train_limit=request.train_limit,
        test_limit=request.test_limit,
        download=request.download,
    )


def _radii(asked: tuple[Fraction, ...], facts: Facts, norm: Norm) -> tuple[Fraction, ...]:
    return asked or (facts.eps[norm],)


def _train_radii(request: Request, facts: Facts) -> tuple[Fraction, ...]:
    return _radii(request.train_eps, facts, request.train_norm)


def _check_radii(dataset: str, facts: Facts, norm: Norm, radii: tuple[Fraction, ...]) -> None:
    diagonal = math.sqrt(math.prod(facts.shape))
    for eps in radii:
        if norm == "L2" and eps > diagonal:
            raise ConfigError(
                f"eps {show_eps(eps)} in L2 is more than any two images of {dataset} can differ "
                f"({diagonal:.1f}); pixels are in [0, 1]"
            )


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


def _notes(job: Job) -> Iterator[str]:
    """Combinations that are allowed and probably not meant."""
    cell, chosen = job.cell, job.method
    if isinstance(chosen, Adversarial) and chosen.attack.step_size is not None:
        size, steps, eps = chosen.attack.step_size, chosen.attack.steps, float(cell.eps)
        if eps and size > 2 * eps:
            yield f"{cell.label}: attack.step_size {size:g} is over twice eps {show_eps(cell.eps)}"
        if steps and size * steps < eps:
            yield (
                f"{cell.label}: {steps} steps of {size:g} do not reach eps {show_eps(cell.eps)} "
                "from the image"
            )
    attacked = {e.eps for e in job.evaluations if e.eps}
    if attacked and cell.eps not in attacked:
        at = ", ".join(show_eps(eps) for eps in sorted(attacked))
        yield (
            f"trained at {cell.norm} {show_eps(cell.eps)} but attacked at {at} only; "
            "--train-eps sets the radius of training"
        )


def _below(prefix: str, changes: Mapping[str, object]) -> dict[str, object]:
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in changes.items() if k.startswith(start)}


def _without_recipe(changes: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in changes.items() if not name.startswith("recipe.")}
