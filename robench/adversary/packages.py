"""Attacks of other packages behind robench's protocol; each package is imported when it attacks."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robench.errors import AttackError
from robench.threat import Threat

AUTOATTACK = ("autoattack", "pyautoattack")
"""The original, from its repository; and the same four attacks under their name on PyPI."""

EXTRA = (*AUTOATTACK, "torchattacks")
"""What ``pip install 'robench[attacks]'`` brings."""

Component = Literal["apgd-ce", "apgd-t", "fab-t", "square"]

BUDGETS: Mapping[Component, Mapping[str, Mapping[str, int]]] = {
    "apgd-ce": {"apgd": {"n_iter": 100, "n_restarts": 1}},
    "apgd-t": {"apgd_targeted": {"n_iter": 100, "n_restarts": 1, "n_target_classes": 9}},
    "fab-t": {"fab": {"n_iter": 100, "n_restarts": 1, "n_target_classes": 9}},
    "square": {"square": {"n_queries": 5000, "n_restarts": 1}},
}
"""Croce & Hein 2020: attributes of the package's attacks in its standard version."""

IN_L1: Mapping[Component, Mapping[str, Mapping[str, int]]] = {
    "apgd-ce": {"apgd": {"n_iter": 100, "n_restarts": 5}},
    "apgd-t": {"apgd_targeted": {"n_iter": 100, "n_restarts": 1, "n_target_classes": 5}},
}
"""Croce & Hein 2021, arXiv:2103.01208: where they are others in L1."""


@dataclass(frozen=True)
class AutoAttack:
    """One attack of AutoAttack's standard version, with its published budget."""

    component: Component

    @property
    def budget(self) -> str:
        """In words."""
        other = IN_L1.get(self.component)
        here = _in_words(BUDGETS[self.component])
        return f"{here}; in L1 {_in_words(other)}" if other else here

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """Perturbed images; those that it could not break come back unchanged."""
        package, version = _autoattack(), {"version": "standard", "device": x.device}
        seed = torch.initial_seed()  # the suite's, for this attack
        attack = package(model, norm=threat.norm, eps=threat.eps, seed=seed, **version)
        attack.attacks_to_run, attack.verbose = [self.component], False
        other = IN_L1 if threat.norm == "L1" else {}
        for part, budget in other.get(self.component, BUDGETS[self.component]).items():
            for name, value in budget.items():
                setattr(getattr(attack, part), name, value)
        with torch.no_grad():
            others = model(x[:1]).shape[1] - 1
        if others < 3 and self.component == "apgd-t":
            raise AttackError("attack 'apgd-t' needs at least 4 classes")
        for targeted in (attack.apgd_targeted, attack.fab):
            targeted.n_target_classes = min(targeted.n_target_classes, others)
        found = attack.run_standard_evaluation(x, y, **_batch(package, len(x)))
        x_adv: Tensor = found[0] if isinstance(found, tuple) else found
        return x_adv


@dataclass(frozen=True)
class TorchattacksPGD:
    """torchattacks' PGD with every budget given; a step of 2.5 eps / steps."""

    steps: int

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """The last iterate."""
        import torchattacks

        kind = torchattacks.PGD if threat.norm == "Linf" else torchattacks.PGDL2
        size = 2.5 * threat.eps / self.steps
        attack = kind(model, eps=threat.eps, alpha=size, steps=self.steps, random_start=True)
        x_adv: Tensor = attack(x, y)
        return x_adv


@dataclass(frozen=True)
class TorchattacksAPGD:
    """torchattacks' APGD with every budget given: its default is 10 steps, a tenth of APGD's."""

    loss: Literal["ce", "dlr"]
    steps: int
    restarts: int

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        """The best iterate."""
        import torchattacks

        attack = torchattacks.APGD(
            model,
            norm=threat.norm,
            eps=threat.eps,
            steps=self.steps,
            n_restarts=self.restarts,
            seed=torch.initial_seed(),
            loss=self.loss,
            eot_iter=1,
            rho=0.75,
        )
        x_adv: Tensor = attack(x, y)
        return x_adv


def _in_words(budget: Mapping[str, Mapping[str, int]]) -> str:
    (part,) = budget.values()
    return ", ".join(f"{name}={value}" for name, value in part.items())


def _autoattack() -> Any:
    for name in AUTOATTACK:
        if importlib.util.find_spec(name):
            return importlib.import_module(name).AutoAttack
    raise AttackError("AutoAttack is not installed; pip install 'robench[attacks]'")


def _batch(package: Any, size: int) -> dict[str, int]:
    """The two packages call the same argument by different names."""
    return {"bs" if package.__module__.startswith("autoattack") else "batch_size": size}
