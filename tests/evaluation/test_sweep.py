"""Radii share outcomes where one follows from another, and audits look at a part of what stands."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.adversary.pgd import PGD
from robench.adversary.standard import STANDARD
from robench.adversary.suite import Audit, Suite
from robench.adversary.transfer import Transfer
from robench.data.load import Images
from robench.errors import AttackError
from robench.evaluation import evaluate as module
from robench.evaluation.audit import most_missed
from robench.evaluation.cost import Cost
from robench.evaluation.evaluate import Evaluated, evaluate
from robench.evaluation.flags import FLAGS, Finding
from robench.threat import Threat

RADII = (0.0, 0.1, 0.2, 0.3)
FINE = dict.fromkeys(FLAGS, Finding("ok", ""))


@pytest.fixture
def unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look for masking: these tests are about the suite."""
    monkeypatch.setattr(module, "probe", lambda *_, **__: dict(FINE))


class Brightness(nn.Module):
    """Class 1 above a mean of one half: an image falls at the radius that it is away from that."""

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1).mean(1) - 0.5
        return torch.stack([-score, score], dim=1)


def pictures(count: int = 40) -> Images:
    """Grey images of class 1, from 0.5 (which nothing defends) to 0.9; a few are wrong."""
    levels = torch.linspace(115, 230, count).round().to(torch.uint8)
    pixels = levels[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    return Images(pixels, torch.ones(count, dtype=torch.long), 255.0, torch.arange(count))


class Darken:
    """Darkens by a share of eps, and counts the images that it was given at each radius."""

    def __init__(self, share: float, where: Callable[[float], bool] = lambda eps: True) -> None:
        self.share, self.where, self.given = share, where, dict[float, int]()

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        eps = round(float(threat.eps), 3)
        self.given[eps] = self.given.get(eps, 0) + len(x)
        return (x - self.share * eps).clamp(0, 1) if self.where(eps) else x


def found(attacks: dict[str, Attack], *radii: float, **rules: Any) -> list[Evaluated]:
    suite = Suite(attacks, **rules)
    threats = [Threat("Linf", eps) for eps in radii]
    return evaluate(Brightness(), suite, pictures(), threats, 0, lambda *_: None)


@pytest.mark.usefixtures("unprobed")
def test_a_sweep_finds_what_each_radius_finds_alone() -> None:
    def attacks() -> dict[str, Attack]:
        return {"half": Darken(0.5), "whole": Darken(1.0)}

    together = found(attacks(), *RADII)
    for eps, one in zip(RADII, together, strict=True):
        (alone,) = found(attacks(), eps)
        for name, mask in alone.outcomes.stands.items():
            assert np.array_equal(one.outcomes.stands[name], mask), (eps, name)
        assert not alone.outcomes.carried.any()


@pytest.mark.usefixtures("unprobed")
def test_every_image_goes_through_the_dear_attack_once_where_it_stands() -> None:
    cheap, dear = Darken(0.5), Darken(1.0)
    together = found({"cheap": cheap, "dear": dear}, *RADII)
    stands = [int(one.outcomes.worst.sum()) for one in together]
    assert stands == sorted(stands, reverse=True)
    assert stands[0] > stands[1] > stands[2] > stands[3] > 0
    # What stands at the largest radius is not attacked again at any smaller one.
    assert dear.given[0.2] <= together[2].outcomes.stands["cheap"].sum() - stands[3]
    assert dear.given[0.1] <= together[1].outcomes.stands["cheap"].sum() - stands[2]
    carried = [int(one.outcomes.carried.sum()) for one in together]
    assert carried[0] == 0
    assert carried[1] >= stands[2]
    assert all(n > 0 for n in carried[1:])


class Together(Darken):
    """The same with all radii in one call, as robench's own attacks take them."""

    many_radii = True
    calls = 0

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        self.calls += 1
        eps = torch.as_tensor(threat.eps).expand(len(x))
        for one in eps.tolist():
            self.given[round(one, 3)] = self.given.get(round(one, 3), 0) + 1
        return (x - self.share * eps.view(-1, 1, 1, 1)).clamp(0, 1)


@pytest.mark.usefixtures("unprobed")
def test_images_of_many_radii_come_to_a_dear_attack_together() -> None:
    dear, last = Together(0.9), Together(1.0)
    together = found({"cheap": Darken(0.5), "dear": dear, "last": last}, *RADII)
    apart = found({"cheap": Darken(0.5), "dear": Darken(0.9), "last": Darken(1.0)}, *RADII)
    for one, other in zip(together, apart, strict=True):
        for name, mask in other.outcomes.stands.items():
            assert np.array_equal(one.outcomes.stands[name], mask)
        assert np.array_equal(one.outcomes.carried, other.outcomes.carried)
    # One call for all that stand after the first, one for each radius at which some then fell.
    assert last.calls <= 1 + 3
    assert dear.calls < sum(dear.given.values()) / 4
    assert set(dear.given) == set(RADII[1:])


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("kind", [Darken, Together])
def test_radii_at_which_nothing_is_left_cost_nothing(kind: type[Darken]) -> None:
    first, second = kind(1.0), kind(1.0)
    together = found({"first": first, "second": second}, 0.3, 0.45, 0.5)
    assert not together[1].outcomes.worst.any()
    assert sum(second.given.values()) <= together[0].outcomes.stands["first"].sum()
    assert "second" not in {n for n, cost in together[2].costs.items() if cost.seconds}
    assert not any(one.outcomes.worst.any() for one in found({"first": first}, 0.5))


@pytest.mark.usefixtures("unprobed")
def test_what_falls_at_a_small_radius_has_fallen_at_every_larger_one() -> None:
    only_small = Darken(1.0, where=lambda eps: eps < 0.15)
    _, small, middle, large = found({"one": only_small, "none": Darken(0.0)}, *RADII)
    assert small.outcomes.worst.sum() < small.outcomes.stands["natural"].sum()
    for one in (middle, large):
        assert np.array_equal(one.outcomes.worst, small.outcomes.worst)
        fallen = one.outcomes.stands["natural"] & ~one.outcomes.worst
        assert (one.outcomes.carried >= fallen).all()


@pytest.mark.usefixtures("unprobed")
def test_what_breaks_an_image_is_tried_in_the_next_smaller_ball() -> None:
    only_large = Darken(1.0, where=lambda eps: eps > 0.25)
    _, small, _, large = found({"none": Darken(0.0), "one": only_large}, *RADII)
    (alone,) = found({"one": Darken(1.0)}, 0.1)
    assert np.array_equal(small.outcomes.worst, alone.outcomes.worst)
    assert large.outcomes.worst.sum() < small.outcomes.worst.sum()


@pytest.mark.usefixtures("unprobed")
def test_a_stochastic_suite_shares_nothing_between_radii() -> None:
    attack = Darken(1.0)
    for one in found({"one": attack, "two": Darken(0.0)}, *RADII, looks=3):
        assert not one.outcomes.carried.any()
    assert len(set(attack.given.values())) == 1


def audited(breaks: set[int], images: int, **rules: Any) -> Evaluated:
    """AutoAttack's four attacks by name; the last two break the images with these positions."""

    def fake(wanted: set[int]) -> Attack:
        def attack(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
            level = (x.flatten(1)[:, 0] * 255).round().long()
            hit = torch.tensor([int(n) in wanted for n in level], dtype=torch.bool)
            return torch.where(hit[:, None, None, None], x - threat.eps, x).clamp(0, 1)

        return attack

    suite = Suite(STANDARD, verdict="audited", audit=Audit(("fab-t", "square"), images), **rules)
    object.__setattr__(  # the real ones would take minutes
        suite, "attacks", {n: fake(breaks if n == "square" else set()) for n in STANDARD}
    )
    (one,) = evaluate(Brightness(), suite, pictures(), [Threat("Linf", 0.45)], 0, lambda *_: None)
    return one


@pytest.mark.usefixtures("unprobed")
def test_an_audit_that_finds_nothing_says_what_it_leaves_open() -> None:
    one = audited(set(), 20)
    assert one.audit is not None
    assert (one.verdict, one.audit.looked, one.audit.fell) == ("audited", 20, 0)
    assert one.audit.bound == most_missed(20, one.audit.stood) > 0


@pytest.mark.usefixtures("unprobed")
def test_an_audit_in_which_an_image_falls_becomes_a_full_verdict() -> None:
    every = set(range(256))
    one = audited(every, 3)
    assert one.audit is not None
    assert (one.verdict, one.audit.looked, one.audit.bound) == ("full", one.audit.stood, 0.0)
    assert one.audit.fell == 3
    assert one.outcomes.worst.sum() == 0


@pytest.mark.usefixtures("unprobed")
def test_an_audit_of_all_that_stands_is_a_full_verdict() -> None:
    one = audited(set(), 500)
    assert one.audit is not None
    assert (one.verdict, one.audit.bound) == ("full", 0.0)


def test_any_flag_makes_an_audit_look_at_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    up = FINE | {"unchanged": Finding("up", "32 of 32")}
    monkeypatch.setattr(module, "probe", lambda *_, **__: up)
    one = audited(set(), 3)
    assert one.verdict == "full"
    assert one.findings["unchanged"].status == "up"


def test_on_a_stochastic_model_the_stand_in_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    suite, other = (
        Suite({"one": Darken(0.0)}, when_random="x"),
        Suite({"two": Darken(1.0)}, looks=3),
    )

    def names(*, random: str, stochastic: bool) -> list[str]:
        probed = FINE | {"random": Finding(random, "")}  # type: ignore[arg-type]
        monkeypatch.setattr(module, "probe", lambda *_, **__: probed)
        (one,) = evaluate(
            Brightness(), suite, pictures(), [Threat("Linf", 0.1)], 0, lambda *_: None,
            stochastic=stochastic, stand_in=other,
        )  # fmt: skip
        return list(one.outcomes.stands)

    assert names(random="ok", stochastic=False) == ["natural", "one"]
    assert names(random="up", stochastic=False) == ["natural", "two"]
    assert names(random="ok", stochastic=True) == ["natural", "two"]


@pytest.mark.usefixtures("unprobed")
def test_memory_that_runs_out_halves_the_batch_and_is_recorded() -> None:
    sizes: list[int] = []

    def hungry(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        sizes.append(len(x))
        if len(x) > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (x - threat.eps).clamp(0, 1)

    (one,) = found({"hungry": hungry}, 0.1)
    (plenty,) = found({"whole": Darken(1.0)}, 0.1)
    assert np.array_equal(one.outcomes.worst, plenty.outcomes.worst)
    assert one.chunk <= 12 < max(sizes)
    assert plenty.chunk == 250


@pytest.mark.usefixtures("unprobed")
def test_an_image_that_does_not_fit_into_memory_is_a_failure() -> None:
    def greedy(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        raise MemoryError

    with pytest.raises(AttackError, match="'greedy' needs more memory than one image has"):
        found({"greedy": greedy}, 0.1)


@pytest.mark.parametrize(("looked", "stood"), [(1, 2), (20, 100), (500, 5_000), (1_000, 5_300)])
def test_the_bound_of_an_audit(looked: int, stood: int) -> None:
    bound = most_missed(looked, stood)
    assert 0 <= bound <= 1 - 0.05 ** (1 / looked)  # that of draws with replacement is wider
    assert bound > most_missed(stood - 1, stood) or looked == stood - 1
    missed = round(bound * stood) + 1  # one more would have been seen, 19 times of 20
    rng = np.random.default_rng(0)
    unseen = [not (rng.permutation(stood)[:looked] < missed).any() for _ in range(2_000)]
    assert np.mean(unseen) < 0.07


def test_everything_looked_at_leaves_nothing_open() -> None:
    assert most_missed(7, 7) == 0.0


@pytest.mark.parametrize("images", [[0, 3, 0, 7], [10, 0, 0, 0], [1, 1, 1]])
def test_the_cost_of_a_mixed_batch_is_shared_out_by_images(images: list[int]) -> None:
    whole = Cost(seconds=2.0, forwards=101, backwards=7, peak_mb=3.0)
    shares = whole.shared(images)
    assert [share is None for share in shares] == [count == 0 for count in images]
    parts = [share for share in shares if share is not None]
    assert sum(part.forwards for part in parts) == 101
    assert sum(part.backwards for part in parts) == 7
    assert sum(part.seconds for part in parts) == pytest.approx(2.0)


@pytest.mark.usefixtures("unprobed")
def test_the_passes_of_a_model_that_is_crafted_on_count() -> None:
    steps, other = 3, Brightness()
    suite = Suite({"from-a": Transfer(source="a", attack=PGD(steps=steps))}).on({"a": other})
    (one,) = evaluate(Brightness(), suite, pictures(), [Threat("Linf", 0.1)], 0, lambda *_: None)
    attacked = int(one.outcomes.stands["natural"].sum())
    assert one.costs["from-a"].backwards == steps * attacked
    assert one.costs["from-a"].forwards > steps * attacked  # and a look by the model itself
