"""Images crafted on another model, and expectation over draws."""

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.eot import EOT
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.suite import Suite
from robench.adversary.transfer import Transfer, crafted_on, sources
from robench.check import tiny
from robench.errors import AttackError
from robench.models.passes import counted
from robench.threat import Threat

THREAT = Threat("Linf", 0.1)


class Slope(nn.Module):
    """Two classes by the mean of an image, with gradients in a chosen direction only."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign = sign

    def forward(self, x: Tensor) -> Tensor:
        score = self.sign * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-score, score], dim=1)


def grey() -> tuple[Tensor, Tensor]:
    return torch.full((6, 1, 4, 4), 0.55), torch.ones(6, dtype=torch.long)


def test_what_is_crafted_on_one_model_is_looked_at_by_another() -> None:
    x, y = grey()
    suite = Suite({"from-a": Transfer(source="a"), "pgd": PGDAttack(pgd=PGD(steps=1))})
    assert suite.sources == ("a",)
    against = {
        sign: [mask.sum().item() for _, mask in suite.on({"a": Slope(sign)}).run(
            Slope(1.0), x, y, THREAT, 0)]
        for sign in (1.0, -1.0)
    }  # fmt: skip
    assert against[1.0] == [6, 0, 0]  # the same slope: everything transfers
    assert against[-1.0][:2] == [6, 6]  # the opposite one drives images away from the boundary


def test_without_its_model_an_attack_is_left_out_and_never_a_number() -> None:
    attacks = {"from-a": Transfer(source="a"), "from-b": Transfer(source="b")}
    assert sources(attacks) == ("a", "b")
    assert list(crafted_on(attacks, {"b": Slope(1.0)})) == ["from-b"]
    with pytest.raises(AttackError, match="no cell of a to craft on"):
        list(Suite(attacks).run(Slope(1.0), *grey(), THREAT, 0))


class Noisy(nn.Module):
    """A network whose input is drawn anew each time."""

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x + self.scale * torch.randn_like(x))
        return out


def test_eot_sees_the_mean_answer_and_pays_for_every_draw() -> None:
    torch.manual_seed(0)
    model, data = tiny.classifier().eval(), tiny.data().test
    x, attack = data.x(slice(8)), PGDAttack(pgd=PGD(steps=3))
    with torch.no_grad():
        y = model(x).argmax(1)
    with counted(model) as plain:
        one = attack(model, x, y, Threat("Linf", 1e-6))
    with counted(model) as passes:
        torch.manual_seed(0)
        mean = EOT(attack=attack, draws=5)(model, x, y, Threat("Linf", 1e-6))
    assert (passes.forwards, passes.backwards) == (5 * plain.forwards, 5 * plain.backwards)
    assert (mean - one).abs().max() <= 2e-6 + 1e-7  # of a deterministic model the mean is itself


def test_eot_breaks_what_single_draws_hide() -> None:
    """The slope is lost in the noise of a draw, and found in the mean of many."""
    x = torch.full((24, 1, 4, 4), 0.52)
    y, model = torch.ones(24, dtype=torch.long), Jitter()
    hidden, found = (
        (wrapped(model, x, y, Threat("Linf", 0.06)) - x).flatten(1).mean(1).mean().item()
        for wrapped in (Last(), EOT(attack=Last(), draws=200))
    )
    assert found < hidden - 0.01


class Jitter(nn.Module):
    """Logits whose slope is drawn around a small mean."""

    def forward(self, x: Tensor) -> Tensor:
        slope = 1 + 10 * torch.randn(len(x), 1)
        score = slope[:, 0] * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-score, score], dim=1)


class Last:
    """PGD's last iterate, however wrong an earlier one was."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        torch.manual_seed(0)
        return PGD(steps=5, start="none")(model, x, y, threat)
