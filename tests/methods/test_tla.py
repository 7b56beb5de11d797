"""TLA: its triplets against slow loops, what is mined, what it reduces to, and its cost.

Where features have to be chosen, the network's body only flattens, and an image of the pool is a
number that stands for a row of a table of features.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.check import tiny
from robench.check.finding import snapshot
from robench.data.batches import Batch
from robench.data.load import Images
from robench.data.pool import Pool
from robench.errors import ConfigError
from robench.models.classifier import Classifier
from robench.models.passes import counted
from robench.threat import Threat
from robench.training.method import Method, Run, method
from tests.conftest import Unsure
from tests.methods.gradients import gradients

LINF = Threat("Linf", 0.1)
STILL: dict[str, object] = {"attack.start": "none"}
ALONE: dict[str, object] = {"positives": "class", "penalty": 0, "weight": 1}
"""One positive, and nothing but the hinge beside the cross-entropy."""


def make(**changes: object) -> Method:
    return method("tla", changes=changes)


def smooth() -> Classifier:
    """Without batch normalisation; its features have both signs."""
    torch.manual_seed(1)
    body = nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.Tanh())
    return Classifier(body, nn.Linear(12, 4))


@dataclass(frozen=True)
class Listed(Pool):
    """Draws images in a given order, over and over."""

    order: Tensor = field(default_factory=lambda: torch.arange(1))

    def draw(self, count: int) -> Batch:
        index = self.order.repeat(-(-count // len(self.order)))[:count]
        return Batch(self.augmented(self.images.x(index)), self.images.y[index], index)


def shelf(table: Tensor, y: list[int], order: list[int] | None = None) -> Pool:
    """A pool of rows of features, (N, width), and their classes."""
    numbers = torch.arange(len(y), dtype=torch.uint8).view(-1, 1, 1, 1)
    images = Images(numbers, torch.tensor(y), 1.0, torch.arange(len(y)))

    def augmented(x: Tensor) -> Tensor:
        return table[x.flatten().long()].view(len(x), 1, 1, -1)

    return (
        Pool(images, augmented) if order is None else Listed(images, augmented, torch.tensor(order))
    )


def flat(width: int, classes: int = 2) -> Classifier:
    """Features are the images themselves, and no class is likelier than another."""
    head = nn.Linear(width, classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return Classifier(nn.Flatten(), head)


def pooled(pool: Pool | None) -> Run:
    return Run(LINF, 256, 4, 3, progress=0.5, pool=pool)


def hinge(ends: list[Tensor], chosen: Method) -> float:
    """Of the first image of class 0, the second one, and the only one of class 1."""
    a, run = ends[0], pooled(shelf(torch.stack(ends), [0, 0, 1], order=[0, 1, 2]))
    batch = Batch(a.view(1, 1, 1, -1), torch.tensor([0]), torch.tensor([0]))
    loss = chosen.loss(flat(len(a)), batch, batch.x, run)
    return loss.item() - math.log(2)


def far(u: list[float], v: list[float]) -> float:
    """1 - |cosine|, number by number."""
    dot = sum(a * b for a, b in zip(u, v, strict=True))
    return 1 - abs(dot) / math.sqrt(sum(a * a for a in u) * sum(b * b for b in v))


def signed(count: int = 3, width: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@contextmanager
def watched(model: Classifier) -> Iterator[list[tuple[bool, Tensor]]]:
    """Every batch that the body is given, and whether gradients were kept."""
    seen: list[tuple[bool, Tensor]] = []

    def look(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        seen.append((output.requires_grad, inputs[0].detach()))

    handle = model.body.register_forward_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize("positives", ["own", "class", "both"])
@pytest.mark.parametrize("negative", ["hardest", "random"])
def test_without_weight_it_is_adversarial_training(
    negative: str, positives: str, batch: Batch, run: Run
) -> None:
    """Loss and gradients; with batch normalisation, which is why weights are another test's."""
    chosen = make(weight=0, negative=negative, positives=positives)
    found = [gradients(one, batch, run) for one in (chosen, method("madry"))]
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_without_weight_and_statistics_it_trains_as_adversarial_training_does(
    batch: Batch, run: Run
) -> None:
    found = []
    for chosen in (make(weight=0, **STILL), method("madry", changes=STILL), make(**STILL)):
        model = smooth()
        optimizer = torch.optim.SGD(model.parameters(), 0.5)
        for _ in range(3):
            chosen.step(model.train(), batch, run, optimizer)
        found.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


