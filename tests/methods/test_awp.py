"""AWP: its step against a slow one, what it reduces to, and that it leaves no other trace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.models.passes import counted
from robench.training.method import Method, Run, crafting, method

FAST = {"inner.attack.steps": 2, "warmup": 0}


def make(inner: str = "madry", **changes: object) -> Method:
    return method("awp", changes={"inner": inner, **FAST, **changes})


def around(inner: Method, gamma: float = 0.1) -> Method:
    awp: Any = type(method("awp"))
    made: Method = awp(inner=inner, gamma=gamma)
    return made


def stepped(chosen: Method, batch: Batch, run: Run, steps: int = 3) -> dict[str, Tensor]:
    """Weights and statistics after some steps with momentum and weight decay."""
    torch.manual_seed(1)
    model = tiny.classifier()
    optimizer = SGD(model.parameters(), 0.1, 0.9, weight_decay=5e-3)
    for _ in range(steps):
        chosen.step(model.train(), batch, run, optimizer)
    return snapshot(model)


@pytest.mark.parametrize("inner", ["madry", "trades"])
@pytest.mark.parametrize(
    "changes",
    [
        {"gamma": 0},
        {"warmup": 1},
        {"gamma": 1e-30},  # so little that no weight moves: only a trace of the way up would show
    ],
)
def test_it_is_its_inner_method(
    inner: str, changes: dict[str, object], batch: Batch, run: Run
) -> None:
    alone = stepped(method(inner, changes={"attack.steps": 2}), batch, run)
    assert equal(stepped(make(inner, **changes), batch, run), alone)
    assert not equal(stepped(make(inner, gamma=0.01), batch, run), alone)


def test_the_warm_up_is_a_share_of_training(batch: Batch, run: Run) -> None:
    alone = stepped(method("madry", changes={"attack.steps": 2}), batch, run)
    for progress, same in ((0.29, True), (0.3, False)):
        run.progress = progress
        assert equal(stepped(make(warmup=0.3), batch, run), alone) == same


def test_a_step_against_a_slow_one(batch: Batch, run: Run) -> None:
    torch.manual_seed(1)
    model = tiny.classifier()
    before = snapshot(model)
    with crafting(model, "eval"):
        torch.manual_seed(9)
        x_adv = method("madry", changes={"attack.steps": 2}).perturb(model, batch, run)
    names = [name for name, _ in model.named_parameters()]

    def slopes() -> dict[str, Tensor]:
        loss = F.cross_entropy(model.train()(x_adv), batch.y)
        found = torch.autograd.grad(loss, list(model.parameters()))
        return dict(zip(names, found, strict=True))

    up = slopes()
    raised = dict(before)  # with the statistics from before the way up
    for name in ("body.0.weight", "body.3.weight", "head.weight"):
        v = up[name] / up[name].norm() * before[name].norm()
        raised[name] = before[name] + 0.05 * v
    model.load_state_dict(raised)
    down = slopes()
    expected = {
        name: before[name] - 0.1 * down[name] if name in down else value
        for name, value in snapshot(model).items()
    }
    model.load_state_dict(before)
    torch.manual_seed(9)
    make(gamma=0.05).step(model.train(), batch, run, SGD(model.parameters(), 0.1))
    found = snapshot(model)
    # Normalisation takes a convolution's bias away: its slope is rounding, which may be nothing.
    still = ("mean", "std", "body.0.bias", "body.3.bias")
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-5, atol=1e-7), name
        moved = name.endswith(("mean", "var", "tracked")) or name in names
        assert found[name].equal(before[name]) != moved or name in still


@dataclass(frozen=True, kw_only=True)
class Watched(Method):
    """Natural training that calls somebody at each loss."""

    called: Callable[[nn.Module, Run], None]

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        self.called(model, run)
        return F.cross_entropy(model(x_adv), batch.y)


def test_weights_of_two_axes_or_more_are_raised_by_a_share_of_their_length(
    batch: Batch, run: Run
) -> None:
    seen: list[dict[str, Tensor]] = []
    chosen = around(Watched(called=lambda model, run: seen.append(snapshot(model))), gamma=0.2)
    model = tiny.classifier().train()
    chosen.step(model, batch, run, SGD(model.parameters(), 0.1))
    natural, raised = seen
    for name, weight in model.named_parameters():
        length = (raised[name] - natural[name]).norm() / natural[name].norm().clamp_min(1e-9)
        assert length.item() == pytest.approx(0.2 if weight.ndim > 1 else 0, rel=1e-4)
    buffers = {name for name, _ in model.named_buffers()}
    assert all(raised[name].equal(natural[name]) for name in buffers)


def test_weights_come_back_bit_for_bit_when_the_loss_fails(batch: Batch, run: Run) -> None:
    model, calls = tiny.classifier().train(), []

    def fail(model: nn.Module, run: Run) -> None:
        calls.append(snapshot(model))
        if len(calls) == 2:
            raise RuntimeError("out of luck")

    before = snapshot(model)
    with pytest.raises(RuntimeError, match="out of luck"):
        around(Watched(called=fail)).step(model, batch, run, SGD(model.parameters(), 0.1))
    assert not equal(calls[1], before)
    assert equal(snapshot(model), before)


def test_only_what_the_optimiser_trains_is_raised(batch: Batch, run: Run) -> None:
    seen: list[dict[str, Tensor]] = []
    chosen = around(Watched(called=lambda model, run: seen.append(snapshot(model))))
    model = tiny.classifier().train()
    chosen.step(model, batch, run, SGD(model.head.parameters(), 0.1))
    raised = {name for name, value in seen[1].items() if not value.equal(seen[0][name])}
    assert raised == {"head.weight"}


def test_a_weight_that_the_loss_does_not_see_stays(batch: Batch, run: Run) -> None:
    model = tiny.classifier().train()
    model.spare = nn.Linear(3, 3)
    before = snapshot(model.spare)
    make().step(model, batch, run, SGD(model.parameters(), 0.1))
    assert equal(snapshot(model.spare), before)


def test_the_way_up_is_not_remembered_or_logged(batch: Batch, run: Run) -> None:
    def count(model: nn.Module, run: Run) -> None:
        run.state["new"] = run.state["new"] + 1
        run.state["in place"] += 1
        run.log["calls"] = run.state["new"]
        run.note("seen", run.state["new"])

    run.state = {"new": torch.tensor(0.0), "in place": torch.tensor(0.0)}
    model = tiny.classifier().train()
    around(Watched(called=count)).step(model, batch, run, SGD(model.parameters(), 0.1))
    assert {name: value.item() for name, value in run.state.items()} == {"new": 1, "in place": 1}
    assert run.told() == {"calls": 1, "seen": 1}


@pytest.mark.parametrize(
    ("inner", "forwards", "backwards", "declared"), [("madry", 4, 4, 4), ("trades", 7, 6, 8)]
)
def test_passes_of_a_step(
    inner: str, forwards: int, backwards: int, declared: int, batch: Batch, run: Run
) -> None:
    """What is declared counts the target of TRADES' attack twice."""
    model, chosen = tiny.classifier(), make(inner)
    with counted(model) as passes:
        chosen.step(model.train(), batch, run, SGD(model.parameters(), 0.1))
    assert (passes.forwards / 64, passes.backwards / 64) == (forwards, backwards)
    most = chosen.passes("train")
    assert (most.forwards, most.backwards) == (declared, backwards)


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_the_way_up_is_declared_for_each_stage(stage: str) -> None:
    alone = method("atop").passes(stage).forwards
    found = method("awp", changes={"inner": "atop"}).passes(stage).forwards
    assert found == {"pretrain": 2 * alone, "finetune": 2 * alone - 1}[stage]  # FGSM


def test_presets_are_the_authors() -> None:
    chosen: Any = method("awp", "cifar10")
    assert chosen.inner == method("trades", "cifar10")
    assert (chosen.gamma, chosen.warmup) == (0.005, 0.045)
