"""Multinorm: each way of putting balls together, what it reduces to, and its passes."""

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.check.methods import _inside
from robench.data.batches import Batch
from robench.data.catalogue import DATASETS
from robench.errors import ConfigError
from robench.radius import BALLS, Norm
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.costs import spent

LINF = Threat("Linf", 0.05)
FEW = {f"{norm.lower()}.steps": 2 for norm in BALLS}
HOWS = ("max", "avg", "msd", "eat")
LIKE: dict[str, object] = {"l2.eps": 0.55, "l1.eps": 2.7}
"""Radii at which each of the three attacks is the worst for some of the unsure network's images."""


def make(how: str, **changes: object) -> Any:
    return method("multinorm", changes={**FEW, "how": how, **changes})


def started(chosen: Method, threat: Threat = LINF) -> Run:
    run = Run(threat, 256, 4, 3, progress=0.5)
    run.state = chosen.init(nn.Flatten(), run)
    return run


def few(unsure: Unsure, count: int = 24) -> Batch:
    batch = unsure.batch
    return Batch(batch.x[:count], batch.y[:count], batch.index[:count])


def found_alone(chosen: Any, model: nn.Module, batch: Batch, threat: Threat) -> list[Tensor]:
    """What PGD finds in each of the balls, one after the other."""
    torch.manual_seed(3)
    return [
        chosen.within(ball.norm)(model, batch.x, batch.y, ball) for ball in chosen.balls(threat)
    ]


def perturbed(chosen: Any, model: nn.Module, batch: Batch, run: Run) -> Tensor:
    torch.manual_seed(3)
    x_adv: Tensor = chosen.perturb(model, batch, run)
    return x_adv


def test_max_trains_on_the_image_of_highest_loss(unsure: Unsure) -> None:
    model, batch, chosen = unsure.model, few(unsure, 64), make("max", **LIKE)
    run = started(chosen)
    x_adv = perturbed(chosen, model, batch, run)
    alone, won = found_alone(chosen, model, batch, LINF), [0, 0, 0]
    for k in range(len(batch.y)):
        losses = [F.cross_entropy(model(x[k, None]), batch.y[k, None]).item() for x in alone]
        first = max(range(3), key=losses.__getitem__)
        won[first] += 1
        assert torch.equal(x_adv[k], alone[first][k])
    shares = run.told()
    assert [shares[f"share/{norm}"] for norm in BALLS] == pytest.approx([n / 64 for n in won])
    assert min(won) > 0
    loss = chosen.loss(model, batch, x_adv, run)
    assert torch.equal(loss, F.cross_entropy(model(x_adv), batch.y))


def test_avg_trains_on_all(unsure: Unsure) -> None:
    model, batch, chosen = unsure.model, few(unsure), make("avg")
    run = started(chosen)
    x_adv = perturbed(chosen, model, batch, run)
    alone = found_alone(chosen, model, batch, LINF)
    assert torch.equal(x_adv, torch.cat(alone))
    each = [F.cross_entropy(model(x), batch.y).item() for x in alone]
    assert len(set(each)) == 3
    loss = chosen.loss(model, batch, x_adv, run).item()
    assert loss == pytest.approx(sum(each) / 3, rel=1e-5)


def test_losses_are_ordered_as_their_names(unsure: Unsure) -> None:
    """The worst of the three is no less than their mean, and msd's is higher than any step's."""
    model, batch = unsure.model, few(unsure, 128)
    losses = {}
    for how in ("max", "avg", "msd"):
        chosen = make(how)
        run = started(chosen)
        x_adv = perturbed(chosen, model, batch, run)
        losses[how] = chosen.loss(model, batch, x_adv, run).item()
    natural = F.cross_entropy(model(batch.x), batch.y).item()
    assert natural < losses["avg"] < losses["max"]
    assert losses["msd"] > losses["avg"]


def trained(chosen: Method, batch: Batch, threat: Threat, steps: int = 3) -> list[Tensor]:
    """A network with batch normalisation after a few steps."""
    torch.manual_seed(1)
    model = tiny.classifier()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    run = started(chosen, threat)
    for _ in range(steps):
        chosen.step(model.train(), batch, run, optimizer)
    return [tensor.clone() for tensor in model.state_dict().values()]


