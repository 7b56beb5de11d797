"""CVaR, TERM, data augmentation and smoothing: losses against loops, limits, and their costs."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.eot import EOT
from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.models.prepared import prepared
from robench.models.smoothed import Smoothed
from robench.threat import Threat
from robench.training.checkpoint import restore, to_bytes
from robench.training.method import Method, Run, crafting, method
from robench.training.train import train
from tests.conftest import Unsure
from tests.methods.costs import spent

LINF = Threat("Linf", 0.1)


def started(chosen: Method, threat: Threat = LINF) -> Run:
    run = Run(threat, 256, 4, 3, progress=0.5)
    run.state = chosen.init(nn.Identity(), run)
    return run


def loss_of(chosen: Method, unsure: Unsure, run: Run | None = None, seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    run = run or started(chosen)
    return chosen.loss(unsure.model, unsure.batch, unsure.batch.x, run)


def drawn(unsure: Unsure, draws: int, threat: Threat = LINF, seed: int = 3) -> Tensor:
    """Losses (draws, B) of the perturbations that a seed gives."""
    torch.manual_seed(seed)
    x = threat.random_start(unsure.batch.x.repeat(draws, 1, 1, 1))
    rows = x.view(draws, *unsure.batch.x.shape)
    return torch.stack(
        [F.cross_entropy(unsure.model(row), unsure.batch.y, reduction="none") for row in rows]
    )


def cvar(**changes: object) -> Method:
    return method("cvar", changes=changes)


def worst(losses: list[float], beta: float) -> float:
    """Mean of the worst share; of the draw on its boundary, only what is left of the share."""
    left = share = beta * len(losses)
    total = 0.0
    for loss in sorted(losses, reverse=True):
        total += min(1.0, left) * loss
        left = max(0.0, left - 1.0)
    return total / share


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.3, 0.33, 0.5, 0.7, 0.99, 1.0])
@pytest.mark.parametrize("draws", [1, 10, 20])
def test_cvar_is_the_mean_of_the_worst_share(draws: int, beta: float, unsure: Unsure) -> None:
    losses = drawn(unsure, draws)
    columns = losses.double().T.tolist()
    share = max(beta, 1 / draws)  # of fewer than one draw, the worst is all there is
    expected = sum(worst(column, share) for column in columns) / len(columns)
    found = loss_of(cvar(beta=beta, draws=draws), unsure)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_its_threshold_is_the_best_one() -> None:
    torch.manual_seed(0)
    losses = torch.rand(20, 50).double()
    for beta in (0.05, 0.33, 0.5, 0.9):
        best = cvar(beta=beta).threshold(losses)  # type: ignore[attr-defined]
        value = best + (losses - best).relu().mean(0) / beta
        for t in torch.linspace(-0.5, 1.5, 201):
            assert (value <= t + (losses - t).relu().mean(0) / beta + 1e-12).all()


def test_of_uniform_losses_it_is_known() -> None:
    """The quantile is 1 - beta, and the mean over it 1 - beta / 2."""
    losses = torch.linspace(0, 1, 10_001).view(-1, 1)
    t = cvar(beta=0.05).threshold(losses)  # type: ignore[attr-defined]
    assert t.item() == pytest.approx(0.95, abs=1e-3)
    assert (t + (losses - t).relu().mean(0) / 0.05).item() == pytest.approx(0.975, abs=1e-3)


@pytest.mark.parametrize("beta", [0.25, 0.33, 1.0])
def test_its_gradient_is_that_of_the_weighted_losses(beta: float) -> None:
    torch.manual_seed(0)
    losses = torch.rand(10, 6, requires_grad=True)
    t = cvar(beta=beta).threshold(losses)  # type: ignore[attr-defined]
    (t + (losses - t).relu().mean(0) / beta).sum().backward()
    rank = losses.argsort(0, descending=True).argsort(0)
    expected = (beta * 10 - rank).clamp(0, 1) / (beta * 10)
    assert losses.grad is not None
    assert torch.allclose(losses.grad, expected, atol=1e-6)


def test_at_beta_one_it_is_data_augmentation(unsure: Unsure) -> None:
    found = loss_of(cvar(beta=1, draws=8), unsure).item()
    augmented = loss_of(method("dataaug", changes={"draws": 8}), unsure).item()
    assert found == pytest.approx(augmented, rel=1e-6)
    assert augmented == pytest.approx(drawn(unsure, 8).mean().item(), rel=1e-6)


def test_at_a_small_beta_only_the_worst_draw_counts(unsure: Unsure) -> None:
    found = loss_of(cvar(beta=0.05, draws=20), unsure).item()
    assert found == pytest.approx(drawn(unsure, 20).amax(0).mean().item(), rel=1e-6)


def test_the_authors_search_hardly_leaves_one(unsure: Unsure) -> None:
    losses, beta = drawn(unsure, 20), 0.5
    chosen = cvar(search=5)
    t = chosen.threshold(losses)  # type: ignore[attr-defined]
    for k, column in enumerate(losses.T.tolist()):
        at = 1.0
        for _ in range(5):
            at -= (1 - sum(loss > at for loss in column) / 20 / beta) / 256
        assert t[k].item() == pytest.approx(at, abs=1e-6)
    assert (t - 1).abs().max() <= 5 / 256 + 1e-6
    hinge = (t + (losses - t).relu().mean(0) / beta).mean().item()
    assert loss_of(chosen, unsure).item() == pytest.approx(hinge, rel=1e-5)
    assert hinge > loss_of(cvar(), unsure).item()  # the exact threshold is the least of them


def test_a_long_search_finds_the_exact_threshold(unsure: Unsure) -> None:
    exact = loss_of(cvar(), unsure).item()
    found = loss_of(cvar(search=2000, search_size=2.56), unsure).item()
    assert found == pytest.approx(exact, abs=0.01)


def test_cvars_dual_variable_follows_the_mean_loss(unsure: Unsure) -> None:
    chosen = cvar(dual=1.0, dual_step=0.5, bound=0.3, draws=6)
    run, mean = started(chosen), drawn(unsure, 6).mean().item()
    plain = loss_of(cvar(draws=6), unsure).item()
    assert loss_of(chosen, unsure, run).item() == pytest.approx(plain + mean, rel=1e-5)
    told = run.told()
    assert told["dual"] == 1
    assert told["slack"] == pytest.approx(0.3 - mean, rel=1e-5)
    assert run.state["dual"].item() == pytest.approx(1 + 0.5 * (mean - 0.3), rel=1e-5)
    loose = cvar(dual_step=10, dual=0.1, bound=100)
    run = started(loose)
    loss_of(loose, unsure, run)
    assert run.state["dual"] == 0


def test_the_bounded_mean_is_trained_on(batch: Batch, run: Run) -> None:
    """At beta = 1 the mean is both what is lowered and what is bounded."""
    gradients = []
    for chosen in (cvar(beta=1, dual=1), method("dataaug")):
        torch.manual_seed(0)
        model = tiny.classifier()
        run.state = chosen.init(model, run)
        loss = chosen.loss(model, batch, batch.x, run)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, 2 * other, rtol=1e-3, atol=1e-5)


def test_cvars_dual_variable_is_kept_with_the_weights(tmp_path: Path, run: Run) -> None:
    chosen, recipe = cvar(dual=1, dual_step=0.05, draws=2), replace(tiny.RECIPE, epochs=1)
    kept = train(chosen, tiny.classifier, tiny.data(), recipe, run.threat, 0, lambda event: None)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(to_bytes(kept.last, {}))
    restore(path, chosen, tiny.classifier, run, 0, torch.device("cpu"))
    assert torch.equal(run.state["dual"], kept.last.tensors["state.dual"])
    assert run.state["dual"] != 1


def test_at_eps_zero_they_are_natural_training(unsure: Unsure) -> None:
    natural, still = loss_of(method("natural"), unsure).item(), Threat("Linf", 0.0)
    for chosen in (cvar(), method("dataaug"), method("dataaug", changes={"draws": 1})):
        found = loss_of(chosen, unsure, started(chosen, still)).item()
        assert found == pytest.approx(natural, rel=1e-6)


def test_with_one_draw_data_augmentation_is_an_attack_without_steps(unsure: Unsure) -> None:
    madry = method("madry", changes={"attack.steps": 0})
    run = started(madry)
    torch.manual_seed(3)
    x_adv = madry.perturb(unsure.model, unsure.batch, run)
    expected = madry.loss(unsure.model, unsure.batch, x_adv, run)
    found = loss_of(method("dataaug", changes={"draws": 1}), unsure)
    assert torch.equal(found, expected)


def test_data_augmentation_does_add_its_perturbations(unsure: Unsure) -> None:
    found = loss_of(method("dataaug"), unsure).item()
    assert abs(found - loss_of(method("natural"), unsure).item()) > 1e-3


def term(tilt: float, unsure: Unsure) -> float:
    return loss_of(method("term", changes={"tilt": tilt}), unsure).item()


@pytest.mark.parametrize("tilt", [-3.0, 0.5, 2.0])
def test_term_against_a_loop(tilt: float, unsure: Unsure) -> None:
    logits, y = unsure.model(unsure.batch.x), unsure.batch.y
    losses = [
        -math.log(row[int(label)])
        for row, label in zip(logits.double().softmax(1).tolist(), y, strict=True)
    ]
    expected = math.log(sum(math.exp(tilt * loss) for loss in losses) / len(losses)) / tilt
    assert term(tilt, unsure) == pytest.approx(expected, rel=1e-5)


def test_terms_limits(unsure: Unsure) -> None:
    losses = F.cross_entropy(unsure.model(unsure.batch.x), unsure.batch.y, reduction="none")
    assert term(0, unsure) == loss_of(method("natural"), unsure).item()
    assert term(1e-3, unsure) == pytest.approx(losses.mean().item(), abs=1e-3)
    assert term(1e3, unsure) == pytest.approx(losses.max().item(), abs=0.01)
    assert term(-1e3, unsure) == pytest.approx(losses.min().item(), abs=0.01)
    found = [term(tilt, unsure) for tilt in (-5, -1, 0, 1, 5)]
    assert found == sorted(found)


def test_terms_loss_does_not_overflow() -> None:
    class Wrong(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[0.0, 500.0]]).repeat(len(x), 1) + 0 * x.sum()

    x, y = torch.rand(4, 1, 2, 2), torch.zeros(4).long()
    chosen = method("term")
    found = chosen.loss(Wrong(), Batch(x, y, torch.arange(4)), x, started(chosen))
    assert found.item() == pytest.approx(500)


def smoothing(**changes: object) -> Method:
    return method("smoothing", changes=changes)


def test_smoothed_is_the_logarithm_of_the_mean_probability(unsure: Unsure) -> None:
    x, smooth = unsure.batch.x[:16], Smoothed(unsure.model, 0.3, 5)
    torch.manual_seed(1)
    found = smooth(x)
    torch.manual_seed(1)
    noisy = [x + 0.3 * torch.randn_like(x) for _ in range(5)]
    mean = sum(unsure.model(one).softmax(1) for one in noisy) / 5
    assert torch.allclose(found.exp(), torch.as_tensor(mean), atol=1e-6)
    assert torch.allclose(found.exp().sum(1), torch.ones(16), atol=1e-6)


def test_smoothed_draws_anew_in_every_call_from_torchs_generator(unsure: Unsure) -> None:
    x, smooth = unsure.batch.x[:16], Smoothed(unsure.model, 0.3, 2)
    torch.manual_seed(1)
    first, second = smooth(x), smooth(x)
    torch.manual_seed(1)
    assert torch.equal(smooth(x), first)
    assert not torch.equal(first, second)


def test_more_draws_scatter_less(unsure: Unsure) -> None:
    x = unsure.batch.x[:32]
    torch.manual_seed(0)
    spread = [
        torch.stack([Smoothed(unsure.model, 0.3, draws)(x).exp() for _ in range(40)]).var(0).mean()
        for draws in (1, 4, 16)
    ]
    assert spread[0] / spread[1] == pytest.approx(4, rel=0.25)
    assert spread[1] / spread[2] == pytest.approx(4, rel=0.25)


def test_without_noise_smoothed_is_its_base(unsure: Unsure) -> None:
    x = unsure.batch.x
    assert torch.allclose(Smoothed(unsure.model, 0.0, 3)(x), unsure.model(x).log_softmax(1))


def test_smoothed_passes_modes_on_and_is_no_faster_copy(batch: Batch) -> None:
    smooth = Smoothed(tiny.classifier(), 0.25, 2).eval()
    assert not any(module.training for module in smooth.modules())
    assert prepared(smooth, batch.x) is smooth  # what draws cannot be checked against a copy
    x_adv = EOT(attack=PGD(steps=2), draws=2)(smooth, batch.x, batch.y, LINF)
    assert x_adv.shape == batch.x.shape


def test_without_noise_smoothing_is_adversarial_training(unsure: Unsure) -> None:
    chosen, madry = smoothing(sigma=0, draws=1), method("madry", changes={"attack.start": "none"})
    images = [one.perturb(unsure.model, unsure.batch, started(one)) for one in (chosen, madry)]
    assert (images[0] - images[1]).abs().lt(1e-6).float().mean() > 0.999
    losses = [
        one.loss(unsure.model, unsure.batch, images[1], started(one)) for one in (chosen, madry)
    ]
    assert torch.equal(*losses)


def test_without_steps_smoothing_is_training_on_noise(unsure: Unsure) -> None:
    chosen = smoothing(draws=3, **{"attack.steps": 0})
    x_adv = chosen.perturb(unsure.model, unsure.batch, started(chosen))
    assert torch.equal(x_adv, unsure.batch.x)
    found = loss_of(chosen, unsure).item()
    torch.manual_seed(3)
    noise = 0.25 * torch.randn(3, *unsure.batch.x.shape)
    losses = [F.cross_entropy(unsure.model(x_adv + one), unsure.batch.y) for one in noise]
    assert found == pytest.approx(sum(losses).item() / 3, rel=1e-5)  # type: ignore[union-attr]


def test_the_attack_climbs_the_mean_probability_step_after_step(unsure: Unsure) -> None:
    """By hand, with the noise that the seed gives; and ten steps do more than one can."""
    model, x, y, eps = unsure.model, unsure.batch.x, unsure.batch.y, 0.1
    chosen = smoothing(draws=2, **{"attack.steps": 3, "attack.step_size": 0.02})
    torch.manual_seed(6)
    found = chosen.perturb(model, unsure.batch, started(chosen))
    torch.manual_seed(6)
    x_adv = x
    for _ in range(3):
        leaf = x_adv.clone().requires_grad_()
        noisy = [leaf + 0.25 * torch.randn_like(x) for _ in range(2)]
        p = torch.stack([model(one).softmax(1) for one in noisy]).mean(0)
        (slope,) = torch.autograd.grad(-p.gather(1, y[:, None]).log().sum(), leaf)
        x_adv = (x_adv + 0.02 * slope.sign()).clamp(0, 1)
        x_adv = torch.maximum(torch.minimum(x_adv, x + eps), x - eps)
    assert (found - x_adv).abs().lt(1e-6).float().mean() > 0.999
    assert (found - x).abs().max() > 0.05  # no step begins at x again


def test_smoothing_deploys_a_smoothed_network(run: Run, tmp_path: Path) -> None:
    chosen, recipe = smoothing(), replace(tiny.RECIPE, epochs=1)
    assert chosen.stochastic
    kept = train(chosen, tiny.classifier, tiny.data(), recipe, run.threat, 0, lambda event: None)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(to_bytes(kept.last, {}))
    model = restore(path, chosen, tiny.classifier, run, 0, torch.device("cpu"))
    assert isinstance(model, Smoothed)
    assert (model.sigma, model.draws) == (0.25, 8)
    for name, value in model.base.state_dict().items():
        assert torch.equal(value, kept.last.tensors[f"model.{name}"])


PASSES: list[tuple[str, dict[str, object], tuple[int, int]]] = [
    ("cvar", {}, (20, 20)),
    ("cvar", {"search": 5, "draws": 4, "dual": 1.0}, (4, 4)),
    ("term", {}, (1, 1)),
    ("term", {"tilt": 0}, (1, 1)),
    ("dataaug", {}, (20, 20)),
    ("smoothing", {}, (22, 22)),
    ("smoothing", {"draws": 3, "attack.steps": 4}, (15, 15)),
]


@pytest.mark.parametrize(("name", "changes", "expected"), PASSES)
def test_passes_of_a_step(
    name: str, changes: dict[str, object], expected: tuple[int, int], batch: Batch, run: Run
) -> None:
    model, chosen = tiny.classifier(), method(name, changes=changes)
    run.state = chosen.init(model, run)
    assert spent(chosen, model, batch, run) == chosen.passes("train") == Passes(*expected)


@pytest.mark.parametrize("name", ["cvar", "term", "dataaug", "smoothing"])
def test_gradients_reach_every_weight(name: str, batch: Batch, run: Run) -> None:
    torch.manual_seed(0)
    model, chosen = tiny.classifier(), method(name)
    run.state = chosen.init(model, run)
    with crafting(model, "eval"):
        x_adv = chosen.perturb(model, batch, run)
    chosen.loss(model, batch, x_adv, run).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
