"""Flags that a suite's outcomes show by themselves."""

import numpy as np
import pytest

from robench.evaluation.outcomes import Mask
from robench.evaluation.probes.read_off import read_off


def outcomes(of: int, **stand: int) -> dict[str, Mask]:
    """So many images stand after each attack, the first ones; ``a_b`` is attack ``a-b``."""
    return {name.replace("_", "-"): np.arange(of) < count for name, count in stand.items()}


@pytest.mark.parametrize(
    ("of", "first", "last", "status"),
    [
        (10_000, 6000, 5000, "ok"),  # ten points are not over ten
        (10_000, 6070, 5000, "ok"),  # nor is what may be chance
        (10_000, 6071, 5000, "up"),
        (100, 68, 50, "ok"),
        (100, 69, 50, "up"),
        (20, 16, 10, "ok"),  # 30 points, and six images
        (20, 17, 10, "up"),
        (100, 0, 0, "ok"),
    ],
)
def test_gap(of: int, first: int, last: int, status: str) -> None:
    found = read_off(outcomes(of, natural=of, pgd=first, apgd=last))
    assert found["gap"].status == status
    assert f"({first - last} of {of} images)" in found["gap"].detail


def test_a_single_step_opens_no_gap() -> None:
    found = read_off(outcomes(100, natural=99, fgsm=80, pgd_20=45, apgd=40))
    assert found["gap"].status == "ok"
    assert found["gap"].detail == "pgd-20 leaves 45.0%, all attacks 40.0% (5 of 100 images)"
    assert read_off(outcomes(100, natural=99, fgsm=80, pgd=45))["gap"].status == "unknown"


@pytest.mark.parametrize(
    ("of", "broken", "status"),
    [
        (200, 0, "ok"),
        (200, 2, "ok"),  # a point, and two images that any attack may miss
        (200, 3, "up"),
        (360, 3, "ok"),
        (360, 4, "up"),
        (10_000, 31, "ok"),
        (10_000, 32, "up"),
    ],
)
def test_black_box_wins(of: int, broken: int, status: str) -> None:
    found = read_off(outcomes(of, natural=of, apgd=of // 2, square=of // 2 - broken))
    assert found["black-box-wins"].status == status


def test_every_square_counts_and_one_alone_says_nothing() -> None:
    two = outcomes(200, natural=199, square_500=150, apgd=90, square_5000=80)
    found = read_off(two)["black-box-wins"]
    assert found.status == "up"
    assert "square-5000 breaks 10 of 200" in found.detail
    assert "square-500 " not in found.detail
    assert read_off(outcomes(9, natural=9, square=0))["black-box-wins"].status == "unknown"
    assert read_off(outcomes(9, natural=9, pgd=5, fab=0))["black-box-wins"].status == "unknown"
    assert read_off(outcomes(9, natural=9))["gap"].status == "unknown"
