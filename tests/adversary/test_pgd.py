"""Projected gradient ascent: against torchattacks, against closed forms, and its hooks."""

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.losses import cross_entropy, kl, margin
from robench.adversary.pgd import PGD, PGDAttack, ascend
from robench.models.passes import counted
from robench.radius import NORMS, Norm
from robench.threat import Threat
from tests.conftest import Unsure

EPS = {"Linf": 0.03, "L2": 0.3}


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_same_iterates_as_torchattacks(steps: int, unsure: Unsure) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    reference = torchattacks.PGD(model, eps=0.03, alpha=0.007, steps=steps, random_start=False)
    own = PGD(steps=steps, step_size=0.007, start="none")(model, x, y, Threat("Linf", 0.03))
    assert (own - reference(x, y)).abs().max() < 1e-6


def test_same_iterates_as_torchattacks_in_l2(unsure: Unsure) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    reference = torchattacks.PGDL2(model, eps=0.3, alpha=0.1, steps=10, random_start=False)
    own = PGD(steps=10, step_size=0.1, start="none")(model, x, y, Threat("L2", 0.3))
    assert (own - reference(x, y)).abs().max() < 1e-4


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("start", ["uniform", "gaussian", "none"])
def test_stays_inside_raises_the_loss_and_repeats(norm: Norm, start: str, unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    threat, attack = Threat(norm, EPS[norm]), PGD(start=start)  # type: ignore[arg-type]
    torch.manual_seed(1)
    x_adv = attack(model, x, y, threat)
    torch.manual_seed(1)
    assert torch.equal(x_adv, attack(model, x, y, threat))
    assert (threat.distance(x_adv, x) <= EPS[norm] + 1e-6).all()
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert not x_adv.requires_grad
    assert cross_entropy(model(x_adv), y).mean() > cross_entropy(model(x), y).mean() + 0.1


@pytest.mark.parametrize("norm", NORMS)
def test_one_step_reaches_the_worst_point_of_a_linear_model(norm: Norm) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(12, 2)
    model = nn.Sequential(nn.Flatten(), linear)
    x, y = torch.full((16, 3, 2, 2), 0.5), torch.arange(16) % 2
    threat = Threat(norm, 0.2)
    attack = PGD(steps=1, step_size=0.2, start="none")
    found = margin(model(attack(model, x, y, threat)), y)
    slope = linear.weight[1] - linear.weight[0]
    size = slope.abs().sum() if norm == "Linf" else slope.norm()
    assert torch.allclose(found, margin(model(x), y) + 0.2 * size, atol=1e-5)


def test_no_steps_is_the_start_and_radius_zero_the_image(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    threat = Threat("Linf", 0.03)
    torch.manual_seed(2)
    start = threat.random_start(x)
    torch.manual_seed(2)
    assert torch.equal(PGD(steps=0)(model, x, y, threat), start)
    assert torch.equal(PGD(steps=5)(model, x, y, Threat("Linf", 0.0)), x)


def test_an_own_radius_and_step_for_every_image(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x[:6], unsure.batch.y[:6]
    eps = torch.tensor([0.0, 0.01, 0.02, 0.03, 0.05, 0.1])
    together = PGD(steps=4, start="none")(model, x, y, Threat("Linf", eps))
    assert torch.equal(together[0], x[0])
    for i in range(6):
        threat = Threat("Linf", eps[i].item())
        alone = PGD(steps=4, start="none")(model, x[i : i + 1], y[i : i + 1], threat)
        assert torch.allclose(together[i], alone[0], atol=1e-6)


def halted(unsure: Unsure, undo: bool) -> tuple[Tensor, list[Tensor]]:
    """An ascent that halts images whose loss passes 1, and all iterates without halting."""
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    threat = Threat("Linf", 0.05)

    def objective(logits: Tensor) -> Tensor:
        return cross_entropy(logits, y)

    iterates = [
        ascend(model, x, x, objective, threat, steps=steps, size=0.01) for steps in range(7)
    ]
    found = ascend(
        model, x, x, objective, threat, steps=6, size=0.01, undo=undo,
        halt=lambda logits, losses, step: losses > 1,
    )  # fmt: skip
    return found, iterates


@pytest.mark.parametrize("undo", [False, True])
def test_halted_images_stay_where_they_are_or_go_one_step_back(undo: bool, unsure: Unsure) -> None:
    found, iterates = halted(unsure, undo)
    y = unsure.batch.y
    losses = torch.stack([cross_entropy(unsure.model(x), y) for x in iterates])
    kinds = set()
    for i in range(len(y)):
        passed = (losses[:, i] > 1).nonzero()
        stop = int(passed[0]) if len(passed) else 6
        back = undo and bool(len(passed)) and stop > 0
        kinds.add(stop)
        assert torch.allclose(found[i], iterates[stop - back][i], atol=1e-6)
    assert kinds >= {0, 1, 2, 6}


def test_gradients_of_parameters_and_modes_are_left_alone(unsure: Unsure) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).train()
    PGD(steps=2)(model, unsure.batch.x, unsure.batch.y, Threat("Linf", 0.03))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert model.training


def test_works_where_gradients_are_switched_off(unsure: Unsure) -> None:
    with torch.no_grad():
        x_adv = PGD(steps=2)(unsure.model, unsure.batch.x, unsure.batch.y, Threat("Linf", 0.03))
        assert not torch.is_grad_enabled()
    assert not torch.equal(x_adv, unsure.batch.x)


def test_passes(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    with counted(model) as passes:
        PGD(steps=7)(model, x, y, Threat("Linf", 0.03))
    assert (passes.forwards, passes.backwards) == (7 * 256, 7 * 256)


def test_as_an_attack_it_stops_at_the_first_wrong_prediction(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    threat = Threat("Linf", 0.02)
    attack = PGDAttack(pgd=PGD(steps=20, start="none"))
    last = PGD(steps=20, start="none")(model, x, y, threat)
    found = attack(model, x, y, threat)
    right_first = model(x).argmax(1) == y
    assert torch.equal(found[~right_first], x[~right_first])
    wrong, wrong_last = (model(found).argmax(1) != y), (model(last).argmax(1) != y)
    assert wrong[wrong_last].all()  # nothing that the last iterate breaks is missed
    assert 0.1 < wrong.float().mean() < 1


def test_the_margin_finds_what_saturated_cross_entropy_hides(unsure: Unsure) -> None:
    """Logits times 10,000: the same predictions, but the cross-entropy has no gradient."""

    class Loud(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 1e4 * unsure.model(x)

    x, y, threat = unsure.batch.x, unsure.batch.y, Threat("Linf", 0.02)
    stand = {}
    for loss in ("cross-entropy", "margin"):
        attack = PGDAttack(pgd=PGD(steps=20), loss=loss)
        for name, model in (("as it is", unsure.model), ("loud", Loud())):
            torch.manual_seed(0)
            x_adv = attack(model, x, y, threat)
            stand[loss, name] = (model(x_adv).argmax(1) == y).float().mean().item()
    assert stand["cross-entropy", "loud"] > stand["cross-entropy", "as it is"] + 0.1
    assert stand["margin", "loud"] == pytest.approx(stand["margin", "as it is"], abs=0.02)


def test_kl_has_no_slope_at_the_image_so_its_attack_starts_beside_it(unsure: Unsure) -> None:
    model, x, clean = unsure.model, unsure.batch.x, unsure.model(unsure.batch.x)
    torch.manual_seed(0)
    slopes = []
    for start in (x, PGD(start="gaussian").begin(x, Threat("Linf", 0.03))):
        leaf = start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(kl(model(leaf), clean).sum(), leaf)
        slopes.append(slope.abs().mean().item())
    assert slopes[0] < 1e-6
    assert slopes[1] > 1e-4
