"""All attacks without gradients: their budgets, what they may look at, and what they say fell."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.adversary.blackbox.hopskipjump import HopSkipJump
from robench.adversary.blackbox.nes import NES
from robench.adversary.blackbox.queries import Search
from robench.adversary.blackbox.rays import RayS
from robench.adversary.blackbox.spsa import SPSA
from robench.adversary.square import Square
from robench.errors import AttackError
from robench.threat import Threat
from tests.adversary.conftest import BOTH, Steady, Victim, Watched, obeys, takes_radii

MAKERS: dict[str, Callable[[int], Search]] = {
    "square": lambda queries: Square(queries=queries - 2),  # it looks at its start twice
    "nes": lambda queries: NES(queries=queries, pairs=6),
    "spsa": lambda queries: SPSA(queries=queries, pairs=6),
    "hopskipjump": lambda queries: HopSkipJump(queries=queries, probes=20),
    "rays": lambda queries: RayS(queries=queries),
}
BY_LABEL = ("hopskipjump", "rays")
WIDER = {"square": (1.3, 1.7), "hopskipjump": (1.7, 1.7), "rays": (1.3, 1.3)}
"""Balls in which a few questions break some images, in Linf and in L2."""

EACH = pytest.mark.parametrize("name", MAKERS)

TWO = pytest.mark.parametrize(
    "victim", [BOTH["trained-Linf"], BOTH["unsure-L2"]], ids=["Linf", "L2"], indirect=True
)
"""A trained network in one norm, a random one in the other."""


def search(name: str, queries: int, victim: Victim) -> Search:
    """One of the attacks, where the norm is one of its own."""
    if name == "rays" and victim.threat.norm != "Linf":
        pytest.skip("RayS turns signs round")
    return MAKERS[name](queries)


@pytest.fixture
def wide(name: str, victim: Victim) -> Victim:
    """In a ball in which some images fall to the attack, and some do not."""
    in_linf, in_l2 = WIDER.get(name, (2.2, 3.0))
    return victim.wider(in_linf if victim.threat.norm == "Linf" else in_l2).few(12)


def searched(attack: Search, victim: Victim) -> tuple[Tensor, Tensor, Tensor]:
    """Images, who fell and after how many questions."""
    torch.manual_seed(5)
    found = attack.search(victim.model, victim.x, victim.y, victim.threat)
    return found.x_adv, found.fell, found.queries


@EACH
@TWO
def test_keeps_the_rules(name: str, wide: Victim) -> None:
    obeys(search(name, 150, wide), wide)


@EACH
@TWO
def test_every_image_may_have_its_own_radius(name: str, wide: Victim) -> None:
    takes_radii(search(name, 150, wide), wide)


@EACH
@TWO
def test_what_is_said_to_have_fallen_is_wrong(name: str, wide: Victim) -> None:
    x_adv, fell, queries = searched(search(name, 150, wide), wide)
    assert torch.equal(fell, ~wide.stands(x_adv))
    assert (queries <= 150).all()
    assert (queries >= 1).all()


@EACH
@TWO
def test_fewer_questions_find_the_same_as_far_as_they_go(name: str, wide: Victim) -> None:
    more, fewer = (searched(search(name, queries, wide), wide) for queries in (240, 90))
    if name in ("hopskipjump", "rays"):  # others do not begin a step that they cannot finish
        assert torch.equal(fewer[1], more[1] & (more[2] <= 90))
    both = fewer[1]
    assert more[1][both].all()
    assert torch.equal(fewer[2][both], more[2][both])
    assert torch.allclose(fewer[0][both], more[0][both], atol=1e-6)


@EACH
@pytest.mark.parametrize("queries", [3, 131])
def test_no_image_is_asked_about_more_often(name: str, queries: int) -> None:
    """And what is counted is what the model was given, of images that stand."""
    steady = Watched(Steady(4))
    x, y = torch.rand(5, 3, 8, 8), torch.zeros(5, dtype=torch.long)
    victim = Victim(steady, x, y, Threat("Linf", 0.02))
    x_adv, fell, counted = searched(search(name, queries, victim), victim)
    assert torch.equal(x_adv, x)
    assert not fell.any()
    assert (counted <= queries).all()
    assert sum(len(asked) for asked in steady.asked) == counted.sum()
    if name in BY_LABEL and name != "hopskipjump":  # which gives up without a start
        assert (counted == queries).all()


@EACH
@TWO
def test_the_first_wrong_image_in_the_ball_is_what_is_counted(name: str, wide: Victim) -> None:
    """Image by image: nothing before it was wrong inside, and it is what comes back."""
    for number in range(3):
        index = slice(number, number + 1)
        watched = Watched(wide.model)
        one = replace(wide, x=wide.x[index], y=wide.y[index], model=watched)
        x_adv, fell, queries = searched(search(name, 200, one), one)
        asked = torch.cat(watched.asked)
        inside = one.threat.distance(asked, one.x.expand_as(asked)) <= wide.threat.eps + 1e-6
        hits = (inside & (wide.model(asked).argmax(1) != one.y)).nonzero()[:, 0]
        assert bool(fell) == bool(len(hits))
        if len(hits):
            first = int(hits[0])
            assert queries.item() - 1 == first or (name == "square" and first == 0)
            assert torch.equal(asked[first], x_adv[0])


class Careful(nn.Module):
    """A model that no gradient may be asked of."""

    def __init__(self, model: nn.Module, *, hard: bool) -> None:
        super().__init__()
        self.model, self.hard = model, hard

    def forward(self, x: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        assert x.amin() >= 0
        assert x.amax() <= 1
        logits = self.model(x)
        return 7.0 * torch.eye(logits.shape[1])[logits.argmax(1)] if self.hard else logits


@EACH
@TWO
def test_no_gradient_is_asked_for_and_only_images(name: str, wide: Victim) -> None:
    careful = replace(wide, model=Careful(wide.model, hard=False)).few(6)
    with torch.enable_grad():
        searched(search(name, 60, wide), careful)


@pytest.mark.parametrize("name", BY_LABEL)
@TWO
def test_the_predicted_class_is_all_they_use(name: str, wide: Victim) -> None:
    attack, hard = search(name, 150, wide), replace(wide, model=Careful(wide.model, hard=True))
    for here, there in zip(searched(attack, wide), searched(attack, hard), strict=True):
        assert torch.equal(here, there)


@EACH
@TWO
def test_at_radius_zero_and_on_no_images_nothing_happens(name: str, victim: Victim) -> None:
    attack, nowhere = search(name, 30, victim), Threat(victim.threat.norm, 0.0)
    assert torch.equal(victim.attacked(attack, threat=nowhere), victim.x)
    assert victim.few(0).attacked(attack).shape == (0, 3, 8, 8)


@pytest.mark.parametrize(("attack", "norm"), [(RayS(), "L2"), (HopSkipJump(), "L1")])
@TWO
def test_says_where_it_is_not_defined(attack: Attack, norm: str, victim: Victim) -> None:
    threat = Threat(norm, 0.5)  # type: ignore[arg-type]
    with pytest.raises(AttackError, match=f"not (in )?{norm}"):
        victim.attacked(attack, threat=threat)


@pytest.mark.parametrize("name", BY_LABEL)
@TWO
def test_what_comes_of_an_image_does_not_depend_on_the_others(name: str, wide: Victim) -> None:
    attack, few = search(name, 150, wide), wide.few(5)
    whole, part = searched(attack, wide), searched(attack, few)
    same = whole[2][:5] == part[2]
    assert same.float().mean() > 0.7  # rounding in another batch sends a few another way
