"""FGSM-RS, N-FGSM, Free and GradAlign against loops, what they reduce to, and what they cost."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.models.passes import Passes
from robench.radius import NORMS, Norm
from robench.threat import Threat
from robench.training.epochs import rounds
from robench.training.method import Method, Run, method
from robench.training.recipe import Recipe
from tests.conftest import Unsure
from tests.methods.costs import spent

EPS = 0.05
RADIUS: dict[Norm, float] = {"Linf": EPS, "L2": 0.5}


def started(norm: Norm = "Linf", eps: float | None = None, progress: float = 0.5) -> Run:
    return Run(Threat(norm, RADIUS[norm] if eps is None else eps), 256, 4, 3, progress=progress)


def smooth() -> nn.Module:
    """Without kinks, in double precision, for differences."""
    torch.manual_seed(1)
    layers = nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)
    return nn.Sequential(*layers).double()


def some(count: int = 6, seed: int = 0) -> Batch:
    x = torch.rand(count, 3, 2, 2, generator=torch.Generator().manual_seed(seed))
    return Batch(x.double(), torch.arange(count) % 3, torch.arange(count))


def perturbed(chosen: Method, unsure: Unsure, run: Run, seed: int = 5) -> Tensor:
    torch.manual_seed(seed)
    return chosen.perturb(unsure.model, unsure.batch, run)


def trained(chosen: Method, batch: Batch, run: Run) -> dict[str, Tensor]:
    """Weights and statistics after three steps from one seed."""
    torch.manual_seed(1)
    model = tiny.classifier()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)
    for _ in range(3):
        chosen.step(model.train(), batch, run, optimizer)
    return snapshot(model)


def gradient_of(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Of each image's own loss, image by image."""
    rows = []
    for image, label in zip(x, y, strict=True):
        leaf = image[None].clone().requires_grad_()
        loss = F.cross_entropy(model(leaf), label[None])
        rows.append(torch.autograd.grad(loss, leaf)[0])
    return torch.cat(rows)


def stepped(x: Tensor, start: Tensor, grad: Tensor, size: float, eps: float) -> list[float]:
    """Pixel by pixel: a signed step, back into the ball, back into [0, 1]."""
    moved = []
    flat = (part.flatten().tolist() for part in (x, start, grad))
    for pixel, begun, slope in zip(*flat, strict=True):
        to = begun + size * ((slope > 0) - (slope < 0))
        moved.append(min(max(min(max(to, pixel - eps), pixel + eps), 0), 1))
    return moved


def agrees(found: Tensor, expected: Sequence[float]) -> bool:
    """But for pixels whose slope is so near zero that rounding decides its sign."""
    gaps = (found.flatten() - torch.tensor(expected)).abs()
    return bool((gaps < 1e-6).float().mean() > 0.999)


# FGSM-RS and N-FGSM


