"""An evaluation on disk: its record, trusted only with the outcomes that it was written for."""

from pathlib import Path

from robench.errors import StoreError
from robench.evaluation.examples import beside as images_of
from robench.evaluation.outcomes import Outcomes, unpack
from robench.settings import Plain
from robench.store.cell import Evaluation
from robench.store.files import checksum, remove, write
from robench.store.records import CellFolder, read_record, write_record


def read_evaluation(path: Path) -> Plain:
    """An evaluation's record, after a look at the outcomes beside it.

    Raises:
        StoreError: as for ``read_record``, or the outcomes are not the ones that were written.
    """
    record = read_record(path)
    beside = path.with_suffix(".npz")
    if record["status"] == "ok" and not (
        beside.is_file() and checksum(beside) == record["outcomes"]
    ):
        raise StoreError(f"{beside} is missing or damaged; not used")
    return record


def read_outcomes(path: Path, record: Plain) -> Outcomes:
    """The outcome of every image of an evaluation's record.

    Raises:
        StoreError: damaged, or they do not come to the counts of the record.
    """
    beside = path.with_suffix(".npz")
    outcomes = unpack(beside)
    counts = {name: int(mask.sum()) for name, mask in outcomes.stands.items()}
    said = record["n"], record["stands"], record["carried"]
    if (len(outcomes.y), counts, int(outcomes.carried.sum())) != said:
        raise StoreError(f"{beside} does not hold what {path.name} says; not used")
    return outcomes


def has_examples(path: Path, record: Plain) -> bool:
    """Whether the images that a finished evaluation speaks of are there, as they were written."""
    said, images = record.get("images"), images_of(path)
    return said is not None and images.is_file() and checksum(images) == said["sha256"]


def read_any(path: Path) -> Plain:
    """A cell's record or an evaluation's, by the name of its file; raises as they do."""
    return read_record(path) if path.name == "cell.json" else read_evaluation(path)


def trusted(path: Path) -> Plain | None:
    """A record, or none when it is not there or not to be trusted."""
    try:
        return read_any(path) if path.exists() else None
    except StoreError:
        return None


def is_of(evaluation: Plain, cell: Plain) -> bool:
    """Whether an evaluation attacked the weights that the cell has now."""
    identity, kept = evaluation["identity"], cell["checkpoints"]
    weights = kept[identity["checkpoint"]]["sha256"]
    return bool(identity["cell"] == cell["key"] and evaluation["weights"] == weights)


def share(folder: CellFolder, best: Evaluation, last: Evaluation) -> bool:
    """Copy the best checkpoint's outcome to the last one's when both hold the same weights.

    Attacks draw from streams that do not depend on the checkpoint, so running them again would give
    the same outcome bit for bit.
    """
    kept = read_record(folder.record)["checkpoints"]
    if kept["best"]["sha256"] != kept["last"]["sha256"]:
        return False
    record = read_evaluation(folder.outcome(best))
    if record["status"] != "ok":
        return False
    here, there = folder.outcome(last), folder.outcome(best)
    write(here.with_suffix(".npz"), there.with_suffix(".npz").read_bytes())
    own = {"key": last.key, "identity": last.identity, "copied_from": best.name}
    if not _share_examples(record, there, here):
        record.pop("images", None)
    write_record(here, record | own)
    return True


def _share_examples(record: Plain, there: Path, here: Path) -> bool:
    """Copy what broke the first images, where that is there and whole; an earlier one goes."""
    remove(images_of(here))
    if not has_examples(there, record):
        return False
    write(images_of(here), images_of(there).read_bytes())
    return True
