"""Maps with their channels last: another order in memory, the same training."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from robench.check import tiny
from robench.data.batches import batches
from robench.data.catalogue import facts
from robench.models.catalogue import build
from robench.models.layout import laid_out
from robench.seeds import seeded
from robench.threat import Threat
from robench.training.course import Course
from robench.training.epochs import new_run
from robench.training.method import method


def _channels_last(model: nn.Module) -> set[bool]:
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    wide = [weight for weight in weights if weight.shape[1] > 1]  # else both orders are one
    return {weight.is_contiguous(memory_format=torch.channels_last) for weight in wide}


@pytest.mark.parametrize(
    ("dataset", "name", "there"),
    [
        ("digits", "digitscnn", True),
        ("mnist", "smallcnn", True),
        ("cifar10", "preactresnet18", True),
        ("cifar10", "resnet20", True),
        ("cifar10", "lenet-small", False),  # 6 filters
    ],
)
def test_where_filters_come_in_eights(dataset: str, name: str, there: bool) -> None:
    model = build(name, facts(dataset), normalise=True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert laid_out(model) is model
    assert _channels_last(model) == {there}
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_a_model_without_convolutions_stays_as_it_is() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    assert laid_out(model) is model


@pytest.mark.parametrize("name", ["natural", "madry", "trades", "mart", "dale", "iaat", "awp"])
@pytest.mark.parametrize("craft", ["eval", "train"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_losses_are_those_of_the_other_order(name: str, craft: str, norm: str) -> None:
    plain, wide = (_losses(name, craft, norm, layout) for layout in (lambda m: m, laid_out))
    assert torch.allclose(wide, plain, rtol=1e-9, atol=0)


def _losses(
    name: str, craft: str, norm: str, layout: Callable[[nn.Module], nn.Module]
) -> torch.Tensor:
    """Of three steps in float64, where rounding is too small to turn a sign."""
    data, recipe = tiny.data(train=75), replace(tiny.RECIPE, craft=craft)  # type: ignore[arg-type]
    chosen = method(name, changes={"warmup": 0} if name == "awp" else {})
    threat = Threat(norm, float(tiny.FACTS.eps[norm]))  # type: ignore[arg-type, index]
    with seeded(0):
        run = new_run(data, threat, recipe)
        model = layout(chosen.build(tiny.classifier, run).double())
        run.state = chosen.init(model, run)
        optimizer = Course(chosen, model, recipe, run, 0).begin_stage()
        losses = []
        for batch in batches(data.train, torch.arange(len(data.train)), 25):
            model.train()
            batch = replace(batch, x=batch.x.double())
            losses.append(chosen.step(model, batch, run, optimizer))
    return torch.stack(losses)
