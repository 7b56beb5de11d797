"""Probes catch every control, leave honest networks alone, and change nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.apgd import APGD
from robench.adversary.suite import Suite
from robench.adversary.transfer import Transfer
from robench.data.load import load
from robench.evaluation.evaluate import evaluate
from robench.evaluation.flags import FLAGS, Finding, raised
from robench.evaluation.probes import attacks, outputs
from robench.evaluation.probes.chance import COMMON, RARE, beyond, judged
from robench.evaluation.probes.probe import IMAGES, Findings, probe
from robench.models.catalogue import build
from robench.models.classifier import Network
from robench.models.passes import counted
from robench.threat import Threat
from robench.training.method import method
from robench.training.recipes import RECIPES
from tests import controls
from tests.controls import CONTROLS, THREAT, Changed

L2 = Threat("L2", 3 / 4)


def images(count: int = 64) -> tuple[Tensor, Tensor]:
    test = controls.digits().test.first(count)
    return test.x(), test.y


def probed(model: nn.Module, threat: Threat = THREAT, seed: int = 0) -> Findings:
    return probe(model, *images(), threat, seed)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_raises_its_flags(name: str) -> None:
    control = CONTROLS[name]
    found = probed(control.make())
    assert control.flags <= set(raised(found)), found


@pytest.mark.parametrize("threat", [THREAT, L2], ids=["Linf", "L2"])
@pytest.mark.parametrize("make", [controls.natural, controls.beginner, controls.madry])
def test_an_honest_network_raises_none(make: Callable[[], Network], threat: Threat) -> None:
    found = probed(make(), threat)
    assert list(found) == list(FLAGS)
    assert raised(found) == (), found
    unknown = {name for name, finding in found.items() if finding.status == "unknown"}
    assert unknown == {"transfer-wins", "gap"}
    assert all(finding.detail for finding in found.values())


def test_an_honest_network_for_mnist_raises_none(data_root: Path) -> None:
    mnist = load("mnist", data_root, torch.device("cpu"), train_limit=1000, test_limit=64)
    mnist = replace(mnist, validation=mnist.validation.first(64))
    recipe = replace(RECIPES["digits"], augment="none", epochs=5, validate_every=5)
    threat = Threat("Linf", 0.1)
    model = controls.fitted(
        method("madry", changes=controls.FAST),
        lambda: build("lenet", mnist.facts, normalise=False),
        mnist,
        recipe,
        threat,
    )
    x, y = mnist.test.x(), mnist.test.y
    assert (model(x).argmax(1) == y).float().mean() > 0.8
    assert raised(probe(model, x, y, threat, 0)) == ()


def test_one_seed_fixes_every_finding() -> None:
    model = CONTROLS["noise"].make()
    torch.manual_seed(1)
    first = probed(model, seed=3)
    torch.rand(7)
    before = torch.get_rng_state()
    assert probed(model, seed=3) == first
    assert torch.equal(torch.get_rng_state(), before)
    assert probed(model, seed=4) != first


def test_the_model_stays_as_it_is() -> None:
    model = controls.digitscnn().eval()
    model.head.bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    learning = [p.requires_grad for p in model.parameters()]
    x, y = images()
    probe(model, x, y, THREAT, 0)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == learning
    assert all(p.grad is None for p in model.parameters())
    assert not any(part.training for part in model.modules())
    assert torch.equal(x, images()[0])


def test_the_dearest_case_stays_in_the_budget() -> None:
    model, (x, y) = CONTROLS["constant"].make(), images(IMAGES)
    with counted(model) as passes:
        probe(model, x, torch.full_like(y, 3), THREAT, 0)  # always right: nothing ever falls
    # Its logits hang on no image, so that backward passes are hardly ever seen: one a forward pass.
    assert 350 < passes.forwards / IMAGES < 900
    honest = controls.madry()
    with counted(honest) as passes:
        probe(honest, x, y, THREAT, 0)
    assert passes.forwards + 2 * passes.backwards < 1200 * IMAGES


def test_without_right_images_or_a_radius_the_rest_is_unknown() -> None:
    model, (x, y) = controls.natural(), images()
    wrong = (model(x).argmax(1) + 1) % 10
    for found, reason in (
        (probe(model, x, wrong, THREAT, 0), "no image is classified rightly"),
        (probe(model, x, y, Threat("Linf", 0.0), 0), "eps is 0"),
    ):
        measured = {"zero-gradients", "random", "probabilities"}
        assert {name for name, f in found.items() if f.status != "unknown"} == measured
        assert found["full-range"].detail == reason


def test_images_of_another_model_win_where_gradients_are_masked() -> None:
    x, y = images()
    crafted = APGD()(controls.natural(), x, y, THREAT)
    masked = probe(controls.rounded(), x, y, THREAT, 0, transferred=crafted)
    honest = probe(controls.madry(), x, y, THREAT, 0, transferred=crafted)
    assert masked["transfer-wins"].status == "up"
    assert honest["transfer-wins"].status == "ok"


def test_gradients_that_are_not_finite_stop_no_attack() -> None:
    model = Changed(controls.natural(), before=lambda x: x.sqrt() ** 2)  # 0 times infinity
    found = probed(model)
    assert "zero-gradients" in raised(found)
    assert found["full-range"].status == "ok"  # where it is finite, it is followed


def test_evidence_is_more_than_one_draw_in_a_hundred_shows() -> None:
    assert [beyond(count, 32, RARE) for count in (3, 4)] == [False, True]
    assert [beyond(count, 32, COMMON) for count in (8, 9)] == [False, True]
    assert judged(1, 1, RARE, "").status == "unknown"  # one of one may be chance
    assert judged(2, 2, RARE, "").status == "up"
    assert judged(4, 32, RARE, "fall") == Finding("up", "4 of 32 images fall")


def test_accuracy_that_rises_with_the_radius_is_evidence() -> None:
    def status(*stand: int) -> str:
        return attacks.compared(dict(zip(attacks.RADII, stand, strict=True)), 32).status

    assert status(30, 20, 10) == "ok"
    assert status(10, 12, 13) == "ok"
    assert status(10, 12, 14) == "up"
    assert status(20, 10, 14) == "up"


def test_what_iterates_say() -> None:
    wrong = torch.zeros(41, 32, dtype=torch.bool)
    wrong[30:, :9] = True  # late
    wrong[5:7, 20:24] = True  # and right again
    assert attacks.not_converged(wrong).status == "up"
    wrong[30:, 0] = False
    assert attacks.not_converged(wrong).status == "ok"
    assert attacks.silent_success(wrong).status == "up"
    assert "4 of 32" in attacks.silent_success(wrong).detail
    wrong[5:7, 20] = False
    assert attacks.silent_success(wrong).status == "ok"
    fell = torch.arange(32) < 24
    assert attacks.fgsm_wins(wrong, ~fell).status == "up"
    assert attacks.fgsm_wins(wrong, torch.ones(32, dtype=torch.bool)).status == "ok"
    assert attacks.logit_scale(wrong, wrong).status == "ok"
    assert attacks.logit_scale(wrong, fell[None]).status == "up"
    assert attacks.logit_scale(fell[None], wrong).status == "ok"


def test_right_answers_that_a_step_adds_are_counted_over_all_images() -> None:
    assert outputs.single_step_above_natural(50, 54, 64).status == "ok"
    assert outputs.single_step_above_natural(50, 55, 64).status == "up"
    assert outputs.single_step_above_natural(64, 20, 64).status == "ok"


@pytest.mark.parametrize(("make", "status"), [("rounded", "up"), ("madry", "ok")])
def test_a_suite_that_crafts_on_other_models_evaluates_their_flag(make: str, status: str) -> None:
    suite = Suite({"from-a": Transfer(source="a")}).on({"a": controls.natural()})
    images = controls.digits().test.first(40)
    (found,) = evaluate(getattr(controls, make)(), suite, images, [THREAT], 0, lambda *_: None)
    assert found.findings["transfer-wins"].status == status