@pytest.mark.parametrize("how", ["max", "avg", "eat"])
@pytest.mark.parametrize("norm", ["Linf", "L1"])
def test_one_norm_alone_is_adversarial_training_in_it(how: str, norm: Norm, batch: Batch) -> None:
    """Whether the grid trains in this norm, or the radius is its own."""
    changes = {"norms": (norm,), f"{norm.lower()}.eps": 0.1}
    madry = method("madry", changes={"attack.steps": 2})
    for threat in (Threat(norm, 0.1), Threat("L2", 0.7)):
        ours = trained(make(how, **changes), batch, threat)
        theirs = trained(madry, batch, Threat(norm, 0.1))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    apart = trained(madry, batch, Threat(norm, 0.2))
    assert not all(torch.equal(a, b) for a, b in zip(ours, apart, strict=True))


def test_msd_in_one_norm_takes_the_highest_of_pgds_steps(unsure: Unsure) -> None:
    model, batch = unsure.model, few(unsure)
    chosen = make("msd", norms=("Linf",), **{"linf.steps": 4, "linf.step_size": 0.1})
    x_adv = perturbed(chosen, model, batch, started(chosen))
    losses = []
    for steps in (1, 2, 3, 4):
        torch.manual_seed(3)
        pgd = PGD(steps=steps, step_size=0.1)(model, batch.x, batch.y, LINF)
        losses.append(F.cross_entropy(model(pgd), batch.y, reduction="none"))
    found = F.cross_entropy(model(x_adv), batch.y, reduction="none")
    assert torch.allclose(found, torch.stack(losses).amax(0), atol=1e-5)
    assert (found > losses[-1] + 1e-4).any()  # the last step is not always the highest


def test_balls_are_the_grids_and_the_settings(unsure: Unsure) -> None:
    radii = {"linf.eps": 0.1, "l2.eps": 0.2, "l1.eps": 0.3}
    for how in HOWS:
        chosen = make(how, **radii)
        for threat in (Threat("Linf", 0.05), Threat("L1", 0.7), Threat("L2", 0.05)):
            expected = {"Linf": 0.1, "L2": 0.2, "L1": 0.3} | {threat.norm: threat.eps}
            if how == "eat":
                del expected["L2"]
            found = {ball.norm: ball.eps for ball in chosen.balls(threat)}
            assert found == expected