WIDE = make(margin=0.3, **ALONE)
VECTORS = st.lists(st.floats(-2, 2, width=16), min_size=4, max_size=4)


@given(a=VECTORS, p=VECTORS, n=VECTORS, scales=st.tuples(*[st.floats(0.01, 100)] * 3))
def test_the_hinge_sees_directions_without_sign_and_length(
    a: list[float], p: list[float], n: list[float], scales: tuple[float, float, float]
) -> None:
    assume(all(max(abs(v) for v in vector) > 0.1 for vector in (a, p, n)))
    expected = max(0.0, far(a, p) - far(a, n) + 0.3)
    vectors = [torch.tensor(v) for v in (a, p, n)]
    assert hinge(vectors, WIDE) == pytest.approx(expected, abs=2e-6)
    stretched = [v * s for v, s in zip(vectors, scales, strict=True)]
    assert hinge(stretched, WIDE) == pytest.approx(expected, abs=2e-6)
    for turned in range(3):
        flipped = [-v if k == turned else v for k, v in enumerate(vectors)]
        assert hinge(flipped, WIDE) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("margin", [0.0, 0.03, 0.5, 1.0, 2.0])
def test_the_hinge_at_its_ends(margin: float) -> None:
    one, other = torch.tensor([3.0, 0, 4, 0]), torch.tensor([0, 2.0, 0, 1])
    chosen = make(margin=margin, **ALONE)
    assert hinge([one, one, one], chosen) == pytest.approx(margin, abs=1e-6)
    assert hinge([one, one, other], chosen) == pytest.approx(max(0, margin - 1), abs=1e-6)
    assert hinge([one, other, one], chosen) == pytest.approx(1 + margin, abs=1e-6)


def test_distances_are_shares() -> None:
    told = []
    for u, v in product(signed(8, 3, seed=1), repeat=2):
        for p in (v, -u, 5 * u):
            run = pooled(shelf(torch.stack([u, p, v]), [0, 0, 1], order=[2]))
            batch = Batch(u.view(1, 1, 1, -1), torch.tensor([0]), torch.tensor([0]))
            WIDE.loss(flat(3), batch, batch.x, run)
            found = run.told()
            for end, other in (("positive", p), ("negative", v)):
                told.append(found[f"distance/{end}"])
                assert told[-1] == pytest.approx(far(u.tolist(), other.tolist()), abs=2e-6)
    assert min(told) >= -1e-6
    assert max(told) <= 1 + 1e-6
    assert max(told) > 0.95