def test_fgsm_against_a_loop(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    found = perturbed(method("fgsm"), unsure, started())
    torch.manual_seed(5)
    start = (x + torch.empty_like(x).uniform_(-EPS, EPS)).clamp(0, 1)
    grad = gradient_of(model, start, y)
    assert agrees(found, stepped(x, start, grad, 1.25 * EPS, EPS))
    assert not agrees(found, stepped(x, start, grad, EPS, EPS))


@pytest.mark.parametrize("norm", NORMS)
def test_fgsm_is_adversarial_training_with_one_long_step(norm: Norm, batch: Batch) -> None:
    run = started(norm)
    attack = {"attack.steps": 1, "attack.step_size": 1.25 * RADIUS[norm]}
    found = [
        trained(chosen, batch, run)
        for chosen in (method("fgsm"), method("madry", changes=attack), method("madry"))
    ]
    assert equal(found[0], found[1])
    assert not equal(found[0], found[2])


def test_from_the_image_itself_it_is_fgsm(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    found = perturbed(method("fgsm", changes={"start": "none", "length": 1}), unsure, started())
    assert agrees(found, stepped(x, x, gradient_of(model, x, y), EPS, EPS))
    long = perturbed(method("fgsm", changes={"start": "none"}), unsure, started())
    assert torch.equal(found, long)  # what is longer is cut to the ball


def test_nfgsm_against_a_loop(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x, unsure.batch.y
    found = perturbed(method("nfgsm"), unsure, started())
    torch.manual_seed(5)
    start = (x + torch.empty_like(x).uniform_(-2 * EPS, 2 * EPS)).clamp(0, 1)
    assert agrees(found, stepped(x, start, gradient_of(model, start, y), EPS, math.inf))
    assert 2.9 * EPS < (found - x).abs().max() <= 3 * EPS + 1e-6


FGSM = {"start": "none", "length": 1}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("changes", "name", "others"),
    [
        ({"noise": 0}, "fgsm", FGSM),
        ({"noise": 1, "length": 1.25, "clip": 1}, "fgsm", {}),
        ({"ramp": 1}, "nfgsm", {}),
    ],
    ids=["FGSM", "FGSM-RS", "half grown"],
)
def test_what_nfgsm_reduces_to(
    norm: Norm, changes: dict[str, object], name: str, others: dict[str, object], batch: Batch
) -> None:
    """To FGSM without noise, to FGSM-RS cut to the ball, and to half its radius half way up."""
    whole, half = started(norm), started(norm, RADIUS[norm] / 2)
    found = trained(method("nfgsm", changes=changes), batch, whole)
    other = method(name, changes=others)
    assert equal(found, trained(other, batch, half if "ramp" in changes else whole))
    assert not equal(found, trained(method("nfgsm"), batch, whole))


@pytest.mark.parametrize("noise", [0, 1])
def test_without_noise_nothing_is_drawn(noise: float, unsure: Unsure) -> None:
    """So that networks that draw in training draw the same as in FGSM training."""
    perturbed(method("nfgsm", changes={"noise": noise}), unsure, started())
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3)) == (noise == 0)


def test_nfgsm_grows_from_nothing(unsure: Unsure) -> None:
    chosen = method("nfgsm", "svhn")
    assert torch.equal(perturbed(chosen, unsure, started(progress=0.0)), unsure.batch.x)
    grown = perturbed(chosen, unsure, started(progress=5 / 30))
    assert torch.equal(grown, perturbed(method("nfgsm"), unsure, started()))


NFGSM = method("nfgsm")


@given(
    norm=st.sampled_from(NORMS),
    noise=st.floats(0, 4),
    length=st.floats(0.1, 4),
    clip=st.none() | st.floats(0.1, 8),
    eps=st.floats(0, 1),
)
@hypothesis_settings(max_examples=40)
def test_nfgsm_says_where_its_images_lie(
    norm: Norm, noise: float, length: float, clip: float | None, eps: float
) -> None:
    chosen = replace(NFGSM, noise=noise, length=length, clip=clip)  # type: ignore[call-arg]
    run, batch = started(norm, eps), some()
    x_adv = chosen.perturb(smooth(), batch, run)
    (ball,) = chosen.balls(run.threat)
    assert ball.norm == norm
    assert ball.eps == pytest.approx(eps * (noise + length if clip is None else clip))
    assert (ball.distance(x_adv, batch.x) <= ball.eps + 1e-6).all()
    assert 0 <= x_adv.min() <= x_adv.max() <= 1


# Free


