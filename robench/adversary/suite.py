"""Attack suites: attacks in order, and the worst case over all of them."""

import inspect
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from robench import plugins, settings
from robench.adversary.packages import BUDGETS, EXTRA, AutoAttack
from robench.errors import AttackError, ConfigError, PluginError
from robench.radius import NORMS, Norm
from robench.seeds import derive, seeded
from robench.settings import Plain
from robench.threat import Threat
from robench.versions import version

Verdict = Literal["full", "upper-bound"]


class Attack(Protocol):
    """Anything that perturbs labelled images; a plain function will do."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, /) -> Tensor:
        """Perturbed images, (B, C, H, W) in [0, 1]; the model is in eval mode."""
        ...


@dataclass(frozen=True)
class Suite:
    """Named attacks, from cheap to dear; each sees only the images that still stand."""

    attacks: Mapping[str, Attack]
    verdict: Verdict = "upper-bound"
    """``full``: AutoAttack's four attacks at their published budgets. Nothing less may say so."""
    norms: tuple[Norm, ...] = NORMS
    """Where all its attacks are defined."""
    needs: tuple[tuple[str, ...], ...] = ()
    """Importable packages, any one of each group."""

    def __post_init__(self) -> None:
        """Refuse what no table could show, and a claim that the attacks do not bear out."""
        if self.verdict not in get_args(Verdict):
            raise PluginError(f"verdict {self.verdict!r} is none of {', '.join(get_args(Verdict))}")
        parts = {a.component for a in self.attacks.values() if type(a) is AutoAttack}
        if self.verdict == "full" and parts != set(BUDGETS):
            raise PluginError("only AutoAttack's four attacks may call themselves full")
        if not self.norms or not set(self.norms) <= set(NORMS):
            raise PluginError(f"norms {self.norms!r} should be some of {', '.join(NORMS)}")
        if not all(isinstance(group, tuple) for group in self.needs):
            raise PluginError("needs should be a tuple of tuples: needs=(('package',),)")
        if not self.attacks:
            raise PluginError("a suite needs an attack; without one every image stands")
        for name in self.attacks:
            if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
                raise PluginError(f"attack {name!r} should be small letters, digits, . and -")
            if name in ("natural", "worst"):
                raise PluginError(f"an attack cannot be called {name!r}, the table's own word")

    def check(self, name: str, norm: Norm) -> None:
        """Raise before anything runs when the suite cannot run here."""
        if norm not in self.norms:
            raise ConfigError(f"suite {name!r} is defined for {', '.join(self.norms)}, not {norm}")
        for group in self.needs:
            if not any(plugins.is_there(package) for package in group):
                ours = set(group) & set(EXTRA)
                what = "'robench[attacks]'" if ours else group[-1]
                raise ConfigError(
                    f"suite {name!r} needs the package {' or '.join(group)}; pip install {what}"
                )

    def plain(self) -> list[Plain]:
        """Its attacks in order, each with its name, what it is and every setting."""
        return [{"name": name, **_plain(attack)} for name, attack in self.attacks.items()]

    def packages(self) -> str:
        """Names and versions of the packages that its attacks come from; empty: robench itself."""
        names = [name for group in self.needs for name in group]
        here = [name for name in names if plugins.is_there(name)]
        return ", ".join(f"{name} {version(name) or 'of unknown version'}" for name in here)

    def run(
        self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int
    ) -> Iterator[tuple[str, Tensor]]:
        """After each attack, a mask (B,) of the images that still stand; ``natural`` comes first.

        No attack is trusted: what it returns is checked, projected and classified again. At eps 0
        there is nothing to perturb, so nothing runs and every mask is the natural one.

        Raises:
            AttackError: an attack left the threat model, returned NaN, failed or changed the model,
                or the model's logits are not finite.
        """
        model.eval()
        stands = right(model, x, y)
        yield "natural", stands.clone()
        for name, attack in self.attacks.items():
            todo = stands.nonzero().squeeze(1)
            if len(todo) and threat.eps:
                with seeded(derive(seed, name)), _frozen(model):
                    x_adv = _attacked(name, attack, model, x[todo], y[todo], threat)
                stands[todo] = right(model, x_adv, y[todo])
            yield name, stands.clone()


def _plain(attack: Attack) -> Plain:
    if is_dataclass(attack) or inspect.isroutine(attack) or isinstance(attack, partial):
        found = settings.plain_value(attack)
        return found if isinstance(found, dict) else {"is": found}
    return {"is": type(attack).__qualname__, **settings.plain_value(vars(attack))}


def suite(name: str) -> Suite:
    """The suite that the plugin file ``name`` defines."""
    found = getattr(plugins.get("attacks", name).load(), "suite", None)
    if not isinstance(found, Suite):
        raise PluginError(
            f"suite {name!r} has no suite; end its file with: suite = Suite({{'name': attack}})"
        )
    return found


def checked(name: str, x_adv: Tensor, x: Tensor, threat: Threat, slack: float = 1e-5) -> Tensor:
    """The same images, projected; an error when they were out by more than rounding."""
    if x_adv.shape != x.shape:
        raise AttackError(f"attack {name!r} returned images of shape {tuple(x_adv.shape)}")
    x_adv = x_adv.detach().to(x.dtype)
    outside = torch.maximum(-x_adv, x_adv - 1).amax()
    excess = torch.maximum((threat.distance(x_adv, x) - threat.eps).amax(), outside).item()
    if math.isnan(excess):
        raise AttackError(f"attack {name!r} returned NaN")
    if excess > slack:
        raise AttackError(f"attack {name!r} left the threat model by {excess:.2g}")
    return threat.project(x_adv, x)


@torch.no_grad()
def right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Which images (B,) are classified rightly; an error when a logit is not finite."""
    logits = model(x)
    if not logits.isfinite().all():
        raise AttackError("the model's logits are not finite")
    return logits.argmax(1) == y


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """No gradients for parameters: attacks need none, and some would leave them behind."""
    learning = [p for p in model.parameters() if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def _attacked(
    name: str, attack: Attack, model: nn.Module, x: Tensor, y: Tensor, threat: Threat
) -> Tensor:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        x_adv = attack(model, x.clone(), y.clone(), threat)  # its own: it may write into them
    except AttackError:
        raise
    except (Exception, SystemExit) as error:
        raise AttackError(f"attack {name!r} failed: {type(error).__name__}: {error}") from error
    if any(module.training for module in model.modules()):
        raise AttackError(f"attack {name!r} left the model in train mode")
    after = model.state_dict()
    if any(not torch.equal(tensor, after[name]) for name, tensor in before.items()):
        raise AttackError(f"attack {name!r} changed the model")
    return checked(name, x_adv, x, threat)
