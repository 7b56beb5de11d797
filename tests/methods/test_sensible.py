"""Sensible: the stop rule, its limit cases, and the three clusters that show what it is for.

"Frozen" images are wrong or past the cut where they start; they stay there.
"""

import math

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure, confidence

EPS = 8 / 255
LINF = Threat("Linf", EPS)


def make(**changes: object) -> Method:
    return method("sensible", "cifar10", changes)


def started(eps: float = EPS, progress: float = 0.9) -> Run:
    return Run(Threat("Linf", eps), 256, 4, 3, progress=progress)


def starts(model: nn.Module, batch: Batch, cut: float, seed: int) -> tuple[Tensor, Tensor]:
    """Where the attack begins under a seed, and which images are frozen there."""
    torch.manual_seed(seed)
    x = LINF.random_start(batch.x)
    frozen = (model(x).argmax(1) != batch.y) | (confidence(model, x, batch.y) < cut)
    return x, frozen


def perturbed(cut: float, unsure: Unsure, seed: int = 3, **changes: object) -> Tensor:
    torch.manual_seed(seed)
    return make(cut=cut, **changes).perturb(unsure.model, unsure.batch, started())


@pytest.mark.parametrize("cut", [0.05, 0.3, 0.5, 0.7, 0.9])
def test_loss_never_passes_the_cut(cut: float, unsure: Unsure) -> None:
    _, frozen = starts(unsure.model, unsure.batch, cut, seed=3)
    assert 0 < frozen.sum() < 256
    x_adv = perturbed(cut, unsure)
    left = confidence(unsure.model, x_adv, unsure.batch.y)[~frozen]
    assert left.min() >= cut - 1e-6


@pytest.mark.parametrize("cut", [0.5, 0.7, 0.9])
def test_a_cut_of_a_half_keeps_every_prediction_right(cut: float, unsure: Unsure) -> None:
    _, frozen = starts(unsure.model, unsure.batch, cut, seed=3)
    right = unsure.model(perturbed(cut, unsure)).argmax(1) == unsure.batch.y
    assert right[~frozen].all()


def test_a_smaller_cut_does_not(unsure: Unsure) -> None:
    _, frozen = starts(unsure.model, unsure.batch, 0.05, seed=3)
    right = unsure.model(perturbed(0.05, unsure)).argmax(1) == unsure.batch.y
    assert right[~frozen].float().mean() < 0.9


def test_stays_in_the_ball_and_repeats_under_a_seed(unsure: Unsure) -> None:
    x_adv = perturbed(0.5, unsure)
    assert LINF.distance(x_adv, unsure.batch.x).max() <= EPS + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert torch.equal(x_adv, perturbed(0.5, unsure))
    assert not torch.equal(x_adv, perturbed(0.5, unsure, seed=4))


@pytest.mark.parametrize(
    ("changes", "eps"), [({"cut": 1.0}, EPS), ({"attack.steps": 0}, EPS), ({}, 0.0)]
)
def test_reduces_to_natural_training(
    changes: dict[str, object], eps: float, unsure: Unsure
) -> None:
    x_adv = make(**changes).perturb(unsure.model, unsure.batch, started(eps))
    assert torch.equal(x_adv, unsure.batch.x)


def test_a_cut_near_zero_is_pgd_on_the_images_that_start_right(unsure: Unsure) -> None:
    start, _ = starts(unsure.model, unsure.batch, 1e-12, seed=3)
    wrong = unsure.model(start).argmax(1) != unsure.batch.y
    torch.manual_seed(3)
    pgd = PGD(steps=10, step_size=1.5 / 255)(unsure.model, unsure.batch.x, unsure.batch.y, LINF)
    x_adv = perturbed(1e-12, unsure)
    assert (x_adv - pgd)[~wrong].abs().max() < 1e-6
    assert torch.equal(x_adv[wrong], start[wrong])


def test_warm_up_attacks_to_the_end(unsure: Unsure) -> None:
    start, frozen = starts(unsure.model, unsure.batch, 0.5, seed=3)
    torch.manual_seed(3)
    pgd = PGD(steps=10, step_size=1.5 / 255)(unsure.model, unsure.batch.x, unsure.batch.y, LINF)
    torch.manual_seed(3)
    early = make(warmup=0.5).perturb(unsure.model, unsure.batch, started(progress=0.4))
    assert (early - pgd)[~frozen].abs().max() < 1e-6
    assert torch.equal(early[frozen], start[frozen])
    torch.manual_seed(3)
    late = make(warmup=0.5).perturb(unsure.model, unsure.batch, started(progress=0.5))
    assert torch.equal(late, perturbed(0.5, unsure))


