"""Attacks of other packages: model, images (B, C, H, W), labels and threat to images.

Packages are imported where they attack; robench itself needs none of them.
"""

import math
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

from robench.threat import Threat

P: Mapping[str, float] = {"Linf": math.inf, "L2": 2, "L1": 1, "L0": 0}
"""Norms as packages name them."""


def required(packages: Mapping[str, str]) -> None:
    """Stop with a line where one is missing; what they are imported by, and installed by."""
    for package, name in packages.items():
        if find_spec(package) is None:
            raise click.UsageError(f"{package} is not installed; pip install {name}")


def foolbox_jumps(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    """Eight of its steps."""
    foolbox = import_module("foolbox")
    attack = foolbox.attacks.HopSkipJumpAttack(steps=8, constraint=threat.norm.lower())
    wrong = foolbox.criteria.Misclassification(y)
    return attack.run(foolbox.PyTorchModel(model, bounds=(0, 1)), x, wrong)


def art_jumps(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    """Nine of its steps."""
    kind = import_module("art.attacks.evasion").HopSkipJump
    attack = kind(
        art_model(model, x), norm=P[threat.norm], max_iter=9, verbose=False, batch_size=500
    )
    return torch.from_numpy(attack.generate(x.numpy(), y=np.eye(10)[y.numpy()]))


def art_square(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, *, proposals: int) -> Tensor:
    """One start; its share of the image is the paper's."""
    kind = import_module("art.attacks.evasion").SquareAttack
    attack = kind(
        art_model(model, x), norm=P[threat.norm], eps=threat.eps, max_iter=proposals, p_init=0.8,
        nb_restarts=1, batch_size=500, verbose=False,
    )  # fmt: skip
    return torch.from_numpy(attack.generate(x.numpy(), y=np.eye(10)[y.numpy()]))


def art_model(model: nn.Module, x: Tensor) -> Any:
    """A network as ART wants it."""
    kind = import_module("art.estimators.classification").PyTorchClassifier
    shape = tuple(x.shape[1:])
    return kind(
        model, nn.CrossEntropyLoss(), shape, nb_classes=10, clip_values=(0, 1), device_type="cpu"
    )


def torchattacks_spsa(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    """Its rate is the paper's share of the radius; forty steps of fifty questions."""
    eps = float(threat.eps)
    attack = import_module("torchattacks").SPSA(
        model, eps=eps, lr=0.01 * eps / (8 / 255), nb_iter=40, nb_sample=25, max_batch_size=25
    )
    return attack(x, y)
