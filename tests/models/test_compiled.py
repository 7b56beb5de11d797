"""torch.compile: the same losses and passes, in networks that stay what they are."""

import copy
import shutil
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from robench.check import tiny
from robench.data.batches import batches
from robench.models.classifier import Classifier
from robench.models.compiled import compiled
from robench.models.passes import Passes, counted
from robench.seeds import seeded
from robench.threat import Threat
from robench.training.course import Course
from robench.training.epochs import new_run
from robench.training.method import method


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("default")  # the compiler warns of its own doings
def test_losses_and_passes_stay_the_same() -> None:
    """Of TRADES, whose step has passes of all kinds."""
    plain, passes = _trained(compile_it=False)
    fast, counts = _trained(compile_it=True)
    assert torch.allclose(fast, plain, rtol=1e-9, atol=0)
    assert counts == passes


def test_a_copy_is_not_compiled_and_names_stay() -> None:
    model = tiny.classifier()
    names = list(model.state_dict())
    assert compiled(model, "default") is model
    assert list(model.state_dict()) == names
    assert model.body._compiled_call_impl is not None
    assert copy.deepcopy(model).body._compiled_call_impl is None


def _classifier() -> Classifier:
    """One of each kind of layer: every further one takes the compiler seconds."""
    body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    return Classifier(body, nn.Linear(36, 4))


def _trained(*, compile_it: bool) -> tuple[Tensor, Passes]:
    data, recipe = tiny.data(train=48), replace(tiny.RECIPE, batch_size=24)
    chosen, threat = method("trades", changes={"attack.steps": 2}), Threat("Linf", 0.1)
    with seeded(0):
        run = new_run(data, threat, recipe)
        model = _classifier().double()
        if compile_it:
            compiled(model, "default")
        optimizer = Course(chosen, model, recipe, run, 0).begin_stage()
        losses = []
        with counted(model) as passes:
            for batch in batches(data.train, torch.arange(len(data.train)), 24):
                model.train()
                doubled = replace(batch, x=batch.x.double())
                losses.append(chosen.step(model, doubled, run, optimizer))
    return torch.stack(losses), passes
