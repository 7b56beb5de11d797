"""DALE: what it reduces to, its dual variable, its loss against a slow loop, and its cost."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.passes import Passes
from robench.threat import Threat
from robench.training.checkpoint import restore, to_bytes
from robench.training.method import Method, Run, method
from robench.training.train import train
from tests.conftest import Unsure
from tests.methods.costs import spent

EPS = 0.05
LINF = Threat("Linf", EPS)
SILENT = {"attack.noise": "none"}


def make(**changes: object) -> Method:
    return method("dale", changes=changes)


def started(chosen: Method) -> Run:
    run = Run(LINF, 256, 4, 3, progress=0.5)
    run.state = chosen.init(nn.Identity(), run)
    return run


def perturbed(chosen: Method, unsure: Unsure, seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    return chosen.perturb(unsure.model, unsure.batch, started(chosen))


def loss_of(chosen: Method, unsure: Unsure, x_adv: Tensor) -> float:
    return chosen.loss(unsure.model, unsure.batch, x_adv, started(chosen)).item()


def small() -> nn.Module:
    """Four logits of 8x8 images, without batch normalisation."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 4))


def weights_after(chosen: Method, batch: Batch, run: Run, steps: int = 3) -> list[Tensor]:
    """Of the small network, trained on one batch."""
    model, run = small(), replace(run, state={}, log={})
    run.state = chosen.init(model, run)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    torch.manual_seed(8)
    for _ in range(steps):
        chosen.step(model.train(), batch, run, optimizer)
    return [p.detach() for p in model.parameters()]


def test_without_noise_its_images_are_pgds_on_the_cross_entropy(unsure: Unsure) -> None:
    torch.manual_seed(3)
    expected = PGD(start="gaussian")(unsure.model, unsure.batch.x, unsure.batch.y, LINF)
    for changes in ({**SILENT}, {"attack.temperature": 0}):
        assert torch.equal(perturbed(make(**changes), unsure), expected)
    assert not torch.equal(perturbed(make(), unsure), expected)


def test_without_noise_and_dual_it_is_adversarial_training(batch: Batch, run: Run) -> None:
    chosen = make(dual=0, dual_step=0, **SILENT)
    madry = method("madry", changes={"attack.start": "gaussian"})
    for one, other in zip(
        weights_after(chosen, batch, run), weights_after(madry, batch, run), strict=True
    ):
        assert torch.equal(one, other)