def free_loop(
    model: nn.Module, sizes: Sequence[int], eps: float, replays: int, rate: float
) -> tuple[list[Tensor], list[float]]:
    """Perturbations of each place in a batch after batches of several sizes; their losses."""
    losses = []
    places = [torch.zeros(3, 2, 2).double() for _ in range(max(sizes))]
    for seed, size in enumerate(sizes):
        batch, total = some(size, seed), 0.0
        for _ in range(replays):
            moved = [x + d.clamp(-eps, eps) for x, d in zip(batch.x, places, strict=False)]
            x_adv = torch.stack(moved).clamp(0, 1).requires_grad_()
            weights = list(model.parameters())
            loss = F.cross_entropy(model(x_adv), batch.y)
            total += loss.item()
            *slopes, grad = torch.autograd.grad(loss, [*weights, x_adv])
            with torch.no_grad():
                for weight, by in zip(weights, slopes, strict=True):
                    weight.sub_(rate * by)
            for place, (x, begun, g) in enumerate(zip(batch.x, x_adv.detach(), grad, strict=True)):
                by_now = (begun - x + eps * g.sign()).clamp(-eps, eps)
                places[place] = (x + by_now).clamp(0, 1) - x
        losses.append(total / replays)
    return places, losses


@pytest.mark.parametrize("replays", [1, 3])
@pytest.mark.parametrize("sizes", [(6, 6), (6, 2, 6), (3, 6, 1)], ids=str)
def test_free_against_a_loop(sizes: tuple[int, ...], replays: int) -> None:
    """Also with a smaller batch between, whose missing images' perturbations wait."""
    model, other = smooth(), smooth()
    chosen, run = method("free", changes={"replays": replays}), started(eps=0.1)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    batches = [some(size, seed) for seed, size in enumerate(sizes)]
    found = [chosen.step(model, batch, run, optimizer).item() for batch in batches]
    places, losses = free_loop(other, sizes, 0.1, replays, 0.5)
    assert found == pytest.approx(losses, rel=1e-9)
    expected = torch.stack(places)
    assert expected.abs().max() > 0.09
    assert torch.allclose(run.state["delta"], expected, atol=1e-9)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-9)


def test_a_larger_batch_has_new_images_unperturbed() -> None:
    model, chosen, run = smooth(), method("free"), started(eps=0.1)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    chosen.step(model, some(2), run, optimizer)
    moved = (chosen.perturb(model, some(5, 1), run) - some(5, 1).x).abs().amax((1, 2, 3))
    assert (moved > 0.01).tolist() == [True, True, False, False, False]
    assert len(run.state["delta"]) == 2  # to look changes nothing


@pytest.mark.parametrize("norm", NORMS)
def test_what_free_carries_over_is_in_the_next_images_ball(norm: Norm) -> None:
    model, chosen, run = smooth(), method("free"), started(norm, 0.4)
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for seed in range(3):
        batch = some(6, seed)
        x_adv = chosen.perturb(model, batch, run)
        assert (run.threat.distance(x_adv, batch.x) <= 0.4 + 1e-6).all()
        assert 0 <= x_adv.min() <= x_adv.max() <= 1
        assert torch.equal(x_adv, batch.x) == (seed == 0)
        chosen.step(model, batch, run, optimizer)


@pytest.mark.parametrize(("replays", "epochs"), [(1, 24), (8, 3), (100, 1)])
def test_epochs_are_divided_by_the_replays(replays: int, epochs: int) -> None:
    (stage,) = method("free", changes={"replays": replays}).stages()
    assert rounds(stage, Recipe(epochs=24)) == epochs


# GradAlign


GRADALIGN = method("gradalign")


def gradalign_loop(
    model: nn.Module, batch: Batch, x_adv: Tensor, u: Tensor, weight: float
) -> float:
    here, beside = (gradient_of(model, x, batch.y).flatten(1).tolist() for x in (batch.x, u))
    cosines = []
    for g, h in zip(here, beside, strict=True):
        lengths = [math.sqrt(sum(v * v for v in row)) for row in (g, h)]
        if all(lengths):
            cosines.append(sum(a * b for a, b in zip(g, h, strict=True)) / math.prod(lengths))
    term = 1 - sum(cosines) / len(cosines)
    return F.cross_entropy(model(x_adv), batch.y).item() + weight * term


