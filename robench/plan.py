"""From a grid as typed to the cells that will run: everything is looked up and checked first."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import torch

from robench import plugins, settings
from robench.adversary.pgd import PGD
from robench.adversary.suite import Suite, suite
from robench.chosen import Chosen, check_changes, choose, shared_recipe
from robench.data import catalogue as data_catalogue
from robench.data.catalogue import Facts
from robench.data.load import Data, Images, load, with_extra
from robench.errors import ConfigError
from robench.radius import Norm, show_eps
from robench.settings import Plain
from robench.store.cell import Cell, Evaluation
from robench.store.grid import Request
from robench.training.method import Adversarial, Method, inside
from robench.training.recipe import Recipe
from robench.training.recipes import READY


@dataclass(frozen=True)
class Job:
    """A cell, the method it trains, and the evaluations asked for."""

    cell: Cell
    method: Method
    shared: Recipe
    """The recipe of the grid, which the cell's own may depart from."""
    evaluations: tuple[Evaluation, ...]
    start: "Job | None" = None
    """What trains the weights that it starts with."""
    extra: Images | None = None
    """What it trains on besides the data set's images."""


@dataclass(frozen=True)
class Plan:
    """All jobs of a grid, and what they share."""

    jobs: tuple[Job, ...]
    suites: Mapping[str, Suite]
    data: Mapping[str, Data]
    recipes: Mapping[str, Recipe]
    """The shared recipe of each data set."""
    stand_ins: Mapping[str, Suite] = field(default_factory=dict)
    """By the name of a suite, the one that takes its place on a stochastic model."""
    notes: tuple[str, ...] = field(default=())
    """What a person should know before it starts."""
    save_adversarial: int = 0
    """Of how many test images an evaluation keeps what broke them: no part of any key."""

    @property
    def sources(self) -> tuple[Job, ...]:
        """Jobs on whose cells others craft images."""
        keys = {key for job in self.jobs for e in job.evaluations for key in e.sources.values()}
        return tuple(job for job in self.jobs if job.cell.key in keys)


def plan(request: Request, device: torch.device) -> Plan:
    """Look up everything that a grid names, read its data, and lay out its cells.

    Raises:
        ConfigError, PluginError, DataError: before anything has run.
    """
    shared = {name: shared_recipe(name, request) for name in request.datasets}
    suites = {name: suite(name) for name in request.suites}
    stand_ins = {n: suite(found.when_random) for n, found in suites.items() if found.when_random}
    for name, found in [*suites.items(), *stand_ins.items()]:
        found.check(name, request.norm)
    trainings = list(choose(request, shared))
    check_changes(request, trainings)
    for name in request.datasets:
        facts = data_catalogue.facts(name)
        _check_radii(name, facts, request.norm, _radii(request.eps, facts, request.norm))
        _check_radii(name, facts, request.train_norm, _train_radii(request, facts))
    data = {name: _load(name, request, device) for name in request.datasets}
    seen = _seen(data, request.data_root)
    judges = {name: _judge(name, found) for name, found in suites.items()}
    cells = {c.key: (c, t) for t in trainings for c in _cells(t, request, seen)}
    jobs: dict[str, Job] = {}
    for cell, training in cells.values():
        crafted = {
            name: _sources(name, found, cell, [c for c, _ in cells.values()])
            for name, found in suites.items()
        }
        own = training.method.adaptive(request.norm)
        attack = settings.plain_value(own) if own is not None else {}
        adaptive = {name: attack if found.attacks else {} for name, found in suites.items()}
        evaluations = tuple(
            _evaluations(cell, request, data[cell.dataset], judges, crafted, adaptive)
        )
        start = _start(training, cell, request, seen, shared)
        recipe, extra = shared[training.dataset], seen(training).extra
        job = Job(cell, training.method, recipe, evaluations, start, extra)
        while start is not None:  # itself no part of the grid, unless the grid asks for it as well
            jobs.setdefault(start.cell.key, start)
            start = start.start
        jobs[cell.key] = job
    notes = dict.fromkeys(note for job in jobs.values() for note in _notes(job))
    if remark := READY[request.recipe].remark:
        notes[f"recipe {request.recipe}: {remark}"] = None
    return Plan(
        tuple(jobs.values()), suites, data, shared, stand_ins, tuple(notes),
        request.save_adversarial,
    )  # fmt: skip


Seen = Callable[[Chosen], Data]
"""What a method trains on: its data set, and the extra images that it asks for."""


def _seen(data: Mapping[str, Data], root: Path) -> Seen:
    """Each file is read once, and in memory once for all cells."""

    @cache
    def whole(dataset: str, file: str) -> Data:
        return with_extra(data[dataset], file, root)

    def seen(training: Chosen) -> Data:
        with plugins.blamed("methods", training.choice.method):
            file, most = training.method.extra_data(), training.method.extra_limit()
        if not file:
            return data[training.dataset]
        found = whole(training.dataset, file)
        assert found.extra is not None
        return replace(found, extra=found.extra.first(most))

    return seen


