"""The training loop: determinism, stages, averages, the choice of the best, and its troubles."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.check import tiny
from robench.data.batches import Batch
from robench.data.load import Data
from robench.errors import ConfigError, Diverged, PluginError
from robench.events import Epoch, Event, Warned
from robench.threat import Threat
from robench.training.method import Adversarial, Method, Run, Stage, State, crafting, method
from robench.training.train import Trained, train
from robench.training.validate import COLLAPSED, OVERFITTED, Validation, troubles, validate

THREAT = Threat("Linf", 8 / 255)


@dataclass(frozen=True, kw_only=True)
class Plain(Method):
    """Natural training."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return F.cross_entropy(model(batch.x), batch.y)


def fit(
    chosen: Method, data: Data, seed: int = 0, tell: Callable[[Event], None] = lambda event: None,
    **recipe: Any,
) -> Trained:  # fmt: skip
    changed = replace(tiny.RECIPE, **{"epochs": 2, "validate_every": 1, **recipe})
    return train(chosen, tiny.classifier, data, changed, THREAT, seed, tell, "a cell")


def weights(trained: Trained) -> Tensor:
    tensors = trained.last.tensors.items()
    return torch.cat([v.flatten().float() for k, v in tensors if k.startswith("model.")])


def test_one_seed_fixes_everything(data: Data) -> None:
    first = fit(method("madry"), data, 3, augment="crop-flip", pad=1)
    torch.rand(7)  # whatever was drawn outside does not matter
    again = fit(method("madry"), data, 3, augment="crop-flip", pad=1)
    other = fit(method("madry"), data, 4, augment="crop-flip", pad=1)
    assert torch.equal(weights(first), weights(again))
    assert first.best.validation == again.best.validation
    assert not torch.equal(weights(first), weights(other))


