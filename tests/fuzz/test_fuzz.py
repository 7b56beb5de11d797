"""A few examples of everything that is fuzzed, and every fault that was found once."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.found import FOUND
from tests.fuzz.sandbox import base
from tests.fuzz.targets import TARGETS

EXAMPLES = 60
"""Of all targets together; ``benchmarks/fuzz.py`` tries thousands."""


@pytest.mark.parametrize("name", TARGETS)
def test_an_exit_code_and_a_clear_line(name: str) -> None:
    target, all_shares = TARGETS[name], sum(target.share for target in TARGETS.values())
    base()

    @settings(
        max_examples=EXAMPLES * target.share // all_shares,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.examples)
    def attempt(example: object) -> None:
        target.attempt(example)

    attempt()


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_once(what: str) -> None:
    name, example = FOUND[what]
    TARGETS[name].attempt(example)
