"""Momentum ascent: torchattacks' iterates, what settings reduce to, balls of every norm."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.attack import attempt, checked
from robench.adversary.losses import cross_entropy
from robench.adversary.momentum import ATTACKS, WIDEST, Momentum, blurred
from robench.adversary.pgd import PGD
from robench.models.passes import counted
from robench.radius import BALLS, Norm
from robench.threat import Threat
from tests.conftest import Unsure

EPS = {"Linf": 0.03, "L2": 0.3, "L1": 2.0}
SHORT = {name: replace(attack, neighbours=min(attack.neighbours, 2), steps=4)
         for name, attack in ATTACKS.items()}  # fmt: skip
KINDS = pytest.mark.parametrize("name", ATTACKS)


def off(unsure: Unsure, own: Momentum, reference: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Share of pixels that differ from another implementation's; a sum near zero may turn."""
    x, y = unsure.batch.x * 0.6 + 0.2, unsure.batch.y  # where neighbours leave [0, 1] nowhere
    torch.manual_seed(3)
    found = own(unsure.model, x, y, Threat("Linf", 0.03))
    torch.manual_seed(3)
    return ((found - reference(x, y)).abs() > 1e-6).float().mean().item()


@pytest.fixture
def one_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchattacks draws normal numbers only to overwrite them with uniform ones."""
    monkeypatch.setattr(torch, "randn_like", torch.empty_like)


@pytest.mark.parametrize("decay", [0.0, 0.5, 1.0])
def test_mi_fgsm_makes_the_same_images_as_torchattacks(decay: float, unsure: Unsure) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    reference = torchattacks.MIFGSM(unsure.model, eps=0.03, alpha=0.003, steps=10, decay=decay)
    assert off(unsure, Momentum(decay=decay), reference) < 1e-3


@pytest.mark.parametrize(("share", "width"), [(0.0, 1), (0.5, 5), (1.0, 9)])
def test_ti_fgsm_makes_the_same_images_as_torchattacks(
    share: float, width: int, unsure: Unsure
) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    reference = torchattacks.TIFGSM(
        unsure.model, eps=0.03, alpha=0.003, steps=10, decay=1.0, len_kernel=width,
        diversity_prob=0.0,
    )  # fmt: skip
    assert off(unsure, Momentum(blur=share), reference) < 1e-3


def test_di_fgsm_makes_the_same_images_as_torchattacks(
    unsure: Unsure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each image is shown as small as can be, at the left and the top."""
    torchattacks = pytest.importorskip("torchattacks")
    least = lambda low, high, size, dtype=torch.int64: torch.full(size, low, dtype=dtype)  # noqa: E731
    monkeypatch.setattr(torch, "randint", least)
    reference = torchattacks.DIFGSM(
        unsure.model, eps=0.03, alpha=0.003, steps=10, decay=1.0, diversity_prob=1.0
    )
    assert off(unsure, Momentum(diversity=1.0), reference) < 1e-3


def test_vmi_fgsm_makes_the_same_images_as_torchattacks(unsure: Unsure, one_draw: None) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    reference = torchattacks.VMIFGSM(
        unsure.model, eps=0.03, alpha=0.006, steps=5, decay=1.0, N=3, beta=1.5
    )
    assert off(unsure, Momentum(steps=5, neighbours=3), reference) < 1e-3


@pytest.mark.parametrize("norm", BALLS)
def test_without_decay_it_is_iterative_fgsm(norm: Norm, unsure: Unsure) -> None:
    model, x, y, threat = unsure.model, unsure.batch.x, unsure.batch.y, Threat(norm, EPS[norm])
    plain = PGD(steps=5, step_size=EPS[norm] / 5, start="none")(model, x, y, threat)
    assert (Momentum(steps=5, decay=0.0)(model, x, y, threat) - plain).abs().max() < 1e-6


@pytest.mark.parametrize(
    "nothing", [{"diversity": 0.0, "smallest": 0.5}, {"blur": 0.1}, {"neighbours": 0, "reach": 9}]
)
def test_what_adds_nothing_is_mi_fgsm(nothing: dict[str, float], unsure: Unsure) -> None:
    model, x, y, threat = unsure.model, unsure.batch.x, unsure.batch.y, Threat("Linf", 0.03)
    mi = Momentum()(model, x, y, threat)
    assert torch.equal(mi, Momentum(**nothing)(model, x, y, threat))  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_sum_is_of_gradients_over_their_mean_size(norm: Norm, unsure: Unsure) -> None:
    """Image by image, written out."""
    model, decay, steps = unsure.model, 0.7, 4
    eps, threat = EPS[norm], Threat(norm, EPS[norm])
    found = Momentum(steps=steps, decay=decay)(model, unsure.batch.x, unsure.batch.y, threat)
    for i in range(4):
        x, y = unsure.batch.x[i : i + 1], unsure.batch.y[i : i + 1]
        x_adv, total = x, torch.zeros_like(x)
        for _ in range(steps):
            leaf = x_adv.clone().requires_grad_()
            (grad,) = torch.autograd.grad(F.cross_entropy(model(leaf), y), leaf)
            total = decay * total + grad / grad.abs().mean()
            step = total.sign() if norm == "Linf" else total / total.norm()
            delta = x_adv + eps / steps * step - x
            if norm == "Linf":
                delta = delta.clamp(-eps, eps)
            else:
                delta = delta * min(1.0, eps / float(delta.norm()))
            x_adv = (x + delta).clamp(0, 1)
        assert (found[i : i + 1] - x_adv).abs().max() < 1e-5


