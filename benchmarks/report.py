"""What a report of 500 cells takes: CPU seconds after imports, memory, and the size of the page.

    python benchmarks/report.py

Makes a results folder of 50 methods with ten seeds each, all from one committed cell: best and last
checkpoint, two radii, four attacks, 1,000 images, 24 epochs; some trainings failed, some flags are
up. Its records are sealed and its outcomes packed, so they are read as those of a run are. Each
line of the table comes of a process of its own.
"""

import hashlib
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from fontTools import subset, ttLib  # noqa: F401 - imported late by what is measured

from robench.analysis.table import gather
from robench.evaluation.outcomes import Outcomes, pack
from robench.reporting.found import find
from robench.reporting.report import report
from robench.settings import Plain
from robench.store.asked import keep
from robench.store.cell import cell_name, evaluation_name
from robench.store.files import digest, write_text
from robench.store.records import CellFolder, read_record, write_record

METHODS, SEEDS, IMAGES, EPOCHS = 50, 10, 1000, 24

FAILED = 7
"""One training in so many methods, with one seed."""

UP = 9
"""One evaluation in so many has a flag up."""

_PATTERN = Path(__file__).parents[1] / "results" / "digits" / "cells"
_RADII = ("1/8", "3/16")
_PLACES = (("best", "3/16"), ("best", "1/8"), ("last", "3/16"), ("last", "1/8"))
"""Checkpoints and radii that are attacked, the first few of them."""

_HEADER = "epoch,stage,lr,loss,validation_natural,validation_robust,seconds,forwards,backwards"


@dataclass(frozen=True)
class Pattern:
    """A committed cell that all others are made from."""

    cell: Plain
    evaluation: Plain


@dataclass(frozen=True)
class Test:
    """What all cells are attacked on."""

    labels: npt.NDArray[np.int64]
    hardness: npt.NDArray[np.float64]
    """Of each image, (N,): methods fall on the same ones first."""


def pattern() -> Pattern:
    """PGD adversarial training on digits, attacked by the default suite."""
    (folder,) = _PATTERN.glob("madry-digits-digitscnn-s0-*")
    (evaluation,) = folder.glob("eval/best-standard-Linf-3_16-*.json")
    return Pattern(read_record(folder / "cell.json"), read_record(evaluation))


def make(
    results: Path,
    methods: int = METHODS,
    seeds: int = SEEDS,
    images: int = IMAGES,
    places: int = len(_PLACES),
) -> None:
    """A results folder of ``methods`` times ``seeds`` cells, each with so many evaluations."""
    random, like = np.random.default_rng(0), pattern()
    test = Test(random.integers(0, 10, images), random.normal(size=images))
    asked = {}
    for method in range(methods):
        strength = random.uniform(-0.6, 0.6)
        for seed in range(seeds):
            folder, record = _cell(results, like.cell, f"method{method:02d}", seed, random)
            if method % FAILED == 3 and seed == method % seeds:
                record = _failed(record)
            write_record(folder.record, record)
            stronger = strength + random.normal(scale=0.05)
            asked[folder.path.name] = [
                _evaluation(folder, record, _place(like.evaluation, *where), test, stronger, random)
                for where in _PLACES[:places]
                if record["status"] == "ok"
            ]
    keep(results, 'methods = "method"\n', asked)


