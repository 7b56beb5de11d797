"""What broke the first images is kept as it was judged, and nothing else changes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.attack import Attack, labelled, right
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.suite import Suite
from robench.check import tiny
from robench.data.load import Images
from robench.evaluation import trial
from robench.evaluation.evaluate import Evaluated, evaluate
from robench.evaluation.examples import ARRAYS, Examples, pack
from robench.threat import Threat
from tests.evaluation import test_resume
from tests.evaluation.test_resume import Noisy, check_same
from tests.mortal import Killed, Mortal

EPS = (0.0, 0.15, 0.2, 0.22, 0.25)
FIRST = 30


def pictures() -> Images:
    """The tiny task's test images; every ninth has a label that no network would give it."""
    test = tiny.data().test
    wrong = torch.arange(len(test)) % 9 == 4
    return replace(test, y=torch.where(wrong, (test.y + 1) % 4, test.y))


IMAGES = pictures()

victim = cache(test_resume.victim)

pytestmark = pytest.mark.usefixtures("short_probes", "small_chunks")


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny task's 64 test images are four chunks."""
    monkeypatch.setattr(trial, "CHUNK", 20)


def attacked(
    model: nn.Module, first: int, eps: Sequence[float] = EPS, norm: Any = "Linf", **rules: Any
) -> list[Evaluated]:
    keeper = rules.pop("keeper", None)
    attacks: dict[str, Attack] = {
        "once": PGDAttack(pgd=PGD(steps=1)), "often": PGDAttack(pgd=PGD(steps=8)),
    }  # fmt: skip
    return evaluate(
        model, Suite(attacks, **rules), IMAGES, [Threat(norm, e) for e in eps], 3, lambda *_: None,
        keeper=keeper, save_adversarial=first,
    )  # fmt: skip


def examples(found: list[Evaluated]) -> list[Examples]:
    every = [one.examples for one in found if one.examples is not None]
    assert len(every) == len(found)
    return every


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_what_is_kept_is_what_the_outcomes_say(norm: str) -> None:
    model, eps = victim(), EPS if norm == "Linf" else (0.0, 1.5, 2.0, 2.5)
    found = attacked(model, FIRST, eps, norm)
    assert 0 < len(examples(found)[2].position) < len(examples(found)[3].position)
    for one, kept, radius in zip(found, examples(found), eps, strict=True):
        stands, at = one.outcomes.stands, kept.position
        fell = stands["natural"] & ~one.outcomes.worst
        assert np.array_equal(at, fell[:FIRST].nonzero()[0])
        assert not stands["natural"][:FIRST].all()
        x = torch.from_numpy(kept.clean)
        assert torch.equal(x, IMAGES.x(slice(FIRST)))
        assert np.array_equal(kept.y, one.outcomes.y[:FIRST])
        assert np.array_equal(kept.natural == kept.y, stands["natural"][:FIRST])
        assert np.array_equal(kept.natural, model(x).argmax(1).numpy())
        broken = torch.from_numpy(kept.adversarial)
        assert np.array_equal(kept.labels, model(broken).argmax(1).numpy())
        assert (kept.labels != kept.y[at]).all()
        assert (Threat(norm, radius).distance(broken, x[at]) <= radius + 1e-6).all()  # type: ignore[arg-type]
        assert ((kept.adversarial >= 0) & (kept.adversarial <= 1)).all()
        assert kept.adversarial.dtype == np.float32
        assert kept.attacks == ("once", "often")
        before = ["natural", *kept.attacks]
        for image, number in zip(at, kept.attack, strict=True):
            assert stands[before[number]][image]
            assert not stands[before[number + 1]][image]


def test_where_a_fall_is_carried_another_radius_gives_the_image() -> None:
    """The next smaller one; or the next larger one, cut to the ball, where that was enough."""
    found = attacked(victim(), len(IMAGES))
    shown = [dict(zip(e.position, e.adversarial, strict=True)) for e in examples(found)]
    came = {"smaller": 0, "larger": 0}
    for at, one in enumerate(found):
        for image, picture in shown[at].items():
            if not one.outcomes.carried[image]:
                continue
            if image in shown[at - 1] and np.array_equal(picture, shown[at - 1][image]):
                came["smaller"] += 1
                continue
            larger, clean = (
                torch.from_numpy(shown[at + 1][image]),
                IMAGES.x(slice(image, image + 1)),
            )
            cut = Threat("Linf", EPS[at]).project(larger[None], clean)
            assert np.array_equal(picture, cut[0].numpy())
            came["larger"] += 1
    assert min(came.values()) > 0, came