@pytest.mark.parametrize("norm", NORMS)
def test_gradalign_against_a_loop(norm: Norm, unsure: Unsure) -> None:
    model, run = unsure.model, started(norm)
    batch = Batch(*(part[:20] for part in vars(unsure.batch).values()))
    chosen = method("gradalign", changes={"weight": 30})
    x_adv = chosen.perturb(model, batch, run)
    torch.manual_seed(5)
    found = chosen.loss(model, batch, x_adv, run).item()
    torch.manual_seed(5)
    u = run.threat.random_start(batch.x)
    assert found == pytest.approx(gradalign_loop(model, batch, x_adv, u, 30), rel=1e-5)
    assert found - gradalign_loop(model, batch, x_adv, u, 0) > 0.05


def test_gradalign_trains_through_the_gradient_beside_the_image_alone() -> None:
    """Its own gradient against differences along a random way, with the other one held still."""
    chosen, model, batch, run = (
        method("gradalign", changes={"weight": 3}),
        smooth(),
        some(),
        started(),
    )
    weights = list(model.parameters())
    torch.manual_seed(5)
    loss = chosen.loss(model, batch, batch.x, run)
    slopes = torch.autograd.grad(loss, weights)
    ways = [torch.randn_like(w) for w in weights]
    found = sum((g * way).sum().item() for g, way in zip(slopes, ways, strict=True))
    torch.manual_seed(5)
    u, still = run.threat.random_start(batch.x), gradient_of(model, batch.x, batch.y)
    ends = []
    for by in (1e-6, -2e-6):
        with torch.no_grad():
            for w, way in zip(weights, ways, strict=True):
                w.add_(by * way)
        beside = gradient_of(model, u, batch.y)
        cosine = F.cosine_similarity(still.flatten(1), beside.flatten(1)).mean()
        ends.append((F.cross_entropy(model(batch.x), batch.y) + 3 * (1 - cosine)).item())
    assert found == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)


def test_without_weight_gradalign_is_fgsm_training(batch: Batch, run: Run) -> None:
    plain = trained(method("gradalign", changes={"weight": 0}), batch, run)
    assert equal(plain, trained(method("fgsm", changes=FGSM), batch, run))
    assert not equal(plain, trained(method("gradalign", changes={"weight": 0.2}), batch, run))


TABLE = (
    0.027, 0.036, 0.047, 0.063, 0.084, 0.112, 0.150, 0.200, 0.267, 0.356, 0.474, 0.632, 0.843,
    1.124, 1.500, 2.000,
)  # fmt: skip
"""The authors' weights for CIFAR-10 at 1/255 to 16/255."""


def weight_of(run: Run) -> float:
    """What the term is multiplied by, read off the loss."""
    chosen, model, batch = GRADALIGN, smooth(), some()
    loss = chosen.loss(model, batch, batch.x, run).item()
    return (loss - F.cross_entropy(model(batch.x), batch.y).item()) / (1 - run.told()["cosine"])


def test_the_weight_follows_the_authors_table() -> None:
    for level, weight in enumerate(TABLE, 1):
        assert weight_of(started(eps=level / 255)) == pytest.approx(weight, rel=0.015)
    assert weight_of(started(eps=0.3)) == pytest.approx(2)
    assert weight_of(started("L2")) == pytest.approx(0.2)


