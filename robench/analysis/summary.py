"""From tidy rows to what a table shows: one line a method, nothing unlike put together.

Lines stand in one table only when they share data, network, recipe, training ball, limits, suite
and norm. Seeds are the only thing averaged; no mean over attacks exists.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pandas as pd

from robench.analysis.failures import MISSING, Failure, absent, belonging, failures
from robench.analysis.rows import ADAPTIVE, WORST
from robench.errors import StoreError
from robench.intervals import wilson

TRAINING = (
    "dataset", "data", "model", "recipe", "recipe_key", "train_norm", "train_eps", "train_limit",
)  # fmt: skip

EVALUATION = ("suite", "suite_key", "packages", "norm", "sweep", "test_limit")

_INNER = r"\b(?:inner\.)*inner=[\w-]+"
"""A setting that names the method in a wrapper."""

SHARED = (*TRAINING, *EVALUATION, "verdict", "n")
"""What the lines of one table have in common."""


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
    return found + [_only_failures(group) for _, group in groups]


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Tidy rows with the names that tables give their methods and suites."""
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
    for label, part in group.groupby("label"):
        rows = part[part["checkpoint"] == checkpoint]
        here = rows[rows["eps"] == headline]
        if len(rows):
            lines.append(_line(str(label), part, checkpoint, headline))
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


def _line(label: str, every: pd.DataFrame, checkpoint: str, headline: str) -> Line:
    rows = every[every["checkpoint"] == checkpoint]
    if (rows["eps"] == headline).any():  # the line's seeds are those of its headline
        every = every[every["seed"].isin(rows.loc[rows["eps"] == headline, "seed"])]
        rows = every[every["checkpoint"] == checkpoint]
    worst, here = rows[rows["attack"] == WORST], rows[rows["eps"] == headline]
    every_attack = rows[rows["attack"] != WORST]
    single = every_attack[every_attack["eps"] == headline]
    first = single.groupby("seed")["robust_accuracy"].first()
    last = every[
        (every["checkpoint"] == "last") & (every["attack"] == WORST) & (every["eps"] == headline)
    ]
    return Line(
        label=label,
        deviates=_said(every["deviates"]),
        control=_said(every["control"]),
        seeds=tuple(sorted(rows["seed"].unique())),
        natural=_natural(worst.drop_duplicates("seed")),
        attacks=_by_attack(single),
        worst={str(eps): _estimate(part) for eps, part in worst.groupby("eps")},
        last=_estimate(last) if checkpoint == "best" and len(last) else None,
        gap=float((first - here.groupby("seed")["robust_accuracy"].last()).mean()),
        flags=tuple(_flags(worst)),
        cells=tuple(sorted(rows["cell"].unique())),
        select_on=_said(every["select_on"]),
        cost=_cost(rows.drop_duplicates("cell")),
        after={str(eps): _by_attack(part) for eps, part in every_attack.groupby("eps")},
        unseen=max(worst.loc[worst["eps"] == headline, "audit_bound"].dropna(), default=0.0),
    )


def _by_attack(rows: pd.DataFrame) -> dict[str, Estimate]:
    return {str(name): _estimate(part) for name, part in rows.groupby("attack", sort=False)}


def _cost(cells: pd.DataFrame) -> float:
    spent = cells["train_forwards"] + 2 * cells["train_backwards"]
    return float(spent.astype(float).mean())


def _said(texts: pd.Series) -> str:
    """A text that a line's rows share; empty where a table that was read back has none."""
    return str(texts.iloc[0]) if texts.notna().all() else ""


def _flags(worst: pd.DataFrame) -> Iterator[str]:
    """``gap at 1/4``, or ``collapse`` alone where it is up at every radius."""
    radii = sorted(worst["eps"].unique(), key=Fraction)
    up = [
        (flag, row["eps"])
        for row in worst.dropna(subset=["flags"]).to_dict("records")
        for flag in str(row["flags"]).split()
    ]
    for flag in sorted({flag for flag, _ in up}):
        where = [eps for eps in radii if (flag, eps) in up]
        yield flag if where == radii else f"{flag} at {', '.join(where)}"


def _estimate(rows: pd.DataFrame) -> Estimate:
    shares = rows["robust_accuracy"]
    if len(rows) == 1:
        return Estimate(shares.iloc[0], None, rows["ci_low"].iloc[0], rows["ci_high"].iloc[0], 1)
    return _over_seeds(shares)


def _natural(rows: pd.DataFrame) -> Estimate:
    shares = rows["natural_accuracy"]
    if len(rows) == 1:
        low, high = wilson(int(rows["n_right"].iloc[0]), int(rows["n"].iloc[0]))
        return Estimate(shares.iloc[0], None, low, high, 1)
    return _over_seeds(shares)


def _over_seeds(shares: pd.Series) -> Estimate:
    spread = float(shares.std(ddof=1))
    return Estimate(shares.mean(), spread, shares.min(), shares.max(), len(shares))


def _suites(results: pd.DataFrame) -> pd.Series:
    """The suite's name, with a digest where several things go by it."""
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
