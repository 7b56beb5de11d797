"""Detection by densities of features: against scipy, sklearn and a picture with a known answer."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from robench.adversary.measure import Reading
from robench.adversary.pgd import PGD
from robench.data.load import Data, Images
from robench.errors import AttackError
from robench.evaluation import detection
from robench.evaluation.detection import Detection, Gaussians, Numbers, auc
from robench.threat import Threat

EPS = 8 / 255


def cloud(count: int, width: int, seed: int) -> Tensor:
    """Correlated features of different scales."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator)
    return torch.randn(count, width, generator=generator) @ mix + 3


@pytest.mark.parametrize("tied", [True, False])
def test_log_densities_are_scipys(tied: bool) -> None:
    found, y, ridge = cloud(120, 5, 0), torch.arange(120) % 3, 1e-3
    found[y == 1] *= 3
    new = cloud(40, 5, 1)
    ours = Gaussians(found, y, 3, tied=tied, ridge=ridge).log_density(new)
    classes = [found[y == k].double().numpy() for k in range(3)]
    pooled = sum((len(c) * np.cov(c.T, bias=True) for c in classes), np.zeros((5, 5))) / len(found)
    for k, mine in enumerate(classes):
        covariance = (pooled if tied else np.cov(mine.T, bias=True)) + ridge * np.eye(5)
        theirs = multivariate_normal(mine.mean(0), covariance).logpdf(new.double().numpy())
        np.testing.assert_allclose(ours[:, k].numpy(), theirs, rtol=1e-9)


@pytest.mark.parametrize("tied", [True, False])
def test_features_that_never_vary_have_a_density(tied: bool) -> None:
    found, y = cloud(60, 4, 0), torch.arange(60) % 3
    found[:, 2] = 0.0  # a dead unit
    gaussians = Gaussians(found, y, 3, tied=tied, ridge=1e-6)
    assert gaussians.log_density(found).isfinite().all()


@pytest.mark.parametrize("tied", [True, False])
def test_a_class_without_images_has_density_zero_and_changes_no_other(tied: bool) -> None:
    found, y = cloud(60, 4, 0), torch.arange(60) % 2 * 2  # of three classes, no image of class 1
    with_gap = Gaussians(found, y, 3, tied=tied, ridge=1e-6).log_density(found)
    without = Gaussians(found, y // 2, 2, tied=tied, ridge=1e-6).log_density(found)
    assert (with_gap[:, 1] == -torch.inf).all()
    assert torch.equal(with_gap[:, [0, 2]], without)


def test_area_is_a_half_for_identical_sets_and_one_for_separable_ones() -> None:
    score, is_true = np.tile(np.arange(30.0), 2), np.arange(60) < 30
    assert auc("same", score, is_true).value == pytest.approx(0.5, abs=1e-12)
    assert auc("apart", score + 100 * is_true, is_true).value == 1
    assert auc("upside down", score - 100 * is_true, is_true).value == 0


def test_complete_separation_of_few_images_is_no_certainty() -> None:
    found = auc("two images", np.array([0.0, 1.0]), np.array([False, True]))
    assert (found.low, found.high) == (None, None)


@given(
    pairs=st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=2, max_size=60),
    low=st.sampled_from([-20.0, -np.inf]),
)
def test_area_is_sklearns_and_the_same_after_a_monotone_transform(
    pairs: list[tuple[int, bool]], low: float
) -> None:
    score, is_true = np.array([float(s) for s, _ in pairs]), np.array([t for _, t in pairs])
    found = auc("any", score, is_true)
    if is_true.all() or not is_true.any():
        assert np.isnan(found.value)
        assert (found.low, found.high) == (None, None)
        return
    assert found.value == pytest.approx(float(roc_auc_score(is_true, score)), abs=1e-12)
    assert found.n == len(pairs)
    grown = np.where(score == -20, low, np.exp(score / 3) * 1e9)
    assert auc("grown", grown, is_true) == replace(found, name="grown")


def test_the_interval_covers_the_true_area_about_as_often_as_it_says() -> None:
    # Normal scores one unit apart: the true area is Phi(1 / sqrt 2).
    rng, true, hits = np.random.default_rng(0), 0.76025, 0
    is_true = np.arange(150) < 50
    for _ in range(400):
        found = auc("simulated", rng.normal(size=150) + is_true, is_true)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= true <= found.high
        assert 0.1 < found.high - found.low < 0.25  # covering by being wide would be no merit
    assert 0.92 <= hits / 400 <= 0.98