def test_reversed_without_dual_it_is_natural_training(batch: Batch, run: Run) -> None:
    chosen = make(dual=0, dual_step=0, reverse=True)
    for one, other in zip(
        weights_after(chosen, batch, run), weights_after(method("natural"), batch, run), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("beta", [4.0, 6.0])
def test_with_kl_it_is_trades_over_beta(beta: float, batch: Batch, run: Run) -> None:
    chosen = make(robust_loss="kl", dual=1 / beta, dual_step=0, **SILENT)
    trades, gradients, images = method("trades", changes={"beta": beta}), [], []
    for one in (chosen, trades):
        model = small().eval()
        run.state = one.init(model, run)
        torch.manual_seed(3)
        images.append(one.perturb(model, batch, run))
        loss = one.loss(model, batch, images[-1], run)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    assert torch.equal(*images)
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(beta * ours, theirs, rtol=1e-4, atol=1e-7)
        if beta == 4:  # a power of two rounds nothing
            assert torch.equal(beta * ours, theirs)


def loop(clean: Tensor, attacked: Tensor, y: Tensor) -> tuple[float, float, float]:
    """Natural cross-entropy, cross-entropy and KL of all iterates, number by number."""
    natural = robust = divergence = 0.0
    count = len(y)
    for k, row in enumerate(attacked.tolist()):
        p, q, label = softmax(clean[k % count].tolist()), softmax(row), int(y[k % count])
        robust -= math.log(q[label]) / len(attacked)
        divergence += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / len(attacked)
        natural -= math.log(p[label]) / len(attacked)
    return natural, robust, divergence


def softmax(logits: list[float]) -> list[float]:
    powers = [math.exp(v - max(logits)) for v in logits]
    return [v / sum(powers) for v in powers]


@pytest.mark.parametrize("last", [1, 3])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("robust_loss", ["ce", "kl"])
def test_loss_against_a_loop(robust_loss: str, reverse: bool, last: int, unsure: Unsure) -> None:
    chosen = make(
        robust_loss=robust_loss, reverse=reverse, dual=0.7, bound=0.2, **{"attack.last": last}
    )
    x_adv, model = perturbed(chosen, unsure), unsure.model
    assert len(x_adv) == last * 256
    natural, cross, divergence = loop(model(unsure.batch.x), model(x_adv), unsure.batch.y)
    lowered, bounded = cross if robust_loss == "ce" else divergence, natural
    if reverse:
        lowered, bounded = bounded, lowered
    run = started(chosen)
    found = chosen.loss(model, unsure.batch, x_adv, run)
    assert found.item() == pytest.approx(lowered + 0.7 * bounded, rel=1e-4)
    assert not any(torch.as_tensor(value).requires_grad for value in run.log.values())
    told = run.told()
    assert told["dual"] == pytest.approx(0.7)
    assert told["slack"] == pytest.approx(0.2 - bounded, rel=1e-4)


def test_swapping_the_roles_swaps_what_is_bounded(unsure: Unsure) -> None:
    forward, backward = make(dual_step=0.5), make(dual_step=0.5, reverse=True)
    x_adv, duals = perturbed(forward, unsure), []
    natural, robust = (
        F.cross_entropy(unsure.model(x), unsure.batch.y) for x in (unsure.batch.x, x_adv)
    )
    for chosen in (forward, backward):
        run = started(chosen)
        chosen.loss(unsure.model, unsure.batch, x_adv, run)
        duals.append(run.state["dual"])
    assert torch.allclose(duals[0], 1 + 0.5 * (natural - 0.1))
    assert torch.allclose(duals[1], 1 + 0.5 * (robust - 0.1))


def test_kl_is_raised_towards_the_natural_prediction(unsure: Unsure) -> None:
    trades = perturbed(method("trades"), unsure)
    assert torch.equal(perturbed(make(robust_loss="kl", **SILENT), unsure), trades)


def test_several_iterates_are_the_last_ones(unsure: Unsure) -> None:
    changes = {"attack.step_size": 0.01}
    three = perturbed(make(**changes, **{"attack.last": 3}), unsure).view(3, *unsure.batch.x.shape)
    assert torch.equal(three[2], perturbed(make(**changes), unsure))
    for one in three:
        assert LINF.distance(one, unsure.batch.x).max() <= EPS + 1e-6
    gap = (three[1:] - three[:-1]).abs().amax((1, 2, 3, 4))
    assert ((gap > 0) & (gap <= 0.01 + 1e-6)).all()


def told(chosen: Method, losses: list[float]) -> list[float]:
    """The dual variable after each batch, of which the natural loss is given."""
    found, run = [], started(chosen)
    for value in losses:
        # Two classes: -log(sigmoid(z)) is the value.
        z = -math.log(math.expm1(value))
        model = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            model[1].bias[0] = z  # type: ignore[operator]
        batch = Batch(torch.rand(4, 3, 8, 8), torch.zeros(4).long(), torch.arange(4))
        chosen.loss(model, batch, batch.x, run).backward()
        found.append(run.state["dual"].item())
    return found


def test_the_dual_variable_is_the_sum_of_excesses_cut_at_zero() -> None:
    losses = [0.5, 0.05, 0.1, 3.0, 0.02, 0.3]
    expected, dual = [], 1.0
    for value in losses:
        dual = max(0.0, dual + 0.2 * (value - 0.1))
        expected.append(dual)
    found = told(make(dual_step=0.2), losses)
    assert found == pytest.approx(expected, rel=1e-5)
    for before, after, value in zip([1.0, *found], found, losses, strict=False):
        if abs(value - 0.1) > 1e-6:
            assert (after > before) == (value > 0.1)


def test_it_stops_at_zero_and_rises_again() -> None:
    found = told(make(dual_step=10, dual=0.5), [0.01, 0.01, 0.01, 0.2])
    assert found[:3] == [0, 0, 0]
    assert found[3] == pytest.approx(1, rel=1e-4)


def test_without_a_dual_step_it_is_fixed() -> None:
    assert told(make(dual=0.1, dual_step=0), [0.01, 5.0]) == [pytest.approx(0.1)] * 2


def test_a_bound_that_always_holds_ends_in_adversarial_training(unsure: Unsure) -> None:
    chosen = make(bound=1e6, dual_step=1)
    x_adv, run = perturbed(chosen, unsure), started(chosen)
    chosen.loss(unsure.model, unsure.batch, x_adv, run)
    assert run.state["dual"] == 0
    second = chosen.loss(unsure.model, unsure.batch, x_adv, run).item()
    assert second == F.cross_entropy(unsure.model(x_adv), unsure.batch.y).item()


def test_a_bound_of_zero_only_ever_raises_it() -> None:
    found = told(make(bound=0, dual_step=0.1), [0.5, 0.01, 1e-4, 0.2])
    assert [1.0, *found] == sorted([1.0, *found])
    assert found[-1] > 1


def test_backward_sees_the_weight_that_the_loss_had(batch: Batch, run: Run) -> None:
    chosen, model = make(dual=0.7, dual_step=100), small()
    run.state = chosen.init(model, run)
    kept = run.state["dual"]
    chosen.loss(model, batch, batch.x, run).backward()
    assert kept.item() == pytest.approx(0.7)
    assert run.state["dual"].item() > 10
    assert not run.state["dual"].requires_grad
    expected = small()
    (1.7 * F.cross_entropy(expected(batch.x), batch.y)).backward()
    for one, other in zip(model.parameters(), expected.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_the_dual_variable_is_kept_with_the_weights(tmp_path: Path, run: Run) -> None:
    chosen, data = make(dual_step=0.05), tiny.data()
    recipe = replace(tiny.RECIPE, epochs=2, batch_size=256)  # one step an epoch
    events: list[object] = []
    kept = train(chosen, tiny.classifier, data, recipe, run.threat, 0, events.append).last
    path = tmp_path / "weights.safetensors"
    path.write_bytes(to_bytes(kept, {}))
    restore(path, chosen, tiny.classifier, run, 0, torch.device("cpu"))
    assert run.state["dual"].shape == ()
    assert torch.equal(run.state["dual"], kept.tensors["state.dual"])
    assert run.state["dual"] != 1
    logged = events[-1].log  # type: ignore[attr-defined]
    assert set(logged) == {"dual", "slack"}
    after = max(0.0, logged["dual"] - 0.05 * logged["slack"])
    assert run.state["dual"].item() == pytest.approx(after, rel=1e-6)


CHANGES: list[tuple[dict[str, object], tuple[int, int]]] = [
    ({}, (12, 12)),
    ({"attack.noise": "gaussian"}, (12, 12)),
    ({"reverse": True, "dual": 0, "dual_step": 0}, (12, 12)),
    ({"attack.last": 3}, (14, 14)),
    ({"robust_loss": "kl"}, (13, 12)),
    ({"robust_loss": "kl", "attack.last": 3, "attack.steps": 4}, (9, 8)),
]


@pytest.mark.parametrize(("changes", "expected"), CHANGES)
def test_passes_of_a_step(
    changes: dict[str, object], expected: tuple[int, int], batch: Batch, run: Run
) -> None:
    model, chosen = tiny.classifier(), make(**changes)
    run.state = chosen.init(model, run)
    assert spent(chosen, model, batch, run) == chosen.passes("train") == Passes(*expected)


@pytest.mark.parametrize("robust_loss", ["ce", "kl"])
def test_a_saturated_prediction_gives_no_nan(robust_loss: str) -> None:
    class Steep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1e4))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * x.flatten(1)[:, :4]

    torch.manual_seed(0)
    x = torch.rand(8, 1, 2, 2)
    model, y = Steep(), x.flatten(1).argmax(1)
    chosen = make(robust_loss=robust_loss)
    assert (model(x).softmax(1).amax(1) == 1).all()
    run = started(chosen)
    x_adv = chosen.perturb(model, Batch(x, y, torch.arange(8)), run)
    loss = chosen.loss(model, Batch(x, y, torch.arange(8)), x_adv, run)
    (gradient,) = torch.autograd.grad(loss, [model.scale])
    assert x_adv.isfinite().all()
    assert loss.isfinite()
    assert gradient.isfinite()
    assert run.state["dual"].isfinite()
    if robust_loss == "ce":  # the attack still knows the way
        assert (x_adv - x).abs().mean() > 0.4 * EPS


def test_what_cannot_learn_is_refused() -> None:
    with pytest.raises(ConfigError, match="sees no label"):
        make(robust_loss="kl", dual=0, dual_step=0)
    with pytest.raises(ConfigError, match="no slope"):
        make(robust_loss="kl", **{"attack.start": "none"})
    with pytest.raises(ConfigError, match="cannot be -1"):
        make(bound=-1)
    make(robust_loss="kl", dual=0)
    make(robust_loss="kl", dual=0, dual_step=0, reverse=True)


def test_presets_are_the_authors() -> None:
    for dataset, steps, size in (("mnist", 7, 0.1), ("cifar10", 10, 0.007), ("svhn", 10, 0.007)):
        found = method("dale", dataset)
        assert found.attack.steps == steps  # type: ignore[attr-defined]
        assert found.attack.step_size == size  # type: ignore[attr-defined]
        assert (found.bound, found.dual, found.dual_step) == (0.1, 1.0, 1e-3)  # type: ignore[attr-defined]
