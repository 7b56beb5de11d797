"""Two cells side by side: what they are, what they cost, and the images on which they differ."""

from collections.abc import Mapping
from dataclasses import dataclass

from robench import settings
from robench.analysis.paired import Pairs, pairs
from robench.settings import Plain
from robench.store.cell import KEPT
from robench.store.grid import flat
from robench.store.records import CellFolder, read_record

COSTS = ("seconds", "forwards", "backwards", "peak_mb")


@dataclass(frozen=True)
class Apart:
    """Something that is not the same in both; ``none`` where one does not have it."""

    name: str
    one: str
    other: str


@dataclass(frozen=True)
class Contrast:
    """Where two cells differ, by what it is about."""

    apart: Mapping[str, list[Apart]]
    """``identity``, ``weights``, ``environment`` and ``cost``."""
    pairs: Pairs

    @property
    def is_other(self) -> bool:
        """Whether the cells differ in more than where, when and at what cost they were made."""
        outcomes = all(pair.is_equal for pair in self.pairs.paired)
        return bool(self.apart["identity"] or self.apart["weights"]) or not outcomes

    @property
    def is_equal(self) -> bool:
        """Whether nothing at all differs."""
        return not (self.is_other or any(self.apart.values()) or any(self.pairs.alone))


def contrast(one: CellFolder, other: CellFolder) -> Contrast:
    """Compare two cells from what is on disk.

    Raises:
        StoreError: a cell's record is not to be trusted.
    """
    first, second = read_record(one.record), read_record(other.record)
    about = (_identity, _weights, _environment, _cost)
    apart = {of.__name__[1:]: _apart(of(first), of(second)) for of in about}
    return Contrast(apart, pairs((one, first), (other, second)))


def _identity(record: Plain) -> Plain:
    ends = {"status": record["status"], "reason": record["reason"]}
    return record["identity"] | {"deviates": record["deviates"]} | ends


def _weights(record: Plain) -> Plain:
    kept = record.get("checkpoints", {})
    facts = {name: kept[name] for name in KEPT if name in kept}
    return {n: {"epoch": of["epoch"], "weights": of["sha256"]} for n, of in facts.items()}


def _environment(record: Plain) -> Plain:
    return record["environment"]


def _cost(record: Plain) -> Plain:
    return {name: record.get(name) for name in COSTS}


def _apart(one: Plain, other: Plain) -> list[Apart]:
    first, second = dict(flat(one)), dict(flat(other))
    return [
        Apart(name, _text(first.get(name)), _text(second.get(name)))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    ]


def _text(value: object) -> str:
    """Digests by their beginning."""
    if isinstance(value, list):
        return settings.text(tuple(value))
    if isinstance(value, str):
        is_digest = len(value) == 64 and not set(value) - set("0123456789abcdef")
        return (value[:8] if is_digest else value) or "none"
    return f"{value:.1f}" if isinstance(value, float) and value >= 1 else settings.text(value)
