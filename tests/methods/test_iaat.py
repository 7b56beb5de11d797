"""IAAT: how radii move, what is perturbed by how much, what it reduces to, and its cost."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch, batches, shuffled
from robench.data.load import Data
from robench.models.passes import counted
from robench.radius import NORMS, Norm
from robench.threat import Threat
from robench.training.checkpoint import restore, to_bytes
from robench.training.method import Method, Run, crafting, method
from robench.training.train import train
from tests.conftest import Unsure

EPS = 8 / 255
GAMMA = 1.9 / 255
LINF = Threat("Linf", EPS)
STILL: dict[str, object] = {"attack.start": "none"}


def make(**changes: object) -> Method:
    return method("iaat", changes=changes)


def started(
    radius: float | Tensor, progress: float = 0.5, threat: Threat = LINF, count: int = 256
) -> Run:
    run = Run(threat, count, 4, 3, progress=progress)
    run.state = make().init(nn.Identity(), run)
    run.state["radius"][:] = radius
    return run


class Staircase(nn.Module):
    """Two logits of four pixels; the loss always rises with the first one, by a tiny slope.

    So that an attack moves the first pixel, at 0.5 in an image, as far as it may; whether the image
    is then wrong follows from how far that is, by any rule.
    """

    def __init__(self, wrong: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.wrong = wrong
        self.moved: list[float] = []
        """By how much the first image was moved, forward pass by forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(1)
        moved = (pixels[:, 0] - 0.5).detach()
        self.moved.append(moved[0].item())
        verdict = 2.0 * self.wrong(moved, pixels.detach()).float() - 1
        return torch.stack([torch.zeros_like(verdict), verdict + 1e-3 * pixels[:, 0]], 1)


def never(moved: Tensor, pixels: Tensor) -> Tensor:
    return torch.zeros_like(moved, dtype=torch.bool)


def always(moved: Tensor, pixels: Tensor) -> Tensor:
    return torch.ones_like(moved, dtype=torch.bool)


def attacked(moved: Tensor, pixels: Tensor) -> Tensor:
    return moved > 0


def as_told(moved: Tensor, pixels: Tensor) -> Tensor:
    """Right where its other pixels say so: as it is, moved by 8/255, moved by 9.9/255."""
    step = (moved > 1 / 255).long() + (moved > 9 / 255)
    return pixels[:, 1:].gather(1, step[:, None]).squeeze(1) < 0.5


def grey(*rest: tuple[float, float, float]) -> Batch:
    """Images of four pixels, the first one grey, of class 0."""
    x = torch.tensor([(0.5, *r) for r in rest]).view(-1, 1, 2, 2)
    return Batch(x, torch.zeros(len(x), dtype=torch.long), torch.arange(len(x)))


ONE = grey((0, 0, 0))


@pytest.mark.parametrize("progress", [0.0, 0.5])
@pytest.mark.parametrize("norm", NORMS)
def test_with_one_radius_and_one_step_size_it_is_pgd(
    norm: Norm, progress: float, unsure: Unsure
) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    threat = Threat(norm, 8 / 255 if norm == "Linf" else 0.5)
    chosen, run = make(beta=0, **{"attack.step_size": 0.01}), started(0.0, progress, threat)
    run.state["radius"][:] = threat.eps
    torch.manual_seed(3)
    found = chosen.perturb(model, unsure.batch, run)
    torch.manual_seed(3)
    if progress:
        for _ in range(2):  # the two attacks that try a radius
            threat.random_start(x)
    expected = PGD(steps=10, step_size=0.01)(model, x, y, threat)
    right = model(x).argmax(1) == y
    assert 0 < right.sum() < len(y)
    if progress:
        assert torch.equal(found, expected)
    else:  # in the warm-up the images that are wrong stay as they are
        assert torch.equal(found[right], expected[right])
        assert torch.equal(found[~right], x[~right])


@pytest.mark.parametrize("norm", NORMS)
def test_at_radius_zero_images_stay_as_they_are(norm: Norm, unsure: Unsure) -> None:
    run = started(0.0, threat=Threat(norm, 0.5))
    assert torch.equal(make(beta=0).perturb(unsure.model, unsure.batch, run), unsure.batch.x)


TABLE = {
    # right as it is, at its radius, and at the larger one
    (1, 1, 1): 8.19,
    (1, 0, 1): 8.19,  # falling at its own radius does not matter then
    (1, 1, 0): 8.00,
    (1, 0, 0): 7.81,
    (0, 1, 1): 7.20,
    (0, 0, 1): 7.20,
    (0, 1, 0): 7.20,
    (0, 0, 0): 7.20,
}
"""Radii in grey levels after one look, from 8, with gamma = 1.9 and beta = 0.1."""


