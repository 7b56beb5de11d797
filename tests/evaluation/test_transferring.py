"""Who crafts for whom, and what is counted."""

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from robench.analysis.transfer import COLUMNS, matrices, row
from robench.evaluation import transferring
from robench.evaluation.transferring import ATTACKS, Crossing, crossings
from robench.threat import Threat
from tests import controls

THREAT = Threat("Linf", 0.1)


class Slope(nn.Module):
    """Two classes by a mean of an image's pixels; a sign turns both answer and gradient."""

    def __init__(self, weights: list[float], noise: float = 0.0) -> None:
        super().__init__()
        self.weights, self.noise = torch.tensor(weights), noise

    def forward(self, x: Tensor) -> Tensor:
        score = ((x.flatten(1) - 0.5) * self.weights).mean(1)
        score = score + self.noise * torch.randn(len(x))
        return 20 * torch.stack([-score, score], dim=1)


def crossed(models: dict[str, Slope], attack: str = "mi-fgsm", seed: int = 0) -> list[Crossing]:
    x, y, told = torch.full((6, 1, 2, 2), 0.55), torch.ones(6, dtype=torch.long), list[str]()
    for model in models.values():
        model.eval()
    found = [*crossings(models, attack, x, y, THREAT, seed, told.append)]
    assert told == []
    return found


MODELS = {"left": Slope([2.0, 2, 0.1, 0.1]), "right": Slope([0.1, 0.1, 2, 2]),
          "all": Slope([1.0, 1, 1, 1])}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_every_network_attacks_every_one_and_all_others_each(attack: str) -> None:
    found = crossed(MODELS, attack)
    pairs = [(one.source, one.target) for one in found]
    assert pairs[:9] == [(source, target) for source in MODELS for target in MODELS]
    assert pairs[9:] == [(None, target) for target in MODELS]
    assert all(one.right.all() for one in found)
    for one in found:
        if one.source == one.target:
            assert not one.stands.any()


def test_the_others_are_all_but_the_target() -> None:
    """Two that agree and one that turns everything round: it cannot hurt itself through others."""
    models = MODELS | {"turned": Slope([-1.0, -1, -1, -1])}
    found = {(one.source, one.target): one for one in crossed(models)}
    assert not found[None, "turned"].right.any()  # it is wrong as it is
    assert not found[None, "turned"].stands.any()
    few = {name: MODELS[name] for name in ("left", "right")}
    assert all(one.source is not None for one in crossed(few))


def test_what_others_craft_is_never_crafted_on_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        members = getattr(model, "members", None)
        used.append(set() if members is None else set(map(id, members)))
        return x

    used: list[set[int]] = []
    monkeypatch.setattr(transferring, "ATTACKS", {"none": nothing})
    crossed(MODELS, "none")
    every = {id(model) for model in MODELS.values()}
    assert used[3:] == [every - {id(model)} for model in MODELS.values()]


def test_networks_that_draw_are_looked_at_often_and_attacked_through_their_mean() -> None:
    models = {"still": Slope([1.0, 1, 1, 1]), "noisy": Slope([1.0, 1, 1, 1], noise=0.05)}
    found, again = ({(o.source, o.target): o for o in crossed(models, seed=3)} for _ in range(2))
    for pair, one in found.items():
        assert torch.equal(one.stands, again[pair].stands)
    assert found["still", "noisy"].right.float().mean() > 0.8  # one look would be wrong in 16 %
    assert found["noisy", "still"].stands.float().mean() == 0  # one draw still has the right sign


def test_who_cannot_be_looked_at_is_told_of_and_left_out() -> None:
    class Broken(Slope):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * torch.nan

    x, y, told = torch.full((6, 1, 2, 2), 0.55), torch.ones(6, dtype=torch.long), list[str]()
    models = {**MODELS, "broken": Broken([1.0, 1, 1, 1])}
    found = [*crossings(models, "pgd", x, y, THREAT, 0, told.append)]
    assert {one.target for one in found} == set(MODELS)
    assert told == ["broken: the model's logits are not finite"]


def test_an_attack_that_fails_on_one_source_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def picky(model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        if model is MODELS["left"]:
            raise RuntimeError("no")
        return x

    monkeypatch.setattr(transferring, "ATTACKS", {"picky": picky})
    x, y, told = torch.full((6, 1, 2, 2), 0.55), torch.ones(6, dtype=torch.long), list[str]()
    found = [*crossings(MODELS, "picky", x, y, THREAT, 0, told.append)]
    assert {one.source for one in found} == {"right", "all", None}
    assert len(told) == 1
    assert told[0].startswith("left as a source: attack 'picky' failed")


def test_a_network_whose_gradients_are_gone_shows_the_sign_and_its_honest_twin_none() -> None:
    test, told = controls.digits().test, list[str]()
    x, y = test.x(slice(64)), test.y[:64]
    models = {"rounded": controls.rounded(), "natural": controls.natural()}
    seen = [*crossings(models, "mi-fgsm", x, y, controls.THREAT, 0, told.append)]
    own = {one.target: one.stands.numpy() for one in seen if one.source == one.target}
    place = dict.fromkeys(COLUMNS, "") | {"seed": 0}
    rows = [
        place
        | {"source": one.source, "target": one.target}
        | row(one.right.numpy(), one.stands.numpy(), own[one.target])
        for one in seen
    ]
    (found,) = matrices(pd.DataFrame(rows))
    assert [(sign.target, sign.source) for sign in found.signs] == [("rounded", "natural")]
