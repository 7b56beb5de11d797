"""What every method must do."""

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import nn

from robench import settings
from robench.check import tiny
from robench.check.capped import capped
from robench.check.finding import Check, equal, snapshot
from robench.data.batches import Batch
from robench.data.catalogue import DATASETS
from robench.data.load import Data
from robench.errors import RobenchError
from robench.models.catalogue import MODELS
from robench.models.classifier import Classifier
from robench.models.passes import counted
from robench.radius import BALLS
from robench.threat import Threat
from robench.training.checkpoint import restore, to_bytes
from robench.training.epochs import new_run
from robench.training.method import Method, Run, crafting, method, presets
from robench.training.recipe import Recipe
from robench.training.train import Trained, train

_CAPS = {"steps": 3}
"""Of attacks while a method is trained."""


def method_checks(name: str) -> Iterator[tuple[str, Check]]:
    """What is looked at, and how."""
    yield "presets for known data sets, every value in its range", partial(_presets, name)
    chosen = method(name)
    for norm in BALLS:
        threat = Threat(norm, float(tiny.FACTS.eps[norm]))
        yield f"perturbs inside the {norm} ball and [0, 1]", partial(_inside, chosen, threat)
    yield "leaves the model as it was while it perturbs", partial(_hands_off, chosen)
    yield "a step costs no more passes than it declares", partial(_declared, chosen)
    short = _short(chosen)
    yield "learns the tiny task", partial(_learns, short)
    yield "same seed, same weights", partial(_same_weights, short)
    yield "weights and state survive a file", partial(_survives, short)


def _presets(name: str) -> str:
    for key, preset in presets(name).items():
        dataset, _, network = key.partition("/")
        if dataset != "*" and dataset not in DATASETS:
            return f"presets[{key!r}]: no such data set; there are {', '.join(DATASETS)}"
        if network and network not in MODELS:
            return f"presets[{key!r}]: no such network; there are {', '.join(MODELS)}"
        kept = settings.validated(f"presets[{key!r}]", preset)
        json.dumps(settings.plain(kept), allow_nan=False)
    return ""


def _inside(method: Method, threat: Threat) -> str:
    model, batch, run = _halfway(method, threat)
    with crafting(model, "eval"):
        x_adv = method.perturb(model, batch, run)
    if x_adv.requires_grad:
        return "perturb returns images that still require a gradient; detach them"
    x = batch.x.repeat(max(1, len(x_adv) // len(batch.x)), 1, 1, 1)
    over = torch.stack([b.distance(x_adv, x) - b.eps for b in method.balls(threat)])
    excess = over.amin(0).max().item()
    outside = max(-x_adv.min().item(), x_adv.max().item() - 1)
    if not max(excess, outside) <= 1e-5:  # NaN fails too
        return f"perturb leaves the ball by {excess:.2g}, [0, 1] by {outside:.2g}"
    return ""


def _hands_off(method: Method) -> str:
    model, batch, run = _halfway(method, _threat())
    before = snapshot(model)
    with crafting(model, "eval"):
        method.perturb(model, batch, run)
        if any(module.training for module in model.modules()):
            return "perturb leaves the model in train mode"
    if any(p.grad is not None for p in model.parameters()):
        return "perturb leaves gradients on parameters; use torch.autograd.grad on the images"
    if not all(p.requires_grad for p in model.parameters()):
        return "perturb switches requires_grad of parameters off"
    return "" if equal(before, snapshot(model)) else "perturb changes weights or statistics"


def _declared(method: Method) -> str:
    model, batch, run = _halfway(method, _threat())
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    with counted(model) as spent:
        method.step(model.train(), batch, run, optimizer)
    most, n = method.passes(run.stage), len(batch.y)
    if spent.forwards > n * most.forwards or spent.backwards > n * most.backwards:
        return (
            f"{spent.forwards / n:g} forward and {spent.backwards / n:g} backward passes an image, "
            f"declared {most.forwards:g} and {most.backwards:g}"
        )
    return ""


def _learns(method: Method) -> str:
    natural = _trained(method).last.validation.natural
    return "" if natural > 0.9 else f"natural validation accuracy is {natural:.0%} after training"


def _same_weights(method: Method) -> str:
    few, short = tiny.data(train=96, validation=16), replace(tiny.RECIPE, epochs=1)
    runs = [_train(method, few, short, seed) for seed in (1, 1, 2)]
    first, second, other = (trained.last.tensors for trained in runs)
    if not equal(first, second):
        return "two trainings with one seed differ; draw from torch's generators only"
    return "two seeds give the same weights" if equal(first, other) else ""


def _survives(method: Method) -> str:
    """Deploy from the file, and from a second file of what was deployed."""
    run, kept = new_run(tiny.data(), _threat(), tiny.RECIPE), _trained(method).last
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        path.write_bytes(to_bytes(kept, {}))
        model = restore(path, method, tiny.classifier, run, 0, torch.device("cpu"))
    test = tiny.data().test
    logits = model(test.x())
    if logits.shape != (len(test), tiny.FACTS.num_classes) or not logits.isfinite().all():
        return f"the deployed model returns {tuple(logits.shape)}, or something not finite"
    natural = (logits.argmax(1) == test.y).float().mean().item()
    if natural < 0.9:
        return f"natural test accuracy is {natural:.0%} after loading; is all of it in run.state?"
    return ""


def _halfway(method: Method, threat: Threat) -> tuple[nn.Module, Batch, Run]:
    """A fresh model and a batch in the middle of the last stage."""
    data = tiny.data()
    run = new_run(data, threat, tiny.RECIPE)
    torch.manual_seed(0)
    model = method.build(_maker(method), run)
    run.state = method.init(model, run)
    run.stage, run.progress = method.stages()[-1].name, 0.5
    index = torch.arange(32)
    return model, Batch(data.train.x(index), data.train.y[index], index), run


def _short(method: Method) -> Method:
    """The method with attacks of few steps, or as it is where it refuses those."""
    try:
        return capped(method, _CAPS)
    except RobenchError:
        return method


@cache
def _trained(method: Method) -> Trained:
    return _train(method, tiny.data(), tiny.RECIPE, 0)


def _train(method: Method, data: Data, recipe: Recipe, seed: int) -> Trained:
    return train(method, _maker(method), data, recipe, _threat(), seed, lambda event: None)


def _maker(chosen: Method) -> Callable[[], Classifier]:
    """Of the tiny network with random weights, or those of what the method starts from."""
    if not chosen.starts_from():
        return tiny.classifier
    tensors = _trained(method(chosen.starts_from())).best.tensors

    def classifier() -> Classifier:
        network = tiny.classifier()
        network.load_state_dict(
            {n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")}
        )
        return network

    return classifier


def _threat() -> Threat:
    return Threat("Linf", float(tiny.FACTS.eps["Linf"]))