@pytest.mark.parametrize("start", ["none", "uniform"])
def test_how_a_radius_moves(start: str) -> None:
    run, batch = started(EPS, count=8), grey(*TABLE)
    make(gamma=GAMMA, **{"attack.start": start}).perturb(Staircase(as_told), batch, run)
    assert 255 * run.state["radius"] == pytest.approx(list(TABLE.values()), abs=1e-4)


def test_with_beta_one_a_radius_is_its_target() -> None:
    run, batch = started(EPS, count=8), grey(*TABLE)
    make(gamma=GAMMA, beta=1, **STILL).perturb(Staircase(as_told), batch, run)
    targets = {8.19: 9.9, 8.0: 8.0, 7.81: 6.1, 7.2: 0.0}
    expected = [targets[after] for after in TABLE.values()]
    assert 255 * run.state["radius"] == pytest.approx(expected, abs=1e-4)


def test_gamma_follows_eps_where_it_is_not_set() -> None:
    for eps in (EPS, 0.3):
        run = started(0.1, threat=Threat("Linf", eps), count=1)
        make(beta=1, **STILL).perturb(Staircase(never), ONE, run)
        assert run.state["radius"].item() == pytest.approx(0.1 + 1.9 / 8 * eps, abs=1e-6)


@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_who_always_stands_gains_and_who_is_wrong_decays(beta: float) -> None:
    chosen = make(beta=beta, gamma=GAMMA, **STILL)
    stands, wrong = (started(EPS, count=1) for _ in range(2))
    for visit in range(1, 6):
        chosen.perturb(Staircase(never), ONE, stands)
        chosen.perturb(Staircase(always), ONE, wrong)
        gained, decayed = EPS + visit * beta * GAMMA, EPS * (1 - beta) ** visit
        assert stands.state["radius"].item() == pytest.approx(gained, rel=1e-5)
        assert wrong.state["radius"].item() == pytest.approx(decayed, rel=1e-5)


def test_who_always_falls_ends_at_zero() -> None:
    run, found = started(3 / 255, count=1), []
    for _ in range(4):
        make(beta=1, gamma=GAMMA, **STILL).perturb(Staircase(attacked), ONE, run)
        found.append(255 * run.state["radius"].item())
    assert found[0] == pytest.approx(1.1, abs=1e-4)
    # At zero it stands, as nothing is moved, but at the larger radius it does not.
    assert found[1:] == [0, 0, 0]


@given(
    radius=st.floats(0, 0.25, width=32),
    gamma=st.floats(0, 0.2),
    beta=st.floats(0, 1),
    bits=st.tuples(*[st.integers(0, 1)] * 3),
)
def test_radii_are_never_negative(
    radius: float, gamma: float, beta: float, bits: tuple[int, int, int]
) -> None:
    run, chosen = started(radius, count=1), make(gamma=gamma, beta=beta, **{"attack.steps": 1})
    x_adv = chosen.perturb(Staircase(as_told), grey(bits), run)
    found = run.state["radius"]
    assert found.dtype == torch.float32
    assert found >= 0
    assert (found - radius).abs() <= beta * max(radius, gamma) + 1e-6
    assert LINF.distance(x_adv, grey(bits).x) <= found + 1e-6


@pytest.mark.parametrize("progress", [0.0, 0.5])
def test_only_the_batchs_radii_are_touched(progress: float, unsure: Unsure) -> None:
    some = torch.tensor([200, 7, 31, 100])
    batch = Batch(unsure.batch.x[some], unsure.batch.y[some], some)
    before = torch.rand(256, generator=torch.Generator().manual_seed(0)) / 10
    run = started(before, progress)
    memory = run.state["radius"]
    make().perturb(unsure.model, batch, run)
    others = torch.ones(256, dtype=torch.bool).index_fill(0, some, False)
    assert torch.equal(memory[others], before[others])
    assert (memory[some] != before[some]).any()
    assert run.state["radius"] is memory


def test_the_order_of_images_does_not_matter(unsure: Unsure) -> None:
    found = []
    for seed in range(2):
        run, chosen = started(EPS), make(**STILL)
        order = torch.randperm(256, generator=torch.Generator().manual_seed(seed))
        for index in order.split(100):
            chosen.perturb(
                unsure.model, Batch(unsure.batch.x[index], unsure.batch.y[index], index), run
            )
        found.append(run.state["radius"])
    assert len(found[0].unique()) > 2
    assert torch.equal(*found)


