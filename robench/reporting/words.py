"""Numbers and captions as a person reads them."""

import math
from collections.abc import Sequence

from robench.analysis.failures import Failure
from robench.analysis.summary import Estimate, Line, Summary
from robench.reporting.table import Table, leaders, rows_of

VERDICTS = {
    "full": "AutoAttack's four attacks",
    "audited": "AutoAttack's four attacks, the dear ones on a random part of what stands",
    "stochastic": "AutoAttack's version for stochastic models",
    "upper-bound": "an upper bound, not AutoAttack",
    "none": "no robust accuracy: it measures something else",
}


_UNFINISHED = "it was interrupted, or goes on elsewhere"


def escaped(text: str) -> str:
    """For Markdown: no end of a cell, no HTML, no link. Brackets of settings stay as they are."""
    return text.replace("|", "\\|").replace("<", "\\<").replace("](", "]\\(")


def percent(value: float, n: int) -> str:
    """In per cent, with the decimals that ``n`` images can carry."""
    return f"{100 * value:.{2 if n >= 2000 else 1}f}"


def mean(found: Estimate | None, n: int, seeds: int) -> str:
    """``63.3``, with its number of seeds where that is not the line's; a dash: not attacked."""
    if found is None:
        return "-"
    return percent(found.mean, n) + f" (n={found.seeds})" * (found.seeds != seeds)


def estimate(found: Estimate | None, n: int) -> str:
    """``63.3 ± 0.5`` over seeds, or ``63.3 (58.2-68.1)`` with the interval of a single one."""
    if found is None:
        return "-"
    if found.spread is not None:
        return f"{percent(found.mean, n)} ± {percent(found.spread, n)}"
    return f"{percent(found.mean, n)} ({percent(found.low, n)}-{percent(found.high, n)})"


def table(summary: Summary) -> Table:
    """What a table of accuracies shows.

    Who leads is chosen among methods with as many seeds as any, without those known to be weak.
    """
    rows = rows_of(cells(summary))
    accuracies = range(1, 2 + max(len(summary.attacks) - 1, 0) + len(summary.radii))
    fair = [
        at
        for at, line in enumerate(summary.lines)
        if len(line.seeds) == summary.seeds and not line.control
    ]
    best, second = leaders(rows, accuracies, fair)
    return Table(
        title=title(summary),
        header=tuple(header(summary)),
        rows=rows,
        caption=tuple(caption(summary)),
        footnotes=tuple(footnotes(summary)),
        best=best,
        second=second,
    )


def title(summary: Summary) -> str:
    """What a table is about, in a line."""
    shared = summary.shared
    parts = [
        f"{shared['dataset']}, {shared['model']}",
        f"trained at {shared['train_norm']} {shared['train_eps']}",
    ]
    if shared["recipe"]:
        parts.append(f"recipe {shared['recipe']}")
    if summary.lines:
        radii = ", ".join(summary.radii)
        drawn = " for stochastic models" * (shared["verdict"] == "stochastic")
        parts.append(f"attacked at {shared['norm']} {radii} by {shared['suite']}{drawn}")
    elif shared["suite"]:
        parts.append(f"attacked in {shared['norm']} by {shared['suite']}")
    return ", ".join(parts)


def caption(summary: Summary) -> list[str]:
    """Everything a reader has to know to use the numbers, a sentence a line."""
    shared = summary.shared
    if not summary.lines:
        return ["Nothing was evaluated."]
    verdict = VERDICTS[str(shared["verdict"])]
    found = [
        f"Per cent of {shared['n']} test images{_intervals(summary)}.",
        f"Suite {shared['suite']} ({', '.join(summary.attacks)}): {verdict}.",
        _worst(summary.attacks),
        _chosen(summary),
    ]
    limits = [
        f"{limit:,} {kind} images"
        for limit, kind in ((shared["train_limit"], "training"), (shared["test_limit"], "test"))
        if limit is not None
    ]
    if limits:
        found.append(f"For testing only: limited to {' and '.join(limits)}.")
    if len(summary.radii) > 1 and shared["sweep"]:
        found.append(
            "Radii share outcomes: what falls at one has fallen at larger ones, what stands at one "
            "stands at smaller ones."
        )
    if any(line.deviates for line in summary.lines):
        found.append("† departs from the shared recipe: see below.")
    if any(line.control for line in summary.lines):
        found.append("‡ negative control, known to be weak: see below.")
    return [line for line in found if line]


def _worst(attacks: Sequence[str]) -> str:
    """What the last columns are; there is no gap from a suite of one attack."""
    if not attacks:
        return ""
    gap = f"; gap: {attacks[0]} minus worst" if len(attacks) > 1 else ""
    return f"worst: right after every attack, image by image{gap}."


