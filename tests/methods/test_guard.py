"""The guard: what it sees, when it ends a training, and that it leaves no trace before."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.data.load import Data
from robench.errors import ConfigError
from robench.events import Epoch, Event
from robench.models.passes import counted
from robench.seeds import seeded
from robench.threat import Threat
from robench.training.method import Method, Run, State, method
from robench.training.train import Trained, train
from tests.mortal import Killed, Mortal

THREAT = Threat("Linf", 8 / 255)
GUARD: Any = type(method("guard"))


@dataclass(frozen=True, kw_only=True)
class Falling(Method):
    """Learns, and learns wrong labels in the last half of training; counts its steps."""

    def init(self, model: nn.Module, run: Run) -> State:
        return {"steps": torch.tensor(0)}

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        run.state["steps"] = run.state["steps"] + 1
        return F.cross_entropy(model(batch.x), (batch.y + (run.progress >= 0.5)) % 4)


def fit(
    chosen: Method, data: Data, keeper: Mortal | None = None, **recipe: Any
) -> tuple[Trained, list[Epoch]]:
    events: list[Event] = []
    changed = replace(tiny.RECIPE, **{"epochs": 6, "validation_steps": 1, **recipe})
    given = (chosen, tiny.classifier, data, changed, THREAT, 0, events.append, "", keeper)
    return train(*given), [event for event in events if isinstance(event, Epoch)]


def under(prefix: str, trained: Trained) -> dict[str, Tensor]:
    tensors = trained.last.tensors.items()
    return {name.removeprefix(prefix): v for name, v in tensors if name.startswith(prefix)}


def test_while_nothing_falls_it_is_its_inner_method(data: Data) -> None:
    alone, _ = fit(method("fgsm"), data, epochs=2)
    guarded, events = fit(method("guard"), data, epochs=2)
    assert equal(under("model.", guarded), under("model.", alone))
    assert guarded.looks == alone.looks
    assert [set(event.log) for event in events] == [{"guard/robust"}] * 2


def test_with_a_bound_of_one_nothing_can_fall_too_far(data: Data) -> None:
    alone, _ = fit(Falling(), data)
    guarded, _ = fit(GUARD(inner=Falling(), drop=1.0), data)
    assert equal(under("model.", guarded), under("model.", alone))


def test_a_fall_ends_training_where_it_was_good(data: Data) -> None:
    bad, _ = fit(Falling(), data)
    guarded, events = fit(GUARD(inner=Falling()), data)
    assert bad.last.validation.natural < 0.1 < 0.9 < guarded.last.validation.natural
    assert ["guard/robust" in event.log for event in events] == [True] * 4 + [False] * 2
    assert events[3].log["guard/robust"] < events[2].log["guard/robust"] - 0.2
    rest = events[4:]
    assert [event.log["guard/stopped"] for event in rest] == [1, 1]
    assert [(event.forwards, event.backwards) for event in rest] == [(0, 0)] * 2
    assert rest[0].loss == rest[1].loss < 1
    kept = under("state.", guarded)
    assert kept.keys() == {"steps", "guard/stopped"}
    assert kept["steps"] == 3 * 8  # what the method remembers went back, too


def test_an_average_around_it_goes_back_as_well(data: Data) -> None:
    ema: Any = type(method("ema"))
    bad, _ = fit(ema(inner=Falling(), decay=0.9), data)
    guarded, _ = fit(ema(inner=GUARD(inner=Falling()), decay=0.9), data)
    assert bad.last.validation.natural < 0.1 < 0.9 < guarded.last.validation.natural
    good, _ = fit(GUARD(inner=Falling()), data)
    ends = under("state.ema/", guarded)
    for name, value in under("model.", good).items():
        assert not value.is_floating_point() or torch.allclose(ends[name], value, atol=0.05)


@pytest.mark.parametrize(("saves", "dies"), [(20, 34), (44, 46)])
def test_it_goes_on_bit_for_bit_after_a_fall(saves: int, dies: int, data: Data) -> None:
    whole, _ = fit(GUARD(inner=Falling()), data)
    first = Mortal(saves, dies)
    with pytest.raises(Killed):
        fit(GUARD(inner=Falling()), data, first)
    again, _ = fit(GUARD(inner=Falling()), data, Mortal(kept=first.kept))
    assert equal(whole.last.tensors, again.last.tensors)
    assert equal(whole.best.tensors, again.best.tensors)


Robust = Callable[[Any, nn.Module, Run], Tensor]


def looking(values: list[float]) -> Robust:
    """Looks that see these, one after the other."""
    left = iter(values)
    return lambda guard, model, run: torch.tensor(next(left))


@pytest.mark.parametrize(
    ("seen", "ends"),
    [
        ([0.5, 0.25], 2),
        ([0.5, 0.3125], 0),
        ([0.75, 0.625, 0.5, 0.375, 0.25], 0),  # slowly: each look is held against the one before
        ([0.125, 0.5, 0.625, 0.125], 4),
    ],
)
def test_a_look_is_held_against_the_one_before(
    seen: list[float], ends: int, batch: Batch, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GUARD, "_robust", looking(seen))
    chosen, model = method("guard"), tiny.classifier().train()
    run.state, run.ends_epoch = chosen.init(model, run), True
    optimizer, weights = SGD(model.parameters(), 0.1), []
    for _ in seen:
        chosen.step(model, batch, run, optimizer)
        weights.append(snapshot(model))
    assert ("guard/stopped" in run.state) == bool(ends)
    if ends:
        assert equal(weights[-1], weights[-2])
        chosen.step(model, batch, run, optimizer)
        assert equal(snapshot(model), weights[-2])


def test_there_are_looks_at_the_ends_of_epochs_only(
    batch: Batch, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GUARD, "_robust", looking([0.5]))
    chosen, model = method("guard"), tiny.classifier()
    run.state = chosen.init(model, run)
    for run.ends_epoch in (False, False, True, False):
        chosen.step(model.train(), batch, run, SGD(model.parameters(), 0.1))
    assert run.state["guard/robust"] == 0.5


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_a_look_is_pgd_with_steps_of_a_quarter_of_eps(norm: Any, data: Data, run: Run) -> None:
    images, eps = data.train.first(256), {"Linf": 0.2, "L2": 2.5}[norm]
    run.threat, model = Threat(norm, eps), tiny.classifier().train()
    optimizer = SGD(model.parameters(), 0.1)
    for _ in range(12):
        F.cross_entropy(model(images.x()), images.y).backward()
        optimizer.step()
    before, drawn = snapshot(model), torch.get_rng_state()
    guard: Any = method("guard")
    found = guard._robust(model, run)
    assert torch.equal(guard._robust(model, run), found)
    assert model.training
    assert equal(snapshot(model), before)
    assert torch.equal(torch.get_rng_state(), drawn)
    model.eval()
    with seeded(0):
        x_adv = PGD(steps=5, step_size=eps / 4)(model, images.x(), images.y, run.threat)
    assert found == (model(x_adv).argmax(1) == images.y).float().mean()
    assert 0.02 < found < 0.98 * (model(images.x()).argmax(1) == images.y).float().mean()


def test_passes_of_a_step_and_of_a_look(batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier().train(), method("guard")
    run.state = chosen.init(model, run)
    for run.ends_epoch in (False, True):
        with counted(model) as passes:
            chosen.step(model, batch, run, SGD(model.parameters(), 0.1))
        declared, looked = chosen.passes("train"), 256 * run.ends_epoch
        assert passes.forwards == 64 * declared.forwards + 6 * looked
        assert passes.backwards == 64 * declared.backwards + 5 * looked


def test_without_images_it_says_so(batch: Batch, run: Run) -> None:
    model, chosen = tiny.classifier().train(), method("guard")
    run.state, run.ends_epoch, run.pool = chosen.init(model, run), True, None
    with pytest.raises(ConfigError, match="guard needs training images"):
        chosen.step(model, batch, run, SGD(model.parameters(), 0.1))


def test_only_the_last_stage_is_guarded(
    batch: Batch, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another one what is attacked may not be what is trained."""
    monkeypatch.setattr(GUARD, "_robust", looking([0.5]))
    chosen = method("guard", changes={"inner": "atop"})
    model = chosen.build(tiny.classifier, run)
    run.state, run.ends_epoch = chosen.init(model, run), True
    for run.stage in ("pretrain", "pretrain", "finetune"):
        chosen.step(model.train(), batch, run, SGD(model.parameters(), 0.1))
    assert run.state["guard/robust"] == 0.5


def test_it_guards_what_the_authors_do() -> None:
    for dataset in ("mnist", "cifar10", "digits"):
        chosen: Any = method("guard", dataset)
        assert chosen.inner == method("fgsm", dataset)
        assert (chosen.drop, chosen.steps) == (0.2, 5)
