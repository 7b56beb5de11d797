"""Rejection: what stands with a detector, at which threshold, against whom."""

import copy
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor, nn

from robench.adversary.apgd import APGD
from robench.adversary.measure import Reading
from robench.adversary.orthogonal import OrthogonalPGD
from robench.adversary.pgd import PGD
from robench.data.load import Data
from robench.errors import AttackError
from robench.evaluation.detection import Gaussians
from robench.evaluation.rejection import Rejection, least
from robench.seeds import seeded
from robench.threat import Threat
from tests import controls

SHORT = Rejection(near=APGD(steps=10), far=PGD(steps=10), both=OrthogonalPGD(steps=20, restarts=1))


@pytest.fixture(scope="module")
def digits() -> Data:
    """A few of them to attack."""
    data = controls.digits()
    return replace(data, test=data.test.first(48))


def read(data: Data, threat: Threat = controls.THREAT, seed: int = 1) -> Reading:
    """Of an undefended network."""
    model = controls.natural()  # whose training draws, too
    with seeded(seed):
        return SHORT(model, data, threat)


@pytest.fixture(scope="module")
def reading(digits: Data) -> Reading:
    """Once for all tests that only look at it."""
    return read(digits)


def values(reading: Reading) -> dict[str, float]:
    return {value.name: value.value for value in reading.values}


def test_numbers_are_those_of_the_images(reading: Reading) -> None:
    found, images = values(reading), reading.images
    for name, image in (
        ("natural accuracy, with rejection", "natural"),
        ("robust accuracy with rejection, oblivious", "oblivious"),
        ("robust accuracy with rejection, worst", "worst"),
        ("robust accuracy alone, eps", "alone"),
        ("robust accuracy alone, eps / 2", "half"),
    ):
        assert found[name] == images[image].double().mean().item()
    assert (images["worst"] <= images["oblivious"]).all()
    assert (images["alone"] <= images["oblivious"]).all()
    assert (images["alone"] <= images["half"]).all()
    assert all(len(of) == 48 for of in images.values())


def test_who_knows_of_the_detector_breaks_more(reading: Reading) -> None:
    found = values(reading)
    assert found["robust accuracy alone, eps"] == 0
    assert found["robust accuracy with rejection, oblivious"] > 0.2
    assert found["robust accuracy with rejection, worst"] < 0.1
    assert found["TPR at 5% FPR, orthogonal"] < found["TPR at 5% FPR, oblivious"] - 0.2
    assert found["AUC, orthogonal"] < found["AUC, oblivious"] - 0.2


