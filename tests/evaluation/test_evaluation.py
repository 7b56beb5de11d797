"""Outcomes of every image: counted, packed, and the same however they are computed."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.suite import Suite
from robench.adversary.transfer import Crafted, Transfer
from robench.check import tiny
from robench.data.load import Images
from robench.device import full_precision
from robench.errors import StoreError
from robench.evaluation.cost import Cost
from robench.evaluation.evaluate import PROBED, evaluate
from robench.evaluation.outcomes import Outcomes, pack, unpack
from robench.evaluation.probes.probe import IMAGES
from robench.evaluation.trial import CHUNK
from robench.threat import Threat
from tests.conftest import Unsure


@given(n=st.integers(1, 70), attacks=st.integers(0, 4), seed=st.integers(0, 999))
def test_what_is_packed_comes_back(
    n: int, attacks: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng = np.random.default_rng(seed)
    names = ["natural", *(f"attack-{i}" for i in range(attacks))]
    stands = {name: rng.random(n) < 0.5 for name in names}
    carried = rng.random(n) < 0.5
    outcomes = Outcomes(stands, rng.integers(0, 10, n), rng.permutation(n), carried)
    path = tmp_path_factory.mktemp("packed") / "a.npz"
    path.write_bytes(pack(outcomes))
    found = unpack(path)
    assert list(found.stands) == names
    assert all(np.array_equal(found.stands[name], stands[name]) for name in names)
    assert np.array_equal(found.y, outcomes.y)
    assert np.array_equal(found.origin, outcomes.origin)
    assert np.array_equal(found.worst, stands[names[-1]])
    assert np.array_equal(found.carried, carried)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip"])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.npz cannot be read"):
        unpack(path)
    ones = np.ones(99, bool)
    whole = pack(Outcomes({"natural": ones}, np.zeros(99, int), np.arange(99), ones))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"a\.npz cannot be read"):
        unpack(path)


def test_an_array_of_objects_is_never_unpickled(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "boom",))  # type: ignore[return-value]

    path = tmp_path / "a.npz"
    np.savez(path, y=np.array([Bomb()], dtype=object), origin=np.zeros(1))
    with pytest.raises(StoreError, match=r"a\.npz cannot be read"):
        unpack(path)
    assert not (tmp_path / "boom").exists()


def images(unsure: Unsure, copies: int = 1) -> Images:
    """The random images as one part of a data set, stored in bytes."""
    pixels = (unsure.batch.x * 255).round().to(torch.uint8).repeat(copies, 1, 1, 1)
    y = unsure.batch.y.repeat(copies)
    return Images(pixels, y, 255.0, torch.arange(len(y)))


def test_counts_outcomes_and_costs(unsure: Unsure) -> None:
    part, told = images(unsure, 2), list[tuple[object, ...]]()
    weak = PGDAttack(pgd=PGD(steps=1, step_size=0.002))
    found = Suite({"one": weak, "ten": PGDAttack(pgd=PGD(steps=10))})
    (result,) = evaluate(
        unsure.model, found, part, [Threat("Linf", 0.01)], 0, lambda *after: told.append(after)
    )
    outcomes, costs = result.outcomes, result.costs
    natural = unsure.model(part.x()).argmax(1) == part.y
    assert np.array_equal(outcomes.stands["natural"], natural.numpy())
    counts = [int(mask.sum()) for mask in outcomes.stands.values()]
    assert counts[0] > counts[1] > counts[2] > 0
    last = {event[0]: event[1:] for event in told}
    assert last == {
        "natural": (0, counts[0], 512, 512),
        "one": (0, counts[1], counts[0], counts[0]),
        "ten": (0, counts[2], counts[1], counts[1]),
    }
    assert costs["natural"].forwards == 512
    # A start, its step's end, and the check by the suite, for every image that was right.
    assert (costs["one"].forwards, costs["one"].backwards) == (3 * counts[0], counts[0])
    assert all(cost.seconds > 0 and cost.peak_mb > 0 for cost in costs.values())


def test_the_look_for_masking_has_a_cost_of_its_own(unsure: Unsure) -> None:
    attack = PGDAttack(pgd=PGD(steps=1))
    surrogate = Crafted((unsure.model,), Transfer(source="other"))
    threats = [Threat("Linf", eps) for eps in (0.01, 0.02)]
    part = images(unsure)

    def looked(**attacks: Attack) -> tuple[Cost | None, ...]:
        found = evaluate(unsure.model, Suite(attacks), part, threats, 0, lambda *_: None)
        return tuple(one.probing for one in found)

    small, large = looked(one=attack)
    assert small is None
    assert large is not None
    assert large.forwards > large.backwards > 20 * IMAGES  # PGD skips none of those it attacks
    assert min(large.seconds, large.peak_mb) > 0
    _, more = looked(one=attack, other=surrogate)  # which crafts on this network, counted once
    assert more is not None
    assert more.backwards - large.backwards == 40 * PROBED


def test_the_same_seed_gives_the_same_outcomes(unsure: Unsure) -> None:
    found, part = Suite({"pgd": PGDAttack(pgd=PGD(steps=1, step_size=1e-3))}), images(unsure)

    def outcomes(seed: int) -> np.ndarray:
        model, threat = unsure.model, Threat("Linf", 0.1)
        return evaluate(model, found, part, [threat], seed, lambda *_: None)[0].outcomes.worst

    assert np.array_equal(outcomes(1), outcomes(1))
    assert not np.array_equal(outcomes(1), outcomes(2))


def test_images_come_in_chunks(unsure: Unsure) -> None:
    sizes: list[int] = []

    def spy(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        sizes.append(len(x))
        return x

    evaluate(unsure.model, Suite({"spy": spy}), images(unsure, 2), [Threat("Linf", 0.01)], 0,
             lambda *_: None)  # fmt: skip
    assert sizes[0] == CHUNK  # of those that are right, wherever they lie
    assert 0 < sum(sizes) - CHUNK <= CHUNK


def test_precision_is_full_inside_and_given_back() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    with full_precision():
        assert not torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False


def test_a_module_in_train_mode_is_put_in_eval_mode() -> None:
    model = tiny.classifier().train()
    test = tiny.data().test
    evaluate(
        model,
        Suite({"none": lambda model, x, y, threat: x}),
        test,
        [Threat("Linf", 0.0)],
        0,
        lambda *_: None,
    )
    assert not model.training