def _start(
    training: Chosen, cell: Cell, request: Request, seen: Seen, shared: Mapping[str, Recipe]
) -> Job | None:
    """Training alone of the cell whose weights a cell starts with."""
    source = training.start
    if source is None:
        return None
    first = _cell(source, request, seen, cell.eps, cell.seed)
    before = _start(source, first, request, seen, shared)
    return Job(first, source.method, shared[source.dataset], (), before, seen(source).extra)


def _judge(name: str, found: Suite) -> Plain:
    """What the outcomes of a suite depend on."""
    with plugins.blamed("attacks", name):
        other = found.when_random
        return {
            "plugin": plugins.get("attacks", name).digest(found),
            "attacks": found.plain(),
            "rules": found.rules(),
            "packages": found.packages(),
            "when_random": _judge(other, suite(other)) if other else None,
        }


def _cells(training: Chosen, request: Request, seen: Seen) -> Iterator[Cell]:
    """A cell for every radius of training and seed."""
    for eps in _train_radii(request, training.facts):
        for seed in request.seeds:
            yield _cell(training, request, seen, eps, seed)


def _cell(training: Chosen, request: Request, seen: Seen, eps: Fraction, seed: int) -> Cell:
    start, data = training.start, seen(training)
    return Cell(
        method=training.choice.method,
        plugin=plugins.get("methods", training.choice.method).digest(training.method),
        settings=training.settings,
        recipe=training.recipe,
        dataset=training.dataset,
        data=data.digest,
        train_limit=data.train_limit,
        model=training.model,
        norm=request.train_norm,
        eps=eps,
        seed=seed,
        start=_cell(start, request, seen, eps, seed).key if start else "",
        extra=data.extra_digest,
        changes=training.choice.changes,
        label=training.label,
        deviates=training.deviates,
    )


def _evaluations(
    cell: Cell,
    request: Request,
    data: Data,
    judges: Mapping[str, Plain],
    crafted: Mapping[str, Mapping[str, str]],
    adaptive: Mapping[str, Plain],
) -> Iterator[Evaluation]:
    """An evaluation for every checkpoint, suite and radius."""
    radii = sorted(_radii(request.eps, data.facts, request.norm))
    for checkpoint in request.checkpoints:
        for name, judge in judges.items():
            together = tuple(radii) if judge["rules"]["carries"] and len(radii) > 1 else ()
            for eps in radii:
                yield Evaluation(
                    cell=cell.key,
                    checkpoint=checkpoint,
                    suite=name,
                    judge=judge,
                    norm=request.norm,
                    eps=eps,
                    test_limit=data.test_limit,
                    sources=crafted[name],
                    sweep=together,
                    adaptive=adaptive[name],
                )


def _sources(name: str, found: Suite, cell: Cell, cells: Sequence[Cell]) -> dict[str, str]:
    """Keys of the cells that a suite crafts on: those like this one, of another method.

    Raises:
        ConfigError: the grid has none of a method that the suite needs.
    """
    alike = ("dataset", "data", "train_limit", "model", "norm", "eps", "seed")
    keys: dict[str, str] = {}
    for method in found.sources:
        like = [
            other.key
            for other in cells
            if other.method == method
            and all(getattr(other, field) == getattr(cell, field) for field in alike)
        ]
        if not like:
            raise ConfigError(
                f"suite {name!r} crafts images on cells of {', '.join(found.sources)}: "
                f"add {method} to --methods"
            )
        if cell.key not in like:
            keys[method] = like[0]
    return keys


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
    pixels = math.prod(facts.shape)
    widest = {"L2": math.sqrt(pixels), "L1": float(pixels)}.get(norm, math.inf)
    for eps in radii:
        if eps > widest:
            raise ConfigError(
                f"eps {show_eps(eps)} in {norm} is more than any two images of {dataset} can "
                f"differ ({widest:.1f}); pixels are in [0, 1]"
            )


def _notes(job: Job) -> Iterator[str]:
    """Combinations that are allowed and probably not meant."""
    cell = job.cell
    for path, attack in _attacks(job.method):
        size, steps, eps = attack.step_size, attack.steps, float(cell.eps)
        if size and eps and size > 2 * eps:
            yield f"{cell.label}: {path}.step_size {size:g} is over twice eps {show_eps(cell.eps)}"
        if size and steps and size * steps < eps:
            yield (
                f"{cell.label}: {steps} steps of {size:g} do not reach eps {show_eps(cell.eps)} "
                "from the image"
            )
    attacked = {e.eps for e in job.evaluations if e.eps and e.norm == cell.norm}
    if attacked and cell.eps not in attacked:
        at = ", ".join(show_eps(eps) for eps in sorted(attacked))
        yield (
            f"trained at {cell.norm} {show_eps(cell.eps)} but attacked at {at} only; "
            "--train-eps sets the radius of training"
        )


def _attacks(chosen: Method) -> Iterator[tuple[str, PGD]]:
    """PGD of a method and of those in it, by dotted name."""
    if isinstance(chosen, Adversarial) and isinstance(chosen.attack, PGD):
        yield "attack", chosen.attack
    for name, held in inside(chosen):
        yield from ((f"{name}.{path}", attack) for path, attack in _attacks(held))