def test_a_threshold_under_all_scores_leaves_the_classifier_alone(
    digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robench.evaluation.rejection.least", lambda scores, share: -torch.inf)
    reading = read(digits)
    found = values(reading)
    assert found["natural accuracy, with rejection"] == found["natural accuracy, alone"]
    assert torch.equal(reading.images["oblivious"], reading.images["alone"])
    assert (reading.images["worst"] <= reading.images["alone"]).all()


def test_a_detector_that_knows_nothing_leaves_the_classifier_alone(
    digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flat(self: Gaussians, found: Tensor) -> Tensor:
        return torch.zeros(len(found), 10, dtype=torch.float64) + 0 * found.sum(1, keepdim=True)

    monkeypatch.setattr(Gaussians, "log_density", flat)
    found = values(read(digits, Threat("Linf", 1 / 16)))
    alone = found["robust accuracy alone, eps"]
    assert 0.2 < alone < 0.9
    assert found["natural accuracy, with rejection"] == found["natural accuracy, alone"]
    assert found["robust accuracy with rejection, oblivious"] == alone
    assert found["robust accuracy with rejection, worst"] == pytest.approx(alone, abs=0.05)
    assert found["AUC, oblivious"] == 0.5


@pytest.mark.parametrize("score", ["predicted", "best"])
def test_the_threshold_rejects_the_share_of_what_was_held_out(
    score: Literal["predicted", "best"], digits: Data
) -> None:
    how, model, held = replace(SHORT, score=score), controls.natural(), digits.validation
    detector = how.fitted(model, digits)
    look = detector.look(held.x(), held.y)
    assert int((~look.accepted & look.right).sum()) == int(0.05 * int(look.right.sum()))
    train = digits.train
    with torch.no_grad():
        gaussians = Gaussians(model.features(train.x()), train.y, 10, tied=True, ridge=1e-6)
        density = gaussians.log_density(model.features(held.x()))
        own = density.gather(1, model(held.x()).argmax(1)[:, None]).squeeze(1)
    expected = own if score == "predicted" else density.amax(1)
    torch.testing.assert_close(look.score, expected, rtol=1e-4, atol=1e-2)


def test_a_score_has_the_gradient_of_its_density(digits: Data) -> None:
    detector = SHORT.fitted(controls.natural(), digits)
    smooth = replace(detector, model=copy.deepcopy(detector.model).double())
    x = digits.test.x(slice(3)).double().requires_grad_()
    (grad,) = torch.autograd.grad(smooth.score(x).sum(), x)
    step = 1e-6 * grad / grad.flatten(1).norm(dim=1)[:, None, None, None]
    with torch.no_grad():
        rise = (smooth.score(x + step) - smooth.score(x - step)) / 2
    torch.testing.assert_close(rise, (grad * step).flatten(1).sum(1), rtol=1e-3, atol=0.0)


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=60), st.data())
def test_told_at_a_threshold_is_sklearns_curve(scores: list[int], data: st.DataObject) -> None:
    share = data.draw(st.sampled_from([0.05, 0.1, 0.3, 0.9]))
    attacked = data.draw(st.lists(st.integers(-8, 3), min_size=1, max_size=40))
    natural, broken = torch.tensor(scores).double(), torch.tensor(attacked).double()
    caught = (broken < least(natural, share)).double().mean().item()
    assert (natural < least(natural, share)).double().mean() <= share
    is_attacked = np.arange(len(scores) + len(attacked)) >= len(scores)
    false, true, _ = roc_curve(
        is_attacked, -np.array([*scores, *attacked]), drop_intermediate=False
    )
    # The curve's own limit may let as many through as this rejects at most.
    assert caught == pytest.approx(true[false <= int(share * len(scores)) / len(scores)].max())


def test_areas_are_of_broken_images_against_right_ones(digits: Data, reading: Reading) -> None:
    model, x, y = controls.natural(), digits.test.x(), digits.test.y
    right = model(x).argmax(1) == y
    with seeded(1):  # the same draws in the same order
        detector = SHORT.fitted(model, digits)
        SHORT.near(model, x, y, controls.THREAT)
        x_adv = SHORT.far(model, x, y, controls.THREAT)
    look = detector.look(x_adv, y)
    assert torch.equal(look.score, reading.images["score.far"])
    kept, broken = reading.images["score.natural"][right], look.score[right & ~look.right]
    both, natural = torch.cat([kept, broken]).numpy(), [True] * len(kept) + [False] * len(broken)
    found = values(reading)
    assert found["AUC, oblivious"] == pytest.approx(float(roc_auc_score(natural, both)))
    caught = (broken < least(kept, 0.05)).double().mean().item()
    assert found["TPR at 5% FPR, oblivious"] == caught


def test_one_seed_is_one_reading(digits: Data, reading: Reading) -> None:
    again = read(digits)
    assert again.values == reading.values
    assert all(torch.equal(again.images[name], reading.images[name]) for name in again.images)


def test_where_nothing_was_broken_nothing_is_told(digits: Data) -> None:
    found = values(read(digits, Threat("Linf", 1e-6)))
    assert found["robust accuracy alone, eps"] == found["natural accuracy, alone"]
    assert np.isnan(found["TPR at 5% FPR, oblivious"])
    assert np.isnan(found["AUC, orthogonal"])


def test_without_features_or_images_there_is_no_detector(digits: Data) -> None:
    with pytest.raises(AttackError, match="has no features"):
        SHORT(nn.Flatten(), digits, controls.THREAT)
    assert least(torch.empty(0), 0.05) == -torch.inf
