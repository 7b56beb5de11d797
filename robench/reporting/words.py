"""Numbers and captions as a person reads them."""

import pandas as pd

from robench.analysis.summary import Estimate, Summary

VERDICTS = {
    "full": "AutoAttack's four attacks",
    "upper-bound": "an upper bound, not AutoAttack",
}


def percent(value: float, n: int) -> str:
    """In per cent, with the decimals that ``n`` images can carry."""
    return f"{100 * value:.{2 if n >= 2000 else 1}f}"


def estimate(found: Estimate | None, n: int) -> str:
    """``63.3 ± 0.5`` over seeds, or ``63.3 (58.2-68.1)`` with the interval of a single one."""
    if found is None:
        return "-"
    if found.spread is not None:
        return f"{percent(found.mean, n)} ± {percent(found.spread, n)}"
    return f"{percent(found.mean, n)} ({percent(found.low, n)}-{percent(found.high, n)})"


def title(summary: Summary) -> str:
    """What a table is about, in a line."""
    shared = summary.shared
    threat = f"{shared['train_norm']} {shared['train_eps']}"
    parts = [f"{shared['dataset']}, {shared['model']}, trained at {threat}"]
    if isinstance(shared["checkpoint"], str):
        parts.append(f"{shared['checkpoint']} checkpoint, suite {shared['suite']}")
    return "; ".join(parts)


def caption(summary: Summary) -> list[str]:
    """Everything a reader has to know to use the numbers, a sentence a line."""
    shared = summary.shared
    if not summary.lines:
        return ["Nothing was evaluated."]
    suite = f"{shared['suite']} ({', '.join(summary.attacks)}; {VERDICTS[str(shared['verdict'])]})"
    chosen = {
        "best": "best: the epoch with the highest accuracy on held-out validation images",
        "last": "last: the weights at the end of training",
    }[str(shared["checkpoint"])]
    found = [
        f"Per cent of {shared['n']} test images. Attack suite: {suite}, {shared['norm']}.",
        "worst: still right after every attack, image by image; "
        "gap: the first attack's figure minus worst.",
        f"Checkpoint {chosen}.",
        "In brackets: 95 % Wilson interval."
        if summary.seeds == 1
        else f"± is the standard deviation over up to {summary.seeds} seeds.",
    ]
    limits = [
        f"{shared[name]} {kind} images"
        for name, kind in (("train_limit", "training"), ("test_limit", "test"))
        if not pd.isna(shared[name])  # type: ignore[call-overload]
    ]
    if limits:
        found.append(f"For testing only: limited to {' and '.join(limits)}.")
    if any(line.deviates for line in summary.lines):
        found.append("† departs from the shared recipe: see below.")
    return found


def header(summary: Summary) -> list[str]:
    """Columns of a table."""
    attacks = [f"{name} {summary.headline}" for name in summary.attacks]
    return [
        "method",
        "natural",
        *attacks,
        *(f"worst {eps}" for eps in summary.radii),
        "gap",
        "flags",
    ]


def cells(summary: Summary) -> list[list[str]]:
    """Rows of a table; a failed cell is a row that says so."""
    n = int(str(summary.shared["n"])) if summary.lines else 0
    rows = []
    for line in summary.lines:
        short = len(line.seeds) < summary.seeds
        label = line.label + " †" * bool(line.deviates) + f" (n={len(line.seeds)})" * short
        rows.append([
            label,
            estimate(line.natural, n),
            *(estimate(line.attacks.get(name), n) for name in summary.attacks),
            *(estimate(line.worst.get(eps), n) for eps in summary.radii),
            percent(line.gap, n) if line.gap == line.gap else "-",
            " ".join(line.flags),
        ])  # fmt: skip
    empty = [""] * (len(header(summary)) - 2)
    rows += [[f"{f.label} seed {f.seed}", f.status, *empty] for f in summary.failures]
    return rows


def footnotes(summary: Summary) -> list[str]:
    """What deviates, and why something failed."""
    deviations = [f"† {line.label}: {line.deviates}" for line in summary.lines if line.deviates]
    failures = [f"{f.label} seed {f.seed} {f.status}: {f.reason}" for f in summary.failures]
    return deviations + failures
