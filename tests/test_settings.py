"""Settings of dataclasses: described, changed, refused, compared."""

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from robench import settings
from robench.errors import ConfigError
from robench.training.recipe import Recipe
from robench.training.recipes import RECIPES


@dataclass(frozen=True, kw_only=True)
class Inner:
    """Nested."""

    steps: Annotated[int, Meta(ge=0)] = 10
    """How many."""


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Of every kind."""

    inner: Inner = field(default_factory=Inner)
    beta: Annotated[float, Meta(ge=0, lt=9)] = 6.0
    """Weight,
    on two lines."""
    size: Annotated[float, Meta(gt=0)] | None = None
    kind: Literal["a", "b"] = "a"
    fast: bool = False
    marks: tuple[Annotated[float, Meta(gt=0, lt=1)], ...] = (0.5,)
    drops: tuple[float, ...] | None = (0.5, 0.7)
    level: Literal[1, 2, 3] = 1
    gaps: tuple[float | None, ...] = ()


def changed(**changes: object) -> Outer:
    return settings.change("outer", Outer(), {k.replace("__", "."): v for k, v in changes.items()})


def test_text_becomes_what_the_field_is() -> None:
    new = changed(inner__steps="3", beta="1.5", size="2/255", kind="b", fast="true", marks="0.1,.2")
    assert new == Outer(
        inner=Inner(steps=3), beta=1.5, size=2 / 255, kind="b", fast=True, marks=(0.1, 0.2)
    )
    assert changed(size="none").size is None
    assert changed(marks="(0.25)").marks == (0.25,)
    assert changed(drops="none").drops is None
    assert changed(drops="(0.2,0.3)").drops == (0.2, 0.3)
    assert changed(level="3").level == 3
    assert changed(gaps="none").gaps == (None,)
    assert changed(gaps="none,0.5").gaps == (None, 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"betta": 1},
            r"outer has no setting 'betta' \(did you mean 'beta'\?\); it has: inner",
        ),
        ({"beta": "-1"}, "outer: beta cannot be -1; it is a number >= 0 and < 9"),
        ({"beta": "9"}, "a number >= 0 and < 9"),
        ({"beta": "nan"}, "beta cannot be nan"),
        ({"beta": "x"}, "beta cannot be x"),
        ({"size": "0"}, "a number > 0 or none"),
        ({"kind": "c"}, "kind cannot be c; it is a or b"),
        ({"fast": "maybe"}, "true or false"),
        ({"level": "4"}, "level cannot be 4; it is 1, 2 or 3"),
        ({"drops": "x"}, "drops cannot be x; it is a list, each a number or none"),
        ({"marks": "0.5,2"}, "a list, each a number > 0 and < 1"),
        ({"inner": "3"}, "has no setting 'inner'"),
        ({"inner.stps": "3"}, "outer: inner has no setting 'stps' .did you mean 'steps'"),
        ({"beta.x": "3"}, "has no setting 'beta.x'"),
        ({"inner.steps": "2.5"}, "a whole number >= 0"),
    ],
)
def test_errors_name_the_setting_and_what_it_may_be(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        settings.change("outer", Outer(), change)


def test_changes_are_made_at_once() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Paired:
        low: int = 0
        high: int = 1

        def __post_init__(self) -> None:
            assert self.low < self.high

    assert settings.change("paired", Paired(), {"low": 5, "high": 6}) == Paired(low=5, high=6)


def test_descriptions_carry_ranges_and_help() -> None:
    described = {s.name: s for s in settings.describe(Outer())}
    assert described["inner.steps"].help == "How many."
    assert described["beta"].help == "Weight, on two lines."
    assert described["beta"].kind == "a number >= 0 and < 9"
    assert described["kind"].kind == "a or b"


def test_a_value_out_of_range_in_a_preset_is_found() -> None:
    with pytest.raises(ConfigError, match="beta cannot be -3"):
        settings.validated("preset", Outer(beta=-3))


def test_a_whole_number_for_a_number_is_the_same_setting() -> None:
    given = settings.validated("preset", Outer(beta=3, marks=(0.5,)))
    assert isinstance(given.beta, float)
    assert settings.plain(given) == settings.plain(changed(beta="3"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_in_range(name: str) -> None:
    settings.validated(name, RECIPES[name])


def test_differences_and_plain_values() -> None:
    new = changed(inner__steps="3", beta="1.5")
    assert settings.differences(new, Outer()) == {"inner.steps": (3, 10), "beta": (1.5, 6.0)}
    assert settings.plain(new)["inner"] == {"is": "Inner", "steps": 3}
    assert settings.differences(Outer(), Outer()) == {}


@given(
    st.builds(
        Recipe,
        epochs=st.integers(1, 500),
        lr=st.floats(1e-6, 10),
        milestones=st.lists(st.floats(0.001, 0.999), max_size=4).map(tuple),
        ema=st.none() | st.floats(0.01, 0.999),
        nesterov=st.booleans(),
        craft=st.sampled_from(["eval", "train"]),
    )
)
def test_what_is_written_as_text_is_read_back(recipe: Recipe) -> None:
    texts = {s.name: settings.text(s.value) for s in settings.describe(recipe)}
    assert settings.change("recipe", Recipe(), texts) == recipe


@pytest.mark.parametrize(
    ("value", "text"),
    [(2 / 255, "2/255"), (1.5 / 255, "1.5/255"), (10 / 300, "1/30"), (0.5, "0.5"), (1e-4, "0.0001"),
     (True, "true"), (None, "none"), ((0.5, 1 / 3), "(0.5,1/3)"), (6, "6"), ("crop", "crop")],
)  # fmt: skip
def test_numbers_are_shown_as_people_write_them(value: object, text: str) -> None:
    assert settings.text(value) == text


@dataclass(frozen=True, kw_only=True)
class Shape(settings.Named):
    """What a setting holds by name here."""

    noun: ClassVar[str] = "a shape"

    @property
    def choice(self) -> str:
        return type(self).__name__.lower()


@dataclass(frozen=True, kw_only=True)
class Disc(Shape):
    """Round."""

    radius: Annotated[float, Meta(gt=0)] = 1.0


@dataclass(frozen=True, kw_only=True)
class Box(Shape):
    """Square, with something in it."""

    content: Shape = Disc()
    """What it holds."""
    side: Annotated[float, Meta(gt=0)] = 2.0
    inner: Inner = field(default_factory=Inner)


def shapes(name: str) -> Shape:
    if name not in ("disc", "box"):
        raise ConfigError(f"no shape is called {name!r}")
    return Disc() if name == "disc" else Box()


def boxed(**changes: object) -> Box:
    dotted = {name.replace("__", "."): value for name, value in changes.items()}
    return settings.change("box", Box(), dotted, shapes)


def test_what_is_held_by_name_is_changed_before_its_settings() -> None:
    assert boxed(content="disc", content__radius=3) == Box(content=Disc(radius=3.0))
    assert boxed(content__side=5, content="box").content == Box(side=5.0)
    deep = boxed(content="box", content__content="box", content__content__content__radius="1/2")
    assert deep == Box(content=Box(content=Box(content=Disc(radius=0.5))))


def test_the_same_name_keeps_what_was_changed() -> None:
    tuned = Box(content=Disc(radius=7.0))
    assert settings.change("box", tuned, {"content": "disc"}, shapes) == tuned
    assert settings.change("box", tuned, {"content": "disc"}) == tuned  # nothing is looked up
    assert settings.validated("box", tuned) == tuned


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"content": "ball"}, "no shape is called 'ball'"),
        ({"content": "disc[radius=3]"}, "content is a name alone; write content=disc,content.SETT"),
        ({"content.radus": 3}, "box: content has no setting 'radus' .did you mean 'radius'"),
        ({"content.side": 3}, "box: content has no setting 'side'; it has: radius"),
        ({"content.radius": 0}, "box: content: radius cannot be 0; it is a number > 0"),
        ({"content": "box", "content.content": "ball"}, "no shape is called 'ball'"),
        ({"content": "box", "content.inner": 3}, "content has no setting 'inner'"),
        ({"contents": "disc"}, "box has no setting 'contents' .did you mean 'content'"),
    ],
)
def test_errors_of_what_is_held(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings.change("box", Box(), change, shapes)


def test_another_name_needs_somewhere_to_look_it_up() -> None:
    with pytest.raises(ConfigError, match="box: content cannot be changed here"):
        settings.change("box", Box(), {"content": "box"})


def test_what_is_held_is_described_by_its_name_and_its_settings() -> None:
    described = {s.name: s for s in settings.describe(boxed(content="box"))}
    assert list(described)[:4] == ["content", "content.content", "content.content.radius",
                                   "content.side"]  # fmt: skip
    held = described["content"]
    assert (held.value, held.kind, held.help) == ("box", "a shape", "What it holds.")


def test_what_another_name_has_by_itself_is_no_difference() -> None:
    def differences(**changes: object) -> dict[str, tuple[object, object]]:
        return settings.differences(boxed(**changes), Box(), shapes)

    assert differences(content="box") == {"content": ("box", "disc")}
    assert differences(content="box", content__content="disc") == {"content": ("box", "disc")}
    assert differences(content="box", content__content__radius=4, side=1) == {
        "content": ("box", "disc"), "content.content.radius": (4.0, 1.0), "side": (1.0, 2.0),
    }  # fmt: skip
    assert differences(content="box", content__content="box") == {
        "content": ("box", "disc"), "content.content": ("box", "disc"),
    }  # fmt: skip
    assert differences(content__radius=4) == {"content.radius": (4.0, 1.0)}


SHAPES = st.recursive(
    st.builds(Disc, radius=st.floats(0.1, 9)),
    lambda content: st.builds(
        Box, content=content, side=st.floats(0.1, 9), inner=st.builds(Inner, steps=st.integers(0))
    ),
    max_leaves=4,
)


@given(new=SHAPES, old=SHAPES)
def test_differences_as_text_make_the_new_from_the_old(new: Shape, old: Shape) -> None:
    """Which is how a worker, and a cell that is opened again, come by their methods."""
    whole, base = Box(content=new), Box(content=old)
    found = settings.differences(whole, base, shapes)
    typed = {path: settings.text(value) for path, (value, _) in found.items()}
    assert settings.change("box", base, typed, shapes) == whole
