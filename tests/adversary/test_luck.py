"""Models that draw: an answer that is wrong by luck neither stops an attack nor is its result."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.apgd import APGD
from robench.adversary.attack import Attack, attempt, right
from robench.adversary.changes.change import Changed
from robench.adversary.changes.weather import Fog
from robench.adversary.eot import EOT
from robench.adversary.hunt import Hunt, Kept
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.sparse import SparseAPGD
from robench.radius import Norm
from robench.threat import Threat


class Hazy(nn.Module):
    """Class 1 where an image and noise are brighter than a half: far from it rarely, by luck."""

    def forward(self, x: Tensor) -> Tensor:
        seen = x.mean((1, 2, 3)) + 0.06 * torch.randn(len(x))
        return torch.stack([0.5 - seen, seen - 0.5], 1)


PIXELS = 3 * 8 * 8


@pytest.mark.parametrize(
    ("attack", "norm", "eps"),
    [
        (APGD(steps=20, draws=10), "Linf", 0.2),
        (APGD(steps=20, draws=10), "L2", 0.2 * PIXELS**0.5),
        (SparseAPGD(steps=40, restarts=1, draws=10), "L1", 0.3 * PIXELS),
        (EOT(attack=PGDAttack(pgd=PGD(steps=10)), draws=10), "Linf", 0.2),
        (Changed(change=Fog(), draws=10), "change", 0.6),
    ],
    ids=["apgd", "apgd-l2", "sparse", "eot-pgd", "changed"],
)
def test_an_attack_goes_on_from_where_a_draw_was_wrong_by_luck(
    attack: Attack, norm: Norm, eps: float
) -> None:
    """At the image one draw of twenty is wrong, where an attack can go nearly all are."""
    x, y = torch.full((64, 3, 8, 8), 0.4), torch.zeros(64, dtype=torch.long)
    model = Hazy().eval()
    x_adv = attempt("attack", attack, model, x, y, Threat(norm, eps), seed=0)
    torch.manual_seed(1)
    wrong = torch.stack([~right(model, x_adv, y) for _ in range(50)]).float().mean(0)
    assert wrong.mean() > 0.85
    assert (wrong > 0.5).all()


@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=8))
def test_kept_is_the_last_of_the_iterates_that_most_draws_get_wrong(steps: list[list[int]]) -> None:
    """Against a loop over each of three images; four draws."""
    x, y = torch.zeros(3, 1, 1, 1), torch.zeros(3, dtype=torch.long)
    kept, index = Kept(x), torch.arange(3)
    for number, votes in enumerate(steps, 1):
        count = torch.tensor(votes)[index]
        wrong = torch.arange(4)[:, None] < count
        logits = torch.stack([~wrong, wrong], -1).float()
        index = index[kept.look(torch.full((len(index), 1, 1, 1), float(number)), logits, y[index])]
    for image in range(3):
        best, at = 0, 0
        for number, votes in enumerate(steps, 1):
            if best < 4 and votes[image] and votes[image] >= best:
                best, at = votes[image], number
        assert kept.wrong[image] == best / 4
        assert kept.x_adv[image] == at


def test_a_hunt_goes_on_until_all_draws_are_wrong() -> None:
    x = torch.zeros(4, 1, 1, 1)
    hunt, seen = Hunt(x, Threat("Linf", 1.0)), []

    def find(number: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
        seen.append(number.tolist())
        shares = torch.tensor([[0.0, 0.2, 0.6, 1.0], [0.4, 0.2, 0.5, 0.0]])[len(seen) - 1]
        return torch.full((len(number), 1, 1, 1), float(len(seen))), shares[number]

    for _ in range(2):
        hunt.go(find, torch.arange(4))
    assert seen == [[0, 1, 2, 3], [0, 1, 2]]
    assert hunt.x_adv.flatten().tolist() == [2, 1, 1, 1]
    assert hunt.stands.tolist() == [True, True, True, False]
