"""What is said of pairs: who is inside the noise, nearest first, and what is not covered."""

import math

import pytest

from robench.analysis.comparisons import Comparison
from robench.analysis.differences import Difference
from robench.analysis.summary import summaries
from robench.reporting import markdown
from robench.reporting.comparisons import SHOWN, chance, nearest, number, said, table, tidy
from tests.analysis import test_summary

(SUMMARY,) = summaries(test_summary.table(test_summary.evaluation(95, 70, 60)))


def pair(first: str, second: str, holm: float, *, seeds: int = 1, half: float = 0.01) -> Comparison:
    apart = Difference(0.008, 0.008 - half, 0.008 + half, seeds)
    return Comparison(first, second, apart, (holm,) * seeds, holm, holm)


def page_of(found: list[Comparison]) -> str:
    return markdown.written(table(SUMMARY, found))


def all_of(count: int, holm: float) -> list[Comparison]:
    names = [f"m{number:02}" for number in range(count)]
    return [pair(a, b, holm) for i, a in enumerate(names) for b in names[i + 1 :]]


def test_a_pair_in_the_noise_is_named_with_its_p() -> None:
    found = [pair("a", "b", 0.21), pair("a", "c", 0.01), pair("b", "c", 1.0)]
    (first, second) = said(found)
    assert first == (
        "2 of 3 pairs are inside the noise: a and b (+0.8 points, McNemar p = 0.21 after Holm); "
        "b and c (+0.8 points, McNemar p = 1 after Holm)."
    )
    assert second.startswith("1 pair is told apart with one seed only")


def test_five_are_named_nearest_first_and_the_others_counted() -> None:
    (line,) = said(all_of(5, 0.5))
    assert line.startswith("10 of 10 pairs are inside the noise: m00 and m01 ")
    named = [part.split(" (")[0] for part in line.split(": ")[1].split("; ")[:5]]
    assert named == [
        "m00 and m01", "m01 and m02", "m02 and m03", "m03 and m04", "m00 and m02",
    ]  # fmt: skip
    assert line.endswith("; and 5 more.")
    assert [one.second for one in nearest(all_of(3, 0.5))] == ["m01", "m02", "m02"]


def test_no_pair_in_the_noise_is_said() -> None:
    assert said(all_of(3, 0.001))[0].startswith("None of 3 pairs is inside the noise")
    assert said(all_of(2, 0.0001))[0] == (
        "Not inside the noise: m00 and m01 (+0.8 points, McNemar p < 0.001 after Holm)."
    )
    assert said(all_of(2, 0.3))[0].startswith("1 of 1 pair is inside the noise: m00 and m01")
    assert said([]) == []


def test_networks_told_apart_are_not_yet_methods() -> None:
    wide, narrow = (pair("a", "b", 0.001, seeds=3, half=half) for half in (0.02, 0.001))
    assert "1 pair is told apart by every seed's images, but trainings vary" in said([wide])[1]
    assert len(said([narrow])) == 1


def test_without_a_seed_in_common_there_is_no_p() -> None:
    nothing = Difference(math.nan, math.nan, math.nan, 0)
    one = Comparison("a", "b", nothing, (), math.nan, math.nan)
    assert said([one]) == ["1 of 1 pair is inside the noise: a and b (no seed in common)."]
    assert "| a and b | - | - | - | no seed in common |" in page_of([one])
    assert tidy([one])["holm"].isna().all()


def test_the_table_has_a_row_a_pair_and_says_what_it_leaves_out() -> None:
    page = page_of(all_of(3, 0.2))
    assert page.count("| noise |") == 3
    assert "| m00 and m01 | +0.8 (-0.2 to +1.8) | 0.2 | 0.2 | noise |" in page
    large = page_of(all_of(12, 0.2))
    assert large.count("| noise |") == SHOWN
    assert f"{66 - SHOWN} more pairs" in large


def test_the_csv_has_every_pair_unrounded() -> None:
    frame = tidy(all_of(12, 0.2))
    assert len(frame) == 66
    assert set(frame["holm"]) == {0.2}
    assert list(tidy([]).columns) == list(frame.columns)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.21, "0.21"), (1.0, "1"), (0.0496, "0.0496"), (0.05, "0.05"), (0.0004, "< 0.001"),
     (0.0012, "0.0012"), (math.nan, "-")],
)  # fmt: skip
def test_a_p_is_never_rounded_over_the_level(p: float, text: str) -> None:
    assert number(p) == text
    assert p < 0.001 or math.isnan(p) or chance(p) == f"p = {text}"