def test_the_interval_is_exact_for_exponential_scores() -> None:
    # Hanley and McNeil's formula is the variance where both sides are exponential; few true ones
    # and many false ones, so that a mix-up of the two would show.
    rng, is_true = np.random.default_rng(0), np.arange(210) < 10
    areas, widths = [], []
    for _ in range(1500):
        score = rng.exponential(np.where(is_true, 4.0, 1.0))
        found = auc("simulated", score, is_true)
        assert found.low is not None
        areas.append(found.value)
        widths.append(found.value - found.low)
    assert np.mean(areas) == pytest.approx(4 / 5, abs=0.01)
    assert np.mean(widths) / 1.96 == pytest.approx(np.std(areas), rel=0.08)


def test_best_class_sees_what_lies_between_classes_and_nothing_that_has_arrived() -> None:
    # Attacked features that have gone a share t of the way to a wrong class's centre. A density
    # has no way to tell those that have gone all of it from natural ones.
    generator = torch.Generator().manual_seed(0)
    centres = 3.0 * torch.eye(10)

    def drawn(y: Tensor) -> Tensor:
        return centres[y] + torch.randn(len(y), 10, generator=generator) / 2

    y = torch.arange(2000) % 10
    gaussians = Gaussians(drawn(y), y, 10, tied=True, ridge=1e-6)
    natural, start, wrong = drawn(y), drawn(y), centres[(y + 3) % 10]
    areas = {}
    for t in (0.0, 0.25, 0.5, 0.75, 1.0):
        attacked = start + t * (wrong - centres[y])
        both = gaussians.log_density(torch.cat([natural, attacked])).amax(1).numpy()
        areas[t] = auc("synthetic", both, np.arange(4000) < 2000).value
    assert abs(areas[0.0] - 0.5) < 0.03
    assert abs(areas[1.0] - 0.5) < 0.03
    assert areas[0.5] > 0.9
    assert 0.65 < areas[0.25] < areas[0.5]
    assert 0.65 < areas[0.75] < areas[0.5]


@dataclass
class Judge:
    """In the place of a logistic regression: it keeps what it is shown."""

    fitted: list[Numbers] = field(default_factory=list)
    judged: list[Numbers] = field(default_factory=list)

    def fit(self, x: Numbers, y: Numbers) -> "Judge":
        self.fitted.append(x)
        return self

    def decision_function(self, x: Numbers) -> Numbers:
        self.judged.append(x)
        return x[:, 0]


class Unscaled:
    """In the place of a scaler: it changes nothing."""

    def fit(self, x: Numbers) -> "Unscaled":
        return self

    def transform(self, x: Numbers) -> Numbers:
        return x


def test_no_image_is_judged_that_was_fitted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge()
    monkeypatch.setattr(detection, "LogisticRegression", lambda **_: judge)
    monkeypatch.setattr(detection, "StandardScaler", Unscaled)
    number = np.arange(41.0)  # an odd number: the attacked versions begin in the other parity
    natural = np.stack([number, number, number], 1)  # the score of an image is its number
    tasks = dict(detection._tasks(natural, natural.copy(), number % 3 == 0))
    assert list(tasks) == ["natural-attacked", "right-wrong of the attacked"]
    for fitted, judged, versions in zip(judge.fitted, judge.judged, (2, 1), strict=True):
        halves = [np.unique(half[:, 0], return_counts=True) for half in (fitted, judged)]
        (ours, our_counts), (theirs, their_counts) = halves
        assert not set(ours) & set(theirs)
        assert set(ours) | set(theirs) == set(number)
        assert (np.concatenate([our_counts, their_counts]) == versions).all()
        assert abs(len(ours) - len(theirs)) <= 1
    ((_, score, is_true),) = [one for one in tasks["natural-attacked"] if one[0] == "logistic"]
    assert np.array_equal(score, judge.judged[0][:, 0])
    assert is_true.sum() == len(score) / 2  # as many natural ones as attacked ones


