"""Localized: masks, what stays as it is, the loss, what it reduces to, and the attack alone."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.background import BehindPGD, background
from robench.adversary.pgd import PGD, PGDAttack
from robench.check import tiny
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.radius import BALLS, Norm
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.costs import spent

RADII = {"Linf": 0.05, "L2": 0.6, "L1": 3.0}
ALL: dict[str, object] = {"mask": "border", "crop": 0}
NOTHING: dict[str, object] = {"mask": "border", "crop": 1}


def make(**changes: object) -> Any:
    return method("localized", changes={"attack.steps": 3, **changes})


def started(threat: Threat) -> Run:
    return Run(threat, 256, 4, 3, progress=0.5)


def test_dark_pixels_are_dark_in_all_channels() -> None:
    x = torch.tensor([[[0.0, 0.1, 0.0]], [[0.0, 0.0, 0.3]]])[None]  # two channels of three pixels
    assert background(x, "dark", 0.0, 0.5).flatten().tolist() == [True, False, False]
    assert background(x, "dark", 0.1, 0.5).flatten().tolist() == [True, True, False]
    assert background(x, "dark", 1.0, 0.5).all()


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_the_border_is_what_a_centre_crop_leaves(height: int, width: int, crop: float) -> None:
    mask = background(torch.rand(2, 3, height, width), "border", 0, crop)
    assert mask.shape == (2, 1, height, width)
    inside = ~mask[0, 0]
    assert inside.any(1).sum() in (0, round(crop * height))
    assert inside.sum() == round(crop * height) * round(crop * width)
    for axis, side in ((1, height), (0, width)):
        rows = inside.any(axis).nonzero().squeeze(1)
        if len(rows):
            assert abs(int(rows[0]) - (side - 1 - int(rows[-1]))) <= 1  # in the middle


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("start", ["uniform", "gaussian", "none"])
def test_the_foreground_stays_as_it_is(norm: Norm, start: str, unsure: Unsure) -> None:
    x = unsure.batch.x[:16] * (unsure.batch.x[:16] > 0.5)
    batch, threat = Batch(x, unsure.batch.y[:16], torch.arange(16)), Threat(norm, RADII[norm])
    for mask in ("dark", "border"):
        chosen = make(mask=mask, threshold=0.6, **{"attack.start": start})
        run = started(threat)
        x_adv = chosen.perturb(unsure.model, batch, run)
        behind = background(x, mask, 0.6, 0.5).expand_as(x)
        assert torch.equal(x_adv[~behind], x[~behind])
        assert (x_adv != x).flatten(1).any(1).all()
        assert run.told()["background"] == pytest.approx(behind.float().mean().item())


def test_the_loss_is_half_natural_half_localized(unsure: Unsure) -> None:
    model, batch, chosen = unsure.model, unsure.batch, make()
    run = started(Threat("Linf", 0.05))
    x_adv = chosen.perturb(model, batch, run)
    natural, attacked = (F.cross_entropy(model(x), batch.y).item() for x in (batch.x, x_adv))
    assert attacked > natural + 0.05
    found = chosen.loss(model, batch, x_adv, run).item()
    assert found == pytest.approx((natural + attacked) / 2, rel=1e-5)


def network() -> nn.Module:
    torch.manual_seed(1)
    return tiny.classifier()


def small() -> nn.Module:
    """Without batch normalisation."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 4))


def trained(chosen: Method, model: nn.Module, batch: Batch, run: Run) -> list[Tensor]:
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    torch.manual_seed(8)
    for _ in range(3):
        chosen.step(model.train(), batch, run, optimizer)
    return [tensor.clone() for tensor in model.state_dict().values()]


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("everything", [ALL, {"mask": "dark", "threshold": 1}])
def test_where_everything_is_background_it_is_adversarial_training_on_half(
    everything: dict[str, object], batch: Batch, run: Run
) -> None:
    half = {"attack.steps": 3, "weight": 0, "natural_share": 0.5}
    theirs = trained(method("alp", changes=half), network(), batch, run)
    assert same(trained(make(**everything), network(), batch, run), theirs)
    assert not same(trained(make(), network(), batch, run), theirs)


def test_where_nothing_is_it_is_natural_training(batch: Batch, run: Run) -> None:
    natural = trained(method("natural"), small(), batch, run)
    assert same(trained(make(**NOTHING), small(), batch, run), natural)
    assert not same(trained(make(), small(), batch, run), natural)


def test_passes_of_a_step(batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier(), make()
    assert spent(chosen, model, batch, run) == chosen.passes("train") == Passes(5, 5)


def test_presets() -> None:
    presets: dict[str, Any] = {
        name: method("localized", name) for name in ("digits", "mnist", "cifar10", "svhn")
    }
    assert [chosen.mask for chosen in presets.values()] == ["dark", "dark", "border", "border"]
    assert presets["mnist"].attack == PGD(steps=40, step_size=0.01)


def test_the_attack_leaves_the_foreground_and_without_one_is_pgd(unsure: Unsure) -> None:
    model, x, y, threat = unsure.model, unsure.batch.x, unsure.batch.y, Threat("Linf", 0.05)
    pgd, stands = PGD(steps=5), {}
    for crop in (0.0, 0.5, 1.0):
        torch.manual_seed(0)
        x_adv = BehindPGD(mask="border", crop=crop, attack=pgd)(model, x, y, threat)
        behind = background(x, "border", 0.0, crop).expand_as(x)
        assert torch.equal(x_adv[~behind], x[~behind])
        stands[crop] = int((model(x_adv).argmax(1) == y).sum())
        if crop == 0:
            torch.manual_seed(0)
            whole = PGDAttack(pgd=pgd)(model, x, y, threat)
            fell = model(whole).argmax(1) != y
            assert torch.equal(x_adv[fell], whole[fell])
            assert int(fell.sum()) == 256 - stands[crop]
    assert stands[0.0] < stands[0.5] < stands[1.0]
    assert stands[1.0] == int((model(x).argmax(1) == y).sum())
