"""An attack has to find what is there by construction, unless the features hide their gradient."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.apgd import APGD
from robench.errors import AttackError, ConfigError
from robench.evaluation.binarisation import BinarisationResult, Featured, binarisation
from robench.models.classifier import Classifier
from robench.threat import Threat
from tests import controls
from tests.controls import THREAT

STRONG = APGD(loss="margin")

IMAGES = 10


def tried(model: Featured, threat: Threat = THREAT, seed: int = 0) -> BinarisationResult:
    return binarisation(model, controls.digits().test.x(), threat, STRONG, seed, images=IMAGES)


@pytest.mark.parametrize("threat", [THREAT, Threat("L2", 3 / 4)], ids=["Linf", "L2"])
@pytest.mark.parametrize("make", [controls.natural, controls.madry])
def test_an_attack_finds_it_on_an_honest_network(
    make: Callable[[], Classifier], threat: Threat
) -> None:
    found = tried(make(), threat)
    assert found.passed
    assert found.tested == IMAGES
    assert found.random_success < 0.5  # it is no gift


@pytest.mark.parametrize("make", [controls.rounded, controls.thermometer, controls.k_winners])
def test_it_fails_where_features_mask_their_gradient(make: Callable[[], Classifier]) -> None:
    found = tried(make())
    assert found.tested > IMAGES / 2
    assert not found.passed
    assert found.success < 0.8


def test_one_seed_fixes_the_result() -> None:
    torch.manual_seed(1)
    first = tried(controls.natural(), seed=5)
    torch.manual_seed(2)
    assert tried(controls.natural(), seed=5) == first


def test_features_that_say_nothing_leave_nothing_to_test() -> None:
    class Deaf(nn.Module):
        def features(self, x: Tensor) -> Tensor:
            return torch.ones(len(x), 4)

    found = tried(Deaf().eval())
    assert found == BinarisationResult(0, 0, 0)
    assert not found.passed
    assert found.success == found.random_success == 0


def test_what_cannot_be_tested_is_said() -> None:
    x = controls.digits().test.x()
    with pytest.raises(ConfigError, match="Constant has no features"):
        binarisation(controls.Constant(), x, THREAT, STRONG, 0)  # type: ignore[arg-type]
    with pytest.raises(AttackError, match="left the threat model"):
        binarisation(controls.natural(), x, THREAT, lambda m, x, y, t: 1 - x, 0)
    assert not BinarisationResult(100, 94, 0).passed
    assert BinarisationResult(100, 95, 0).passed
