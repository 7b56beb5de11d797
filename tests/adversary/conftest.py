"""Networks to attack: at the radius given, about half of their images fall."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from robench.adversary import packages
from robench.adversary.apgd import TargetedAPGD
from robench.adversary.attack import Attack, checked
from robench.adversary.packages import AutoAttack, Component
from robench.check import tiny
from robench.models.passes import Passes, counted
from robench.radius import Norm
from robench.threat import Threat
from robench.training.method import method
from robench.training.train import train
from tests.conftest import Unsure

HALF = {
    ("trained", "Linf"): 0.21, ("trained", "L2"): 1.95,
    ("unsure", "Linf"): 0.02, ("unsure", "L2"): 0.2,
}  # fmt: skip
"""Radii at which gradient attacks break about half of the images."""

BOTH = {f"{who}-{norm}": (who, norm, eps) for (who, norm), eps in HALF.items()}


@dataclass(frozen=True)
class Victim:
    """A network, images that it gets right, and a ball in which some of them fall."""

    model: nn.Module
    x: Tensor
    y: Tensor
    threat: Threat

    def wider(self, factor: float) -> "Victim":
        """The same in a larger ball, for attacks that are weaker."""
        assert isinstance(self.threat.eps, float)
        return replace(self, threat=Threat(self.threat.norm, factor * self.threat.eps))

    def few(self, count: int) -> "Victim":
        """Its first images."""
        return replace(self, x=self.x[:count], y=self.y[:count])

    def attacked(self, attack: Attack, seed: int = 5, threat: Threat | None = None) -> Tensor:
        """Perturbed images."""
        torch.manual_seed(seed)
        return attack(self.model, self.x, self.y, threat or self.threat)

    @torch.no_grad()
    def stands(self, x_adv: Tensor) -> Tensor:
        """Which of them are still classified rightly."""
        return self.model(x_adv).argmax(1) == self.y


@pytest.fixture(scope="session")
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """The tiny network after three natural epochs, and 32 test images that it gets right."""
    facts, recipe = tiny.FACTS, replace(tiny.RECIPE, epochs=3)
    threat = Threat("Linf", float(facts.eps["Linf"]))
    last = train(
        method("natural"), tiny.classifier, tiny.data(), recipe, threat, 0, lambda event: None
    ).last
    model = tiny.classifier()
    model.load_state_dict({k.removeprefix("model."): v for k, v in last.tensors.items()})
    model.eval().requires_grad_(False)
    test = tiny.data().test
    x, y = test.x(slice(32)), test.y[:32]
    right = model(x).argmax(1) == y
    return model, x[right], y[right]


@pytest.fixture(scope="session", params=list(BOTH.values()), ids=list(BOTH))
def victim(
    request: pytest.FixtureRequest, trained: tuple[nn.Module, Tensor, Tensor], unsure: Unsure
) -> Victim:
    """Two networks in two norms: images of a class alike, and random images."""
    who, norm, eps = request.param
    model, x, y = trained
    if who == "unsure":
        model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
        right = (model(x).argmax(1) == y).nonzero().squeeze(1)[:48]
        x, y = x[right], y[right]
    return Victim(model, x, y, Threat(norm, eps))


@pytest.fixture(scope="session")
def survivor(victim: Victim) -> Victim:
    """Images that no attack breaks in a smaller ball, so that each runs to its end on all."""
    stands = victim.stands(victim.attacked(TargetedAPGD(steps=30)))
    smaller = victim.wider(0.75)
    return replace(smaller, x=victim.x[stands], y=victim.y[stands])


class Watched(nn.Module):
    """A model that keeps what it is asked."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.asked: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(x.detach().clone())
        return self.model(x)


def asked(attack: Attack, victim: Victim) -> list[Tensor]:
    """What an attack that breaks nothing asks the model."""
    model = Watched(victim.model)
    x_adv = replace(victim, model=model).attacked(attack)
    assert torch.equal(x_adv, victim.x)
    return model.asked


def same_path(one: list[Tensor], other: list[Tensor]) -> None:
    """Two attacks ask the same of all images but for a few that rounding sends another way."""
    far = (torch.stack(one) - torch.stack(other)).abs().amax((0, 2, 3, 4))
    assert len(far) >= 8
    assert (far > 1e-3).float().mean() <= 0.1