def test_gradients_reach_all_three_ends() -> None:
    a, p, n = signed()
    table = torch.stack([a, p, n, -a]).requires_grad_()  # the last one is of class 1, as n is
    anchor = a.clone().requires_grad_()
    run = pooled(shelf(table, [0, 0, 1, 1], order=[2, 3]))
    batch = Batch(a.view(1, 1, 1, -1), torch.tensor([0]), torch.tensor([0]))
    loss = make(margin=1, **ALONE).loss(flat(5), batch, anchor.view(1, 1, 1, -1), run)
    found = torch.autograd.grad(loss, [anchor, table])
    ends = [v.clone().requires_grad_() for v in (a, p, n)]
    near, distant = (1 - cosine(ends[0], end).abs() for end in ends[1:])
    expected = torch.autograd.grad(near - distant, ends)
    assert cosine(a, n) > cosine(a, -a)  # so that n is mined
    assert all(slope.abs().max() > 0.01 for slope in expected)
    for one, other in zip((found[0], *found[1][1:3]), expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    assert (found[1][[0, 3]] == 0).all()


def loop(
    model: Classifier, chosen: Method, batch: Batch, forwarded: list[Tensor], switched: bool
) -> Tensor:
    """The loss an image at a time; forwarded: attacked, negative, and each kind of positive."""
    attacked, negative, *positives = forwarded
    rows = range(len(batch.y))
    total = torch.zeros(())
    for i in rows:
        logits = model.head(model.features(attacked[i : i + 1]))[0]
        total = total + (logits.exp().sum().log() - logits[batch.y[i]]) / len(rows)
    for positive in positives:
        term = torch.zeros(())
        for i in rows:
            h, n, p = (model.features(x[i : i + 1])[0] for x in (attacked, negative, positive))
            a, p = (p, h) if switched else (h, p)
            near, distant = (1 - (a @ v).abs() / (a.norm() * v.norm()) for v in (p, n))
            term = term + torch.clamp(near - distant + chosen.margin, min=0) / len(rows)  # type: ignore[attr-defined]
            squares = sum((v * v).sum() / len(v) for v in (a, p, n))
            term = term + chosen.penalty * squares / len(rows)  # type: ignore[attr-defined]
        total = total + chosen.weight * term  # type: ignore[attr-defined]
    return total


@pytest.mark.parametrize("anchor", ["adversarial", "natural"])
@pytest.mark.parametrize("negative", ["hardest", "random"])
@pytest.mark.parametrize("positives", ["own", "class", "both"])
def test_loss_against_a_loop(
    positives: str, negative: str, anchor: str, batch: Batch, run: Run
) -> None:
    chosen = make(
        positives=positives, negative=negative, anchor=anchor, margin=0.75, penalty=0.05, pool=2
    )
    some = Batch(batch.x[:8], batch.y[:8], batch.index[:8])
    model, x_adv = smooth(), LINF.random_start(some.x)
    torch.manual_seed(3)
    with watched(model) as seen:
        loss = chosen.loss(model, some, x_adv, run)
    assert run.told()["active"] > 0.1
    forwarded = [x for learnt, x in seen if learnt]
    assert torch.equal(forwarded[0], x_adv)
    expected = loop(model, chosen, some, forwarded, switched=anchor == "natural")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    weights = list(model.parameters())
    for one, other in zip(
        torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-6)
    images = run.pool.images.x() if run.pool else torch.empty(0)
    assert classes(forwarded[1], images).ne(some.y).all()
    if positives != "class":
        noise = forwarded[2] - some.x
        assert (run.threat.distance(forwarded[2], some.x) <= run.threat.eps + 1e-6).all()
        assert noise.abs().max() > 0.9 * run.threat.eps
    if positives != "own":
        assert torch.equal(classes(forwarded[-1], images), some.y)
    assert len(forwarded) == (4 if positives == "both" else 3)


def classes(x: Tensor, images: Tensor) -> Tensor:
    """Of images of the tiny task's training part."""
    same = (x[:, None] == images[None]).flatten(2).all(2)
    assert same.any(1).all()
    return same.float().argmax(1) % 4


def negatives(chosen: Method, anchors: Tensor, y: Tensor, pool: Pool) -> Tensor:
    """Features of the negatives of anchors, (B, width)."""
    model, x = flat(anchors.shape[1], int(y.max()) + 1), anchors.view(len(anchors), 1, 1, -1)
    with watched(model) as seen:
        batch = Batch(x, y, torch.arange(len(y)))
        chosen.loss(model, batch, x.clone().requires_grad_(), pooled(pool))
    return [x for learnt, x in seen if learnt][1].flatten(1)


def cosine(u: Tensor, v: Tensor) -> Tensor:
    return (u * v).sum(-1) / (u.norm(dim=-1) * v.norm(dim=-1))


def test_the_negative_is_the_most_similar_image_of_another_class() -> None:
    """As the sign says: the opposite of the anchor is the last one to be taken."""
    opposites = 0
    for seed in range(20):
        table, y = signed(24, 3, seed).requires_grad_(), [k % 3 for k in range(24)]
        order = torch.randperm(24, generator=torch.Generator().manual_seed(seed))[:18].tolist()
        anchors = signed(9, 3, seed + 100)
        found = negatives(make(pool=2), anchors, torch.tensor(y[:9]), shelf(table, y, order))
        for i, anchor in enumerate(anchors):
            others = [j for j in order if y[j] != y[i]]
            best = max(others, key=lambda j: cosine(anchor, table[j]).item())
            assert torch.equal(found[i], table[best].detach())
            opposites += max(others, key=lambda j: cosine(anchor, table[j]).abs().item()) != best
    assert opposites > 10


def test_an_image_of_its_own_class_is_never_taken() -> None:
    """Even where all others are as unlike as can be."""
    anchors = signed(2)
    table = torch.stack([anchors[0], anchors[1], -anchors[0], -anchors[1]]).requires_grad_()
    y = [0, 0, 1, 1]
    found = negatives(make(), anchors, torch.tensor([0, 0]), shelf(table, y, [0, 1, 2, 3]))
    assert (cosine(anchors, found) < 0.9).all()
    assert all((table[2:] == row).all(1).any() for row in found)


def test_a_larger_pool_never_lowers_the_similarity() -> None:
    table, y = signed(60, 4).requires_grad_(), [k % 3 for k in range(60)]
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0)).tolist()
    anchors, found = signed(6, 4, seed=9), []
    for pool in (1, 2, 4, 10):
        chosen = negatives(make(pool=pool), anchors, torch.tensor(y[:6]), shelf(table, y, order))
        found.append(cosine(anchors, chosen))
    assert (torch.stack(found).diff(dim=0) >= 0).all()
    assert (found[-1] > found[0]).any()


