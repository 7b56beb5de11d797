"""Which attacks break what others leave: against a count image by image."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.analysis.agreement import agreements, between_attacks
from robench.analysis.measured import Measured
from robench.analysis.summary import Summary, summaries
from robench.analysis.worst import Side
from robench.errors import StoreError
from robench.evaluation.outcomes import Outcomes, pack
from robench.store.cell import evaluation_name
from tests.analysis.test_summary import evaluation, table

PLACE = {"checkpoint": "best", "suite": "unseen", "norm": "Linf", "eps": "3/16"}
N = 6
MASKS = st.lists(st.booleans(), min_size=N, max_size=N)


def kept(results: Path, cell: str, **evidence: npt.NDArray[Any]) -> dict[str, Any]:
    """The row of an evaluation whose outcomes hold what measures saw."""
    row = {**PLACE, "cell": cell, "key": cell * 8}
    n = len(next(iter(evidence.values())))
    none = np.zeros(n, dtype=bool)
    named = {name.replace("__", "."): values.astype(float) for name, values in evidence.items()}
    path = results / "cells" / cell / "eval" / f"{evaluation_name(row, row['key'])}.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(pack(Outcomes({"natural": ~none}, np.arange(n), np.arange(n), none, named)))
    return row


def measured(*evaluations: dict[str, Any]) -> Measured:
    shared: dict[str, object] = {"dataset": "digits", "model": "cnn", **PLACE}
    shared |= {"train_norm": "Linf", "train_eps": "3/16"}
    return Measured(shared, (), {}, (), (), "", evaluations)


@given(networks=st.lists(st.tuples(MASKS, MASKS), min_size=1, max_size=3))
def test_shares_are_those_of_a_count_image_by_image(
    networks: list[tuple[list[bool], list[bool]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    results = tmp_path_factory.mktemp("results")
    rows = [
        kept(
            results,
            f"cell{at}",
            image__fog__stands=np.array(one),
            image__snow__stands=np.array(two),
        )
        for at, (one, two) in enumerate(networks)
    ]
    found = between_attacks(measured(*rows), results)
    assert found is not None
    assert (found.names, found.by) == (("fog", "snow"), "unseen at Linf 3/16")
    only = [np.mean([not one and two for one, two in zip(*pair, strict=True)]) for pair in networks]
    assert found.shares[0, 1] == pytest.approx(np.mean(only))
    assert np.isnan(found.shares.diagonal()).all()
    assert (found.networks == len(networks)).all()
    assert found.shared["n"] == N
    again = between_attacks(measured(*rows[::-1]), results)
    assert again is not None
    assert np.array_equal(again.shares, found.shares, equal_nan=True)  # to the last bit


def test_each_kind_of_evidence_says_what_stands(tmp_path: Path) -> None:
    row = kept(
        tmp_path, "cell",
        image__square__queries=np.array([0, 5, 5000, -1, -1, -1]),
        image__fab__distance=np.array([0, 0.1, 0.1001, np.inf, 0.05, 0.2]),
        **{"curve__fab__robust accuracy__x": np.array([0, 0.1, 0.2])},
        image__fog__stands=np.array([0, 0, 0, 0, 1, 1]),
        image__together__stands=np.zeros(N),
        image__detector__score=np.ones(N),
    )  # fmt: skip
    found = between_attacks(measured(row), tmp_path)
    assert found is not None
    shares = {
        (one, two): round(N * found.shares[i, j])
        for i, one in enumerate(found.names)
        for j, two in enumerate(found.names)
        if i != j
    }
    assert shares == {
        ("square", "fab"): 1, ("fab", "square"): 1,  # the third image; the fifth
        ("square", "fog"): 0, ("fog", "square"): 1,  # the fourth
        ("fab", "fog"): 1, ("fog", "fab"): 2,
    }  # fmt: skip


def test_an_attack_that_some_networks_never_met_counts_the_others(tmp_path: Path) -> None:
    rows = [
        kept(tmp_path, "a", image__fog__stands=np.ones(N), image__snow__stands=np.zeros(N)),
        kept(tmp_path, "b", image__fog__stands=np.zeros(N)),
    ]
    found = between_attacks(measured(*rows), tmp_path)
    assert found is not None
    assert found.shares[1, 0] == 1
    assert found.networks.tolist() == [[2, 1], [1, 1]]


def test_one_attack_agrees_with_nothing(tmp_path: Path) -> None:
    row = kept(tmp_path, "cell", image__fog__stands=np.ones(N), image__together__stands=np.ones(N))
    assert between_attacks(measured(row), tmp_path) is None
    assert between_attacks(measured(), tmp_path) is None


def test_outcomes_that_are_gone_are_an_error(tmp_path: Path) -> None:
    row = kept(tmp_path, "cell", image__fog__stands=np.ones(N))
    with pytest.raises(StoreError):
        between_attacks(measured({**row, "key": "another"}), tmp_path)


def test_evidence_of_other_images_is_an_error(tmp_path: Path) -> None:
    row = kept(tmp_path, "cell", image__fog__stands=np.ones(N), image__snow__stands=np.ones(N - 1))
    with pytest.raises(StoreError, match="holds no outcomes"):
        between_attacks(measured(row), tmp_path)


@pytest.mark.parametrize("radii", [{}, {"curve__fab__robust accuracy__x": np.zeros(0)}])
def test_distances_without_their_radius_are_an_error(
    radii: dict[str, npt.NDArray[Any]], tmp_path: Path
) -> None:
    row = kept(tmp_path, "cell", image__fab__distance=np.ones(N), **radii)
    with pytest.raises(StoreError, match="lack the curve of fab"):
        between_attacks(measured(row), tmp_path)


def test_networks_that_met_different_images_are_not_averaged(tmp_path: Path) -> None:
    rows = [
        kept(tmp_path, f"cell{n}", image__fog__stands=np.ones(n), image__snow__stands=np.ones(n))
        for n in (N, N + 1)
    ]
    with pytest.raises(StoreError, match="different test images"):
        between_attacks(measured(*rows), tmp_path)


def suites(*names: str) -> list[Summary]:
    return summaries(table(*(evaluation(90, 60, 50, suite=name, suite_key=name) for name in names)))


def side(label: str, **stands: list[int]) -> Side:
    masks = {int(seed[1:]): np.array(mask, dtype=bool) for seed, mask in stands.items()}
    return Side(label, masks, random=False)


def test_suites_are_compared_on_the_networks_that_met_both() -> None:
    quick, standard = suites("quick", "standard")
    (found,) = agreements(
        [
            (quick, [side("madry", s0=[1, 1, 1, 0], s1=[1, 1, 0, 0]), side("natural", s0=[1] * 4)]),
            (standard, [side("madry", s0=[1, 0, 0, 0], s1=[1, 0, 0, 1])]),
        ]
    )
    assert found.names == ("quick Linf 3/16", "standard Linf 3/16")
    assert found.shares[0, 1] == pytest.approx((0 + 1 / 4) / 2)
    assert found.shares[1, 0] == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert found.networks.tolist() == [[3, 2], [2, 2]]


def test_nothing_is_compared_across_networks_or_images() -> None:
    (quick,), (fewer,) = suites("quick"), summaries(table(evaluation(90, 60, 50, n=99)))
    mine = [side("madry", s0=[1, 0])]
    assert not agreements([(quick, mine)])
    assert not agreements([(quick, mine), (fewer, mine)])
    quick, standard = suites("quick", "standard")
    assert not agreements([(quick, mine), (standard, [side("trades", s0=[1, 0])])])
