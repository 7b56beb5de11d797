"""The Langevin sampler: without noise it is PGD, with noise it has the distribution it says."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from robench.adversary.attack import attempt
from robench.adversary.langevin import Langevin, laplace
from robench.adversary.losses import cross_entropy, kl, log_wrong
from robench.adversary.pgd import PGD
from robench.adversary.suite import Suite
from robench.errors import ConfigError
from robench.models.passes import counted
from robench.radius import NORMS, Norm
from robench.threat import Threat, per_image
from tests.conftest import Unsure, confidence

LINF = Threat("Linf", 0.03)
EPS: dict[Norm, float] = {"Linf": 0.03, "L2": 0.3}


def slope(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Gradient of each image's own log(1 - p_y)."""
    leaf = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(log_wrong(model(leaf), y).sum(), leaf)
    return found


def turned(attack: Langevin, gradients: Tensor) -> float:
    """Share of the signs of one step that are not those of the gradient."""
    step = attack._move(Threat("Linf", 1.0), gradients, torch.ones(1, 1, 1, 1))
    return (step != gradients.sign()).float().mean().item()


def test_the_loss_is_the_logarithm_of_what_is_left_for_wrong_answers(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    expected = [math.log(1 - p) for p in confidence(model, x, y).double().tolist()]
    assert torch.allclose(log_wrong(model(x), y), torch.tensor(expected), rtol=1e-4, atol=1e-6)


def test_a_saturated_prediction_has_a_finite_loss_and_a_slope() -> None:
    y = torch.tensor([0, 0, 0])
    logits = torch.tensor([[200.0, 0.0, 1.0], [0.0, 60.0, 1.0], [40.0, 40.0, 40.0]])
    assert logits.softmax(1)[0, 0] == 1  # its log(1 - p) would be minus infinity
    leaf = logits.clone().requires_grad_()
    values = log_wrong(leaf, y)
    (found,) = torch.autograd.grad(values.sum(), leaf)
    assert values.isfinite().all()
    assert values[0].item() == pytest.approx(math.log(1 + math.e) - 200)
    assert found.isfinite().all()
    assert torch.equal(found.sign()[:, 0], -torch.ones(3))
    assert found[0, 0].item() == pytest.approx(-1, rel=1e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("changes", [{"noise": "none"}, {"temperature": 0.0}])
def test_without_noise_it_is_pgd(changes: dict[str, object], norm: Norm, unsure: Unsure) -> None:
    model, x, y, threat = unsure.model, unsure.batch.x, unsure.batch.y, Threat(norm, EPS[norm])
    torch.manual_seed(2)
    expected = PGD(start="gaussian")(model, x, y, threat, log_wrong)
    torch.manual_seed(2)
    assert torch.equal(Langevin(**changes)(model, x, y, threat), expected)  # type: ignore[arg-type]
    torch.manual_seed(2)
    by_entropy = PGD(start="gaussian")(model, x, y, threat, cross_entropy)
    if norm == "Linf":  # equal signs
        assert torch.equal(by_entropy, expected)
    else:  # equal directions, up to rounding
        assert torch.allclose(by_entropy, expected, atol=1e-5)


@pytest.mark.parametrize("noise", ["laplace", "gaussian", "none"])
def test_all_kinds_of_no_noise_are_the_same(noise: str, unsure: Unsure) -> None:
    found = []
    for scale in ("relative", "sum", "mean"):
        torch.manual_seed(2)
        attack = Langevin(noise=noise, scale=scale, temperature=0)  # type: ignore[arg-type]
        found.append(attack(unsure.model, unsure.batch.x, unsure.batch.y, LINF))
    torch.manual_seed(2)
    plain = Langevin(noise="none")(unsure.model, unsure.batch.x, unsure.batch.y, LINF)
    assert all(torch.equal(one, plain) for one in found)


def test_one_whole_step_without_noise_is_fgsm(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    attack = Langevin(steps=1, step_size=0.03, start="none", noise="none")
    fgsm = (x + 0.03 * slope(model, x, y).sign()).clamp(0, 1)
    assert (attack(model, x, y, LINF) - fgsm).abs().max() < 1e-7


def test_laplace_draws_have_the_laplace_distribution() -> None:
    torch.manual_seed(0)
    draws = laplace(torch.empty(20_000))
    assert stats.kstest(draws.numpy(), "laplace").pvalue > 0.01
    assert draws.var().item() == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("scale", "temperature"), [("relative", 0.5), ("relative", 2.0), ("sum", 0.3), ("mean", 0.01)]
)
def test_laplace_noise_turns_each_sign_as_often_as_it_should(
    scale: str, temperature: float
) -> None:
    """A sign turns when the noise is over |g| the other way: half of exp(-|g| / its scale)."""
    torch.manual_seed(0)
    gradients = torch.randn(4, 1, 5, 5) * torch.tensor([0.1, 1, 5, 20]).view(-1, 1, 1, 1)
    attack = Langevin(scale=scale, temperature=temperature)  # type: ignore[arg-type]
    size, threat = torch.ones(1, 1, 1, 1), Threat("Linf", 1.0)
    steps = torch.stack([attack._move(threat, gradients, size) for _ in range(4000)])
    seen = (steps != gradients.sign()).float().mean(0)
    mean = gradients.abs().mean((1, 2, 3), keepdim=True)
    unit = {"relative": mean, "sum": torch.ones(1), "mean": torch.full((1,), 4.0)}[scale]
    expected = 0.5 * (-gradients.abs() / (temperature * unit)).exp()
    deviation = (expected * (1 - expected) / 4000).sqrt()
    assert ((seen - expected).abs() <= 4.5 * deviation + 1e-3).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", ["relative", "sum", "mean"])
def test_gaussian_noise_is_added_to_the_step(scale: str, norm: Norm) -> None:
    torch.manual_seed(0)
    gradients, threat = torch.randn(40, 3, 16, 16), Threat(norm, 1.0)
    attack = Langevin(noise="gaussian", scale=scale, temperature=0.3)  # type: ignore[arg-type]
    size = per_image(torch.linspace(0.1, 2, 40), gradients)
    noise = attack._move(threat, gradients, size) - size * threat.direction(gradients)
    pixels = 1.0 if norm == "Linf" else math.sqrt(3 * 16 * 16)
    unit = size / pixels if scale == "relative" else 1.0
    assert stats.kstest((noise / (0.3 * unit)).flatten().numpy(), "norm").pvalue > 0.01
    if norm == "L2" and scale == "relative":  # about 0.3 of a step long
        length = noise.flatten(1).norm(dim=1) / size.flatten()
        assert torch.allclose(length, torch.full((40,), 0.3), rtol=0.15)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("noise", ["laplace", "gaussian"])
@pytest.mark.parametrize("temperature", [0.3, 1e6])
def test_it_stays_inside_however_hot(
    temperature: float, noise: str, norm: Norm, unsure: Unsure
) -> None:
    threat, x = Threat(norm, EPS[norm]), unsure.batch.x
    for scale in ("relative", "sum", "mean"):
        attack = Langevin(noise=noise, scale=scale, temperature=temperature)  # type: ignore[arg-type]
        x_adv = attack(unsure.model, x, unsure.batch.y, threat)
        assert threat.distance(x_adv, x).max() <= EPS[norm] + 1e-6
        assert x_adv.min() >= 0
        assert x_adv.max() <= 1
        assert not x_adv.requires_grad


@pytest.mark.parametrize("noise", ["laplace", "gaussian"])
@pytest.mark.parametrize("scale", ["relative", "sum", "mean"])
def test_at_eps_zero_only_the_image_is_left(noise: str, scale: str, unsure: Unsure) -> None:
    attack = Langevin(noise=noise, scale=scale)  # type: ignore[arg-type]
    x_adv = attack(unsure.model, unsure.batch.x, unsure.batch.y, Threat("Linf", 0.0))
    assert torch.equal(x_adv, unsure.batch.x)


def test_radii_may_differ_from_image_to_image(unsure: Unsure) -> None:
    x, radii = unsure.batch.x, torch.linspace(0, 0.05, 256)
    for noise in ("laplace", "gaussian"):
        attack = Langevin(noise=noise)
        x_adv = attack(unsure.model, x, unsure.batch.y, Threat("Linf", radii))
        length = (x_adv - x).flatten(1).abs().amax(1)
        assert (length <= radii + 1e-6).all()
        assert (length[1:] > 0).all()


def test_hot_laplace_noise_makes_signs_fair_coins(unsure: Unsure) -> None:
    torch.manual_seed(0)
    gradients = slope(unsure.model, unsure.batch.x, unsure.batch.y)
    for scale in ("relative", "sum", "mean"):
        hot = Langevin(temperature=1e4, scale=scale)
        assert turned(hot, gradients) == pytest.approx(0.5, abs=0.01)
    assert 0.05 < turned(Langevin(), gradients) < 0.2  # the default: about a tenth


def test_noise_beside_the_gradient_of_a_batch_mean_is_little_else_than_noise(
    unsure: Unsure,
) -> None:
    """What the authors' CIFAR-10 temperature does, and that more images make it worse."""
    torch.manual_seed(0)
    gradients = slope(unsure.model, unsure.batch.x, unsure.batch.y)
    theirs = {
        count: turned(Langevin(temperature=1e-2, scale="mean"), gradients[:count])
        for count in (1, 8, 64, 256)
    }
    assert theirs[256] > 0.45
    assert sorted(theirs.values()) == list(theirs.values())
    assert turned(Langevin(temperature=1e-2, scale="sum"), gradients) < 0.05
    ours = [turned(Langevin(), gradients[:count]) for count in (8, 64, 256)]
    assert max(ours) - min(ours) < 0.03


def test_relative_noise_does_not_see_how_steep_a_loss_is(unsure: Unsure) -> None:
    gradients = slope(unsure.model, unsure.batch.x, unsure.batch.y)
    steep = gradients * per_image(2.0 ** torch.randint(-40, 40, (256,)), gradients)
    for norm in NORMS:
        steps = []
        for one in (gradients, steep):
            torch.manual_seed(3)
            steps.append(Langevin()._move(Threat(norm, 1.0), one, torch.ones(1, 1, 1, 1)))
        assert torch.allclose(steps[0], steps[1], atol=1e-6)


def test_an_image_without_a_gradient_gets_no_laplace_noise() -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 4) + 0 * x.sum()

    x = torch.full((8, 1, 4, 4), 0.5)
    assert torch.equal(Langevin(start="none")(Flat(), x, torch.arange(8) % 4, LINF), x)


def by_hand(model: nn.Module, x: Tensor, y: Tensor, attack: Langevin, size: float) -> list[Tensor]:
    """Every iterate, image by image in its gradients, from the noise that the seed gives."""
    torch.manual_seed(7)
    x_adv, found = (x + 1e-3 * torch.randn_like(x)).clamp(0, 1), []
    for _ in range(attack.steps):
        rows = []
        for image, label in zip(x_adv.split(1), y, strict=True):
            leaf = image.clone().requires_grad_()
            p = model(leaf).softmax(1)[0, int(label)]
            (1 - p).log().backward()
            assert leaf.grad is not None
            rows.append(leaf.grad)
        grad = torch.cat(rows)
        if attack.noise == "laplace":
            noise = torch.empty_like(x).exponential_() - torch.empty_like(x).exponential_()
            average = grad.abs().mean((1, 2, 3), keepdim=True)
            x_adv = x_adv + size * (grad + attack.temperature * average * noise).sign()
        else:
            noise = torch.randn_like(x)
            x_adv = x_adv + size * grad.sign() + attack.temperature * size * noise
        x_adv = torch.maximum(torch.minimum(x_adv, x + 0.03), x - 0.03).clamp(0, 1)
        found.append(x_adv)
    return found


@pytest.mark.parametrize("noise", ["laplace", "gaussian"])
def test_every_iterate_is_the_one_made_by_hand(noise: str, unsure: Unsure) -> None:
    x, y = unsure.batch.x[:32], unsure.batch.y[:32]
    attack = Langevin(steps=4, step_size=0.01, noise=noise, last=3)  # type: ignore[arg-type]
    expected = by_hand(unsure.model, x, y, attack, 0.01)[-3:]
    torch.manual_seed(7)
    found = attack.iterates(unsure.model, x, y, LINF)
    assert found.shape == (3, *x.shape)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().lt(1e-6).float().mean() > 0.999  # but for slopes near zero


def test_kept_iterates_end_where_the_chain_ends_and_cost_nothing(unsure: Unsure) -> None:
    model, x, y, ends = unsure.model, unsure.batch.x, unsure.batch.y, []
    for last in (1, 3, 10):
        torch.manual_seed(4)
        with counted(model) as passes:
            found = Langevin(last=last).iterates(model, x, y, LINF)
        assert (passes.forwards, passes.backwards) == (10 * 256, 10 * 256)
        ends.append(found[-1])
    torch.manual_seed(4)
    ends.append(Langevin()(model, x, y, LINF))
    assert all(torch.equal(end, ends[0]) for end in ends)


def test_it_raises_other_losses_too(unsure: Unsure) -> None:
    model, x, clean = unsure.model, unsure.batch.x, unsure.model(unsure.batch.x)
    torch.manual_seed(4)
    found = Langevin(noise="none")(model, x, clean, LINF, kl)
    torch.manual_seed(4)
    assert torch.equal(found, PGD(start="gaussian")(model, x, clean, LINF, kl))
    assert kl(model(found), clean).mean() > 0.1


def test_an_attack_with_noise_finds_less_the_hotter_it_is(unsure: Unsure) -> None:
    model, x, y, found = unsure.model, unsure.batch.x, unsure.batch.y, []
    for temperature in (0.0, 1.0, 3.0, 100.0):
        torch.manual_seed(0)
        x_adv = Langevin(temperature=temperature)(model, x, y, LINF)
        found.append(cross_entropy(model(x_adv), y).mean().item())
    assert found == sorted(found, reverse=True)


def test_it_runs_in_a_suite(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    suite = Suite({"langevin": Langevin(steps=5)})
    (_, natural), (name, stands) = suite.run(model, x, y, LINF, seed=0)
    assert name == "langevin"
    assert stands.sum() < natural.sum()
    assert suite.plain()[0]["temperature"] == 0.3
    x_adv = attempt("langevin", Langevin(), model, x, y, LINF, seed=0)
    assert torch.equal(x_adv, attempt("langevin", Langevin(), model, x, y, LINF, seed=0))


def test_more_iterates_than_steps_are_refused() -> None:
    with pytest.raises(ConfigError, match="needs as many steps"):
        Langevin(steps=2, last=3)
    assert Langevin(steps=0).last == 1
