"""The catalogue of flags, and how findings come together."""

import re
from collections.abc import Callable

import pytest

from robench.evaluation.flags import FLAGS, Finding, merged, raised
from tests.conftest import Outcome

Robench = Callable[..., Outcome]

UP, OK, UNKNOWN = (Finding(status, "a detail") for status in ("up", "ok", "unknown"))


def test_names_are_a_public_contract() -> None:
    assert list(FLAGS) == [
        "zero-gradients", "random", "probabilities", "eps-0", "not-monotone", "full-range",
        "black-box-wins", "transfer-wins", "fgsm-wins", "single-step-above-natural", "gap",
        "not-converged", "silent-success", "unchanged", "logit-scale",
    ]  # fmt: skip


@pytest.mark.parametrize("name", FLAGS)
def test_a_page_says_what_was_seen_what_it_means_and_what_to_do(
    name: str, robench: Robench
) -> None:
    flag = FLAGS[name]
    assert len(flag.summary) <= 100
    assert "\n" not in flag.summary
    assert re.search(r" \d{4}, arXiv:\d{4}\.\d{5}", flag.why), "which paper?"
    texts = flag.summary, flag.why, flag.remedy
    assert all(text[0].isupper() and text.endswith(".") for text in texts)
    shown = robench("show", "flag", name)
    assert shown.code == 0
    words = " ".join(shown.out.split())
    assert words.startswith(f"{name}: ")
    # A word is cut at a hyphen where the line ends.
    assert all(text.replace(" ", "") in words.replace(" ", "") for text in texts)


def test_an_unknown_flag_is_answered_with_the_known_ones(robench: Robench) -> None:
    done = robench("show", "flag", "xyz")
    assert done.code == 2
    assert all(name in done.err for name in FLAGS)
    assert "did you mean 'logit-scale'?" in robench("show", "flag", "logitscale").err
    listed = robench("list", "flags")
    assert listed.code == 0
    assert all(f"  {name} " in listed.out for name in FLAGS)


def test_raised_flags_come_in_the_catalogues_order() -> None:
    assert raised({"logit-scale": UP, "gap": OK, "random": UP, "unchanged": UNKNOWN}) == (
        "random",
        "logit-scale",
    )
    assert raised({}) == ()


def test_up_beats_ok_and_ok_beats_unknown() -> None:
    one = {"gap": UNKNOWN, "random": OK, "unchanged": UP, "eps-0": Finding("up", "the first")}
    two = {"gap": OK, "random": UP, "unchanged": OK, "eps-0": Finding("up", "the second")}
    for found in (merged(one, two), merged(two, one)):
        assert list(found) == list(FLAGS)
        assert found["gap"] == OK
        assert raised(found) == ("random", "eps-0", "unchanged")
        assert found["full-range"].status == "unknown"
        assert found["full-range"].detail
    assert merged(one, two)["eps-0"].detail == "the first"
