"""AToP: what is attacked, what is rebuilt, what the labels reach, and what stays frozen."""

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.gradient import expected
from robench.adversary.losses import cross_entropy
from robench.check import tiny
from robench.check.finding import equal, snapshot
from robench.data.batches import Batch
from robench.data.load import Data
from robench.errors import ConfigError
from robench.models.classifier import Classifier
from robench.models.passes import Passes, counted
from robench.models.purifier import Purified, Purifier
from robench.models.transforms import Drawn
from robench.threat import Threat
from robench.training.checkpoint import restore, to_bytes
from robench.training.epochs import new_run
from robench.training.method import Method, Run, crafting, method
from robench.training.train import Trained, train

CPU = torch.device("cpu")
EPS = 8 / 255
LINF = Threat("Linf", EPS)


@cache
def trained(**changes: object) -> Trained:
    """An epoch a stage on a part of the tiny task, behind the frozen classifier."""
    recipe, few = replace(tiny.RECIPE, epochs=2), tiny.data(train=96)
    return train(make(**changes), started, few, recipe, LINF, 0, lambda event: None)


@cache
def natural() -> Trained:
    """What the frozen classifier is: a stand-in for another cell's checkpoint."""
    return train(
        method("natural"), tiny.classifier, tiny.data(), tiny.RECIPE, LINF, 0, lambda event: None
    )


def started() -> Classifier:
    network = tiny.classifier()
    network.load_state_dict(of("model.", natural()))
    return network


def of(prefix: str, source: Trained) -> dict[str, Tensor]:
    tensors = source.last.tensors
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def make(**changes: object) -> Method:
    return method("atop", changes={"width": 4, **changes})


def built(chosen: Method, run: Run) -> Purified:
    torch.manual_seed(0)
    model = chosen.build(started, run)
    assert isinstance(model, Purified)
    return model


def at(stage: str, progress: float = 0.5, threat: Threat = LINF) -> Run:
    return Run(threat, 256, 4, 3, stage=stage, progress=progress)


def fgsm(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(model(leaf), y, reduction="sum"), leaf)
    return (x + eps * slope.sign()).clamp(0, 1)


def test_it_attacks_the_classifier_alone(batch: Batch) -> None:
    chosen, run = make(), at("finetune")
    model = built(chosen, run).eval()
    x_adv = chosen.perturb(model, batch, run)
    assert torch.equal(x_adv, chosen.perturb(model, batch, run))  # nothing random is in it
    assert torch.allclose(x_adv, fgsm(model.classifier, batch.x, batch.y, EPS), atol=1e-6)


def test_or_all_that_is_deployed(batch: Batch) -> None:
    chosen, run = make(attack_target="pipeline"), at("finetune")
    model = built(chosen, run).eval()
    torch.manual_seed(3)
    x_adv = chosen.perturb(model, batch, run)
    torch.manual_seed(3)
    assert torch.allclose(x_adv, fgsm(model, batch.x, batch.y, EPS), atol=1e-6)
    assert (x_adv - fgsm(model.classifier, batch.x, batch.y, EPS)).abs().max() > EPS


@pytest.mark.parametrize("target", ["classifier", "pipeline"])
@pytest.mark.parametrize("threat", [LINF, Threat("L2", 0.25)], ids=["Linf", "L2"])
def test_attacked_images_lie_on_the_rim(threat: Threat, target: str, batch: Batch) -> None:
    chosen, run = make(attack_target=target), at("finetune", threat=threat)
    x_adv = chosen.perturb(built(chosen, run).eval(), batch, run)
    far = threat.distance(x_adv, batch.x)
    assert far.max() <= threat.eps + 1e-6
    assert far.median() > 0.9 * threat.eps
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


@pytest.mark.parametrize(
    ("changes", "stage", "progress"),
    [
        ({}, "pretrain", 0.5),
        ({"recon_input": "adv"}, "pretrain", 0.5),
        ({"weight": 0.0}, "finetune", 0.5),
        ({"delay": 0.6}, "finetune", 0.5),
    ],
)
def test_no_attack_is_made_that_nothing_looks_at(
    changes: dict[str, object], stage: str, progress: float, batch: Batch
) -> None:
    chosen, run = make(**changes), at(stage, progress)
    model = built(chosen, run)
    with counted(model) as passes:
        assert chosen.perturb(model, batch, run) is batch.x
    assert passes == Passes()