class Far(nn.Module):
    """A true logit of 0, and one that is far below it for some images."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, generator=torch.Generator().manual_seed(2)))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        wrong = rows.square() @ self.weight - 55 * (rows[:, 0].detach() > 0.5)
        return torch.stack([torch.zeros_like(wrong), wrong], 1)


def test_the_small_gradient_of_a_sure_image_counts_as_any_other() -> None:
    """Its squares are zero in single precision; so the mean is told from double precision."""
    x, y = some(8).x, torch.zeros(8, dtype=torch.long)
    x[:4, 0, 0, 0], x[4:, 0, 0, 0] = 0.3, 0.7
    run, model, batch = started(), Far(), Batch(x.float(), y, y)
    run.threat = Beside("Linf", 0.1)
    loss = GRADALIGN.loss(model, batch, batch.x, run)
    (grad,) = torch.autograd.grad(loss, [model.weight])
    assert grad.isfinite().all()
    here, beside = (
        gradient_of(model.double(), at, y).flatten(1) for at in (x, run.threat.random_start(x))
    )
    assert here[4:].abs().max() < 1e-22 < 1e-3 < here[:4].abs().min()
    cosines = (here * beside).sum(1) / (here.norm(dim=1) * beside.norm(dim=1))
    assert run.told()["cosine"] == pytest.approx(cosines.mean().item(), rel=1e-5)


class Beside(Threat):
    """Draws the same images in any precision."""

    def random_start(self, x: Tensor) -> Tensor:
        return (x + 0.1 * torch.linspace(-1, 1, x[0].numel()).view_as(x[0]).to(x)).clamp(0, 1)


class Gated(nn.Module):
    """Logits that depend on the image only where its first and last pixels are bright."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 12, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(1)
        bright = (rows[:, 0] > 0.5) & (rows[:, -1] > 0.5)
        return bright[:, None] * (rows.square() @ self.weight.to(x).T)


@pytest.mark.parametrize(
    ("first", "last"),
    [(0.2, 0.2), (0.9, 0.45), (0.55, 0.9)],
    ids=["at neither", "beside alone", "at the image alone"],
)
def test_images_without_one_of_the_gradients_do_not_count(first: float, last: float) -> None:
    """Beside an image, its first pixel is darker by 0.1 and its last one brighter."""
    model, noted = Gated(), []
    for rows in (slice(0, 6), slice(2, 6), slice(0, 2)):
        batch, run = some(), started()
        batch.x[:, 0, 0, 0], batch.x[:, 2, 1, 1] = 0.9, 0.9
        batch.x[:2, 0, 0, 0], batch.x[:2, 2, 1, 1] = first, last
        part = Batch(batch.x[rows], batch.y[rows], batch.index[rows])
        run.threat = Beside("Linf", 0.1)
        (grad,) = torch.autograd.grad(GRADALIGN.loss(model, part, part.x, run), [model.weight])
        assert grad.isfinite().all()
        noted.append(run.told()["cosine"])
    assert noted == pytest.approx([noted[1], noted[1], 0.0])
    assert 0 < noted[1] < 1


# All of them


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("fgsm", {}),
        ("nfgsm", {}),
        ("free", {"replays": 1}),
        ("gradalign", {"weight": 0}),
    ],
)
def test_at_eps_zero_it_is_natural_training(
    name: str, changes: dict[str, object], batch: Batch
) -> None:
    still = started(eps=0.0)
    found, natural = (
        trained(chosen, batch, still)
        for chosen in (method(name, changes=changes), method("natural"))
    )
    assert equal(found, natural)
    assert not equal(natural, trained(method(name, changes=changes), batch, started(eps=0.2)))


@pytest.mark.parametrize(
    ("name", "changes", "forwards", "backwards"),
    [
        ("fgsm", {}, 2, 2),
        ("nfgsm", {}, 2, 2),
        ("free", {}, 8, 8),
        ("free", {"replays": 3}, 3, 3),
        ("gradalign", {}, 4, 5),
        ("gradalign", {"weight": 0}, 2, 2),
    ],
)
def test_passes_of_a_step(
    name: str, changes: dict[str, object], forwards: int, backwards: int, batch: Batch, run: Run
) -> None:
    model, chosen = tiny.classifier(), method(name, changes=changes)
    assert spent(chosen, model, batch, run) == chosen.passes("train") == Passes(forwards, backwards)


def test_presets_are_the_authors() -> None:
    for name, dataset, settings in (
        ("fgsm", "cifar10", {"length": 1.25, "start": "uniform"}),
        ("nfgsm", "cifar10", {"noise": 2, "length": 1, "clip": None, "ramp": 0}),
        ("free", "cifar10", {"replays": 8}),
        ("gradalign", "cifar10", {"length": 1.25, "weight": None}),
        ("gradalign", "svhn", {"length": 1.25, "weight": 2.5}),
    ):
        assert vars(method(name, dataset)) == settings
