"""One perturbation against several things: where weight goes, and what the three attacks mean."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor, nn

from robench.adversary.attack import Attack
from robench.adversary.losses import margin
from robench.adversary.minmax import MinMax, Transformed, Universal, groups
from robench.adversary.pgd import PGD, PGDAttack
from robench.adversary.transfer import Crafted, Ensemble, Transfer, crafted_on, sources
from robench.adversary.views import VIEWS
from robench.errors import AttackError, ConfigError
from robench.models.passes import counted
from robench.radius import BALLS, Norm
from robench.threat import Threat
from tests.conftest import Unsure

LINF = Threat("Linf", 0.1)
FOUR = PGD(steps=4, start="none")


def torn(x_adv: Tensor) -> Tensor:
    """Two margins of one pixel that pull it apart, the first ten times as hard."""
    pixel = x_adv.flatten(1)[:, 0] - 0.5
    return torch.stack([10 * pixel + 1, -pixel - 0.05], dim=1)


def test_weight_goes_to_what_resists_and_even_weights_break_one_thing_only() -> None:
    x, steps = torch.full((1, 1, 1, 1), 0.5), PGD(steps=200, step_size=0.005, start="none")
    even = MinMax(attack=steps, weight_step=0)(torn, x, LINF, halt=False)
    assert torn(even).squeeze().tolist() == pytest.approx([2, -0.15], abs=1e-5)
    moving = MinMax(attack=steps, weight_step=0.2, gamma=0.1)(torn, x, LINF, halt=True)
    assert (torn(moving) > 0).all()


def test_a_row_ends_where_all_has_given_way_and_no_other() -> None:
    x = torch.tensor([0.42, 0.5]).view(2, 1, 1, 1)  # the first is there already
    search = MinMax(attack=PGD(steps=3, step_size=0.01, start="none"))
    stopped, gone_on = (search(torn, x, LINF, halt=halt) for halt in (True, False))
    assert stopped[0] == x[0]
    assert stopped[1] != x[1]
    assert gone_on[0] != x[0]


def test_rows_have_weights_of_their_own(unsure: Unsure) -> None:
    model, x, y = unsure.model, unsure.batch.x[:6], unsure.batch.y[:6]
    search = MinMax(attack=FOUR, weight_step=0.3, gamma=0)

    def found(rows: slice) -> Tensor:
        def margins(x_adv: Tensor) -> Tensor:
            views = (VIEWS["left"], VIEWS["mirror"])
            return torch.stack([margin(model(view(x_adv)), y[rows]) for view in views], dim=1)

        return search(margins, x[rows], LINF, halt=False)

    together = found(slice(0, 6))
    for k in range(6):
        alone = found(slice(k, k + 1))
        assert (together[k] - alone[0]).abs().lt(1e-6).float().mean() > 0.98


def test_weights_that_swing_are_refused() -> None:
    with pytest.raises(ConfigError, match="min-max: weight_step x gamma is 3; over 1"):
        MinMax(weight_step=1, gamma=3)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 12))
def test_every_image_is_in_one_group_of_its_class(labels: list[int], most: int) -> None:
    y = torch.tensor(labels)
    found = groups(y, most)
    assert found.shape[1] == min(most, int(y.bincount().max()))
    assert all(len(y[row].unique()) == 1 for row in found)
    members = [row.unique().tolist() for row in found]
    assert sorted(k for row in members for k in row) == list(range(len(y)))
    parts = sum(-(-count // found.shape[1]) for count in y.bincount().tolist())
    assert len(found) == parts  # as few as there can be


def universal(group: int, steps: int = 4) -> Universal:
    return Universal(search=MinMax(attack=PGD(steps=steps)), group=group)


@pytest.mark.parametrize("norm", BALLS)
def test_a_group_shares_its_perturbation(norm: Norm, unsure: Unsure) -> None:
    eps = {"Linf": 0.05, "L2": 0.5, "L1": 3.0}[norm]
    x = 0.3 + 0.4 * unsure.batch.x[:30]  # so far from the ends that nothing is cut
    y = unsure.batch.y[:30]
    torch.manual_seed(0)
    delta = universal(5)(unsure.model, x, y, Threat(norm, eps)) - x
    different = 0
    for row in groups(y, 5):
        assert torch.allclose(delta[row], delta[row[:1]], atol=1e-5)
        different += int((delta[row[0]] - delta[0]).abs().max() > 1e-3)
    assert different == len(groups(y, 5)) - 1


def test_alone_in_its_group_an_image_gets_a_perturbation_of_its_own(unsure: Unsure) -> None:
    """That is PGD on the margin, away from the ends of [0, 1]."""
    x, y = 0.3 + 0.4 * unsure.batch.x[:12], unsure.batch.y[:12]
    alone = Universal(search=MinMax(attack=FOUR), group=1)(unsure.model, x, y, LINF)
    pgd = PGDAttack(pgd=FOUR, loss="margin")(unsure.model, x, y, LINF)
    assert (alone - pgd).abs().lt(1e-5).float().mean() > 0.98  # but for gradients near zero
    assert (alone - x).abs().amax(dim=(1, 2, 3)).max() > 0.05


def test_sharing_makes_it_harder(unsure: Unsure) -> None:
    x, y, stands = unsure.batch.x, unsure.batch.y, []
    threat = Threat("Linf", 0.02)
    for group in (1, 5, 50):
        torch.manual_seed(0)
        x_adv = universal(group, 10)(unsure.model, x, y, threat)
        stands.append(int((unsure.model(x_adv).argmax(1) == y).sum()))
    assert stands[0] < stands[1] <= stands[2]


@pytest.mark.parametrize("name", VIEWS)
def test_views_keep_shape_range_and_gradient(name: str) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 5, 4, requires_grad=True)
    seen = VIEWS[name](x)  # type: ignore[index]
    assert seen.shape == x.shape
    assert seen.min() >= 0
    assert seen.max() <= 1
    (slope,) = torch.autograd.grad(seen.sum(), x)
    assert (slope > 0).float().mean() > 0.7


def test_shifts_are_by_one_pixel() -> None:
    x = torch.arange(6.0).view(1, 1, 2, 3)
    expected = {
        "as-is": [0, 1, 2, 3, 4, 5], "left": [1, 2, 0, 4, 5, 0], "right": [0, 0, 1, 0, 3, 4],
        "up": [3, 4, 5, 0, 0, 0], "down": [0, 0, 0, 0, 1, 2], "mirror": [2, 1, 0, 5, 4, 3],
    }  # fmt: skip
    for name, values in expected.items():
        assert VIEWS[name](x).flatten().tolist() == values  # type: ignore[index]


def test_what_falls_is_wrong_in_every_view_and_the_rest_is_unchanged(unsure: Unsure) -> None:
    model, x, y, threat = unsure.model, unsure.batch.x, unsure.batch.y, Threat("Linf", 0.04)
    torch.manual_seed(0)
    x_adv = Transformed(search=MinMax(attack=PGD(steps=15)))(model, x, y, threat)
    changed = (x_adv != x).flatten(1).any(1)
    wrong = torch.stack([model(view(x_adv)).argmax(1) != y for view in VIEWS.values()]).all(0)
    before = torch.stack([model(view(x)).argmax(1) != y for view in VIEWS.values()]).all(0)
    assert torch.equal(changed | before, wrong)
    assert 0.1 < changed.float().mean() < 0.9


def test_in_one_view_it_is_pgd_on_the_margin(unsure: Unsure) -> None:
    x, y = unsure.batch.x[:32], unsure.batch.y[:32]
    one = Transformed(search=MinMax(attack=FOUR), views=("as-is",))
    x_adv = one(unsure.model, x, y, LINF)
    pgd = PGDAttack(pgd=FOUR, loss="margin")(unsure.model, x, y, LINF)
    fell = unsure.model(pgd).argmax(1) != y
    assert fell.sum() > 0
    assert torch.equal(x_adv[fell], pgd[fell])
    assert torch.equal(x_adv[~fell], x[~fell])


class Slope(nn.Module):
    """Two classes by the mean of an image."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        score = self.slope * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-score, score], dim=1)


