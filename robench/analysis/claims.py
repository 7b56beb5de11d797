"""What papers claim, as a grid file writes it down, and what the results say to it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import pandas as pd
from msgspec import Meta

from robench.analysis.differences import Difference, of_values, paired
from robench.analysis.images import records, stands
from robench.analysis.summary import TRAINING, labelled
from robench.errors import ConfigError
from robench.names import WORST
from robench.printable import printable
from robench.store.grid import read_config

Verdict = Literal["holds", "does not hold", "cannot be told"]


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table ``[[claim]]`` of a grid file."""

    says: str
    """The claim, in a sentence."""
    source: str
    """Whose it is, and where."""
    method: str
    """As tables name it, with its settings."""
    against: tuple[str, ...]
    """The methods that it is compared with."""
    measure: str = WORST
    """``natural`` or ``worst`` accuracy, or the name of a measured value."""
    by: float = 0.0
    """Points by which the method should be better; negative: by which it may be worse."""
    within: Annotated[float, Meta(gt=0)] | None = None
    """Points within which the two should be equal, instead."""
    where: dict[str, str] = {}
    """Columns of results.csv and what they should hold: ``model = "lenet"``."""
    remark: str = ""
    """What to make of it where the results say otherwise."""


@dataclass(frozen=True)
class Judged:
    """A claim on one data set and network, at one radius, against one other method."""

    place: str
    against: str
    difference: Difference
    verdict: Verdict


@dataclass(frozen=True)
class Tested:
    """A claim with everything that the results have to say to it."""

    claim: Claim
    judged: tuple[Judged, ...]


def read_claims(results: Path) -> list[Claim]:
    """The claims of a results folder's ``grid.toml``; none where there is no such file.

    Raises:
        ConfigError: the file is no TOML, or a claim is not as it should be.
    """
    path = results / "grid.toml"
    if not path.is_file():
        return []
    try:
        claims = msgspec.convert(read_config(path).get("claim", []), list[Claim])
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from error
    return [_printable(claim) for claim in claims]


def examine(claim: Claim, frames: Mapping[str, pd.DataFrame], results: Path) -> Tested:
    """Compare what a claim names, wherever the results have both."""
    accuracy = claim.measure in (WORST, "natural")
    frame = frames["results" if accuracy else "measures"]
    if frame.empty:
        return Tested(claim, ())
    rows = labelled(frame)
    rows = rows[rows["status"] == "ok"]
    rows = rows[rows["attack"] == WORST] if accuracy else rows[rows["name"] == claim.measure]
    for column, wanted in claim.where.items():
        if column not in rows:
            raise ConfigError(f"a claim asks for {column!r}, which is no column of the results")
        rows = rows[rows[column].astype(str) == wanted]
    return Tested(claim, tuple(_judged(claim, rows, results, accuracy=accuracy)))


def _printable(claim: Claim) -> Claim:
    texts = {
        name: printable(value, "\n\t")
        for name, value in msgspec.structs.asdict(claim).items()
        if isinstance(value, str)
    }
    against = tuple(printable(label) for label in claim.against)
    return msgspec.structs.replace(claim, **texts, against=against)


def _judged(claim: Claim, rows: pd.DataFrame, results: Path, *, accuracy: bool) -> Iterator[Judged]:
    place = [*TRAINING, "checkpoint", "test_limit"]
    # Natural accuracy is the same whatever attacks: any suite will do, and the training's radius.
    place += [] if claim.measure == "natural" else ["suite", "norm", "eps"]
    place += ["n"] if accuracy else []
    rows = rows.sort_values(["dataset", "model", "eps_value"], kind="stable")
    for _, here in rows.groupby(place, dropna=False, sort=False):
        for other in claim.against:
            found = _difference(claim, here, other, results, accuracy=accuracy)
            if found is not None:
                yield Judged(_words(claim, here.iloc[0]), other, found, judge(claim, found))


def _difference(
    claim: Claim, rows: pd.DataFrame, other: str, results: Path, *, accuracy: bool
) -> Difference | None:
    """On the seeds that both have; none where there is no such seed."""
    sides = [
        rows[rows["label"] == label].drop_duplicates("seed").set_index("seed")
        for label in (claim.method, other)
    ]
    seeds = sides[0].index.intersection(sides[1].index)
    if not len(seeds):
        return None
    ours, theirs = (side.loc[seeds] for side in sides)
    if accuracy:
        name = "natural" if claim.measure == "natural" else ""
        return paired(*([stands(r, results, name) for r in records(s)] for s in (ours, theirs)))
    halves = float(np.hypot(*((s["high"] - s["low"]).iloc[0] / 2 for s in (ours, theirs))))
    return of_values(ours["value"].to_numpy(float), theirs["value"].to_numpy(float), halves)


def judge(claim: Claim, found: Difference) -> Verdict:
    """Whether the whole interval says so, the whole interval denies it, or neither."""
    low, high = 100 * found.low, 100 * found.high
    if np.isnan(low):
        return "cannot be told"
    if claim.within is not None:
        if -claim.within <= low and high <= claim.within:
            return "holds"
        return "does not hold" if low > claim.within or high < -claim.within else "cannot be told"
    if low > claim.by:
        return "holds"
    return "does not hold" if high < claim.by else "cannot be told"


def _words(claim: Claim, row: pd.Series) -> str:
    place = f"{row['dataset']}, {row['model']}"
    return (
        place
        if claim.measure == "natural"
        else f"{place}, {row['suite']} {row['norm']} {row['eps']}"
    )
