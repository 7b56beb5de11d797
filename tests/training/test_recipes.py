"""Recipes by name, and what of them is in a key."""

from dataclasses import replace

import pytest

from robench.data.catalogue import DATASETS
from robench.errors import ConfigError
from robench.training.recipe import Recipe, plain
from robench.training.recipes import READY, RECIPES, recipe


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_has_every_recipe(dataset: str) -> None:
    assert recipe("paper", dataset) == RECIPES[dataset]
    fast, smoke = recipe("fast", dataset), recipe("smoke", dataset)
    assert 15 <= fast.epochs <= 30
    assert (fast.schedule, fast.bf16) == ("cyclic", True)
    assert fast.epochs < recipe("paper", dataset).epochs
    assert smoke.epochs == 2
    for ready in READY:
        own = recipe(ready, dataset)
        assert own.augment == RECIPES[dataset].augment
        assert own.normalise == RECIPES[dataset].normalise


def test_an_unknown_recipe_is_named_with_the_likely_one() -> None:
    with pytest.raises(ConfigError, match="no recipe is called 'papr'; did you mean 'paper'"):
        recipe("papr", "digits")


def test_what_came_later_is_in_a_key_only_where_it_is_used() -> None:
    """So cells from before it keep their names."""
    before = {
        "epochs", "batch_size", "optimizer", "lr", "momentum", "nesterov", "weight_decay",
        "schedule", "milestones", "drop", "augment", "pad", "padding", "normalise", "craft", "ema",
        "bf16", "validate_every", "validation_images", "validation_steps",
    }  # fmt: skip
    assert set(plain(Recipe())) == before
    assert set(plain(replace(Recipe(), compile="default"))) == before | {"compile"}