def test_the_loaders_index_leads_to_the_same_image_in_every_epoch(data: Data) -> None:
    run, generator = started(0.0), torch.Generator().manual_seed(0)
    dark = data.train.x().mean((1, 2, 3)) < data.train.x().mean()

    class Dim(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            """Right about dark images, which it leaves no way to move."""
            bright = (x.mean((1, 2, 3)) >= data.train.x().mean()).float()
            return torch.stack([1 - bright, bright], 1) + 0 * x.sum()

    for _ in range(3):
        for batch in batches(data.train, shuffled(data.train, generator), 60):
            zeros = torch.zeros_like(batch.y)
            make(gamma=GAMMA, **STILL).perturb(Dim(), replace(batch, y=zeros), run)
    assert 0 < dark.sum() < 256
    assert (run.state["radius"][~dark] == 0).all()
    assert (run.state["radius"][dark] - 3 * 0.1 * GAMMA).abs().max() < 1e-7


def test_the_warm_up_overwrites_with_eps_or_zero(unsure: Unsure) -> None:
    right = unsure.model(unsure.batch.x).argmax(1) == unsure.batch.y
    for progress in (0.0, 0.249):
        run = started(0.3, progress)
        make(warmup=0.25).perturb(unsure.model, unsure.batch, run)
        assert torch.equal(run.state["radius"], torch.where(right, EPS, 0.0))
    run = started(0.3, 0.25)
    make(warmup=0.25).perturb(unsure.model, unsure.batch, run)
    assert (run.state["radius"] > 0.25).all()


def test_with_beta_zero_radii_are_frozen_after_the_warm_up(unsure: Unsure) -> None:
    chosen, run, model = make(beta=0), started(0.0, 0.0), copy.deepcopy(unsure.model)
    chosen.perturb(model, unsure.batch, run)
    kept = run.state["radius"].clone()
    run.progress = 0.5
    for parameter in model.parameters():  # a network that is right about other images
        parameter.mul_(-1)
    chosen.perturb(model, unsure.batch, run)
    assert torch.equal(run.state["radius"], kept)
    assert 0 < (kept > 0).sum() < 256


def small(batch: Batch) -> nn.Module:
    """Four logits, with batch normalisation, right about all images of a batch."""
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(192, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)
    )
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch.x), batch.y).backward()
        optimizer.step()
    return model


def trained_on(chosen: Method, batch: Batch, run: Run, steps: int = 4) -> dict[str, Tensor]:
    """Weights and statistics of the small network after a few steps on one batch."""
    model = small(batch)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(steps):
        chosen.step(model.train(), batch, run, optimizer)
        assert (model.eval()(batch.x).argmax(1) == batch.y).all()
    return snapshot(model)


def test_with_gamma_zero_and_all_right_it_is_adversarial_training(batch: Batch, run: Run) -> None:
    """At their defaults both make steps of a quarter of eps."""
    expected = trained_on(method("madry", changes=STILL), batch, run)
    mine = started(run.threat.eps)
    assert equal(trained_on(make(gamma=0, beta=0.5, **STILL), batch, mine), expected)
    assert torch.equal(mine.state["radius"], torch.full((256,), float(run.threat.eps)))
    growing = trained_on(make(beta=0.5, **STILL), batch, started(run.threat.eps))
    assert not equal(growing, expected)


def test_in_the_warm_up_it_is_adversarial_training_with_all_right(batch: Batch, run: Run) -> None:
    found = []
    for chosen in (make(), method("madry")):  # with random starts
        torch.manual_seed(0)
        found.append(trained_on(chosen, batch, started(0.0, progress=0.0)))
    assert equal(*found)


def test_without_warm_up_and_beta_it_is_natural_training(batch: Batch, run: Run) -> None:
    chosen = make(beta=0, warmup=0)
    run.state, run.progress = chosen.init(nn.Identity(), run), 0.0
    found = trained_on(chosen, batch, run)
    assert equal(found, trained_on(method("natural"), batch, run))


@pytest.mark.parametrize("steps", [0, 10])
@pytest.mark.parametrize("norm", NORMS)
def test_every_image_stays_in_its_own_ball(norm: Norm, steps: int, unsure: Unsure) -> None:
    eps = EPS if norm == "Linf" else 0.5
    threat, x = Threat(norm, eps), unsure.batch.x
    run = started(torch.linspace(0, 3 * eps, 256), threat=threat)
    torch.manual_seed(3)
    chosen = make(beta=0.5, **{"attack.steps": steps})
    x_adv = chosen.perturb(unsure.model, unsure.batch, run)
    radius, distance = run.state["radius"], threat.distance(x_adv, x)
    assert (radius > eps).any()
    assert (distance <= radius + 1e-6).all()
    assert (distance >= 0.9 * radius).float().mean() > 0.9  # they go to the rim
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert not x_adv.requires_grad


