"""Published figures: what is said of them, what they are set beside, and what they are never."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.analysis.references import OURS, Beside, Published, read_published, references
from robench.analysis.summary import Summary, summaries
from robench.chosen import choose, shared_recipe
from robench.data.catalogue import DATASETS
from robench.errors import ConfigError
from robench.models.catalogue import MODELS
from robench.radius import BALLS, parse_eps
from robench.store.grid import Request, choices
from tests.analysis.test_summary import evaluation, table

PUBLISHED = read_published()
ENTRY: dict[str, Any] = {
    "method": "madry", "dataset": "digits", "model": "cnn", "norm": "Linf", "eps": "3/16",
    "attack": "AutoAttack", "verdict": "full", "natural": 90.0, "robust": 70.0, "source": "nobody",
}  # fmt: skip


def entry(**changes: Any) -> Published:
    return Published(**{**ENTRY, **changes})


def measured(**columns: Any) -> Summary:
    (found,) = summaries(table(evaluation(95, 70, 60, **columns)))
    return found


def beside(published: Published, **columns: Any) -> list[Beside]:
    return references(measured(**columns), [published])


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: f"{one.method}-{one.model}")
def test_each_entry_is_of_things_that_robench_has(one: Published) -> None:
    assert one.dataset in DATASETS
    assert one.model in MODELS
    assert one.norm in BALLS
    assert parse_eps(one.eps, one.norm) > 0
    assert one.source.strip()
    assert one.robust is None or one.natural is None or one.robust <= one.natural
    request = Request(
        methods=tuple(choices(one.method)), datasets=(one.dataset,), models=(one.model,),
        suites=(), norm=one.norm, eps=(), train_norm=one.train_norm or one.norm, train_eps=(),
        seeds=(0,), changes={}, checkpoints=("best",), train_limit=None, test_limit=None,
        data_root=Path("data"), download=False,
    )  # fmt: skip
    (chosen,) = choose(request, {one.dataset: shared_recipe(one.dataset, request)})
    assert chosen.label == one.method  # as tables write it, or it would never be found


def test_entries_are_those_of_the_file_and_none_is_twice() -> None:
    whole = tomllib.loads(OURS.read_text(encoding="utf-8"))["published"]
    assert len(PUBLISHED) == len(whole)
    said = [(o.method, o.dataset, o.model, o.norm, o.eps, o.attack, o.source, o.robust)
            for o in PUBLISHED]  # fmt: skip
    assert len(set(said)) == len(said)


def test_one_that_agrees_is_set_beside() -> None:
    (found,) = beside(entry())
    assert (found.line.label, found.eps) == ("madry", "3/16")
    assert (found.natural.mean, found.robust.mean) == (0.95, 0.6)
    assert found.natural_points == pytest.approx(90 - 95)
    assert found.robust_points == pytest.approx(70 - 60)


@pytest.mark.parametrize(
    ("name", "value"),
    [("method", "trades"), ("method", "madry[attack.steps=20]"), ("dataset", "mnist"),
     ("model", "other"), ("norm", "L2"), ("eps", "0.1875001"), ("eps", "1/16"),
     ("train_norm", "L2"), ("train_eps", "1/16")],
)  # fmt: skip
def test_whatever_differs_leaves_nothing(name: str, value: str) -> None:
    assert beside(entry())
    assert not beside(entry(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("settings", "attack.steps=20"), ("method", "trades"), ("dataset", "mnist"),
     ("model", "other"), ("norm", "L2"), ("eps", "1/16"), ("train_norm", "L2"),
     ("train_eps", "1/16"), ("train_eps", "nothing")],
)  # fmt: skip
def test_whatever_differs_in_the_results_leaves_nothing(name: str, value: str) -> None:
    assert not beside(entry(), **{name: value})


def test_neighbouring_radii_are_two_settings() -> None:
    at = {"norm": "Linf", "train_norm": "Linf"}
    for theirs, ours in (("0.031", "8/255"), ("8/255", "0.031")):
        assert not beside(entry(eps=theirs), eps=ours, train_eps=ours, **at)
        assert beside(entry(eps=theirs), eps=theirs, train_eps=theirs, **at)


@given(st.permutations(["attack.steps=20", "betas=(1,2)", "recipe.lr=0.1"]), st.booleans())
def test_settings_agree_in_any_order_and_all_of_them(inside: list[str], less: bool) -> None:
    label = f"madry[{','.join(inside[less:])}]"
    columns = {"settings": "attack.steps=20,betas=(1,2),recipe.lr=0.1"}
    assert bool(beside(entry(method=label), **columns)) is not less


def test_each_radius_attacked_has_its_own() -> None:
    rows = table(evaluation(95, 70, 60), evaluation(95, 80, 75, eps="1/16", eps_value=1 / 16))
    (found,) = summaries(rows)
    several = [entry(eps="1/16", train_eps="3/16", robust=80.0), entry(), entry(eps="1/8")]
    assert [(one.eps, one.robust.mean) for one in references(found, several)] == [
        ("1/16", 0.75), ("3/16", 0.6),
    ]  # fmt: skip


def test_two_versions_of_a_method_have_the_same_reference() -> None:
    rows = table(evaluation(95, 70, 60), evaluation(95, 70, 65, plugin="eeee"))
    (found,) = summaries(rows)
    labels = [one.line.label for one in references(found, [entry()])]
    assert labels == ["madry @eeee", "madry @aaaa"]


@pytest.mark.parametrize(
    ("theirs", "ours", "strength"),
    [("full", "full", "alike"), ("full", "audited", "alike"), ("upper-bound", "full", "weaker"),
     ("upper-bound", "audited", "weaker"), ("upper-bound", "stochastic", "weaker"),
     ("full", "upper-bound", "stronger"), ("stochastic", "upper-bound", "stronger"),
     ("upper-bound", "upper-bound", "unlike"), ("full", "stochastic", "unlike"),
     ("stochastic", "stochastic", "alike")],
)  # fmt: skip
def test_an_attack_is_weaker_where_the_suite_is_stronger(
    theirs: str, ours: str, strength: str
) -> None:
    (found,) = beside(entry(verdict=theirs), verdict=ours)
    assert found.strength == strength


def test_what_is_not_claimed_has_no_difference() -> None:
    (found,) = beside(entry(robust=None, attack=""))
    assert found.robust_points is None
    (found,) = beside(entry(natural=None))
    assert found.natural_points is None


def written(folder: Path, *entries: dict[str, Any]) -> Path:
    tables = ["\n".join(f"{k} = {json.dumps(v)}" for k, v in one.items()) for one in entries]
    path = folder / "references.toml"
    path.write_text("".join(f"[[published]]\n{text}\n" for text in tables), encoding="utf-8")
    return path


def test_a_folders_own_file_is_read_as_well(tmp_path: Path) -> None:
    assert read_published(tmp_path) == PUBLISHED
    written(tmp_path, ENTRY, ENTRY)
    assert read_published(tmp_path) == [*PUBLISHED, entry()]


def test_the_readmes_example_is_read(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(\[\[published\]\].*?)```", readme, re.DOTALL)
    (tmp_path / "references.toml").write_text(example, encoding="utf-8")
    assert read_published(tmp_path)[-1].method == "mine[strength=2]"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"source": " "}, "source"),
        ({"source": None}, "missing required field `source`"),
        ({"robust": 101}, "<= 100"),
        ({"natural": -1}, ">= 0"),
        ({"eps": "8"}, "write 8/255"),
        ({"eps": "much"}, "is not a number"),
        ({"train_eps": "-1"}, "is negative"),
        ({"norm": "linf"}, "Invalid enum value"),
        ({"verdict": "true"}, "Invalid enum value"),
        ({"method": "madry[a=1"}, "brackets"),
        ({"natural": None, "robust": None}, "neither a natural nor a robust"),
        ({"attack": None}, "no attack"),
        ({"n": 0}, ">= 1"),
        ({"more": 1}, "unknown field `more`"),
    ],
)
def test_a_bad_entry_is_one_line_with_its_file(
    changes: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    changed = {k: v for k, v in {**ENTRY, **changes}.items() if v is not None}
    path = written(tmp_path, changed)
    with pytest.raises(ConfigError, match=problem) as error:
        read_published(tmp_path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["[[published", "", "published = 3", "[[publishd]]", "[[published]]\nnatural = nan", "\0",
     '[[published]]\nmethod = "a"\nnatural = nan\ndataset = "d"\nmodel = "m"\nnorm = "Linf"\n'
     'eps = "0"\nsource = "s"'],
)  # fmt: skip
def test_a_bad_file_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "references.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        read_published(tmp_path)
    assert str(path) in str(error.value)


def test_no_text_moves_the_cursor_or_leaves_its_line(tmp_path: Path) -> None:
    hostile = "a\x1b[2J\nb\u202e c"
    written(tmp_path, {**ENTRY, "source": hostile, "attack": hostile, "conditions": hostile})
    found = read_published(tmp_path)[-1]
    for text in (found.source, found.attack, found.conditions):
        assert text.isprintable()
        assert text.startswith("a\\x1b[2J b\\u202e")
