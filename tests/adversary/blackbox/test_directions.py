"""NES and SPSA: gradients against closed forms, steps against torch's Adam and a slow loop."""

import pytest
import torch
from torch import nn

from robench.adversary.blackbox.differences import _gradient, climb
from robench.adversary.blackbox.nes import NES, _gaussian
from robench.adversary.blackbox.queries import Oracle
from robench.adversary.blackbox.spsa import SPSA, _Adam, _signs
from robench.adversary.losses import margin
from robench.threat import Threat
from tests.adversary.conftest import Steady, Watched, undecided

SHAPE = (3, 4, 4)


def oracle(queries: int = 10**6, norm: str = "Linf") -> tuple[Oracle, nn.Linear]:
    torch.manual_seed(0)
    model, head, x, y = undecided(2, SHAPE, count=7)
    threat = Threat(norm, 1e-4)  # type: ignore[arg-type]
    return Oracle(model, x, y, threat, queries), head


def test_central_differences_of_a_plane_are_its_slope_seen_along_the_directions() -> None:
    asked, head = oracle()
    offsets = 0.01 * torch.randn(5, *SHAPE)
    rows = torch.tensor([4, 1, 6])
    found = _gradient(asked, rows, asked.x[rows], offsets, margin)
    for row, grad in zip(rows.tolist(), found, strict=True):
        y = int(asked.y[row])
        slope = head.weight[1 - y] - head.weight[y]
        flat = offsets.flatten(1)
        expected = 2 * (flat @ slope) @ flat
        assert torch.allclose(grad.flatten(), expected, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("draw", [_gaussian, _signs])
def test_many_directions_find_the_slope(draw: object) -> None:
    asked, head = oracle()
    assert callable(draw)
    offsets = 0.01 * draw(2000, asked.x[0])
    rows = torch.arange(7)
    found = _gradient(asked, rows, asked.x, offsets, margin).flatten(1)
    slope = head.weight[1 - asked.y] - head.weight[asked.y]
    assert (torch.cosine_similarity(found, slope) > 0.97).all()


def test_signs_are_signs_and_gaussians_have_unit_spread() -> None:
    torch.manual_seed(0)
    signs, normal = _signs(400, torch.zeros(SHAPE)), _gaussian(400, torch.zeros(SHAPE))
    assert signs.unique().tolist() == [-1, 1]
    assert abs(signs.mean()) < 0.03
    assert normal.std().item() == pytest.approx(1, abs=0.03)
    assert signs.shape == normal.shape == (400, *SHAPE)


def test_adam_is_torchs() -> None:
    torch.manual_seed(0)
    at = torch.zeros(4, *SHAPE)
    leaf = at.clone().requires_grad_()
    theirs, ours = torch.optim.Adam([leaf], lr=0.3, eps=0.0), _Adam(at)
    for _ in range(6):
        leaf.grad = torch.randn_like(at)
        at = at + -0.3 * ours(torch.arange(4), leaf.grad)
        theirs.step()
        assert torch.allclose(at, leaf.detach(), atol=1e-5)


def test_adam_keeps_images_apart_and_stays_where_nothing_rises() -> None:
    whole, parts = _Adam(torch.zeros(3, *SHAPE)), _Adam(torch.zeros(3, *SHAPE))
    for _ in range(3):
        grad = torch.randn(3, *SHAPE)
        grad[2] = 0
        together = whole(torch.arange(3), grad)
        apart = [parts(torch.tensor([row]), grad[row : row + 1]) for row in (2, 0, 1)]
        assert torch.equal(together[[2, 0, 1]], torch.cat(apart))
        assert not together[2].any()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("attack", [NES(queries=103, pairs=4), SPSA(queries=103, pairs=4)])
def test_a_step_is_as_long_as_it_says(attack: NES | SPSA, norm: str) -> None:
    x, y = 0.3 + 0.4 * torch.rand(6, 3, 8, 8), torch.zeros(6, dtype=torch.long)
    threat, watched = Threat(norm, 1e-2), Watched(Steady(3))  # type: ignore[arg-type]
    assert torch.equal(attack(watched, x, y, threat), x)
    after = watched.asked[1]  # two probes a direction in one pass, then where the step leads
    assert torch.allclose(threat.distance(after, x), torch.tensor(0.2e-2), rtol=0.02)


def test_a_step_that_cannot_be_finished_is_not_begun() -> None:
    asked, _ = oracle(queries=17)
    watched = asked._model = Watched(asked._model)
    climb(asked, margin, _signs, lambda rows, grad: torch.zeros_like(grad), pairs=2, reach=1e-12)
    assert [len(images) for images in watched.asked] == [7 * 4, 7] * 3
