"""Files of a cell that are not what they should be: named, moved aside, or written again."""

from pathlib import Path

from robench.errors import StoreError
from robench.evaluation.examples import beside as images_of
from robench.evaluation.stored import has_examples, read_any, trusted
from robench.events import Warned
from robench.store.files import checksum, write
from robench.store.records import CellFolder, set_aside
from robench.watch import Watch


def damaged(folder: CellFolder) -> list[Path]:
    """Weights that are there, and not what their record says; those that are gone may be."""
    record = trusted(folder.record)
    if record is None or record["status"] != "ok":
        return []
    kept = {folder.weights(name): facts for name, facts in record["checkpoints"].items()}
    return [p for p, facts in kept.items() if p.is_file() and checksum(p) != facts["sha256"]]


def name_damaged(folder: CellFolder, watch: Watch) -> None:
    """Name weights that cannot be trusted, and move them out of the way."""
    for path in damaged(folder):
        watch.tell(Warned(f"{path} is damaged; moved to {set_aside(path).parent}"))
    watch.tell(Warned(f"weights in {folder.path} are missing or damaged; trained again"))


def check(path: Path, watch: Watch) -> None:
    """Name a record that is not to be trusted, and move it out of the way with its outcomes."""
    try:
        if path.exists():
            read_any(path)
    except StoreError as error:
        where = set_aside(path)
        for beside in filter(Path.is_file, (path.with_suffix(".npz"), images_of(path))):
            set_aside(beside)
        watch.tell(Warned(f"{error}; moved to {where.parent}, redone"))


def check_images(evaluation: Path, watch: Watch) -> None:
    """Name saved images that are not what was written, and move them; no number rests on them."""
    images = images_of(evaluation)
    record = trusted(evaluation) if images.is_file() else None
    if record is not None and record["status"] == "ok" and not has_examples(evaluation, record):
        where = set_aside(images)
        watch.tell(Warned(f"{images} is damaged; moved to {where.parent}; the outcomes stay"))


def mend(folder: CellFolder, watch: Watch) -> None:
    """Write anew what the record says again elsewhere, where it is not what it should be."""
    record = trusted(folder.record)
    if record is None or record["status"] != "ok":
        return
    for path, content in folder.copies(record).items():
        if not path.is_file() or path.read_bytes() != content:
            where = f"moved to {set_aside(path).parent}, " if path.is_file() else ""
            write(path, content)
            watch.tell(Warned(f"{path} is missing or damaged; {where}written again"))