@pytest.mark.parametrize("levels", [2, 20, 10**6])  # scores with ties and without
def test_a_curve_rises_from_end_to_end_and_bounds_the_area(levels: int) -> None:
    rng = np.random.default_rng(0)
    is_true = np.arange(400) < 250
    score = ((rng.normal(size=400) + is_true) * levels).round()
    (curve,) = detection._roc("simulated", score, is_true)
    x, y = curve.x.numpy(), curve.y.numpy()
    assert (x[0], x[-1], y[-1]) == (0, 1, 1)
    assert y[0] == (score[is_true] > score[~is_true].max()).mean()  # without a false positive
    assert (np.diff(y) >= 0).all()
    assert np.trapezoid(y, x) == pytest.approx(auc("", score, is_true).value, abs=0.01)


def test_there_is_no_curve_where_a_class_is_empty() -> None:
    score = np.arange(9.0)
    assert detection._roc("all", score, np.ones(9, bool)) == []
    assert detection._roc("none", score, np.zeros(9, bool)) == []


class Quarters(nn.Module):
    """The tiny task's own solution: features are the mean of each quarter, logits their scale."""

    bias: Tensor

    def __init__(self, bias: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)) -> None:
        super().__init__()
        self.register_buffer("bias", torch.tensor(bias))

    def features(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x.mean(1), 4).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return 20 * self.features(x) + self.bias


@dataclass
class Spy:
    """PGD that keeps how far it went."""

    asked: list[tuple[str, float]] = field(default_factory=list)
    moved: list[Tensor] = field(default_factory=list)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat) -> Tensor:
        x_adv = PGD(steps=3)(model, x, y, threat)
        self.asked.append((threat.norm, float(threat.eps)))
        self.moved.append(threat.distance(x_adv, x))
        assert x_adv.amin() >= 0
        assert x_adv.amax() <= 1
        return x_adv


def values(reading: Reading) -> dict[str, float]:
    return {value.name: value.value for value in reading.values}


def without(data: Data, label: int) -> Data:
    """The same data with no training image of a class."""
    kept, train = data.train.y != label, data.train
    part = Images(train.pixels[kept], train.y[kept], train.scale, train.origin[kept])
    return replace(data, train=part)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_attacked_images_lie_in_the_ball_of_each_part(norm: str, data: Data) -> None:
    spy, eps = Spy(), {"Linf": 0.03, "L2": 0.4}[norm]
    looks = Detection(attack=spy, parts=(0.5, 1.0, 2.0))  # type: ignore[arg-type]
    reading = looks(Quarters(), data, Threat(norm, eps))  # type: ignore[arg-type]
    assert spy.asked == [(norm, eps / 2), (norm, eps), (norm, 2 * eps)]
    for (_, asked), moved in zip(spy.asked, spy.moved, strict=True):
        assert (moved <= asked + 1e-6).all()
        assert moved.amax() > 0.9 * asked
    assert len(reading.values) == 3 * (1 + 2 * 3)


def test_what_is_not_there_to_be_told_apart_has_no_area(data: Data) -> None:
    every = Detection(attack=PGD(steps=1), parts=(1.0,))(Quarters(), data, Threat("Linf", 0.001))
    assert values(every)["right of the attacked, 1 eps"] == 1
    wrong = Quarters(bias=(0.0, 0.0, 0.0, 100.0))
    few = replace(data, test=data.test.first(3))  # of the classes 0, 1 and 2
    none = Detection(attack=PGD(steps=1), parts=(1.0,))(wrong, few, Threat("Linf", 0.001))
    assert values(none)["right of the attacked, 1 eps"] == 0
    for found in (every, none):
        told = {n: v for n, v in values(found).items() if "right-wrong" in n}
        assert len(told) == 3
        assert all(np.isnan(value) for value in told.values())
        assert not [curve.name for curve in found.curves if "right-wrong" in curve.name]
        defined = [v for n, v in values(found).items() if "natural-attacked" in n]
        assert np.isfinite(defined).all()


