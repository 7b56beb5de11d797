"""From tidy rows to what a table shows: one line a method, nothing unlike put together.

Lines stand in one table only when they share data, network, recipe, training ball, limits, suite
and norm. Seeds are the only thing averaged; no mean over attacks exists.
"""

import math
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from robench.analysis.failures import MISSING, Failure, absent, belonging, failures
from robench.errors import StoreError
from robench.intervals import wilson
from robench.names import ADAPTIVE, WORST

TRAINING = (
    "dataset", "data", "model", "recipe", "recipe_key", "train_norm", "train_eps", "train_limit",
)  # fmt: skip

EVALUATION = ("suite", "suite_key", "packages", "norm", "sweep", "test_limit")

VERDICTS = ("full", "audited", "stochastic", "upper-bound")
"""Of suites, the strongest first."""

_INNER = r"\b(?:inner\.)*inner=[\w-]+"
"""A setting that names the method in a wrapper."""

SHARED = (*TRAINING, *EVALUATION, "verdict", "n")
"""What the lines of one table have in common."""

_OF_LINE = (
    "deviates", "control", "seed", "checkpoint", "eps", "attack", "n", "n_right",
    "natural_accuracy", "robust_accuracy", "ci_low", "ci_high", "flags", "audit_bound", "cell",
    "select_on",
)  # fmt: skip
"""What else a line is made of; each is looked at row by row, and pandas is slow at small tables."""

Rows = list[dict[Hashable, Any]]


@dataclass(frozen=True)
class Estimate:
    """An accuracy in [0, 1]: its mean over seeds, and how sure it is."""

    mean: float
    spread: float | None
    """Standard deviation over seeds; none for one seed."""
    low: float
    high: float
    """95 % Wilson interval of one seed; the smallest and largest seed of several."""
    seeds: int
    """How many it rests on."""


@dataclass(frozen=True)
class Line:
    """One method with its settings, over all its seeds, at the table's checkpoint."""

    label: str
    deviates: str
    control: str
    """What breaks it, where it is a negative control."""
    seeds: tuple[int, ...]
    natural: Estimate
    attacks: dict[str, Estimate]
    """What stands after each attack and those before it, at the headline radius."""
    worst: dict[str, Estimate]
    """What stands against all attacks, by radius."""
    last: Estimate | None
    """The same for the last checkpoint at the headline radius, when the table is of the best."""
    gap: float
    """First attack minus worst case at the headline radius, mean over seeds."""
    flags: tuple[str, ...]
    """That are up for any seed, with the radii where they are, if not at all of them."""
    unseen: float = 0.0
    """Where an audit stood in for some attacks: the largest share of what stands at the headline
    radius that may have been missed, of any seed, with 95 % confidence."""
    cells: tuple[str, ...] = ()
    """Folders of its trainings."""
    cost: float = math.nan
    """Forward passes of images in training, where a backward one counts as two; mean over seeds."""
    select_on: str = ""
    """Which accuracy on validation images chose its best checkpoint: natural or robust."""
    after: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    """What stands after each attack and those before it, by radius."""


@dataclass(frozen=True)
class Summary:
    """A table: what its lines share, the lines, and what failed."""

    shared: dict[str, object]
    checkpoint: str
    """``best`` where it was attacked, else ``last``."""
    radii: tuple[str, ...]
    """Attacked, ascending; also those where all attacks failed."""
    headline: str
    """The training radius where it was attacked in the same norm, else the largest."""
    attacks: tuple[str, ...]
    lines: tuple[Line, ...]
    failures: tuple[Failure, ...]

    @property
    def seeds(self) -> int:
        """Most seeds that any line has."""
        return max((len(line.seeds) for line in self.lines), default=0)


def summaries(results: pd.DataFrame) -> list[Summary]:
    """Every table that a results.csv holds."""
    if results.empty:
        return []
    rows = labelled(results)
    rows = rows.assign(verdict=_verdicts(results))
    fine = rows[rows["status"] == "ok"]
    _check_unique(fine)
    found, orphans = [], rows[rows["status"] != "ok"]
    for key, group in fine.groupby(list(SHARED), dropna=False, sort=True):
        shared = _shared(key)
        failed = belonging(rows, shared, TRAINING, EVALUATION)
        found.append(_summary(shared, group, failed))
        orphans = orphans.drop(index=failed.index, errors="ignore")
    groups = orphans.groupby([*TRAINING, *EVALUATION], dropna=False, sort=True)
    found.sort(key=_place)
    return found + [_only_failures(group) for _, group in groups]


