"""Suites: the cascade, the worst case, and attacks that break the rules."""

import copy
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import sklearn
import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack, checked, right
from robench.adversary.measure import Reading
from robench.adversary.packages import BUDGETS, AutoAttack
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.suite import Suite, suite
from robench.check import tiny
from robench.errors import AttackError, ConfigError, PluginError
from robench.threat import Threat
from tests.conftest import Unsure

THREAT = Threat("Linf", 0.02)


def nothing(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    return x


def run(found: Suite, unsure: Unsure, threat: Threat = THREAT, seed: int = 0) -> dict[str, Tensor]:
    return dict(found.run(unsure.model, unsure.batch.x, unsure.batch.y, threat, seed))


def test_each_attack_sees_only_what_still_stands(unsure: Unsure) -> None:
    seen: list[int] = []

    def spying(attack: Attack) -> Attack:
        def spy(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
            seen.append(len(x))
            return attack(model, x, y, threat)

        return spy

    attacks = {"one": spying(PGDAttack(pgd=PGD(steps=1))), "five": spying(PGDAttack(pgd=PGD())),
               "none": spying(nothing)}  # fmt: skip
    masks = run(Suite(attacks), unsure)
    assert list(masks) == ["natural", "one", "five", "none"]
    counts = [int(mask.sum()) for mask in masks.values()]
    assert seen == counts[:3]
    assert counts[0] > counts[1] > counts[2] == counts[3]


def test_the_worst_case_is_the_same_as_running_all_on_all(unsure: Unsure) -> None:
    pgd = {str(n): PGDAttack(pgd=PGD(steps=n, start="none")) for n in (1, 3, 9)}
    cascade = run(Suite(pgd), unsure)
    alone = [list(run(Suite({name: attack}), unsure).values())[-1] for name, attack in pgd.items()]
    assert torch.equal(list(cascade.values())[-1], alone[0] & alone[1] & alone[2])


PGD_1 = PGDAttack(pgd=PGD(steps=1))
THREE = {name: AutoAttack(name) for name in ("apgd-ce", "apgd-t", "fab-t")}


@pytest.mark.parametrize(
    ("attacks", "changes", "message"),
    [
        ({"pgd": PGD_1}, {"verdict": "full"}, "only AutoAttack's attacks at their published"),
        (THREE, {"verdict": "full"}, "only AutoAttack's attacks at their published"),
        ({"pgd": PGD_1}, {"verdict": "great"}, "verdict 'great' is none of full, audited"),
        ({"pgd": PGD_1}, {"norms": ("L3",)}, "should be some of Linf, L2"),
        ({"pgd": PGD_1}, {"norms": ()}, "should be some of Linf, L2"),
        ({"pgd": PGD_1}, {"needs": ("foolbox",)}, "should be a tuple of tuples"),
    ],
)
def test_a_suite_that_claims_what_it_is_not(
    attacks: dict[str, Attack], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        Suite(attacks, **changes)


def steps_of(count: int) -> Attack:
    def attack(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        return x + 0 * count

    return attack


class Stepping:
    """An attack that is no dataclass."""

    def __init__(self, steps: object) -> None:
        self.steps = steps

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        return x


def held(count: int, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    return x + 0 * count


@pytest.mark.parametrize(
    "make",
    [steps_of, Stepping, lambda n: partial(held, n), lambda n: partial(held, count=n),
     lambda n: PGDAttack(pgd=PGD(steps=n)), lambda n: Stepping({"inner": [steps_of(n)]})],
)  # fmt: skip
def test_whatever_an_attack_is_made_with_is_said(make: Callable[[int], Attack]) -> None:
    first, again, other = (Suite({"a": make(n)}).plain() for n in (3, 3, 4))
    assert first == again != other
    assert json.dumps(first)


def test_what_no_key_could_be_made_of_is_refused() -> None:
    with pytest.raises(TypeError, match="a setting cannot be <object object"):
        Suite({"a": Stepping(object())}).plain()


class Weak(AutoAttack):
    """A subclass is another attack."""


def test_a_subclass_of_autoattack_is_not_autoattack() -> None:
    with pytest.raises(PluginError, match="only AutoAttack's attacks at their published"):
        Suite({name: Weak(name) for name in BUDGETS}, verdict="full")


def test_packages_by_the_name_they_are_imported_by() -> None:
    needs = (("sklearn",), ("json",), ("nothing_like_this.inside",))
    found = Suite({"pgd": PGD_1}, needs=needs)
    assert found.packages() == f"sklearn {sklearn.__version__}, json of unknown version"
    with pytest.raises(
        ConfigError, match=r"nothing_like_this\.inside; pip install nothing_like_this"
    ):
        found.check("mine", "Linf")


def test_masks_are_independent_copies(unsure: Unsure) -> None:
    masks = run(Suite({"pgd": PGDAttack(pgd=PGD())}), unsure)
    assert masks["natural"].sum() > masks["pgd"].sum()


def test_an_attack_draws_from_its_own_stream(unsure: Unsure) -> None:
    drawn: dict[str, list[float]] = {}

    def drawing(name: str) -> Attack:
        def draw(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
            drawn.setdefault(name, []).append(torch.rand(()).item())
            return x

        return draw

    before = torch.get_rng_state()
    run(Suite({"a": drawing("a"), "b": drawing("b")}), unsure)
    run(Suite({"b": drawing("b")}), unsure)
    run(Suite({"b": drawing("b")}), unsure, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert drawn["b"][0] == drawn["b"][1] != drawn["b"][2]
    assert drawn["a"][0] != drawn["b"][0]


def test_at_eps_zero_robust_accuracy_is_natural_accuracy(unsure: Unsure) -> None:
    masks = run(suite("quick"), unsure, Threat("Linf", 0.0))
    assert all(torch.equal(mask, masks["natural"]) for mask in masks.values())
    # And the attacks themselves agree: inside a ball of radius 0 there is only the image.
    x, y = unsure.batch.x, unsure.batch.y
    for attack in suite("quick").attacks.values():
        assert torch.equal(attack(unsure.model, x, y, Threat("Linf", 0.0)), x)


def outside(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    return x + 0.05


def dark(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    return x - x.amin() - 0.01


def nan(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    return x * torch.nan


def wrong_shape(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    return x[:1]


def crashing(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    raise RuntimeError("out of luck")


def training(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    model.train()
    return x


def in_place(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    return x.copy_(1 - x)


def rewriting(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
    next(model.parameters()).data.zero_()
    return x


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (in_place, "attack 'bad' left the threat model"),
        (rewriting, "attack 'bad' changed the model"),
        (outside, r"attack 'bad' left the threat model by 0\.05"),
        (dark, "attack 'bad' left the threat model"),
        (nan, "attack 'bad' returned NaN"),
        (wrong_shape, "attack 'bad' returned images of shape"),
        (crashing, "attack 'bad' failed: RuntimeError: out of luck"),
        (training, "attack 'bad' left the model in train mode"),
    ],
)
def test_attacks_that_break_the_rules_give_no_number(
    attack: Attack, message: str, unsure: Unsure
) -> None:
    found = Suite({"fine": nothing, "bad": attack})
    victim = Unsure(copy.deepcopy(unsure.model), unsure.batch)
    with pytest.raises(AttackError, match=message):
        run(found, victim)


@pytest.mark.parametrize("name", ["natural", "worst", "Far out", ""])
def test_an_attack_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(PluginError, match="attack"):
        Suite({name: nothing})


def test_a_suite_has_attacks_or_measures() -> None:
    with pytest.raises(PluginError, match="a suite needs attacks"):
        Suite({})
    with pytest.raises(PluginError, match="one of both"):
        Suite(
            {"pgd": PGDAttack(pgd=PGD())},
            measures={"nothing": lambda *_: Reading(())},
            verdict="none",
        )
    for verdict in ("upper-bound", "stochastic"):
        with pytest.raises(PluginError, match=r"none|stochastic"):
            Suite(measures={"nothing": lambda *_: Reading(())}, verdict=verdict)
    with pytest.raises(PluginError, match="verdict 'none'"):
        Suite({"pgd": PGDAttack(pgd=PGD())}, verdict="none")


def test_a_rounding_error_is_projected_away(unsure: Unsure) -> None:
    x = unsure.batch.x
    x_adv = checked("close", (x + 0.02 + 5e-6).clamp(max=1), x, THREAT)
    assert THREAT.distance(x_adv, x).max() <= 0.02 + 1e-7
    assert x_adv.max() <= 1


def test_in_l1_the_rounding_of_all_pixels_adds_up() -> None:
    x = torch.full((1, 3, 32, 32), 0.5)
    threat, wide = Threat("L1", 3072 * 0.02), x + 0.02 + 5e-8
    assert threat.distance(wide, x) - threat.eps > 1e-5
    x_adv = checked("close", wide, x, threat)
    assert threat.distance(x_adv, x) <= threat.eps + 1e-5
    with pytest.raises(AttackError, match="left the threat model by"):
        checked("far", x + 0.02 + 5e-7, x, threat)


def test_logits_that_are_not_finite_are_an_error() -> None:
    linear = nn.Linear(192, 4)
    nn.init.constant_(linear.bias, torch.nan)
    model = nn.Sequential(nn.Flatten(), linear)
    with pytest.raises(AttackError, match="logits are not finite"):
        right(model, torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))


def test_parameters_are_frozen_for_the_attack_and_thawed_after() -> None:
    model = tiny.classifier()
    model.head.requires_grad_(False)
    inside: list[bool] = []

    def look(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        inside.extend(p.requires_grad for p in model.parameters())
        return x

    before = [p.requires_grad for p in model.parameters()]
    test = tiny.data().test
    list(Suite({"look": look}).run(model, test.x(), test.y, THREAT, 0))
    assert not any(inside)
    assert [p.requires_grad for p in model.parameters()] == before


def test_a_suite_says_where_it_cannot_run() -> None:
    with pytest.raises(ConfigError, match="suite 'x' is defined for L2, not Linf"):
        Suite({"a": nothing}, norms=("L2",)).check("x", "Linf")
    with pytest.raises(ConfigError, match="needs the package nothing_like_this"):
        Suite({"a": nothing}, needs=(("nothing_like_this",),)).check("x", "Linf")
    Suite({"a": nothing}, needs=(("nothing_like_this", "torch"),)).check("x", "Linf")


def test_a_suite_of_ones_own_is_an_upper_bound_unless_it_says_more() -> None:
    assert Suite({"a": nothing}).verdict == "upper-bound"
    assert suite("quick").verdict == "upper-bound"