@pytest.mark.parametrize("covariance", ["tied", "class"])
def test_the_scores_are_the_densities_of_the_best_and_of_the_predicted_class(
    covariance: str, data: Data
) -> None:
    pgd, threat, model = PGD(steps=3, start="none"), Threat("Linf", 0.165), Quarters()
    looks = Detection(attack=pgd, parts=(1.5,), covariance=covariance)  # type: ignore[arg-type]
    found = values(looks(model, data, threat))
    x, y, train = data.test.x(), data.test.y, data.train
    x_adv = pgd(model, x, y, Threat("Linf", 1.5 * 0.165))
    answers = torch.cat([model(x), model(x_adv)]).argmax(1)
    fitted = model.features(train.x())
    gaussians = Gaussians(fitted, train.y, 4, tied=covariance == "tied", ridge=1e-6)
    density = gaussians.log_density(model.features(torch.cat([x, x_adv])))
    scores = {
        "best class": density.amax(1).numpy(),
        "predicted class": density[torch.arange(128), answers].numpy(),
    }
    natural, right = np.arange(128) < 64, (answers[64:] == y).numpy()
    assert 0 < right.sum() < 64
    assert found["right of the attacked, 1.5 eps"] == right.mean()
    for name, score in scores.items():
        told = found[f"AUC natural-attacked, {name}, 1.5 eps"]
        assert told == pytest.approx(float(roc_auc_score(natural, score)))
        told = found[f"AUC right-wrong of the attacked, {name}, 1.5 eps"]
        assert told == pytest.approx(float(roc_auc_score(right, score[64:])))


def test_at_radius_zero_nothing_can_be_told_apart(data: Data) -> None:
    found = values(Detection(attack=PGD(steps=2))(Quarters(), data, Threat("Linf", 0.0)))
    told = {n: v for n, v in found.items() if "natural-attacked" in n}
    assert len(told) == 9
    assert list(told.values()) == pytest.approx([0.5] * 9, abs=1e-12)


@pytest.mark.parametrize("covariance", ["tied", "class"])
@pytest.mark.parametrize("bias", [0.0, 100.0])  # at 100 the network predicts the lost class only
def test_a_class_without_training_images_breaks_nothing(
    covariance: str, bias: float, data: Data
) -> None:
    looks = Detection(attack=PGD(steps=2), parts=(1.0,), covariance=covariance)  # type: ignore[arg-type]
    model = Quarters(bias=(0.0, 0.0, bias, 0.0))
    found = values(looks(model, without(data, 2), Threat("Linf", EPS)))
    told = {n: v for n, v in found.items() if "natural-attacked" in n}
    assert all(0 <= value <= 1 for value in told.values())
    if bias:  # all have density 0 under it, natural and attacked ones alike
        assert told["AUC natural-attacked, predicted class, 1 eps"] == pytest.approx(0.5)


def test_one_test_image_is_too_few_for_a_judge_and_no_error(data: Data) -> None:
    few = replace(data, test=data.test.first(1))
    found = values(Detection(attack=PGD(steps=1), parts=(1.0,))(Quarters(), few, Threat("Linf", 1)))
    assert np.isnan(found["AUC natural-attacked, logistic, 1 eps"])
    assert np.isfinite(found["AUC natural-attacked, best class, 1 eps"])


def test_a_network_without_features_is_named(data: Data) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    with pytest.raises(AttackError, match="Sequential has no features to look at"):
        Detection()(model, data, Threat("Linf", EPS))


class Broken(Quarters):
    """Features that are no number as soon as a pixel is touched."""

    def features(self, x: Tensor) -> Tensor:
        whole = (x * 255 - (x * 255).round()).abs().flatten(1).amax(1) < 1e-3
        return super().features(x) * torch.where(whole, 1.0, torch.nan)[:, None]


def test_features_that_are_not_finite_are_no_detection(data: Data) -> None:
    looks = Detection(attack=PGD(steps=0), parts=(1.0,))
    with pytest.raises(AttackError, match="features are not finite"):
        looks(Broken(), data, Threat("Linf", EPS))


def test_an_attack_into_the_gap_between_classes_is_seen_from_end_to_end(data: Data) -> None:
    # Quarters are 0.5 apart; 0.26 off each brings the classes level and none to another's place.
    order, test = torch.randperm(64, generator=torch.Generator().manual_seed(0)), data.test
    mixed = Images(test.pixels[order], test.y[order], test.scale, test.origin[order])
    looks = Detection(attack=PGD(steps=5), parts=(0.1, 1.0))
    found = values(looks(Quarters(), replace(data, test=mixed), Threat("Linf", 0.26)))
    for score in ("best class", "logistic"):
        far, near = (found[f"AUC natural-attacked, {score}, {p} eps"] for p in ("1", "0.1"))
        assert far > 0.95
        assert near < far
    assert found["right of the attacked, 1 eps"] < 0.5 < found["right of the attacked, 0.1 eps"]