def test_a_linear_model_shows_three_stages() -> None:
    linear, side = nn.Linear(4, 2).requires_grad_(False), torch.tensor([2.0, 2.0, -2.0, -2.0])
    linear.weight.copy_(torch.stack([side, -side]))
    model = nn.Sequential(nn.Flatten(), linear)
    x = torch.rand(500, 1, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.4 + 0.3
    y = torch.arange(500) % 2
    batch, cut, excess = Batch(x, y, torch.arange(500)), 0.5, []
    run = Run(Threat("Linf", 0.2), 500, 2, 1, progress=0.9)
    for size, steps in ((0.02, 20), (0.005, 80), (0.001, 400)):
        changes = {"attack.step_size": size, "attack.steps": steps, "attack.start": "none"}
        x_adv = make(cut=cut, **changes).perturb(model, batch, run)
        before, after = confidence(model, x, y), confidence(model, x_adv, y)
        natural = before < cut
        full = PGD(steps=400, step_size=0.01, start="none")(model, x, y, run.threat)
        worst = confidence(model, full, y)
        assert torch.equal(x_adv[natural], x[natural])
        assert (after[~natural] >= cut).all()
        assert torch.allclose(after[worst > cut], worst[worst > cut], atol=1e-5)
        stopped = ~natural & (worst < cut)
        assert stopped.sum() > 50
        excess.append((after[stopped] - cut).max().item())
    assert excess[0] > excess[1] > excess[2]
    assert excess[2] < 0.005


def test_frozen_images_may_be_under_the_cut(unsure: Unsure) -> None:
    _, frozen = starts(unsure.model, unsure.batch, 0.5, seed=3)
    left = confidence(unsure.model, perturbed(0.5, unsure), unsure.batch.y)
    assert left[frozen].min() < 0.5


def test_a_higher_cut_perturbs_less(unsure: Unsure) -> None:
    sizes = [
        (perturbed(cut, unsure) - unsure.batch.x).abs().mean().item()
        for cut in (0.05, 0.3, 0.5, 0.7, 0.9, 0.99)
    ]
    assert sizes == sorted(sizes, reverse=True)
    # Just under 1 what is left is the random start: half of eps on average, less what [0, 1] cuts.
    assert sizes[-1] == pytest.approx(EPS / 2, rel=0.05)


def test_the_kl_variant_lowers_kl_and_needs_labels(unsure: Unsure) -> None:
    chosen = make(variant="trades", natural_weight=0.7)
    torch.manual_seed(3)
    x_adv = chosen.perturb(unsure.model, unsure.batch, started())
    _, frozen = starts(unsure.model, unsure.batch, 0.5, seed=3)
    kl = divergence(unsure.model, unsure.batch.x, x_adv)
    assert (kl[~frozen] <= math.log(2) + 1e-6).all()
    loss = chosen.loss(unsure.model, unsure.batch, x_adv, started())
    natural = nn.functional.cross_entropy(unsure.model(unsure.batch.x), unsure.batch.y)
    expected = kl.mean() + 0.7 * natural
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    with pytest.raises(ConfigError, match="needs natural_weight"):
        make(variant="trades")


FAR = 32 / 255
WIDE = Threat("Linf", FAR)


def one_by_one(model: nn.Module, batch: Batch, start: Tensor, cut: float) -> tuple[Tensor, int]:
    """The KL variant by hand, an image at a time, and how many images have a step undone."""
    limit, kept, undone = -math.log(cut), [], 0
    for x, y, at in zip(batch.x.split(1), batch.y.split(1), start.split(1), strict=True):
        p = model(x).softmax(1)
        wrong = model(at).argmax(1) != y or -confidence(model, at, y).log() > limit
        for _ in range(0 if wrong else 10):
            leaf = at.clone().requires_grad_()
            (p * (p.log() - model(leaf).log_softmax(1))).sum().backward()
            assert leaf.grad is not None
            new = at + 6 / 255 * leaf.grad.sign()
            new = torch.min(torch.max(new, x - FAR), x + FAR).clamp(0, 1)
            if (p * (p.log() - model(new).log_softmax(1))).sum() > limit:
                undone += 1
                break
            at = new
        kept.append(at)
    return torch.cat(kept), undone


@pytest.mark.parametrize("cut", [0.3, 0.5, 0.7])
def test_the_kl_variant_is_the_one_done_by_hand(cut: float, unsure: Unsure) -> None:
    model, batch = unsure.model, unsure.batch
    changes = {"variant": "trades", "natural_weight": 1.0, "attack.step_size": 6 / 255}
    torch.manual_seed(3)
    x_adv = make(cut=cut, **changes).perturb(model, batch, started(FAR))
    torch.manual_seed(3)
    start = WIDE.random_start(batch.x)
    expected, undone = one_by_one(model, batch, start, cut)
    assert undone > 20
    assert (x_adv - expected).abs().max() < 1e-6
    before, after = (divergence(model, batch.x, x) for x in (start, x_adv))
    # The cross-entropy where they start freezes images, though right and with a KL under the limit.
    past = confidence(model, start, batch.y) < cut
    frozen = past & (model(start).argmax(1) == batch.y) & (before < -math.log(cut))
    assert frozen.any()
    assert torch.equal(x_adv[frozen], start[frozen])
    assert (after >= before)[~past].float().mean() > 0.95


def divergence(model: nn.Module, x: Tensor, x_adv: Tensor) -> Tensor:
    """KL of each image's natural prediction to the attacked one."""
    p = model(x).softmax(1)
    return (p * (p.log() - model(x_adv).log_softmax(1))).sum(1)


def test_one_forward_pass_more_than_adversarial_training(unsure: Unsure) -> None:
    from robench.models.passes import counted

    with counted(unsure.model) as passes:
        perturbed(0.05, unsure)
    assert passes.forwards <= 11 * 256
    assert passes.backwards <= 10 * 256


def clusters(seed: int, count: int = 1000) -> Batch:
    """Class 0 at (-1, 0), class 1 at (1, 7) or (1, -7), in a unit square; deviation 0.2 / 20.

    The radius used on them, 1.6 / 20, is over half of the gap between the classes, so no linear
    classifier is right about both classes everywhere in the ball.
    """
    generator = torch.Generator().manual_seed(seed)
    y = (torch.rand(count, generator=generator) < 0.5).long()
    up = torch.where(torch.rand(count, generator=generator) < 0.55, 7.0, -7.0)
    centre = torch.stack([2.0 * y - 1, torch.where(y == 1, up, 0.0)], 1)
    points = centre + 0.2 * torch.randn(count, 2, generator=generator)
    return Batch(((points + 10) / 20).view(count, 1, 1, 2), y, torch.arange(count))


class Logistic(nn.Module):
    """Logistic regression on the clusters' own coordinates."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Two logits, the first always 0."""
        z = self.linear(x.flatten(1) * 20 - 10)
        return torch.cat([torch.zeros_like(z), z], 1)


def natural_accuracy_after(chosen: Method, batch: Batch) -> float:
    """Plain logistic regression, then 300 steps of the method on all points."""
    model = Logistic()
    run = Run(Threat("L2", 1.6 / 20), len(batch.y), 2, 1, progress=0.9)
    optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
    for step in range(800):
        x_adv = batch.x if step < 500 else chosen.perturb(model, batch, run)
        optimizer.zero_grad()
        loss = (
            nn.functional.cross_entropy(model(batch.x), batch.y)
            if step < 500
            else chosen.loss(model, batch, x_adv, run)
        )
        loss.backward()
        optimizer.step()
    return (model(batch.x).argmax(1) == batch.y).float().mean().item()


def test_three_clusters_keep_natural_accuracy_where_adversarial_training_gives_it_up() -> None:
    batch, start = clusters(seed=0), {"attack.start": "none"}
    sensible = make(cut=0.9, **start, **{"attack.steps": 10, "attack.step_size": 0.008})
    madry = method("madry", changes={**start, "attack.steps": 1, "attack.step_size": 0.08})
    assert natural_accuracy_after(sensible, batch) > 0.97
    assert natural_accuracy_after(madry, batch) < 0.85


def test_cases_are_logged_as_shares(unsure: Unsure) -> None:
    run = Run(LINF, 256, 4, 3, progress=0.5)
    chosen = method("sensible", changes={"cut": 0.3, "attack.steps": 5, "attack.start": "none"})
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    chosen.perturb(model, unsure.batch, run)
    told = run.told()
    assert sum(told.values()) == pytest.approx(1)
    natural = (model(x).argmax(1) != y) | (confidence(model, x, y) < 0.3)
    assert told["case/natural"] == pytest.approx(natural.float().mean().item())
    assert min(told.values()) > 0
    assert run.told() == {}