@pytest.mark.parametrize("looks", [1, 3])
def test_outcomes_are_the_same_with_and_without(looks: int) -> None:
    model = Noisy() if looks > 1 else victim()
    without = attacked(model, 0, looks=looks)
    assert all(one.examples is None for one in without)
    check_same(without, attacked(model, FIRST, looks=looks))


@pytest.mark.parametrize("first", [1, 64, 1000])
def test_as_many_as_there_are(first: int) -> None:
    few, most = examples(attacked(victim(), first)), examples(attacked(victim(), 64))
    for one, every in zip(few, most, strict=True):
        n, fell = min(first, 64), int((every.position < first).sum())
        assert one.first == first
        assert len(one.clean) == len(one.y) == len(one.natural) == n
        assert np.array_equal(one.position, every.position[:fell])
        assert np.array_equal(one.adversarial, every.adversarial[:fell])


def test_it_goes_on_with_the_same_images() -> None:
    model, counting = victim(), Mortal()
    whole = attacked(model, FIRST, keeper=counting)

    @given(saves=st.integers(1, counting.moment), more=st.integers(0, 3), then=st.integers(0, 64))
    @hypothesis_settings(max_examples=8)
    def goes_on(saves: int, more: int, then: int) -> None:
        first = Mortal(saves, min(saves + more, counting.moment))
        with pytest.raises(Killed):
            attacked(model, FIRST, keeper=first)
        torch.rand(9)
        again = attacked(model, then, keeper=Mortal(kept=first.kept))  # as many as when it began
        check_same(whole, again)
        for one, other in zip(examples(whole), examples(again), strict=True):
            assert pack(one, {}) == pack(other, {})

    goes_on()


def test_what_was_begun_without_images_ends_without() -> None:
    first = Mortal(2, 3)
    with pytest.raises(Killed):
        attacked(victim(), 0, keeper=first)
    again = attacked(victim(), FIRST, keeper=Mortal(kept=first.kept))
    assert all(one.examples is None for one in again)


def test_images_of_a_batch_that_was_halved() -> None:
    def hungry(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        if len(x) > 6:
            raise torch.OutOfMemoryError
        return PGDAttack(pgd=PGD(steps=4, start="none"))(model, x, y, threat)

    model = victim()
    (one,) = evaluate(
        model, Suite({"hungry": hungry}), IMAGES, [Threat("Linf", 0.22)], 0, lambda *_: None,
        save_adversarial=64,
    )  # fmt: skip
    (kept,) = examples([one])
    assert one.chunk <= 6
    assert len(kept.position) == (one.outcomes.stands["natural"] & ~one.outcomes.worst).sum() > 6
    assert np.array_equal(kept.labels, model(torch.from_numpy(kept.adversarial)).argmax(1).numpy())


def test_every_part_is_packed() -> None:
    kept = examples(attacked(victim(), 3))[-1]
    assert set(ARRAYS) == {name for name, value in vars(kept).items() if hasattr(value, "dtype")}


@pytest.mark.parametrize("looks", [1, 2, 3, 5])
def test_the_label_is_the_true_one_where_most_looks_say_so(looks: int) -> None:
    """Against a slow count of the same looks."""
    torch.manual_seed(looks)
    given = torch.randint(0, 3, (looks, 200))
    y, x = torch.randint(0, 3, (200,)), torch.zeros(200, 1)

    def model() -> nn.Module:
        answers = iter(given)
        network = nn.Identity()
        network.register_forward_hook(lambda *_: nn.functional.one_hot(next(answers), 3).float())
        return network

    labels = labelled(model(), x, y, looks)
    assert torch.equal(right(model(), x, y, looks), labels == y)
    for image in range(200):
        votes = torch.bincount(given[:, image], minlength=3)
        true = int(y[image])
        wrong = [(-int(votes[label]), label) for label in range(3) if label != true]
        assert labels[image] == (true if votes[true] > looks / 2 else min(wrong)[1])