class Steady(nn.Module):
    """Class 0 whatever the image: logits depend on it, but too little to matter."""

    slopes: Tensor
    offsets: Tensor

    def __init__(self, classes: int, share: float = 1e-3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.register_buffer("slopes", share * torch.randn(192, classes, generator=generator))
        self.register_buffer("offsets", -torch.arange(classes, dtype=torch.float))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.slopes + self.offsets


class Rounded(nn.Module):
    """Two classes by the mean of an image in quarters, whose gradient is zero everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        mean = ((4 * x).round() / 4).mean((1, 2, 3)) - 0.55
        return 10 * torch.stack([-mean, mean], dim=1)


def autoattack(
    component: Component, monkeypatch: pytest.MonkeyPatch, queries: int = 5000
) -> AutoAttack:
    """The package's attack, or a reason to skip."""
    pytest.importorskip("pyautoattack")
    square = {"square": {"n_queries": queries, "n_restarts": 1}}
    monkeypatch.setattr(packages, "BUDGETS", {**packages.BUDGETS, "square": square})
    return AutoAttack(component)


def agree(own: Attack, other: Attack, victim: Victim) -> None:
    """The same images fall to both, and not all or none of them."""
    stand = victim.stands(victim.attacked(own))
    assert torch.equal(stand, victim.stands(victim.attacked(other)))
    assert 0 < stand.sum() < len(stand)


def obeys(attack: Attack, victim: Victim) -> None:
    """Inside the ball, unbroken images untouched, one seed one result, the images not written."""
    before = victim.x.clone()
    x_adv = victim.attacked(attack)
    stands = victim.stands(x_adv)
    assert 0 < stands.sum() < len(stands)
    assert not x_adv.requires_grad
    assert torch.equal(victim.x, before)
    checked("own", x_adv, victim.x, victim.threat, slack=2e-6)
    assert torch.equal(x_adv[stands], victim.x[stands])
    assert torch.equal(x_adv, victim.attacked(attack))


def takes_radii(attack: Attack, victim: Victim) -> None:
    """A radius an image: each is kept, larger ones break more, equal ones are one radius."""
    eps = victim.threat.eps
    assert isinstance(eps, float)
    count, norm = len(victim.x), victim.threat.norm
    equal = victim.attacked(attack, threat=Threat(norm, torch.full((count,), eps)))
    assert torch.equal(equal, victim.attacked(attack))
    radii = torch.tensor([0.0, 0.5, 1.0, 3.0]).repeat(count)[:count] * eps
    threat = Threat(norm, radii)
    x_adv = victim.attacked(attack, threat=threat)
    checked("own", x_adv, victim.x, threat, slack=2e-6)
    stands = victim.stands(x_adv)
    shares = [stands[radii == radius].float().mean() for radius in radii[:4]]
    assert shares[0] == 1
    assert shares[3] < shares[1]
    assert torch.equal(x_adv[stands], victim.x[stands])


def work(attack: Attack, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Passes:
    """Passes of an attack that breaks nothing."""
    torch.manual_seed(5)
    with counted(model) as passes:
        x_adv = attack(model, x, y, threat)
    assert torch.equal(x_adv, x)
    return passes


def undecided(
    classes: int, shape: tuple[int, ...], count: int = 24
) -> tuple[nn.Module, nn.Linear, Tensor, Tensor]:
    """A linear model, its weights, and images it gets right close to a grey that is undecided."""
    head = nn.Linear(math.prod(shape), classes).requires_grad_(False)
    head.bias.copy_(-0.5 * head.weight.sum(1))
    model, x = nn.Sequential(nn.Flatten(), head), 0.5 + 0.1 * (torch.rand(count, *shape) - 0.5)
    return model, head, x, model(x).argmax(1)


def bent(size: int, classes: int, factor: float) -> nn.Module:
    """A random network of one layer; the larger the factor, the more it bends."""
    first = nn.Linear(size, 30)
    first.weight.data.mul_(factor)
    return nn.Sequential(nn.Flatten(), first, nn.Tanh(), nn.Linear(30, classes))


def finds_what_there_is(attack: Attack, classes: int, seed: int, norm: Norm) -> None:
    """Of a linear model, exactly the images that lie nearer to another class than eps fall."""
    torch.manual_seed(seed)
    model, head, x, y = undecided(classes, (3, 2, 2))
    slopes, logits = head.weight[:, None] - head.weight[y], model(x)
    dual = slopes.norm(p={"Linf": 1, "L2": 2, "L1": math.inf}[norm], dim=2)
    gaps = (logits.gather(1, y[:, None]) - logits).T
    distance = (gaps / dual).nan_to_num(torch.inf).amin(0)
    eps = float(distance.quantile(0.4))
    assert 1.05 * eps < 0.4  # so that [0, 1] is no bound
    stands = model(attack(model, x, y, Threat(norm, eps))).argmax(1) == y
    assert stands[distance > 1.0001 * eps].all()
    assert not stands[distance < 0.98 * eps].any()