def slow_l1(rebuilt: Tensor, target: Tensor) -> float:
    """Mean distance of pixels, both scaled to [-1, 1]."""
    pairs = zip(rebuilt.flatten().tolist(), target.flatten().tolist(), strict=True)
    return sum(abs((2 * a - 1) - (2 * b - 1)) for a, b in pairs) / rebuilt.numel()


def slow_cross_entropy(logits: Tensor, y: Tensor) -> float:
    total = 0.0
    for row, label in zip(logits.tolist(), y.tolist(), strict=True):
        total -= math.log(math.exp(row[label]) / sum(math.exp(value) for value in row))
    return total / len(y)


def slow_purify(model: Purified, x: Tensor, drawn: Drawn) -> Tensor:
    """An image, and a mask, at a time."""
    out = torch.zeros_like(x)
    for i in range(len(x)):
        noisy = (x[i] + drawn.noise[i]).clamp(0, 1)
        for mask in drawn.masks[:, i]:
            image = model.purifier((noisy * (1 - mask))[None], mask[None])[0]
            out[i] = out[i] + image * mask if len(drawn.masks) > 1 else image
    return out


@torch.no_grad()
def slow_loss(model: Purified, x: Tensor, x_adv: Tensor, y: Tensor, adv: bool) -> float:
    drawn = model.transform.draw(x)
    seen = x_adv if adv else x
    purified = slow_purify(model, x_adv, drawn)
    logits = torch.cat([model.classifier(image[None]) for image in purified])
    l1 = slow_l1(slow_purify(model, seen, drawn), seen)
    return l1 + 0.3 * slow_cross_entropy(logits, y)


@pytest.mark.parametrize("adv", [False, True], ids=["V-clean", "V-adv"])
@pytest.mark.parametrize("purifier", ["gan", "auto-encoder"])
@pytest.mark.parametrize("transform", ["rt1", "rt2", "rt3"])
def test_loss_against_a_loop(transform: str, purifier: str, adv: bool, batch: Batch) -> None:
    chosen = make(
        purifier=purifier,
        weight=0.3,
        recon_input="adv" if adv else "clean",
        **{"transform.name": transform},
    )
    run, small = at("finetune"), Batch(batch.x[:6], batch.y[:6], batch.index[:6])
    model = built(chosen, run).train()
    x_adv = LINF.random_start(small.x)
    torch.manual_seed(4)
    found = chosen.loss(model, small, x_adv, run).item()
    torch.manual_seed(4)
    expected = slow_loss(model, small.x, x_adv, small.y, adv)
    assert found == pytest.approx(expected, rel=1e-4)
    logged = run.told()
    assert logged["l1"] + 0.3 * logged["cross_entropy"] == pytest.approx(found, rel=1e-5)


class Spy(Purifier):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        self.shown.append((x, mask))
        return x


@pytest.mark.parametrize("recon_input", ["clean", "adv"])
def test_both_terms_have_the_same_noise_and_mask(recon_input: str, batch: Batch) -> None:
    chosen, run = make(recon_input=recon_input, **{"transform.sigma": 0.01}), at("finetune")
    model = built(chosen, run)
    model.purifier = spy = Spy()
    x = 0.5 * batch.x + 0.25  # far from where [0, 1] cuts
    x_adv = LINF.random_start(x)
    chosen.loss(model, replace(batch, x=x), x_adv, run)
    (one, mask), (two, other) = (spy.shown[0], spy.shown[-1])
    assert len(spy.shown) == (2 if recon_input == "clean" else 1)
    assert torch.equal(mask, other)
    seen = x if recon_input == "clean" else x_adv
    assert torch.allclose(two - one, (x_adv - seen) * (1 - mask), atol=1e-6)
    assert (one - seen * (1 - mask)).abs().max() > 0.02  # there is noise


