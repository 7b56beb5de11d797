"""The grid as typed."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.errors import ConfigError
from robench.store.grid import Choice, choices, flat, read_config, seeds, split

NAMES = st.text("abcdefghij_", min_size=1, max_size=6)
VALUES = st.one_of(st.integers(0, 99).map(str), st.just("none"), st.just("(0.5,0.75)"))


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3),
                                                 max_size=3)), min_size=1, max_size=4))  # fmt: skip
def test_every_combination_in_order(typed: list[tuple[str, dict[str, list[str]]]]) -> None:
    text = ",".join(
        name + f"[{','.join(f'{k}={chr(44).join(v)}' for k, v in inside.items())}]" * bool(inside)
        for name, inside in typed
    )
    expected = [
        Choice(name, dict(zip(inside, values, strict=True)))
        for name, inside in typed
        for values in product(*inside.values())
    ]
    assert choices(text) == expected


def test_brackets_as_in_the_readme() -> None:
    found = choices("trades[beta=1,3,6],madry")
    assert [c.changes for c in found] == [{"beta": "1"}, {"beta": "3"}, {"beta": "6"}, {}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trades[beta=1", "brackets do not match"),
        ("trades]", "brackets do not match"),
        ("trades[beta=1]x", "does not end with its bracket"),
        ("trades[3]", r"is not of the form trades\[setting=value"),
        ("trades[beta=1,beta=2]", "names 'beta' twice"),
    ],
)
def test_slips_in_brackets(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        choices(text)


@given(st.text(max_size=30))
def test_any_text_is_a_list_or_a_clear_error(text: str) -> None:
    from contextlib import suppress

    for parse in (split, choices, seeds):
        with suppress(ConfigError):
            parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", (0,)), ("0-2", (0, 1, 2)), ("0-2,7", (0, 1, 2, 7)), ("3,3,1", (3, 1)), ("5-5", (5,))],
)
def test_seeds(text: str, expected: tuple[int, ...]) -> None:
    assert seeds(text) == expected


@pytest.mark.parametrize("text", ["x", "-1", "1-", "2-1", "", "0-99999999", "1.5", "9999999999"])
def test_wrong_seeds(text: str) -> None:
    with pytest.raises(ConfigError, match="seeds"):
        seeds(text)


def test_config_files(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text('methods = ["madry"]\n[set.recipe]\nepochs = 3\n', encoding="utf-8")
    content = read_config(path)
    assert dict(flat(content["set"])) == {"recipe.epochs": 3}
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(tmp_path / "nothing.toml")
    path.write_text("methods = [", encoding="utf-8")
    with pytest.raises(ConfigError, match="is no TOML"):
        read_config(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no TOML"):
        read_config(path)
