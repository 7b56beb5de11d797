"""The tiny task, trained by a method and deployed: what attacks on a defence are tried on."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack, attempt, right
from robench.check import tiny
from robench.threat import Threat
from robench.training.epochs import new_run
from robench.training.method import Method
from robench.training.train import train

RECIPE = replace(tiny.RECIPE, validate_every=6, validation_steps=1)


def deployed(method: Method, seed: int = 0) -> nn.Module:
    """What is attacked, in eval mode and without gradients of weights."""
    data, threat = tiny.data(), Threat("Linf", 8 / 255)
    kept = train(method, tiny.classifier, data, RECIPE, threat, seed, lambda event: None).last
    run = new_run(data, threat, RECIPE)
    model = method.build(tiny.classifier, run)
    model.load_state_dict(
        {n.removeprefix("model."): t for n, t in kept.tensors.items() if n.startswith("model.")}
    )
    return method.deploy(model, run).eval().requires_grad_(False)


def standing(model: nn.Module, attack: Attack, eps: float, looks: int = 1) -> float:
    """Share of the tiny task's test images that are right before and after an attack."""
    x, y = held_out()
    threat = Threat("Linf", eps)
    torch.manual_seed(0)
    stands = right(model, x, y, looks)
    x_adv = attempt("attack", attack, model, x, y, threat, seed=0)
    return (stands & right(model, x_adv, y, looks)).float().mean().item()


def held_out() -> tuple[Tensor, Tensor]:
    """Test images and labels."""
    test = tiny.data().test
    return test.x(), test.y