@pytest.mark.parametrize("negative", ["hardest", "random"])
def test_without_another_class_in_the_pool_there_is_no_triplet(negative: str) -> None:
    table, y = signed(6).abs().clamp_max(1), [0, 0, 1, 1, 0, 1]
    x = table[[0, 2, 5]].view(3, 1, 1, -1)
    batch = Batch(x, torch.tensor([0, 1, 1]), torch.tensor([0, 2, 5]))
    changes = {"negative": negative, "positives": "own", "penalty": 0, "weight": 1, "margin": 0.5}
    chosen, ours = make(**changes), []
    for order in ([4], [0, 1, 4], [3], [3, 5, 2]):
        run = pooled(shelf(table, y, order))
        run.threat = Threat("Linf", 0.0)  # so that the positive is the anchor
        torch.manual_seed(0)
        with watched(model := flat(5)) as seen:
            loss = chosen.loss(model, batch, x.clone().requires_grad_(), run)
        ours.append(loss.item() - math.log(2))
        taken = [x for _, x in seen][-2].flatten(1)
        there = [1, 2] if order[0] in (0, 4) else [0]
        hinges = [max(0, 0.5 - far(x[i].flatten().tolist(), taken[i].tolist())) for i in there]
        assert ours[-1] == pytest.approx(sum(hinges) / len(there), abs=1e-6)
    assert max(ours) > 0.01
    alone = Batch(x[1:], batch.y[1:], batch.index[1:])
    run = pooled(shelf(table, y, [3, 5]))
    assert chosen.loss(flat(5), alone, alone.x, run).item() == pytest.approx(math.log(2))


def drawn(place: int, **changes: object) -> Tensor:
    """How often 900 times the same image is given each row of a table as negative or positive."""
    table, y = signed(9).requires_grad_(), [0, 0, 0, 0, 1, 1, 2, 2, 2]
    count = 900
    x, index = table[:1].detach().view(1, 1, 1, -1).repeat(count, 1, 1, 1), torch.zeros(count)
    batch = Batch(x, index.long(), index.long())
    torch.manual_seed(0)
    with watched(model := flat(5, 3)) as seen:
        chosen = make(positives="class", pool=1, **changes)
        chosen.loss(model, batch, x.clone().requires_grad_(), pooled(shelf(table, y)))
    rows = [x for learnt, x in seen if learnt][place].flatten(1)
    return (rows[:, None] == table).all(2).sum(0)


def test_a_random_negative_is_any_image_of_another_class() -> None:
    counts = drawn(1, negative="random")
    assert counts[:4].sum() == 0
    assert (counts[4:] - 180).abs().max() < 60
    assert (drawn(1, negative="hardest") == 900).any()


def test_the_positive_is_any_other_image_of_the_class() -> None:
    counts = drawn(2)
    assert counts[0] == 0
    assert counts[4:].sum() == 0
    assert (counts[1:4] - 300).abs().max() < 60


@pytest.mark.parametrize("positives", ["own", "class", "both"])
@pytest.mark.parametrize("negative", ["hardest", "random"])
def test_mining_leaves_mode_and_statistics_alone(
    negative: str, positives: str, batch: Batch, run: Run
) -> None:
    """Statistics move with what is learnt from: attacked images, negatives, and positives."""
    torch.manual_seed(0)
    model, other = tiny.classifier(), tiny.classifier()
    model.features(batch.x + 1)  # statistics that are not a new network's
    other.load_state_dict(model.state_dict())
    with watched(model) as seen:
        make(negative=negative, positives=positives).loss(model, batch, batch.x, run)
    assert all(module.training for module in model.modules())
    learnt_from = [x for learnt, x in seen if learnt]
    assert len(learnt_from) == (4 if positives == "both" else 3)
    assert [len(x) for learnt, x in seen if not learnt] == [64, 640] * (negative == "hardest")
    for x in learnt_from:
        other.features(x)
    assert torch.equal(flattened(model), flattened(other))
    make(negative=negative, positives=positives).loss(model.eval(), batch, batch.x, run)
    assert not any(module.training for module in model.modules())
    assert torch.equal(flattened(model), flattened(other))