@pytest.mark.parametrize("how", HOWS)
def test_images_lie_where_it_says_and_nowhere_less(how: str, unsure: Unsure) -> None:
    """Each in a ball; and each ball has some that no other one holds."""
    chosen, batch = make(how, **LIKE), few(unsure, 128)
    run, alone = started(chosen), set()
    for _ in range(6 if how == "eat" else 1):  # several batches: it draws
        x_adv = chosen.perturb(unsure.model, batch, run)
        x = batch.x.repeat(len(x_adv) // 128, 1, 1, 1)
        inside = torch.stack(
            [ball.distance(x_adv, x) <= ball.eps + 1e-5 for ball in chosen.balls(LINF)]
        )
        assert inside.any(0).all()
        alone |= {int(ball) for ball in inside[:, inside.sum(0) == 1].float().argmax(0)}
    assert len(alone) == (2 if how == "eat" else 3)


class Fixed(nn.Module):
    """Right about some images only, however they are perturbed."""

    def __init__(self, right: list[bool]) -> None:
        super().__init__()
        self.right, self.anchor = torch.tensor(right), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        steady = 0 * x.flatten(1).sum(1) * self.anchor
        return torch.stack([steady + self.right * 2.0 - 1, steady], dim=1)


STILL: dict[str, object] = {"linf.steps": 0, "l1.steps": 0}


def four() -> Batch:
    return Batch(torch.rand(4, 1, 2, 2), torch.zeros(4).long(), torch.arange(4))


def test_eat_draws_in_proportion_to_what_fell() -> None:
    chosen, batch = make("eat", **STILL), four()
    run, model = started(chosen), Fixed([True, True, True, False])
    drawn = torch.zeros(2)
    torch.manual_seed(0)
    run.state = {"right": torch.tensor([3e6, 9e6]), "seen": torch.tensor([1e7, 1e7])}
    for _ in range(300):  # 0.7 of the one have fallen, 0.1 of the other
        before = run.state["seen"]
        chosen.perturb(model, batch, run)
        drawn += (run.state["seen"] > before).float()
    assert drawn.sum() == 300
    assert drawn[0] / 300 == pytest.approx(0.7 / 0.8, abs=0.05)


def test_eat_counts_what_stands_in_the_norm_that_it_drew() -> None:
    chosen, batch = make("eat", **STILL), four()
    run, model = started(chosen), Fixed([True, True, True, False])
    torch.manual_seed(0)
    for _ in range(20):
        chosen.perturb(model, batch, run)
    seen = run.state["seen"]
    assert seen.sum() == 80
    assert (seen > 0).all()
    assert torch.equal(run.state["right"], seen * 0.75)
    shares = run.told()
    assert shares["share/Linf"] == pytest.approx(seen[0].item() / 80)
    assert shares["share/L1"] == pytest.approx(seen[1].item() / 80)


@pytest.mark.parametrize(
    ("right", "seen"), [((0, 0), (0, 0)), ((5, 0), (10, 0)), ((10, 10), (10, 10))]
)
def test_eat_draws_evenly_where_nothing_is_known(
    right: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    """At first, and when nothing has ever fallen."""
    chosen, batch = make("eat", **STILL), four()
    drawn = torch.zeros(2)
    torch.manual_seed(1)
    for _ in range(120):
        run = started(chosen)
        run.state = {"right": torch.tensor(right).float(), "seen": torch.tensor(seen).float()}
        chosen.perturb(Fixed([True] * 4), batch, run)
        drawn += (run.state["seen"] > torch.tensor(seen)).float()
    assert drawn[0] / 120 == pytest.approx(0.5, abs=0.15)


def test_norms_that_make_no_sense_are_refused() -> None:
    for how, norms in (("avg", ()), ("max", ("L1", "L1")), ("eat", ("L2",))):
        with pytest.raises(ConfigError, match="norms should name each norm once"):
            make(how, norms=norms)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("norms", [("Linf",), ("Linf", "L1"), BALLS])
@pytest.mark.parametrize("steps", [0, 3])
def test_passes_of_a_step(
    how: str, norms: tuple[str, ...], steps: int, batch: Batch, run: Run
) -> None:
    changes = {"norms": norms} | {f"{norm.lower()}.steps": steps for norm in BALLS}
    model, chosen = tiny.classifier(), make(how, **changes)
    run.state = chosen.init(model, run)
    assert spent(chosen, model, batch, run) == chosen.passes("train")


def test_passes_are_those_of_the_papers() -> None:
    """40, 50 and 50 steps; eat with 10 has a look at what it found besides."""
    ten = {"linf.steps": 10, "l1.steps": 10}
    expected = {"max": (144, 141), "avg": (143, 143), "msd": (201, 51)}
    for how, passes in expected.items():
        chosen = method("multinorm", "cifar10", {"how": how})
        assert (chosen.passes("train").forwards, chosen.passes("train").backwards) == passes
    eat = method("multinorm", "cifar10", {"how": "eat", **ten}).passes("train")
    assert (eat.forwards, eat.backwards) == (12, 11)


class Twice(Method):
    """The whole batch as it is, and moved by more than it says."""

    by: ClassVar[float]

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        return torch.cat([batch.x, (batch.x + self.by).clamp(max=1)])


@pytest.mark.parametrize(("by", "problem"), [(0.02, ""), (0.06, "perturb leaves the ball by 0.01")])
def test_of_a_batch_several_times_over_all_is_checked(by: float, problem: str) -> None:
    Twice.by = by
    assert _inside(Twice(), LINF).startswith(problem)
    assert bool(_inside(Twice(), LINF)) == bool(problem)


@pytest.mark.parametrize("name", ["multinorm", "minmax"])
def test_presets_have_the_catalogues_radii(name: str) -> None:
    for dataset, facts in DATASETS.items():
        chosen: Any = method(name, dataset)
        assert {norm: chosen.within(norm).eps for norm in BALLS} == {
            norm: float(facts.eps[norm]) for norm in BALLS
        }
    same = method(name) == method(name, "digits")
    assert same
    mnist: Any = method(name, "mnist")
    assert (mnist.linf.eps, mnist.l2.eps, mnist.l1.eps) == (0.3, 2, 10)
    assert (mnist.linf.steps, mnist.linf.step_size) == (40, 0.01)