def test_the_callers_random_numbers_are_left_alone(data: Data) -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    fit(method("madry"), data, epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_looking_at_validation_changes_no_weight(data: Data) -> None:
    often = fit(method("madry"), data, epochs=4, validate_every=1)
    rarely = fit(method("madry"), data, epochs=4, validate_every=3, validation_steps=2)
    assert torch.equal(weights(often), weights(rarely))


def test_methods_of_one_seed_begin_with_the_same_weights_and_batches(data: Data) -> None:
    seen: dict[str, list[Tensor]] = {}

    @dataclass(frozen=True, kw_only=True)
    class Spy(Adversarial):
        name: str

        def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
            seen.setdefault(self.name, []).append(batch.index)
            if self.name == "thirsty":
                torch.rand(5)
            return F.cross_entropy(model(x_adv), batch.y)

    for name in ("calm", "thirsty"):
        fit(Spy(name=name), data)
    assert all(torch.equal(a, b) for a, b in zip(seen["calm"], seen["thirsty"], strict=True))


def test_epochs_are_told_with_their_costs(data: Data) -> None:
    told: list[Event] = []
    fit(method("madry"), data, tell=told.append, epochs=3, validate_every=2)
    epochs = [event for event in told if isinstance(event, Epoch)]
    assert [event.epoch for event in epochs] == [1, 2, 3]
    assert {(event.forwards, event.backwards) for event in epochs} == {(256 * 11, 256 * 11)}
    looked = [event.validation_robust is not None for event in epochs]
    assert looked == [False, True, True]  # the last epoch always
    assert epochs[0].lr > epochs[2].lr > 0


def test_a_loss_that_is_not_finite_ends_it(data: Data) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Diverging(Plain):
        def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
            bad = run.progress >= 0.5 + 2 / 16
            return super().loss(model, batch, x_adv, run) * (torch.inf if bad else 1)

    with pytest.raises(Diverged, match=r"stage train, epoch 2, step 3: the loss is inf"):
        fit(Diverging(), data)


def test_stages_train_their_own_weights_with_their_own_recipe(data: Data) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Staged(Plain):
        def stages(self) -> tuple[Stage, ...]:
            return (
                Stage("body", 0.5, "body."),
                Stage("head", 0.5, "head.", {"optimizer": "adam", "lr": 0.001}),
            )

    told: list[Epoch] = []
    bodies: list[Tensor] = []

    def listen(event: Event) -> None:
        if isinstance(event, Epoch):
            told.append(event)

    class Watched(Staged):
        def deploy(self, model: nn.Module, run: Run) -> nn.Module:
            bodies.append(model.body[0].weight.detach().clone())  # type: ignore[index, union-attr]
            return model

    trained = fit(Watched(), data, tell=listen, epochs=4, schedule="constant")
    assert [event.stage for event in told] == ["body", "body", "head", "head"]
    assert [event.lr for event in told] == [0.05, 0.05, 0.001, 0.001]
    assert not torch.equal(bodies[0], bodies[1])
    assert torch.equal(bodies[1], bodies[2])
    assert torch.equal(bodies[2], bodies[3])
    assert trained.best.epoch > 2  # only the last stage's epochs can be best


def test_a_stage_that_trains_nothing_is_an_error(data: Data) -> None:
    class Lost(Plain):
        def stages(self) -> tuple[Stage, ...]:
            return (Stage(prefix="purifier."),)

    with pytest.raises(PluginError, match="no weight's name starts with"):
        fit(Lost(), data)


def test_a_stage_cannot_change_what_the_recipe_does_not_have(data: Data) -> None:
    class Wrong(Plain):
        def stages(self) -> tuple[Stage, ...]:
            return (Stage(recipe={"learning_rate": 1}),)

    with pytest.raises(ConfigError, match="recipe has no setting 'learning_rate'"):
        fit(Wrong(), data)


def test_the_average_is_the_recursion(data: Data) -> None:
    """Weights after each step, averaged by hand."""
    seen: list[Tensor] = []

    @dataclass(frozen=True, kw_only=True)
    class Watched(Plain):
        def step(
            self, model: nn.Module, batch: Batch, run: Run, optimizer: torch.optim.Optimizer
        ) -> Tensor:
            loss = super().step(model, batch, run, optimizer)
            seen.append(model.head.weight.detach().clone())  # type: ignore[operator, union-attr]
            return loss

    trained = fit(Watched(), data, ema=0.9)
    average = seen[0]
    for value in seen[1:]:
        average = 0.9 * average + 0.1 * value
    assert torch.allclose(trained.last.tensors["model.head.weight"], average, atol=1e-6)
    assert not torch.allclose(trained.last.tensors["model.head.weight"], seen[-1], atol=1e-4)


def test_state_is_kept_with_the_weights(data: Data) -> None:
    class Remembering(Plain):
        def init(self, model: nn.Module, run: Run) -> State:
            return {"visits": torch.zeros(run.num_train)}

        def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
            run.state["visits"][batch.index] += 1
            return batch.x

    trained = fit(Remembering(), data, epochs=3)
    assert torch.equal(trained.last.tensors["state.visits"], torch.full((256,), 3.0))


def scripted(natural: list[float], robust: list[float]) -> Callable[..., Validation]:
    """Validation that says what a test wants."""
    looks = iter(zip(natural, robust, strict=True))

    def look(*_: object) -> Validation:
        one, other = next(looks)
        return Validation(one, other, commonest=0.3)

    return look


@pytest.mark.parametrize(
    ("robust", "natural", "select_on", "best"),
    [
        ([0.2, 0.5, 0.4], [0.9, 0.8, 0.95], "robust", 2),
        ([0.2, 0.5, 0.4], [0.9, 0.8, 0.95], "natural", 3),
        ([0.5, 0.5, 0.4], [0.8, 0.9, 0.9], "robust", 2),  # a tie: the other accuracy
        ([0.5, 0.5, 0.5], [0.9, 0.9, 0.9], "robust", 3),  # still a tie: the later one
    ],
)
def test_the_best_is_chosen_on_the_validation_part(
    robust: list[float], natural: list[float], select_on: str, best: int, data: Data,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("robench.training.train.validate", scripted(natural, robust))
    chosen: Method = Plain() if select_on == "natural" else method("madry")
    assert chosen.select_on == select_on
    trained = fit(chosen, data, epochs=3)
    assert (trained.best.epoch, trained.last.epoch) == (best, 3)


def test_test_images_play_no_part(data: Data) -> None:
    noise = replace(data.test, y=data.test.y.flip(0))
    one, other = (fit(method("natural"), d, epochs=3) for d in (data, replace(data, test=noise)))
    assert one.best.validation == other.best.validation
    wrong = replace(data.validation, y=(data.validation.y + 1) % 4)
    shown = fit(method("natural"), replace(data, validation=wrong), epochs=3)
    assert shown.best.validation != one.best.validation  # whereas these are looked at


@dataclass(frozen=True, kw_only=True)
class Watching(Plain):
    """Keeps the images of its last step, and the mode in which it would craft."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        run.log["mean"] = batch.x.mean()
        run.log["edge"] = batch.x[:, :, 0].mean()
        run.log["train"] = float(run.craft == "train")
        return super().loss(model, batch, x_adv, run)


def test_the_recipe_is_what_runs(data: Data) -> None:
    def last(**recipe: Any) -> tuple[Trained, dict[str, float]]:
        told: list[Event] = []
        found = fit(Watching(), data, tell=told.append, epochs=1, **recipe)
        return found, [event for event in told if isinstance(event, Epoch)][-1].log

    plain, logged = last()
    assert logged["train"] == 0
    assert last(craft="train")[1]["train"] == 1
    assert last(augment="crop", pad=4)[1]["edge"] < logged["edge"]  # shifted: black comes in
    for changed in ({"momentum": 0.0}, {"weight_decay": 0.1}, {"nesterov": True}):
        assert not torch.equal(weights(plain), weights(last(**changed)[0])), changed


def test_a_stage_changes_only_what_it_can() -> None:
    Stage(recipe={"lr": 0.1, "optimizer": "adam"})
    with pytest.raises(PluginError, match=r"stage 'train' cannot change recipe\.epochs"):
        Stage(recipe={"epochs": 3})


def test_validation_counts_what_pgd_leaves(data: Data) -> None:
    trained = fit(Plain(), data, epochs=4)
    model = tiny.classifier()
    model.load_state_dict({k.removeprefix("model."): v for k, v in trained.last.tensors.items()})
    looks = [
        validate(model, data.validation, Threat("Linf", eps), steps=5, seed=0)
        for eps in (0.0, 0.25, 0.6)
    ]
    assert looks[0].natural == looks[0].robust == looks[1].natural
    assert looks[0].robust > looks[1].robust > looks[2].robust
    assert looks[0].commonest == pytest.approx(0.25, abs=0.05)
    assert validate(model, data.validation, Threat("Linf", 0.25), 5, 0, chunk=7).natural == (
        looks[1].natural
    )


def test_validation_is_in_full_precision(data: Data) -> None:
    seen: list[bool] = []

    def look(*_: object) -> None:
        seen.append(torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32)

    model = tiny.classifier()
    model.register_forward_hook(look)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        validate(model, data.validation, THREAT, steps=2, seed=0)
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    assert len(seen) >= 4
    assert not any(seen)


def test_weights_changed_within_a_step_are_seen_by_its_next_pass(data: Data) -> None:
    seen: list[bool] = []

    @dataclass(frozen=True, kw_only=True)
    class Looks(Plain):
        def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
            seen.append(torch.is_autocast_cache_enabled())
            return batch.x

    fit(Looks(), data, epochs=1)
    assert seen
    assert not any(seen)


def test_collapse_is_recorded_and_said(data: Data) -> None:
    class Constant(Plain):
        def deploy(self, model: nn.Module, run: Run) -> nn.Module:
            class Always(nn.Module):
                def forward(self, x: Tensor) -> Tensor:
                    return F.one_hot(torch.zeros(len(x), dtype=torch.long), 4) + 0 * x.sum()

            return Always()

    told: list[Event] = []
    trained = fit(Constant(), data, tell=told.append)
    assert [(t.flag, t.epoch) for t in trained.troubles] == [(COLLAPSED, 1), (COLLAPSED, 2)]
    warnings = [event.text for event in told if isinstance(event, Warned)]
    assert warnings == ["a cell: epoch 1: 100% of the validation images get one class"]


def test_catastrophic_overfitting_is_a_fall_of_robust_accuracy_alone() -> None:
    good = Validation(natural=0.8, robust=0.5, commonest=0.3)
    fallen = Validation(natural=0.85, robust=0.1, commonest=0.3)
    worse = Validation(natural=0.3, robust=0.1, commonest=0.3)
    assert [t.flag for t in troubles(7, fallen, [good], robust=True)] == [OVERFITTED]
    assert troubles(7, fallen, [good], robust=False) == []
    assert troubles(7, worse, [good], robust=True) == []
    assert troubles(7, good, [fallen], robust=True) == []
    assert troubles(1, fallen, [], robust=True) == []


def test_a_fall_of_robust_accuracy_is_recorded_once_and_at_its_epochs(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = scripted([0.8, 0.8, 0.9, 0.9, 0.9], [0.4, 0.5, 0.1, 0.05, 0.6])
    monkeypatch.setattr("robench.training.train.validate", looks)
    told: list[Event] = []
    trained = fit(method("madry"), data, tell=told.append, epochs=5)
    assert [(t.flag, t.epoch) for t in trained.troubles] == [(OVERFITTED, 3), (OVERFITTED, 4)]
    warnings = [event.text for event in told if isinstance(event, Warned)]
    assert warnings == ["a cell: epoch 3: validation PGD accuracy fell from 50.0% to 10.0%"]


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_crafting_sets_the_mode_and_gives_it_back(mode: str, batch: Batch, run: Run) -> None:
    model = tiny.classifier().train()
    statistics = model.body[1].running_mean.clone()  # type: ignore[index]
    with crafting(model, mode):  # type: ignore[arg-type]
        assert model.training == (mode == "train")
        method("madry").perturb(model, batch, run)
    moved = not torch.equal(model.body[1].running_mean, statistics)  # type: ignore[index]
    assert moved == (mode == "train")
    assert model.training


def test_bf16_is_for_cuda_only(data: Data) -> None:
    assert torch.equal(weights(fit(Plain(), data, bf16=True)), weights(fit(Plain(), data)))