def _place(summary: Summary) -> tuple[str, ...]:
    """Tables of the same trainings stand together, those of the strongest attacks first."""
    shared = summary.shared
    strength = VERDICTS.index(str(shared["verdict"]))
    return (*(str(shared[name]) for name in TRAINING), str(strength))


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Tidy rows with the names that tables give their methods and suites; once is enough."""
    if "label" in rows:
        return rows
    return rows.assign(label=_labels(rows), suite=_suites(rows))


def _check_unique(fine: pd.DataFrame) -> None:
    """Two numbers for one place in a table would be averaged as if they were seeds."""
    place = [*SHARED, "label", "seed", "checkpoint", "eps", "attack"]
    twice = fine[fine.duplicated(place, keep=False)]
    if len(twice):
        cells = ", ".join(sorted(twice["cell"].unique()))
        raise StoreError(f"two numbers stand for one in a table: see the cells {cells}")


def _shared(values: Iterable[Any]) -> dict[str, object]:
    """What a table's lines share; none for a limit that there is not."""
    return {
        name: None if pd.isna(value) else value for name, value in zip(SHARED, values, strict=True)
    }


def _summary(shared: dict[str, object], group: pd.DataFrame, failed: pd.DataFrame) -> Summary:
    """What was asked for is what is shown: a failure makes no easier radius of it."""
    asked = pd.concat([group, failed[failed["suite"].notna()]])
    radii = tuple(sorted(asked["eps"].unique(), key=Fraction))
    trained = shared["train_eps"] if shared["train_norm"] == shared["norm"] else None
    headline = str(trained) if trained in radii else radii[-1]
    checkpoint = "best" if (group["checkpoint"] == "best").any() else "last"
    attacks = _attacks(group)
    lines, missing = [], []
    for label, part in _of_lines(group).groupby("label"):
        rows = part[part["checkpoint"] == checkpoint]
        here = rows[rows["eps"] == headline]
        if len(rows):
            lines.append(_line(str(label), part.to_dict("records"), checkpoint, headline))
        seeds = absent(str(label), part, here if len(here) else rows, failed)
        if seeds:
            reason = f"its {checkpoint} checkpoint was not attacked at {headline}"
            missing.append(Failure(str(label), tuple(sorted(seeds)), MISSING, reason))
    lines.sort(key=lambda line: -line.worst[headline].mean if headline in line.worst else 1)
    gone = (*failures(failed), *missing)
    return Summary(shared, checkpoint, radii, headline, attacks, tuple(lines), gone)


def _attacks(group: pd.DataFrame) -> tuple[str, ...]:
    """In the order of the suite; some lines have one of their own, and it comes second."""
    found = [str(a) for a in group["attack"].unique() if a != WORST]
    return tuple(sorted(found, key=lambda a: 0.5 if a == ADAPTIVE else found.index(a)))


def _only_failures(rows: pd.DataFrame) -> Summary:
    shared = _shared(rows.iloc[0][name] for name in SHARED)
    return Summary(shared, "", (), "", (), (), tuple(failures(rows)))


def _of_lines(group: pd.DataFrame) -> pd.DataFrame:
    """The columns that lines are made of, and what training cost."""
    cost = group["train_forwards"] + 2 * group["train_backwards"]
    return group[["label", *_OF_LINE]].assign(cost=cost.astype(float))


def _line(label: str, every: Rows, checkpoint: str, headline: str) -> Line:
    if seeds := {row["seed"] for row in _at(every, checkpoint=checkpoint, eps=headline)}:
        every = [row for row in every if row["seed"] in seeds]  # those of its headline
    rows = _at(every, checkpoint=checkpoint)
    worst, attacked = _at(rows, attack=WORST), [row for row in rows if row["attack"] != WORST]
    last = _at(every, checkpoint="last", attack=WORST, eps=headline)
    bounds = [row["audit_bound"] for row in _at(worst, eps=headline)]
    return Line(
        label=label,
        deviates=_said(every, "deviates"),
        control=_said(every, "control"),
        seeds=tuple(sorted({row["seed"] for row in rows})),
        natural=_natural(_first(worst, "seed")),
        attacks=_by(_at(attacked, eps=headline), "attack"),
        worst=dict(sorted(_by(worst, "eps").items())),
        last=_estimate(last) if checkpoint == "best" and last else None,
        gap=_gap(_at(attacked, eps=headline), _at(rows, eps=headline)),
        flags=tuple(_flags(worst)),
        cells=tuple(sorted({row["cell"] for row in rows})),
        select_on=_said(every, "select_on"),
        cost=float(pd.Series([row["cost"] for row in _first(rows, "cell")]).mean()),
        after={
            str(eps): _by(_at(attacked, eps=eps), "attack")
            for eps in sorted({row["eps"] for row in attacked})
        },
        unseen=max((bound for bound in bounds if not pd.isna(bound)), default=0.0),
    )