def walked(radius: float, steps: int, size: float | None) -> list[float]:
    """Distance of each iterate from the image, in grey levels."""
    length = max(2 * radius / steps, 2) if size is None else size
    return [min(radius, k * length) for k in range(steps + 1)]


@pytest.mark.parametrize("size", [None, 1.5])
@pytest.mark.parametrize("steps", [10, 4])
@pytest.mark.parametrize("radius", [0.0, 1.0, 9.5, 10.5, 20.0])
def test_steps_follow_the_radius(radius: float, steps: int, size: float | None) -> None:
    """Of the two tries, and of the images that are learnt from; nothing else is passed."""
    model, run = Staircase(never), started(radius / 255, count=1)
    fixed = {} if size is None else {"attack.step_size": size / 255}
    chosen = make(beta=0, gamma=GAMMA, **{**STILL, **fixed, "attack.steps": steps})
    chosen.perturb(model, ONE, run)
    natural, learnt_from = [0.0], walked(radius, steps, size)[:-1]
    tried = walked(radius, steps, size) + walked(radius + 1.9, steps, size)
    expected = [moved / 255 for moved in natural + tried + learnt_from]
    assert model.moved == pytest.approx(expected, abs=1e-6)


def test_statistics_move_only_where_examples_are_crafted_in_train_mode(
    batch: Batch, run: Run
) -> None:
    model = tiny.classifier()
    run.state = make().init(model, run)
    before = snapshot(model)
    for craft, passes in (("eval", 0), ("train", 1 + 2 * 11 + 10)):
        run.craft = craft  # type: ignore[assignment]
        with crafting(model, run.craft):
            make().perturb(model, batch, run)
        after = snapshot(model)
        tracked = [value for name, value in after.items() if name.endswith("tracked")]
        assert [int(value) for value in tracked] == [passes, passes]
        assert equal(before, after) == (craft == "eval")
        assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert model.training


@pytest.mark.parametrize("steps", [0, 1, 10])
def test_passes_of_a_step(steps: int, batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier(), make(**{"attack.steps": steps})
    run.state = chosen.init(model, run)
    optimizer, found = torch.optim.SGD(model.parameters(), 0.1), []
    for progress in (0.0, 0.5):
        run.progress = progress
        with counted(model) as passes:
            chosen.step(model.train(), batch, run, optimizer)
        found.append((passes.forwards / 64, passes.backwards / 64))
    declared = chosen.passes("train")
    assert found[0] == (steps + 2, steps + 1)
    assert found[1] == (declared.forwards, declared.backwards) == (3 * steps + 4, 3 * steps + 1)


def test_quantiles_of_all_radii_are_logged(unsure: Unsure) -> None:
    run = started(torch.rand(256, generator=torch.Generator().manual_seed(0)))
    make().perturb(unsure.model, unsure.batch, run)
    expected = np.percentile(run.state["radius"].numpy(), [10, 50, 90])
    told = run.told()
    assert list(told) == ["radius/10 %", "radius/50 %", "radius/90 %"]
    assert list(told.values()) == pytest.approx(list(expected), rel=1e-5)


def test_radii_are_kept_with_the_weights(tmp_path: Path, run: Run) -> None:
    chosen, recipe = make(warmup=0.4, beta=0.5, **{"attack.steps": 2}), tiny.RECIPE
    kept = train(
        chosen, tiny.classifier, tiny.data(), replace(recipe, epochs=3), run.threat, 0,
        lambda event: None,
    ).last  # fmt: skip
    path = tmp_path / "weights.safetensors"
    path.write_bytes(to_bytes(kept, {}))
    restore(path, chosen, tiny.classifier, run, 0, torch.device("cpu"))
    found = run.state["radius"]
    assert torch.equal(found, kept.tensors["state.radius"])
    assert found.dtype == torch.float32
    assert found.shape == (256,)
    assert len(found.unique()) > 2


def test_presets_are_the_authors() -> None:
    for dataset in ("cifar10", "cifar100"):
        found = method("iaat", dataset)
        assert found.attack == PGD(steps=10)  # type: ignore[attr-defined]
        assert (found.gamma, found.beta) == (GAMMA, 0.1)  # type: ignore[attr-defined]
        assert found.warmup == pytest.approx(10 / 110)  # type: ignore[attr-defined]