def _cell(
    results: Path, like: Plain, method: str, seed: int, random: np.random.Generator
) -> tuple[CellFolder, Plain]:
    """A training's folder and its record; its curve is written."""
    identity = like["identity"] | {"method": method, "seed": seed}
    key, best = digest(identity), int(random.integers(EPOCHS // 2, EPOCHS))
    folder = CellFolder(results / "cells" / cell_name(identity, key))
    curve = [_HEADER, *_curve(random)]
    write_text(folder.curve, "".join(f"{line}\n" for line in curve))
    troubles = [{"flag": "collapse", "epoch": best, "detail": "half of it is gone"}]
    kept = like["checkpoints"]["best"]
    return folder, like | {
        "identity": identity,
        "key": key,
        "label": method,
        "curve": curve,
        "checkpoints": {
            name: kept | {"epoch": epoch, "sha256": digest([key, epoch])}
            for name, epoch in (("best", best), ("last", EPOCHS))
        },
        "seconds": float(random.uniform(20, 40)),
        "troubles": troubles if random.random() < 1 / UP else [],
    }


def _curve(random: np.random.Generator) -> Iterator[str]:
    """Lines of train.csv: accuracies rise, with noise."""
    for epoch in range(1, EPOCHS + 1):
        natural, robust = 1 - 1 / (epoch + 1), 0.7 - 0.6 / epoch
        seen = [float(np.clip(a + random.normal(scale=0.02), 0, 1)) for a in (natural, robust)]
        loss, seconds = 2.3 / epoch, float(random.uniform(0.9, 1.1))
        yield f"{epoch},train,0.006,{loss},{seen[0]},{seen[1]},{seconds},11858,11858"


def _failed(record: Plain) -> Plain:
    there = {name: value for name, value in record.items() if name != "checkpoints"}
    said = {"reason": "the loss is not a number", "traceback": "ValueError: nan"}
    return there | {"status": "failed", **said}


def _place(like: Plain, checkpoint: str, eps: str) -> Plain:
    """The evaluation of a checkpoint at a radius, before anything was attacked."""
    identity = like["identity"] | {"checkpoint": checkpoint, "eps": eps, "sweep": [*_RADII]}
    return like | {"identity": identity}


def _evaluation(
    folder: CellFolder,
    cell: Plain,
    like: Plain,
    test: Test,
    strength: float,
    random: np.random.Generator,
) -> str:
    """Attack a checkpoint, as it were; the evaluation's name."""
    identity = like["identity"] | {"cell": cell["key"]}
    radius = (0.4, 0.0)[_RADII.index(identity["eps"])]
    stands = _stands(like["order"], strength + radius, test, random)
    carried = np.zeros(len(test.labels), dtype=bool)
    packed = pack(Outcomes(stands, test.labels, np.arange(len(test.labels)), carried))
    key, kept = digest(identity), cell["checkpoints"][identity["checkpoint"]]
    path = folder.path / "eval" / f"{evaluation_name(identity, key)}.json"
    gap = {"gap": {"status": "up", "detail": "apgd-ce leaves more than all attacks"}}
    own = {
        "identity": identity,
        "key": key,
        "cell": folder.path.name,
        "epoch": kept["epoch"],
        "weights": kept["sha256"],
        "n": len(test.labels),
        "carried": 0,
        "stands": {name: int(mask.sum()) for name, mask in stands.items()},
        "outcomes": hashlib.sha256(packed).hexdigest(),
        "findings": like["findings"] | (gap if random.random() < 1 / UP else {}),
    }
    write_record(path, like | own)
    path.with_suffix(".npz").write_bytes(packed)
    return path.stem


def _stands(
    order: list[str], strength: float, test: Test, random: np.random.Generator
) -> dict[str, npt.NDArray[np.bool_]]:
    """Which images stand: each attack takes some of those that the one before left."""
    margins = strength - test.hardness + random.normal(scale=0.4, size=len(test.hardness))
    needed = dict(zip(order, np.linspace(-1.5, 0.1, len(order)), strict=True))
    return {name: margins > least for name, least in needed.items()}


@dataclass(frozen=True)
class Spent:
    """What one process took after its imports."""

    seconds: float
    """Of CPU."""
    peak: float
    """Resident memory at most, in MB."""


def read(results: Path) -> Callable[[], object]:
    """All records, outcomes and curves, as tidy frames."""
    return partial(gather, results)


def analyse(results: Path) -> Callable[[], object]:
    """All tables, comparisons and figures, before any is written; reading does not count."""
    return partial(find, results, gather(results))


def write(results: Path, *, figures: bool) -> Callable[[], object]:
    """The whole report."""
    return partial(report, results, figures=figures)


STEPS: dict[str, Callable[[Path], Callable[[], object]]] = {
    "read all cells": read,
    "analyse what was read": analyse,
    "`robench report --no-figures`, all of it": partial(write, figures=False),
    "`robench report`, PDF and PNG drawn": partial(write, figures=True),
    "`robench report` again, nothing changed": partial(write, figures=True),
}


def measured(step: str, results: Path) -> Spent:
    """In the process that this is called in."""
    work = STEPS[step](results)
    began = time.process_time()
    work()
    seconds = time.process_time() - began
    return Spent(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def alone(of: Callable[..., Any], *given: object) -> Any:
    """What a function returns in a process of its own, which has imported what this one has."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(of, *given).result()


@click.command(help=__doc__)
@click.option("--methods", default=METHODS, show_default=True)
@click.option("--seeds", default=SEEDS, show_default=True)
@click.option("--images", default=IMAGES, show_default=True, help="Of each evaluation.")
@click.option("--evaluations", type=click.IntRange(1, len(_PLACES)), default=len(_PLACES),
              show_default=True, help="Of each cell.")  # fmt: skip
def main(methods: int, seeds: int, images: int, evaluations: int) -> None:
    """All of it, as a table in Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        alone(make, results, methods, seeds, images, evaluations)
        said = f"{methods * seeds} cells, {images:,} images, {evaluations} evaluations a cell"
        click.echo(f"| {said} | CPU | memory |")
        click.echo("| --- | ---: | ---: |")
        for step in STEPS:
            spent = alone(measured, step, results)
            click.echo(f"| {step} | {spent.seconds:.1f} s | {spent.peak:.0f} MB |")
        files = [path for path in results.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        page = (results / "report" / "index.html").stat().st_size / 1e6
        click.echo(f"\n{len(files):,} files, {size:.0f} MB; index.html {page:.1f} MB")


if __name__ == "__main__":
    main()