def _at(rows: Rows, **place: str) -> Rows:
    """Rows that hold all of it."""
    return [row for row in rows if all(row[name] == value for name, value in place.items())]


def _first(rows: Rows, name: str) -> Rows:
    """The first row of each value."""
    found: dict[Any, dict[Hashable, Any]] = {}
    for row in rows:
        found.setdefault(row[name], row)
    return list(found.values())


def _by(rows: Rows, name: str) -> dict[str, Estimate]:
    """In the order of the rows."""
    parts: dict[str, Rows] = {}
    for row in rows:
        parts.setdefault(str(row[name]), []).append(row)
    return {value: _estimate(part) for value, part in parts.items()}


def _gap(single: Rows, every: Rows) -> float:
    """First attack minus the last one, mean over seeds."""
    first = {row["seed"]: row["robust_accuracy"] for row in _first(single, "seed")}
    last = {row["seed"]: row["robust_accuracy"] for row in every}
    gaps = [first[seed] - last[seed] for seed in sorted(first)]
    return float(np.mean(gaps)) if gaps else math.nan


def _said(rows: Rows, name: str) -> str:
    """A text that a line's rows share; empty where a table that was read back has none."""
    texts = [row[name] for row in rows]
    return "" if any(map(pd.isna, texts)) else str(texts[0])


def _flags(worst: Rows) -> Iterator[str]:
    """``gap at 1/4``, or ``collapse`` alone where it is up at every radius."""
    radii = sorted({row["eps"] for row in worst}, key=Fraction)
    said = [(row["flags"], row["eps"]) for row in worst if not pd.isna(row["flags"])]
    up = {(flag, eps) for flags, eps in said for flag in str(flags).split()}
    for flag in sorted({flag for flag, _ in up}):
        where = [eps for eps in radii if (flag, eps) in up]
        yield flag if where == radii else f"{flag} at {', '.join(where)}"


def _estimate(rows: Rows) -> Estimate:
    if len(rows) == 1:
        (row,) = rows
        return Estimate(row["robust_accuracy"], None, row["ci_low"], row["ci_high"], 1)
    return _over_seeds([row["robust_accuracy"] for row in rows])


def _natural(rows: Rows) -> Estimate:
    if len(rows) == 1:
        (row,) = rows
        low, high = wilson(int(row["n_right"]), int(row["n"]))
        return Estimate(row["natural_accuracy"], None, low, high, 1)
    return _over_seeds([row["natural_accuracy"] for row in rows])


def _over_seeds(shares: list[float]) -> Estimate:
    spread = float(np.std(shares, ddof=1))
    return Estimate(float(np.mean(shares)), spread, min(shares), max(shares), len(shares))


def _suites(results: pd.DataFrame) -> pd.Series:
    """The suite's name, with a digest where several things go by it."""
    if results["suite"].isna().all():  # nothing was attacked
        return results["suite"]
    several = results.groupby("suite")["suite_key"].transform("nunique") > 1
    return results["suite"] + (" @" + results["suite_key"]).where(several, "")


def _verdicts(results: pd.DataFrame) -> pd.Series:
    """One word a suite: where an audit grew into a full verdict, others of the suite may not."""
    audited = results.loc[results["verdict"] == "audited", "suite_key"]
    whole = (results["verdict"] == "full") & results["suite_key"].isin(audited)
    return results["verdict"].mask(whole, "audited")


def _labels(results: pd.DataFrame) -> pd.Series:
    """``method[settings]``, as the command line takes it; with digests where that is not enough.

    So cells of two versions of a plugin, or with settings that only look alike, are never averaged.
    A wrapper around another method is made of other files, which is no other version either.
    """
    settings = results["settings"].fillna("").astype(str)
    made_of = results["method"] + settings.str.findall(_INNER).str.join(" ")
    labels = results["method"] + ("[" + settings + "]").where(settings != "", "")
    # Presets differ from one data set or network to the next, which is no other version.
    place = [results["dataset"], results["model"]]
    for of, version in ((made_of, "plugin"), (labels, "settings_key")):
        several = results.groupby([of, *place])[version].transform("nunique") > 1
        labels = labels + (" @" + results[version]).where(several, "")
    return labels
