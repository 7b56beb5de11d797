"""Learning rates over training."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.training.recipe import Recipe
from robench.training.recipes import RECIPES
from robench.training.schedule import learning_rate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1, 1]),
        ("cosine", [1, 0.85355339, 0.5, 0.14644661, 0]),
        ("cyclic", [0, 0.625, 0.83333333, 0.41666667, 0]),
        ("piecewise", [1, 1, 0.1, 0.01, 0.01]),
    ],
)
def test_values(schedule: str, expected: list[float]) -> None:
    recipe = Recipe(lr=1.0, schedule=schedule, milestones=(0.5, 0.75))  # type: ignore[arg-type]
    found = [learning_rate(recipe, progress) for progress in (0, 0.25, 0.5, 0.75, 1)]
    assert found == pytest.approx(expected)


@given(
    st.sampled_from(["constant", "cosine", "cyclic", "piecewise"]),
    st.floats(0, 1, exclude_max=True),
)
def test_between_zero_and_the_largest(schedule: str, progress: float) -> None:
    recipe = Recipe(lr=0.3, schedule=schedule)  # type: ignore[arg-type]
    assert 0 <= learning_rate(recipe, progress) <= 0.3


def test_cifar_drops_after_epochs_100_and_105_of_110() -> None:
    recipe = RECIPES["cifar10"]
    rates = [learning_rate(recipe, epoch / recipe.epochs) for epoch in (99, 100, 104, 105)]
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001])
