"""Streams of random numbers: own ones by name, and the callers' left alone."""

import random

import numpy as np
import torch

from robench.seeds import derive, seeded


def test_streams_depend_on_seed_and_name() -> None:
    found = {derive(seed, name) for seed in range(20) for name in ("init", "data", "train")}
    assert len(found) == 60
    assert derive(1, "data") == derive(1, "data")
    assert derive(1, "a", "b") != derive(1, "ab")


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), random.random()


def test_seeding_repeats_and_gives_everything_back() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = [draw(), draw()]
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    first = draw()
    with seeded(7):
        inside = draw()
    with seeded(7):
        assert draw() == inside
    assert [first, draw()] == expected


def test_a_seed_means_what_it_means_to_torch() -> None:
    kept = len(torch.cuda._queued_calls)
    with seeded(7):
        inside = torch.rand(3)
    if not torch.accelerator.is_available():  # nothing is kept for one that is not there
        assert len(torch.cuda._queued_calls) == kept
    torch.manual_seed(7)
    assert torch.equal(torch.rand(3), inside)