class Slope(nn.Module):
    """Two classes by a weighted sum of an image's pixels."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, x: Tensor) -> Tensor:
        score = (x * self.weights).flatten(1).sum(1)
        return torch.stack([score, -score], dim=1)


@given(st.sampled_from(sorted(ATTACKS)), st.sampled_from(BALLS), st.integers(0, 99))
@hypothesis_settings(max_examples=20)
def test_images_stay_inside_and_the_same_seed_makes_the_same(
    name: str, norm: Norm, seed: int
) -> None:
    torch.manual_seed(seed)
    side, channels = [(8, 1), (28, 1), (8, 3)][seed % 3]
    x, y = torch.rand(4, channels, side, side), torch.randint(0, 2, (4,))
    model = Slope(torch.randn(channels, side, side)).eval()
    threat = Threat(norm, EPS[norm] * torch.tensor([0.0, 0.5, 1.0, 3.0]))
    before = x.clone()
    found, again = (attempt(name, SHORT[name], model, x, y, threat, seed) for _ in range(2))
    assert torch.equal(found, again)
    assert torch.equal(x, before)
    checked(name, found, x, threat, slack=2e-6)
    assert torch.equal(found[0], x[0])
    assert ((found != x).flatten(1).any(1) == torch.tensor([False, True, True, True])).all()
    assert (cross_entropy(model(found), y) >= cross_entropy(model(x), y) - 1e-5).all()


@KINDS
def test_it_goes_on_where_the_network_is_wrong(name: str, unsure: Unsure) -> None:
    model, threat = unsure.model, Threat("Linf", 0.03)
    wrong = model(unsure.batch.x).argmax(1) != unsure.batch.y
    x, y = unsure.batch.x[wrong], unsure.batch.y[wrong]
    torch.manual_seed(0)
    before, after = (cross_entropy(model(at), y) for at in (x, SHORT[name](model, x, y, threat)))
    assert (after > before).float().mean() > 0.9


@KINDS
def test_passes(name: str, unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x[:8], unsure.batch.y[:8]
    with counted(model) as passes:
        SHORT[name](model, x, y, Threat("Linf", 0.03))
    each = 8 * (4 + 3 * SHORT[name].neighbours)  # the first step has no step before it
    assert (passes.forwards, passes.backwards) == (each, each)


@KINDS
def test_no_gradient_and_one_that_is_not_finite_move_nothing(name: str) -> None:
    x, y = torch.full((2, 1, 8, 8), 0.5), torch.tensor([0, 1])
    torch.manual_seed(0)

    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([0 * x.sum((1, 2, 3)), 1 + 0 * x.sum((1, 2, 3))], 1)

    class Steep(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = (x.flatten(1)[:, :1] * 0).sqrt()  # whose slope is infinite times zero
            return torch.cat([score, score + 1], 1)

    for model in (Flat(), Steep()):
        assert torch.equal(SHORT[name](model, x, y, Threat("Linf", 0.1)), x)


@pytest.mark.parametrize("width", [1, 3, 5, WIDEST])
def test_blurring_is_a_mean_over_shifted_gradients(width: int) -> None:
    torch.manual_seed(0)
    grad, half = torch.randn(2, 3, 9, 9), width // 2
    at = torch.arange(-half, half + 1) / max(half, 1) * 3.0
    weights = (-(at**2) / 2).exp()
    weights = weights / weights.sum()
    slow, wide = torch.zeros_like(grad), F.pad(grad, [half] * 4)
    for i in range(width):
        for j in range(width):
            slow += weights[i] * weights[j] * wide[:, :, i : i + 9, j : j + 9]
    assert torch.allclose(blurred(grad, width), slow, atol=1e-6)


def test_the_kernel_grows_with_the_image_up_to_the_papers() -> None:
    def width(side: int) -> int:
        x, y = torch.full((1, 1, side, side), 0.5), torch.tensor([0])
        spike = torch.zeros(1, side, side)
        spike[0, side // 2, side // 2] = 1.0
        moved = (
            Momentum(steps=1, blur=0.25)(Slope(spike), x * 0 + 0.5, y, Threat("Linf", 0.1)) - 0.5
        )
        return int((moved[0, 0] != 0).any(0).sum())

    assert [width(side) for side in (8, 28, 32, 224)] == [3, 7, 9, WIDEST]


def test_some_images_are_shown_smaller_in_a_black_frame() -> None:
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return x.flatten(1)[:, :2]

    x, y, threat = torch.ones(64, 1, 28, 28), torch.zeros(64, dtype=torch.long), Threat("Linf", 0.1)
    torch.manual_seed(0)
    for chance in (0.0, 0.5, 1.0):
        Momentum(steps=20, diversity=chance, smallest=0.8)(Watching(), x, y, threat)
        sides = torch.stack([(shown > 0).flatten(1).sum(1).sqrt() for shown in seen])
        seen.clear()
        assert set(sides[sides < 28].tolist()) <= set(range(22, 28))
        assert (sides < 28).float().mean().item() == pytest.approx(chance, abs=0.05)


def test_neighbours_are_images_in_the_wider_ball() -> None:
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return torch.stack([x.sum((1, 2, 3)), -x.sum((1, 2, 3))], 1)

    x, y = torch.full((16, 1, 8, 8), 0.05), torch.zeros(16, dtype=torch.long)
    Momentum(steps=2, neighbours=5)(Watching(), x, y, Threat("Linf", 0.1))
    assert len(seen) == 2 + 5
    near = torch.stack(seen[2:])
    assert near.min() == 0
    assert 0.14 < (near - x).max() <= 0.15 + 1e-6