def flattened(model: nn.Module) -> Tensor:
    return torch.cat([value.flatten().double() for value in snapshot(model).values()])


def test_mining_compares_features_in_eval_mode(batch: Batch, run: Run) -> None:
    torch.manual_seed(0)
    model = tiny.classifier()
    model.features(3 * batch.x)
    kept = snapshot(model)
    with watched(model) as seen:
        make(pool=2).loss(model, batch, batch.x, run)
    (_, anchors), (_, images) = (pair for pair in seen if not pair[0])
    found = [x for learnt, x in seen if learnt][1]
    model.load_state_dict(kept)
    assert run.pool is not None
    other = batch.y[:, None] != classes(images, run.pool.images.x())
    best = {}
    for mode in (False, True):
        model.train(mode)
        h, pool = model.features(anchors).detach(), model.features(images).detach()
        best[mode] = cosine(h[:, None], pool[None]).masked_fill(~other, -2).argmax(1)
    assert torch.equal(found, images[best[False]])
    assert not torch.equal(found, images[best[True]])


SETTINGS = list(
    product(["own", "class", "both"], [("hardest", 10), ("hardest", 1), ("random", 10)], [10, 2])
)


@pytest.mark.parametrize(("positives", "kind", "steps"), SETTINGS)
def test_passes_of_a_step(
    positives: str, kind: tuple[str, int], steps: int, batch: Batch, run: Run
) -> None:
    negative, pool = kind
    chosen = make(positives=positives, negative=negative, pool=pool, **{"attack.steps": steps})
    model, some = tiny.classifier(), Batch(batch.x[:8], batch.y[:8], batch.index[:8])
    with counted(model) as passes:
        chosen.step(model, some, run, torch.optim.SGD(model.parameters(), 0.1))
    terms = 3 if positives == "both" else 2
    mining = pool + 1 if negative == "hardest" else 0
    declared = chosen.passes("train")
    found = passes.forwards / 8, passes.backwards / 8
    assert found == (declared.forwards, declared.backwards)
    assert found == (steps + 1 + terms + mining, steps + 1 + terms)


def test_what_it_cannot_do_without_is_named(batch: Batch, run: Run, unsure: Unsure) -> None:
    with pytest.raises(ConfigError, match="needs a network with features"):
        make().loss(unsure.model, batch, batch.x, run)
    with pytest.raises(ConfigError, match="images to draw from"):
        make().loss(smooth(), batch, batch.x, pooled(None))


def test_means_over_an_epoch_are_told() -> None:
    a, p, n = signed()
    run = pooled(shelf(torch.stack([a, p, n]), [0, 0, 1], order=[2]))
    batch = Batch(a.view(1, 1, 1, -1), torch.tensor([0]), torch.tensor([0]))
    gap = far(a.tolist(), p.tolist()) - far(a.tolist(), n.tolist())
    for margin in (0.0, 2.0):
        make(margin=margin, **ALONE).loss(flat(5), batch, batch.x, run)
    active = [gap > 0, True]
    assert run.told()["active"] == pytest.approx(sum(active) / 2)


def test_presets_are_the_authors() -> None:
    cifar, mnist = method("tla", "cifar10"), method("tla", "mnist")
    assert (cifar.starts_from(), mnist.starts_from()) == ("madry", "")
    assert cifar.attack == PGD(steps=7, step_size=2 / 255)  # type: ignore[attr-defined]
    assert mnist.attack == PGD(steps=40, step_size=0.01)  # type: ignore[attr-defined]
    for found, values in (
        (cifar, (2.0, 0.03, "both", 10, 1e-3)), (mnist, (0.5, 0.05, "class", 1, 1e-4)),
    ):  # fmt: skip
        names = ("weight", "margin", "positives", "pool", "penalty")
        assert tuple(getattr(found, name) for name in names) == values
        assert (found.negative, found.anchor) == ("hardest", "adversarial")  # type: ignore[attr-defined]
