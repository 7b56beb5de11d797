"""Orthogonal PGD: past a classifier and a detector where each alone holds PGD up."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.orthogonal import OrthogonalPGD, apart
from robench.adversary.pgd import PGD
from robench.radius import Norm
from robench.threat import Threat

IMAGES = 12
THREATS = [Threat("Linf", 0.2), Threat("L2", 0.3)]


class Linear(nn.Module):
    """Class 1 where the first two pixels together are over a half."""

    def forward(self, x: Tensor) -> Tensor:
        value = 10 * (x.flatten(1)[:, :2].mean(1) - 0.5)
        return torch.stack([-value, value], dim=1)


def natural(x: Tensor) -> Tensor:
    """A linear detector: images are natural as long as the second pixel is dark. 0 is enough."""
    return 0.42 - x.flatten(1)[:, 1]


def images() -> tuple[Tensor, Tensor]:
    """Of class 0, near the boundary, and natural."""
    x = torch.rand(IMAGES, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0, :] = 0.41
    return x, torch.zeros(IMAGES, dtype=torch.long)


def orthogonal(threat: Threat, score: object = natural, **settings: object) -> Tensor:
    torch.manual_seed(0)
    attack = OrthogonalPGD(**settings)  # type: ignore[arg-type]
    return attack(Linear(), *images(), threat, score)  # type: ignore[arg-type]


@pytest.mark.parametrize("threat", THREATS, ids=["Linf", "L2"])
def test_it_breaks_both_where_pgd_is_rejected(threat: Threat) -> None:
    x, y = images()
    alone = PGD(steps=100, start="none")(Linear(), x, y, threat)
    assert (Linear()(alone).argmax(1) != y).all()
    assert (natural(alone) < 0).all()  # the detector sees all of them
    both = orthogonal(threat)
    assert (Linear()(both).argmax(1) != y).all()
    assert (natural(both) >= 0).all()
    assert (natural(x) >= 0).all()


@pytest.mark.parametrize("threat", THREATS, ids=["Linf", "L2"])
def test_it_stays_in_the_ball_and_one_seed_is_one_result(threat: Threat) -> None:
    x, _ = images()
    one = orthogonal(threat, steps=7)
    assert (threat.distance(one, x) <= threat.eps + 1e-6).all()
    assert one.amin() >= 0
    assert one.amax() <= 1
    assert torch.equal(one, orthogonal(threat, steps=7))
    assert torch.equal(x, images()[0])  # what it is given stays as it is


def test_of_the_wrong_iterates_the_most_natural_is_kept() -> None:
    asked, threat = list[Tensor](), THREATS[0]

    def watched(x: Tensor) -> Tensor:
        asked.append(x.detach().clone())
        return natural(x)

    found = orthogonal(threat, watched, steps=20, restarts=3)
    seen = torch.stack(asked)  # (iterates, B, C, H, W)
    assert len(seen) == 3 * 21
    wrong = torch.stack([Linear()(x).argmax(1) != 0 for x in seen])
    scores = torch.stack([natural(x) for x in seen]).masked_fill(~wrong, -torch.inf)
    assert wrong.any(0).all()
    assert torch.equal(natural(found), scores.amax(0))


def test_an_image_that_never_falls_comes_back_from_the_last_step() -> None:
    threat = Threat("Linf", 0.05)  # the boundary is 0.09 away
    found = orthogonal(threat)
    assert (Linear()(found).argmax(1) == 0).all()
    assert not torch.equal(found, images()[0])


def test_a_detector_that_says_nothing_leaves_pgd() -> None:
    threat = THREATS[0]

    def constant(x: Tensor) -> Tensor:
        return torch.zeros(len(x))

    x, y = images()
    found = orthogonal(threat, constant, steps=20)
    assert (Linear()(found).argmax(1) != y).all()
    # The first wrong iterate stays: no later one scores higher.
    assert ((found - x).abs().amax((1, 2, 3)) < 0.2).all()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_it_takes_a_radius_for_each_image(norm: Norm) -> None:
    eps = torch.linspace(0.01, 0.3, IMAGES)
    found = orthogonal(Threat(norm, eps))
    far = Threat(norm, eps).distance(found, images()[0])
    assert (far <= eps + 1e-6).all()
    assert (far > 0).all()


@given(seed=st.integers(0, 2**16), scale=st.sampled_from([1e-12, 1.0, 1e12]))
def test_what_is_apart_is_orthogonal(seed: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    one, other = (torch.randn(5, 3, 4, 4, generator=generator) for _ in range(2))
    left = apart(one, scale * other)
    dot = (left * other).flatten(1).sum(1) / (left.flatten(1).norm(dim=1) * 7)
    assert dot.abs().max() < 1e-6
    # Nothing else was taken away: the rest lies along the other.
    rest = (one - left).flatten(1)
    share = nn.functional.cosine_similarity(rest, other.flatten(1)).abs()
    assert (share > 1 - 1e-4).all()


def test_of_two_that_point_the_same_way_hardly_anything_is_left() -> None:
    one = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    assert apart(one, 3 * one).abs().max() < 1e-6
    assert torch.equal(apart(one, torch.zeros_like(one)), one)


def test_gradients_that_are_not_finite_make_no_image_nan() -> None:
    def cliff(x: Tensor) -> Tensor:
        return (x.flatten(1)[:, 1] - 0.41).clamp_min(0).sqrt()  # infinite slope at 0.41

    found = orthogonal(THREATS[0], cliff, steps=10)
    assert found.isfinite().all()
