"""How long a piece of work takes."""

import time
from unittest import mock

import pytest
import torch

from robench.forecast import clock

CPU = torch.device("cpu")


class Clock:
    """On which calls take so long, the last of them ever after."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.left = 0.0, [*seconds]

    def read(self) -> float:
        return self.now

    def work(self) -> None:
        self.now += self.left.pop(0) if len(self.left) > 1 else self.left[0]


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ((5.0, 1.0), 5.0),  # long: asked once, warm or not
        ((0.4, 0.1, 0.3, 0.2), 0.1),  # the first does not count
        ((0.01, 0.01, 9.0, 0.01), 0.01),  # nor does one that was disturbed
    ],
)
def test_the_median_after_one_that_warms_up(calls: tuple[float, ...], found: float) -> None:
    reads = Clock(*calls)
    with mock.patch.object(time, "perf_counter", side_effect=reads.read):
        assert clock.seconds(reads.work, CPU) == pytest.approx(found)


def test_more_images_until_it_takes_long_enough() -> None:
    asked: list[int] = []
    with mock.patch.object(clock, "seconds", lambda work, device: work() or 0.01 * asked[-1]):
        assert clock.an_image(asked.append, CPU, 4, 128) == pytest.approx(0.01)
        assert asked == [4, 16, 64]
        asked.clear()
        clock.an_image(asked.append, CPU, 4, 10)
        assert asked == [4, 10]  # no more than there are in a step


def test_on_cuda_all_images_at_once() -> None:
    asked: list[int] = []
    with mock.patch.object(clock, "seconds", lambda work, device: work() or 1e-6):
        clock.an_image(asked.append, torch.device("cuda"), 4, 128)
    assert asked == [128]
