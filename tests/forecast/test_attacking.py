"""What suites ask about images that stand."""

from unittest import mock

import pytest
import torch

from robench.adversary.suite import suite
from robench.data.catalogue import DATASETS, facts
from robench.evaluation.probes.probe import IMAGES as PROBED
from robench.forecast import attacking
from robench.forecast.attacking import UNBREAKABLE, Asked, Bill, Sure, bill, takes
from robench.radius import BALLS, Norm
from robench.seeds import seeded
from robench.threat import Threat
from tests.probing import quickly_probed


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("norm", BALLS)
def test_no_perturbation_breaks_what_costs_nothing(dataset: str, norm: Norm) -> None:
    known = facts(dataset)
    model = Sure(known, UNBREAKABLE)
    with seeded(0):
        x = torch.rand(3, *known.shape).round()
        worst = Threat(norm, 2 * float(known.eps[norm])).project(1 - x, x)
    logits = model(worst)
    assert logits.shape == (3, known.num_classes)
    assert (logits.argmax(1) == 0).all()
    leaf = worst.requires_grad_()
    (grad,) = torch.autograd.grad(model(leaf).logsumexp(1).sum(), leaf)
    assert (grad != 0).any()


def test_passes_are_those_of_the_budgets() -> None:
    with quickly_probed():
        found = bill(suite("quick"), facts("digits"), Threat("Linf", 3 / 16)).attacks
    assert {name: (a.forwards, a.backwards) for name, a in found.items()} == {
        "pgd-20": (21, 20), "pgd-20-margin": (21, 20),
    }  # fmt: skip


@pytest.mark.slow
def test_passes_of_autoattack() -> None:
    with mock.patch.object(attacking, "PIXELS", 1):
        found = bill(suite("standard"), facts("cifar10"), Threat("Linf", 8 / 255))
    asked = found.attacks
    assert (asked["apgd-ce"].forwards, asked["apgd-ce"].backwards) == (101, 101)
    assert asked["apgd-t"].backwards == 909
    assert asked["fab-t"].backwards == 900
    assert 4900 < asked["square"].forwards <= 5001
    # What falls at once is asked next to nothing.
    assert 0 < found.first.backwards <= asked["apgd-ce"].backwards / 20
    assert 0 < found.fallen.forwards < found.probes.forwards / 2


PASS = Asked(forwards=10, backwards=4, seconds=1)


def test_what_is_asked_takes_as_long_as_its_passes() -> None:
    assert PASS.takes(2, 1) == 4 * 2 + 6 * 1 + 1
    assert PASS.times(3).takes(2, 1) == 3 * PASS.takes(2, 1)


def test_images_that_stand_meet_every_attack_and_others_the_first() -> None:
    attacks = {"one": Asked(seconds=3), "two": Asked(seconds=5)}
    asked = Bill(attacks, Asked(seconds=7), Asked(seconds=1), Asked(seconds=2))
    found = takes(suite("quick"), asked, 100, 0, 0)
    assert (found.none, found.every) == (100 + 2 * PROBED, 100 * 8 + 7 * PROBED)
    assert found.at(0.5) == (found.none + found.every) / 2
    assert takes(suite("quick"), asked, 10, 0, 0).none == 30  # no more are probed than there are


def test_an_audit_looks_at_some_of_what_stands() -> None:
    audited = suite("audited")
    assert audited.audit is not None
    each = {name: Asked(seconds=1) for name in audited.attacks}
    asked = Bill(each, Asked(), Asked(), Asked())
    first = len(audited.attacks) - len(audited.audit.attacks)
    found = takes(audited, asked, 10_000, 0, 0)
    looked = len(audited.audit.attacks) * audited.audit.images
    assert found.every == first * 10_000 + looked
