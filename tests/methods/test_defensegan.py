"""Defense-GAN: a projection that is one, its gradient, its stages, and broken through its steps."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from robench.adversary.pgd import PGD, PGDAttack
from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.detour import opened
from robench.models.generator import Generator
from robench.models.passes import counted
from robench.models.projection import Projected, Projection
from robench.training.method import Method, Run, method
from tests.methods.deployed import deployed, standing


def made(starts: int = 2, steps: int = 5, rate: float = 20.0) -> Projection:
    torch.manual_seed(0)
    return Projection(Generator((1, 8, 8), 4, 4), starts, steps, rate)


def given(network: nn.Module) -> Callable[[], nn.Module]:
    """A maker that has made it already."""
    return lambda: network


def apart(projection: Projection, x: torch.Tensor) -> torch.Tensor:
    return (projection(x) - x).square().flatten(1).mean(1)


def test_projection_against_a_loop() -> None:
    """Every image and start by itself, as its docstring says."""
    projection = made(starts=3, steps=5)
    x = torch.rand(4, 1, 8, 8)
    found = projection(x)
    for image, nearest in zip(x, found, strict=True):
        ends = []
        for start in projection.starts:
            z, moving = start.clone(), torch.zeros(4)
            for step in range(5):
                z.requires_grad_()
                (projection.generator(z[None])[0] - image).square().mean().backward()
                assert z.grad is not None
                moving = 0.7 * moving - (20.0 if step < 4 else 2.0) * z.grad
                z = (z + moving).detach()
            ends.append(projection.generator(z[None])[0].detach())
        best = min(ends, key=lambda end: float((end - image).square().mean()))
        assert torch.allclose(nearest, best, atol=1e-5)


def test_more_starts_are_nearer_image_by_image() -> None:
    x, many = torch.rand(32, 1, 8, 8), made(starts=4)
    few = made(starts=4)
    few.starts = few.starts[:2]
    assert (apart(many, x) <= apart(few, x)).all()
    assert (apart(many, x) < apart(few, x)).any()


def test_what_the_generator_makes_is_found_in_enough_steps() -> None:
    torch.manual_seed(5)
    own = made().generator(torch.randn(32, 4) / 2).detach()
    one, some, many = (apart(made(steps=n, rate=300.0), own).amax() for n in (1, 20, 100))
    assert one > 3 * some > 30 * many
    assert many < 1e-6


def test_no_gradient_but_through_its_steps() -> None:
    projection = made(starts=1, steps=6).double()
    x = torch.rand(1, 1, 8, 8, dtype=torch.double, requires_grad=True)
    weight = torch.randn(1, 8, 8, dtype=torch.double)
    closed = projection(x)
    (nothing,) = torch.autograd.grad((closed * weight).sum(), x)
    assert torch.equal(nothing, torch.zeros_like(x))
    with opened(projection):
        through = projection(x)
        (found,) = torch.autograd.grad((through * weight).sum(), x)
    assert torch.equal(closed, through)
    direction = torch.randn_like(x)
    ends = [(projection(x + h * direction) * weight).sum() for h in (1e-5, -1e-5)]
    slope = (ends[0] - ends[1]).item() / 2e-5
    assert (found * direction).sum().item() == pytest.approx(slope, rel=1e-4)
    assert abs(slope) > 1e-6


def test_each_stage_trains_its_own_part(batch: Batch, run: Run) -> None:
    chosen = method("defensegan")
    torch.manual_seed(0)
    model = chosen.build(tiny.classifier, run)
    assert isinstance(model, Projected)
    for stage, moved, still in (
        (chosen.stages()[0], model.projection, model.classifier),
        (chosen.stages()[1], model.classifier, model.projection),
    ):
        run.stage = stage.name
        mine = [p for name, p in model.named_parameters() if name.startswith(stage.prefix)]
        before = snapshot(moved), snapshot(still)
        with counted(model) as passes:
            chosen.step(model.train(), batch, run, torch.optim.SGD(mine, 1e-3))
        assert not equal(before[0], snapshot(moved))
        assert equal(before[1], snapshot(still))
        declared = chosen.passes(stage.name)
        assert (passes.forwards, passes.backwards) == (
            64 * declared.forwards,
            64 * declared.backwards,
        )
    assert [chosen.passes(stage.name).forwards for stage in chosen.stages()] == [0, 1]


def test_its_classifier_is_trained_as_the_inner_method_does(batch: Batch, run: Run) -> None:
    found = []
    for chosen in (method("defensegan", changes={"inner": "madry"}), method("madry")):
        torch.manual_seed(0)
        network = tiny.classifier()
        model = chosen.build(given(network), run)
        run.stage = chosen.stages()[-1].name
        torch.manual_seed(1)
        weights = list(network.parameters())
        chosen.step(model.train(), batch, run, torch.optim.SGD(weights, 0.1))
        found.append(snapshot(network))
    assert equal(*found)


def test_nothing_is_projected_before_there_is_a_generator(run: Run) -> None:
    chosen = method("defensegan")
    model = chosen.build(tiny.classifier, run)
    assert isinstance(model, Projected)
    run.stage = chosen.stages()[0].name
    assert chosen.deploy(model, run) is model.classifier
    run.stage = "train"
    whole = chosen.deploy(model, run)
    assert isinstance(whole, Projected)
    assert (whole.projection, whole.classifier) == (model.projection, model.classifier)


def test_where_the_generator_rebuilds_every_image_it_is_its_inner_method(batch: Batch) -> None:
    class Same(Projection):
        def exact(self, x: torch.Tensor) -> torch.Tensor:
            return x

    torch.manual_seed(0)
    classifier = tiny.classifier().eval()
    whole = Projected(Same(Generator((3, 8, 8), 2, 2), 1, 1, 1.0), classifier)
    assert torch.equal(whole(batch.x), classifier(batch.x))


def test_the_size_of_images_has_to_be_known(run: Run) -> None:
    with pytest.raises(ConfigError, match="size of the images"):
        method("defensegan").build(tiny.classifier, replace(run, pool=None))


def test_its_stages_leave_the_inner_methods_epochs_alone() -> None:
    stages = method("defensegan", changes={"share": 0.5}).stages()
    assert [(stage.share, stage.prefix) for stage in stages] == [
        (0.5, "projection."),
        (1.0, "classifier."),
    ]
    assert stages[0].recipe["optimizer"] == "adam"
    assert isinstance(method("natural"), Method)


def test_pgd_is_fooled_and_its_unrolled_steps_are_not() -> None:
    chosen = method("defensegan", changes={"share": 1.0})
    adaptive = chosen.adaptive("Linf")
    assert adaptive is not None
    assert chosen.adaptive("flow") is None
    model = deployed(chosen)
    assert not any(isinstance(part, nn.Dropout) for part in model.modules())
    assert standing(model, PGDAttack(pgd=PGD(steps=2)), 0.3) > 0.9
    assert standing(model, adaptive, 0.3) < 0.5
