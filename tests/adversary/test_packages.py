"""Other packages' attacks behind the protocol: the same numbers as calling them directly."""

import sys
import types

import pytest
import torch
from torch import Tensor, nn

from robench.adversary.packages import AutoAttack, TorchattacksAPGD, TorchattacksPGD
from robench.adversary.suite import suite
from robench.errors import AttackError
from robench.seeds import derive, seeded
from robench.threat import Threat
from tests.conftest import Unsure

THREAT = Threat("Linf", 0.015)


@pytest.fixture(scope="module")
def few(unsure: Unsure) -> tuple[nn.Module, Tensor, Tensor]:
    """A network and 24 images that it gets right."""
    right = (unsure.model(unsure.batch.x).argmax(1) == unsure.batch.y).nonzero().squeeze(1)[:24]
    return unsure.model, unsure.batch.x[right], unsure.batch.y[right]


def test_components_are_the_packages_standard_version(
    few: tuple[nn.Module, Tensor, Tensor],
) -> None:
    package = pytest.importorskip("pyautoattack")
    model, x, y = few
    for component in ("apgd-ce", "apgd-t"):
        with seeded(11):
            own = AutoAttack(component)(model, x, y, THREAT)
        whole = package.AutoAttack(model, norm="Linf", eps=THREAT.eps, seed=11)
        whole.attacks_to_run = [component]
        whole.apgd_targeted.n_target_classes = 3  # four classes have three others
        with seeded(0):
            direct, _ = whole.run_standard_evaluation(x, y, batch_size=len(x))
        assert torch.equal(own, direct)


@pytest.mark.parametrize(("component", "attribute", "budget"), [
    ("apgd-ce", "apgd", {"n_restarts": 1, "n_iter": 100}),
    ("apgd-t", "apgd_targeted", {"n_restarts": 1, "n_iter": 100, "n_target_classes": 9}),
    ("fab-t", "fab", {"n_restarts": 1, "n_iter": 100, "n_target_classes": 9}),
    ("square", "square", {"n_queries": 5000, "n_restarts": 1}),
])  # fmt: skip
def test_published_budgets(
    component: str, attribute: str, budget: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pytest.importorskip("pyautoattack")
    used: list[object] = []

    def spy(self: object, x: Tensor, y: Tensor, **_: object) -> tuple[Tensor, Tensor]:
        used.append(self)
        return x, y

    monkeypatch.setattr(package.AutoAttack, "run_standard_evaluation", spy)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 10))
    AutoAttack(component)(model, torch.rand(3, 3, 8, 8), torch.arange(3), THREAT)  # type: ignore[arg-type]
    (attack,) = used
    part = getattr(attack, attribute)
    assert {name: getattr(part, name) for name in budget} == budget
    assert attack.attacks_to_run == [component]  # type: ignore[attr-defined]


def test_the_original_package_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, object]] = []

    class Original:
        attacks_to_run: list[str]
        verbose: bool

        def __init__(self, model: nn.Module, **settings: object) -> None:
            self.apgd_targeted = types.SimpleNamespace(n_target_classes=9)
            self.fab = types.SimpleNamespace(n_target_classes=9)
            self.square = types.SimpleNamespace(n_queries=1)
            calls.append(settings)

        def run_standard_evaluation(self, x: Tensor, y: Tensor, bs: int = 250) -> Tensor:
            said = {"run": self.attacks_to_run, "verbose": self.verbose}
            calls.append({"bs": bs, "queries": self.square.n_queries, **said})
            return x

    module = types.ModuleType("autoattack")
    module.__spec__ = types.SimpleNamespace(name="autoattack")  # type: ignore[assignment]
    Original.__module__ = "autoattack.autoattack"
    module.AutoAttack = Original  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "autoattack", module)
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 10)), torch.rand(3, 3, 2, 2)
    with seeded(7):
        assert torch.equal(AutoAttack("square")(model, x, torch.arange(3), THREAT), x)
    assert calls[0]["seed"] == 7
    assert calls[1] == {"bs": 3, "run": ["square"], "verbose": False, "queries": 5000}


def test_too_few_classes_for_a_targeted_attack() -> None:
    pytest.importorskip("pyautoattack")
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    with pytest.raises(AttackError, match="needs at least 4 classes"):
        AutoAttack("apgd-t")(model, torch.rand(2, 3, 2, 2), torch.arange(2), THREAT)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_torchattacks_with_explicit_budgets(
    norm: str, few: tuple[nn.Module, Tensor, Tensor]
) -> None:
    pytest.importorskip("torchattacks")
    model, x, y = few
    threat = Threat(norm, 0.015 if norm == "Linf" else 0.15)  # type: ignore[arg-type]
    attacks = (TorchattacksPGD(steps=10), TorchattacksAPGD(loss="ce", steps=20, restarts=1))
    for attack in attacks:
        with seeded(1):
            x_adv = attack(model, x, y, threat)
        assert (threat.distance(x_adv, x) <= threat.eps + 1e-5).all()
        assert (model(x_adv).argmax(1) != y).any()


def test_autoattack_stands_on_no_more_than_pgd(unsure: Unsure) -> None:
    """The order that a true harness cannot break: the stronger suite leaves fewer standing."""
    pytest.importorskip("pyautoattack")
    x, y = unsure.batch.x[:12], unsure.batch.y[:12]
    stand = {
        name: list(suite(name).run(unsure.model, x, y, THREAT, derive(0, name)))[-1][1].sum().item()
        for name in ("quick", "autoattack")
    }
    assert stand["autoattack"] <= stand["quick"]
