"""DML: its loss against a loop, what it attacks and trains on, and the classifier made of it."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench import plugins
from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.models.classifier import Classifier
from robench.models.passes import Passes
from robench.models.prepared import prepared
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.methods.costs import spent

PLUGIN = plugins.get("methods", "dml").load()


def make(**changes: object) -> Method:
    return method("dml", changes={"attack.steps": 3, **changes})


def begun(chosen: Method, run: Run, eps: float | None = None) -> tuple[Classifier, Run]:
    """A network, and a training of it that knows it."""
    torch.manual_seed(1)
    model = tiny.classifier()
    threat = run.threat if eps is None else Threat("Linf", eps)
    run = replace(run, threat=threat)
    run.state = chosen.init(model, run)
    return model, run


def unit(count: int, seed: int, width: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, width, generator=generator))


def loop(found: Tensor, y: list[int], others: Tensor, margin: float) -> list[float]:
    """The loss of each image, pair by pair."""
    losses = []
    for i in range(len(y)):
        far, near = [], []
        for j in range(len(y)):
            distance = math.dist(found[i].tolist(), others[j].tolist())
            if y[i] == y[j] and i != j:
                far.append(distance**2)
            elif y[i] != y[j] and distance < margin:
                near.append((margin - distance) ** 2)
        losses.append(sum(far) / max(len(far), 1) + sum(near) / max(len(near), 1))
    return losses


@given(
    y=st.lists(st.integers(0, 3), min_size=1, max_size=9),
    margin=st.floats(0.1, 2),
    seed=st.integers(0, 99),
)
def test_the_loss_of_each_image_against_a_loop(y: list[int], margin: float, seed: int) -> None:
    found, others = unit(len(y), seed), unit(len(y), seed + 100)
    expected = loop(found, y, others, margin)
    losses = PLUGIN.contrastive(found, torch.tensor(y), others, margin)
    assert losses.tolist() == pytest.approx(expected, abs=1e-4)


def test_the_loss_is_least_where_classes_are_points_a_margin_apart() -> None:
    y = torch.tensor([0, 0, 1, 1, 2])
    points = torch.eye(3)[y]
    assert PLUGIN.contrastive(points, y, points, 1.4).tolist() == pytest.approx([0] * 5, abs=1e-6)
    heap = torch.eye(3)[torch.zeros_like(y)].requires_grad_()
    losses = PLUGIN.contrastive(heap, y, heap, 1.4)
    assert losses.tolist() == pytest.approx([1.4**2] * 5, rel=1e-5)
    assert torch.autograd.grad(losses.sum(), heap)[0].isfinite().all()


def test_the_loss_is_of_attacked_images_beside_natural_ones(batch: Batch, run: Run) -> None:
    model, run = begun(make(), run)
    model.eval()
    x_adv = run.threat.random_start(batch.x)
    found = make(margin=1.3).loss(model, batch, x_adv, run).item()
    ends = [F.normalize(model.features(x)).detach() for x in (x_adv, batch.x)]
    expected = loop(ends[0], batch.y.tolist(), ends[1], 1.3)
    assert found == pytest.approx(sum(expected) / len(expected), rel=1e-4)


def test_each_image_is_attacked_with_the_others_held_fixed(batch: Batch, run: Run) -> None:
    """Alone in its attack, among the same others, an image ends where it does with all of them."""
    chosen = make(**{"attack.start": "none"})
    model, run = begun(chosen, run)
    model.eval()
    together = chosen.perturb(model, batch, run)
    others = F.normalize(model.features(batch.x)).detach()
    for i in range(3):
        x = batch.x[i : i + 1].clone()
        for _ in range(3):
            leaf = x.requires_grad_()
            all_of_them = others.clone()
            all_of_them[i] = F.normalize(model.features(leaf))[0]
            loss = PLUGIN.contrastive(all_of_them, batch.y, others, 1.0)[i]
            (grad,) = torch.autograd.grad(loss, leaf)
            step = run.threat.eps * 2.5 / 3 * grad.sign()
            x = run.threat.project(x.detach() + step, batch.x[i : i + 1])
        # The sign of a gradient near 0 may differ by the order of a sum.
        assert ((x - together[i]).abs() < 1e-6).float().mean() > 0.97
    raised = [
        PLUGIN.contrastive(F.normalize(model.features(z)).detach(), batch.y, others, 1.0)
        for z in (batch.x, together)
    ]
    assert raised[1].mean() > raised[0].mean() + 0.01


class Plain(Method):
    """Metric learning on natural images, nothing else."""

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        assert isinstance(model, Classifier)
        one, two = (F.normalize(model.features(batch.x)) for _ in range(2))
        losses: Tensor = PLUGIN.contrastive(one, batch.y, two, 1.0)
        return losses.mean()


@pytest.mark.parametrize(
    ("changes", "eps"), [({}, 0.0), ({"attack.steps": 0, "attack.start": "none"}, None)]
)
def test_without_an_attack_it_is_plain_metric_learning(
    changes: dict[str, object], eps: float | None, batch: Batch, run: Run
) -> None:
    found = []
    for chosen, radius in ((make(**changes), eps), (Plain(), None), (make(), 8 / 255)):
        model, now = begun(make(), run, radius)
        optimizer = torch.optim.SGD(model.parameters(), 0.5)
        for _ in range(3):
            chosen.step(model.train(), batch, now, optimizer)
        found.append(torch.cat([t.flatten() for t in model.state_dict().values()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_means_are_of_natural_images_and_forget_at_the_pace_of_an_epoch(
    batch: Batch, run: Run
) -> None:
    chosen = make()
    model, run = begun(chosen, run)
    model.eval()
    sums, counts = torch.zeros(4, 64), torch.zeros(4)
    for part in (slice(0, 32), slice(16, 64)):
        here = Batch(batch.x[part], batch.y[part], batch.index[part])
        chosen.loss(model, here, run.threat.random_start(here.x), run)
        kept = 1 - len(here.y) / 256
        sums, counts = kept * sums, kept * counts
        for x, label in zip(here.x, here.y.tolist(), strict=True):
            sums[label] += F.normalize(model.features(x[None]))[0].detach()
            counts[label] += 1
    assert torch.allclose(run.state["sums"], sums, atol=1e-4)
    assert torch.allclose(run.state["counts"], counts, atol=1e-4)
    assert not run.state["sums"].requires_grad


def test_what_is_deployed_takes_the_nearest_mean(batch: Batch, run: Run) -> None:
    chosen = make()
    model, run = begun(chosen, run)
    chosen.loss(model.eval(), batch, batch.x, run)
    deployed = chosen.deploy(model, run).eval()
    embedded = F.normalize(model.features(batch.x))
    means = [embedded[batch.y == k].mean(0) for k in range(4)]
    expected = torch.stack([-(embedded - mean).square().sum(1) for mean in means], 1)
    assert torch.allclose(deployed(batch.x), expected, atol=1e-5)
    assert torch.equal(deployed.features(batch.x), embedded)  # type: ignore[operator]
    leaf = batch.x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(F.cross_entropy(deployed(leaf), batch.y), leaf)
    assert grad.abs().amax((1, 2, 3)).min() > 0
    fast = prepared(deployed, batch.x)
    assert fast is not deployed
    assert torch.allclose(fast(batch.x), expected, atol=1e-4)


def test_a_class_without_images_is_never_predicted(batch: Batch, run: Run) -> None:
    chosen = make()
    model, run = begun(chosen, run)
    kept = batch.y != 2
    few = Batch(batch.x[kept], batch.y[kept], batch.index[kept])
    chosen.loss(model.eval(), few, few.x, run)
    logits = chosen.deploy(model, run)(batch.x)
    assert logits.isfinite().all()
    assert (logits.argmax(1) != 2).all()


def test_the_head_is_not_trained(batch: Batch, run: Run) -> None:
    chosen = make()
    model, run = begun(chosen, run)
    before = [p.clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), 0.5, weight_decay=0.1)
    chosen.step(model.train(), batch, run, optimizer)
    same = [torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True)]
    assert same == [False] * (len(same) - 2) + [True] * 2


@pytest.mark.parametrize("steps", [0, 3])
def test_passes_of_a_step(steps: int, batch: Batch, run: Run) -> None:
    chosen = make(**{"attack.steps": steps})
    model, run = begun(chosen, run)
    assert (
        spent(chosen, model, batch, run) == chosen.passes("train") == Passes(steps + 3, steps + 2)
    )


def test_a_network_without_features_is_refused(batch: Batch, run: Run) -> None:
    with pytest.raises(ConfigError, match="dml needs a network with features"):
        make().init(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), run)


def test_attacks_are_adversarial_trainings() -> None:
    for dataset in ("mnist", "cifar10", "digits"):
        dml, madry = method("dml", dataset), method("madry", dataset)
        assert dml.attack == madry.attack  # type: ignore[attr-defined]
    assert method("dml", "mnist").attack == PGD(steps=40, step_size=0.01)  # type: ignore[attr-defined]