@pytest.mark.parametrize(
    ("changes", "stage", "progress"),
    [
        ({"weight": 0.0}, "finetune", 0.5),
        ({"weight": 0.0, "recon_input": "adv"}, "finetune", 0.5),
        ({"weight": 2.0}, "pretrain", 0.5),
        ({"weight": 2.0, "delay": 0.4}, "finetune", 0.39),
        ({"weight": 2.0, "delay": 0.4}, "finetune", 0.4),
    ],
)
def test_labels_teach_only_in_fine_tuning_after_the_delay(
    changes: dict[str, object], stage: str, progress: float, batch: Batch
) -> None:
    chosen, run = make(**changes), at(stage, progress)
    model = built(chosen, run)
    found = []
    for y in (batch.y, (batch.y + 1) % 4):
        torch.manual_seed(1)
        loss = chosen.loss(model, Batch(batch.x, y, batch.index), batch.x, run)
        found.append(torch.cat([g.flatten() for g in slopes(loss, model)]))
    learns = stage == "finetune" and changes["weight"] == 2.0 and progress >= 0.4
    assert torch.equal(found[0], found[1]) != learns


def slopes(loss: Tensor, model: Purified) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, list(model.purifier.parameters()))


@pytest.mark.parametrize("changes", [{}, {"recon_input": "adv"}, {"live_gan": 0.1}])
def test_the_classifier_stays_bit_for_bit_and_the_purifier_learns(
    changes: dict[str, object],
) -> None:
    last = trained(**changes)
    assert equal(of("model.classifier.", last), of("model.", natural()))
    fresh, moved = built(make(**changes), at("pretrain")).purifier, of("model.purifier.", last)
    assert moved.keys() == fresh.state_dict().keys()
    assert not any(torch.equal(moved[name], old) for name, old in fresh.named_parameters())


def test_the_classifier_gathers_no_gradients(batch: Batch) -> None:
    chosen, run = make(), at("finetune")
    model = built(chosen, run).train()
    optimizer = torch.optim.Adam(model.purifier.parameters(), 1e-3)
    before = snapshot(model.classifier)
    for _ in range(3):
        chosen.step(model, batch, run, optimizer)
    assert all(p.grad is None for p in model.classifier.parameters())
    assert equal(before, snapshot(model.classifier))


def test_the_adversarial_term_is_off_or_teaches_the_purifier(batch: Batch) -> None:
    """The authors' own, on detached images, would change the loss and not its gradient."""
    assert built(make(), at("pretrain")).purifier.critic is None
    found = {}
    for live in (1e-9, 1.0):
        chosen, run = make(live_gan=live), at("pretrain")
        model = built(chosen, run).eval()
        torch.manual_seed(1)
        loss = chosen.loss(model, batch, batch.x, run)
        names = [name for name, _ in model.purifier.named_parameters()]
        found[live] = dict(zip(names, slopes(loss, model), strict=True))
    for name, slope in found[1.0].items():
        same = torch.allclose(slope, found[1e-9][name], atol=1e-6, rtol=1e-4)
        assert same == name.startswith("critic.")  # the critic's own loss has no such weight
        assert slope.any() or "bias" in name  # the last bias: real and rebuilt scores cancel


def test_a_critic_learns_to_tell_rebuilt_images_apart(batch: Batch) -> None:
    chosen, run = make(live_gan=1e-9), at("pretrain")
    model = built(chosen, run).train()
    critic = model.purifier.critic
    assert critic is not None
    optimizer = torch.optim.Adam(model.purifier.parameters(), 3e-3)
    for _ in range(60):
        chosen.step(model, batch, run, optimizer)
    with torch.no_grad():
        rebuilt = model.purify(batch.x, model.transform.draw(batch.x))
        assert critic(batch.x).mean() > critic(rebuilt).mean() + 0.3


def test_training_with_a_critic_repeats_under_a_seed() -> None:
    assert equal(trained(live_gan=0.1).last.tensors, trained.__wrapped__(live_gan=0.1).last.tensors)


@pytest.mark.parametrize("changes", [{}, {"live_gan": 0.1}, {"transform.name": "rt3"}])
def test_what_comes_back_from_a_file_is_what_was_trained(
    changes: dict[str, object], tmp_path: Path, data: Data
) -> None:
    chosen, last = make(**changes), trained(**changes).last
    path = tmp_path / "last.safetensors"
    path.write_bytes(to_bytes(last, {}))
    run = new_run(data, LINF, tiny.RECIPE)
    model = restore(path, chosen, tiny.classifier, run, 0, CPU)  # a plain maker: weights are inside
    assert isinstance(model, Purified)
    assert not any(module.training for module in model.modules())
    assert equal(model.state_dict(), of("model.", trained(**changes)))
    x = data.validation.x()
    with torch.no_grad():
        assert equal(model.classifier.state_dict(), started().state_dict())
        torch.manual_seed(2)
        one = model(x)
        assert not torch.equal(one, model(x))
        torch.manual_seed(2)
        assert torch.equal(one, model(x))