def header(summary: Summary) -> list[str]:
    """Columns of a table; the last attack's figure is the worst case, so it has no column."""
    several = len(summary.radii) > 1
    single = [name + f" {summary.headline}" * several for name in summary.attacks[:-1]]
    worst = [f"worst {eps}" if several else "worst" for eps in summary.radii]
    return ["method", "natural", *single, *worst, *_optional(summary)]


def cells(summary: Summary) -> list[list[str]]:
    """Rows of a table; a failed cell is a row that says so."""
    n = int(str(summary.shared["n"])) if summary.lines else 0
    empty = [""] * (len(header(summary)) - 2)
    rows = [_row(summary, line, n) for line in summary.lines]
    return rows + [[_who(failure), failure.status, *empty] for failure in summary.failures]


def footnotes(summary: Summary) -> list[str]:
    """What deviates, what is weak on purpose, and why something failed."""
    deviations = [f"† {line.label}: {line.deviates}" for line in summary.lines if line.deviates]
    deviations += [
        f"‡ {line.label}: broken by {line.control}" for line in summary.lines if line.control
    ]
    deviations += [
        f"{line.label}: audited; at most {line.unseen:.2%} of what stands would fall, at 95 %"
        for line in summary.lines
        if line.unseen
    ]
    deviations += [
        f"flags of {line.label}: {', '.join(line.flags)}" for line in summary.lines if line.flags
    ]
    failures = [
        f"{_who(f)} {f.status}{_where(f)}: {f.reason or _UNFINISHED}" for f in summary.failures
    ]
    return deviations + failures


def _who(failure: Failure) -> str:
    seeds = ", ".join(map(str, failure.seeds))
    return f"{failure.label} seed{'s' * (len(failure.seeds) > 1)} {seeds}"


def _where(failure: Failure) -> str:
    return f" at {', '.join(failure.where)}" if failure.where else ""


def named(summary: Summary, line: Line) -> str:
    """A method with its marks, and its number of seeds where others have more."""
    seeds = len(line.seeds)
    marks = " †" * bool(line.deviates) + " ‡" * bool(line.control)
    return line.label + marks + f" (n={seeds})" * (seeds < summary.seeds)


def _row(summary: Summary, line: Line, n: int) -> list[str]:
    seeds, label = len(line.seeds), named(summary, line)
    values = {
        "gap": "-" if math.isnan(line.gap) else percent(line.gap, n),
        "last": mean(line.last, n, seeds),
    }
    return [
        label,
        estimate(line.natural, n),
        *(mean(line.attacks.get(name), n, seeds) for name in summary.attacks[:-1]),
        *(
            estimate(line.worst.get(eps), n)
            if eps == summary.headline
            else mean(line.worst.get(eps), n, seeds)
            for eps in summary.radii
        ),
        *(values[name] for name in _optional(summary)),
    ]


def _optional(summary: Summary) -> list[str]:
    """Columns that are there only when they say something."""
    lines = summary.lines
    return [
        *(["gap"] if len(summary.attacks) > 1 else []),
        *(["last"] if any(line.last is not None for line in lines) else []),
    ]


def _chosen(summary: Summary) -> str:
    if summary.checkpoint == "last":
        return "Last checkpoint: the weights at the end of training."
    beside = "; last: end of training." if "last" in _optional(summary) else "."
    main, *others = _rules(summary.lines)
    apart = "; ".join(f"{', '.join(labels)}: by {rule} accuracy" for rule, labels in others)
    said = f"Best checkpoint by {main[0]} accuracy on held-out validation images"
    return said + f" ({apart})" * bool(apart) + beside


def _rules(lines: Sequence[Line]) -> list[tuple[str, list[str]]]:
    """By which accuracy checkpoints were chosen, and whose; the most common first."""
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.select_on, []).append(line.label)
    return sorted(found.items(), key=lambda pair: -len(pair[1]))


def bars(summary: Summary) -> str:
    """What the bars and bands of a figure are."""
    counts = {len(line.seeds) for line in summary.lines}
    if counts == {1}:
        return "95 % Wilson intervals"
    single = "; of one seed its 95 % Wilson interval" * (1 in counts)
    return f"{summary.seeds} seeds, smallest to largest{single}"


def _intervals(summary: Summary) -> str:
    """What stands behind a mean."""
    counts = {len(line.seeds) for line in summary.lines}
    if counts == {1}:
        return ", 95 % Wilson interval"
    upto = "up to " * (len(counts) > 1)
    single = "; of one seed its 95 % Wilson interval" * (1 in counts)
    return f"; ± is the standard deviation over {upto}{summary.seeds} seeds{single}"