def test_an_ensemble_is_crafted_on_what_there_is_of_it() -> None:
    attacks: dict[str, Attack] = {"both": Ensemble(sources=("a", "b")), "one": Transfer(source="b")}
    assert sources(attacks) == ("a", "b")
    models = {"a": Slope(1.0), "b": Slope(2.0)}
    found = crafted_on(attacks, models)
    assert isinstance(found["both"], Crafted)
    assert found["both"].surrogates == (models["a"], models["b"])
    found = crafted_on(attacks, {"a": models["a"]})
    assert list(found) == ["both"]
    assert isinstance(found["both"], Crafted)
    assert found["both"].surrogates == (models["a"],)
    assert crafted_on(attacks, {}) == {}
    with pytest.raises(AttackError, match="no cell of a, b to craft on"):
        attacks["both"](Slope(1.0), torch.rand(1, 1, 2, 2), torch.zeros(1).long(), LINF)


def test_an_ensemble_of_one_is_pgd_on_its_margin(unsure: Unsure) -> None:
    x, y = unsure.batch.x[:16], unsure.batch.y[:16]
    attack = Ensemble(sources=("a",), search=MinMax(attack=FOUR))
    found = Crafted((unsure.model,), attack)(Slope(1.0), x, y, LINF)
    pgd = FOUR(unsure.model, x, y, LINF, loss=margin)
    assert torch.equal(found, pgd)


def test_an_ensemble_looks_for_what_all_get_wrong() -> None:
    """Two models that draw apart; even weights follow the steeper one alone."""

    class Apart(nn.Module):
        def __init__(self, part: int) -> None:
            super().__init__()
            self.part = part

        def forward(self, x: Tensor) -> Tensor:
            value = torn(x)[:, self.part]
            return torch.stack([-value / 2, value / 2], dim=1)

    x, y = torch.full((1, 1, 1, 1), 0.5), torch.zeros(1).long()
    steps, wrong = PGD(steps=100, step_size=0.002, start="none"), {}
    for weight_step in (0.0, 0.2):
        search = MinMax(attack=steps, weight_step=weight_step, gamma=0.1)
        attack = Crafted((Apart(0), Apart(1)), Ensemble(sources=("a", "b"), search=search))
        x_adv = attack(Slope(1.0), x, y, LINF)
        wrong[weight_step] = [bool(value > 0) for value in torn(x_adv)[0]]
    assert wrong == {0.0: [True, False], 0.2: [True, True]}


@hypothesis_settings(max_examples=5)
@given(st.integers(1, 4))
def test_passes_are_a_pass_for_each_thing(unsure: Unsure, steps: int) -> None:
    """An image, a view or a model; and a look at each after the last step, unless crafting."""
    x, y, far = unsure.batch.x[:8], torch.zeros(8).long(), Threat("Linf", 1e-6)
    with torch.no_grad():
        y = unsure.model(x).argmax(1)
    search = MinMax(attack=PGD(steps=steps))
    with counted(unsure.model) as passes:
        Universal(search=search, group=1)(unsure.model, x, y, far)
    assert (passes.forwards, passes.backwards) == (8 * (steps + 1), 8 * steps)
    with counted(unsure.model) as passes:
        Ensemble(sources=("a", "b"), search=search).craft([unsure.model] * 2, x, y, far)
    assert (passes.forwards, passes.backwards) == (16 * steps, 16 * steps)