SETTINGS: list[dict[str, object]] = [
    {},
    {"weight": 0.0},
    {"weight": 0.0, "recon_input": "adv"},
    {"recon_input": "adv"},
    {"attack_target": "pipeline"},
    {"transform.name": "rt3"},
    {
        "transform.name": "rt3",
        "transform.rate": 0.5,
        "attack_target": "pipeline",
        "attack.steps": 3,
    },
    {"transform.name": "rt3", "recon_input": "adv"},
    {"live_gan": 0.5},
    {"purifier": "auto-encoder"},
]


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_a_step_costs_the_passes_it_declares(
    changes: dict[str, object], stage: str, batch: Batch
) -> None:
    chosen, run = make(**changes), at(stage)
    model = built(chosen, run).train()
    optimizer = torch.optim.Adam(model.purifier.parameters(), 1e-3)
    with counted(model) as spent:
        chosen.step(model, batch, run, optimizer)
    declared, n = chosen.passes(stage), len(batch.y)
    assert (spent.forwards, spent.backwards) == (n * declared.forwards, n * declared.backwards)


def test_the_default_costs_four_passes_and_one_before() -> None:
    """FGSM on the classifier, two images through the purifier, one of them classified."""
    assert make().passes("finetune") == Passes(4, 4)
    assert make().passes("pretrain") == Passes(1, 1)


def test_stages_train_the_purifier_alone_by_the_authors_optimiser() -> None:
    pretrain, finetune = method("atop", "cifar10", {"share": 0.3}).stages()
    assert (pretrain.name, finetune.name) == ("pretrain", "finetune")
    assert pretrain.share + finetune.share == pytest.approx(1)
    assert pretrain.share == 0.3
    for stage in (pretrain, finetune):
        assert stage.prefix == "purifier"
        assert stage.recipe == {"optimizer": "adam", "lr": 1e-4, "weight_decay": 0.0}


def test_it_starts_from_a_trained_classifier() -> None:
    assert make().starts_from() == "natural"
    assert make(start="madry").starts_from() == "madry"
    assert make().stochastic


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"transform.name": "rt3", "transform.rate": 0.3}, "1/N"),
        ({"start": ""}, "start"),
        ({"transform.rate": 0.0}, "rate"),
        ({"transform.name": "rt4"}, "transform"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        make(**changes)


def test_an_attack_on_all_of_it_finds_more_than_one_on_the_classifier(data: Data) -> None:
    """The authors' ablations attack the classifier alone; that flatters the purifier."""
    chosen, run = method("atop"), new_run(data, LINF, tiny.RECIPE)
    recipe = replace(tiny.RECIPE, epochs=3)
    source = train(chosen, started, data, recipe, LINF, 0, lambda event: None)
    model = built(chosen, run)
    model.purifier.load_state_dict(of("model.purifier.", source))
    with crafting(model, "eval"), torch.random.fork_rng():
        torch.manual_seed(0)
        wide, draws = Threat("Linf", 0.3), {"f alone": 1, "f(g(t(x)))": 5}
        accuracy = {
            name: stands(model, target, data, wide, draws[name])
            for name, target in {"f alone": model.classifier, "f(g(t(x)))": model}.items()
        }
    assert accuracy["f(g(t(x)))"] <= accuracy["f alone"]


def stands(model: nn.Module, target: nn.Module, data: Data, threat: Threat, draws: int) -> float:
    """Accuracy under ten signed steps up the mean gradient of several draws."""
    x, y = data.validation.x(), data.validation.y
    x_adv = threat.random_start(x)
    for _ in range(10):
        _, _, slope = expected(target, x_adv, cross_entropy, y, draws)
        x_adv = threat.project(x_adv + 0.25 * threat.eps * slope.sign(), x)
    with torch.no_grad():
        return torch.stack([model(x_adv).argmax(1) == y for _ in range(5)]).float().mean().item()
