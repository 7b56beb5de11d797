"""Several results folders laid over each other: what goes where, so that nothing is averaged.

The first layer holds each cell once, with one set of weights and each evaluation once. What is
there already in another form goes to the second layer, and so on; each layer is a results folder.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from robench.errors import StoreError
from robench.evaluation.outcomes import Outcomes
from robench.evaluation.stored import has_examples, is_of, read_evaluation, read_outcomes
from robench.settings import Plain
from robench.store.records import CellFolder, cell_folders, read_record


@dataclass(frozen=True)
class Found:
    """A record, and where it is."""

    path: Path
    record: Plain


@dataclass
class Placed:
    """A cell of a layer."""

    cell: Found
    folders: list[CellFolder]
    """Where its weights may be: every source that has the same."""
    evaluations: dict[str, Found] = field(default_factory=dict)
    """By name."""

    @property
    def name(self) -> str:
        """Its folder's."""
        return self.cell.path.parent.name


@dataclass
class Layers:
    """Where everything goes."""

    cells: dict[str, list[Placed]] = field(default_factory=dict)
    """By name: one for each layer that has it."""
    notes: list[str] = field(default_factory=list)
    """What was left out because something whole stands for it."""
    problems: list[str] = field(default_factory=list)
    """Files that cannot be trusted."""

    @property
    def duplicates(self) -> list[str]:
        """A line for each cell or evaluation that is there in more than one form."""
        return [line for layers in self.cells.values() for line in _duplicates(layers)]


def lay(sources: Sequence[Path]) -> Layers:
    """Decide for every trusted record of some results folders; those named first come first."""
    found = Layers()
    everything: dict[str, list[Placed]] = {}
    for source in sources:
        for folder in cell_folders(source):
            if (placed := _read(folder, found)) is not None:
                everything.setdefault(placed.name, []).append(placed)
    for name, cells in sorted(everything.items()):
        whole = [cell for cell in cells if cell.cell.record["status"] == "ok"]
        rest = [cell for cell in cells if cell.cell.record["status"] != "ok"]
        for cell in rest if whole else rest[1:]:
            status = cell.cell.record["status"]
            found.notes.append(f"{cell.cell.path} is {status}; another one stands for it")
        layers = found.cells.setdefault(name, [])
        for cell in whole or rest[:1]:
            _place(cell, layers)
    return found


def _read(folder: CellFolder, found: Layers) -> Placed | None:
    """A cell with its finished evaluations; what is not finished or not trusted is named."""
    if not folder.record.exists():  # or a merge was interrupted before it wrote one
        found.notes.append(f"{folder.path} has no record of a training; left out")
        return None
    try:
        record = read_record(folder.record)
    except StoreError as error:
        found.problems.append(str(error))
        return None
    if record["status"] == "running":
        found.notes.append(f"{folder.path} is not done; left out")
        return None
    placed = Placed(Found(folder.record, record), [folder])
    for path in folder.evaluations() if record["status"] == "ok" else []:
        try:
            evaluation = read_evaluation(path)
            if evaluation["status"] == "running":
                found.notes.append(f"{path} is not done; left out")
            elif not is_of(evaluation, record):
                found.problems.append(f"{path} is of weights that the cell no longer has; left out")
            else:
                if evaluation["status"] == "ok":
                    read_outcomes(path, evaluation)
                placed.evaluations[path.stem] = Found(path, evaluation)
        except StoreError as error:
            found.problems.append(str(error))
    return placed


def _place(cell: Placed, layers: list[Placed]) -> None:
    """Put a cell into the first layer that has its weights or nothing, its evaluations likewise."""
    fitting = [layer for layer in layers if _weights(layer) == _weights(cell)]
    if not fitting:
        fitting = [_new(cell, layers)]
    for layer in fitting:
        layer.folders += [folder for folder in cell.folders if folder not in layer.folders]
    for name, evaluation in cell.evaluations.items():
        for layer in _and_more(fitting, cell, layers):
            there = layer.evaluations.get(name)
            if there is None or _is_better(evaluation, there):
                layer.evaluations[name] = evaluation
                break
            if _is_same(evaluation, there):
                if _images(evaluation) > _images(there):
                    layer.evaluations[name] = evaluation
                break


def _new(cell: Placed, layers: list[Placed]) -> Placed:
    layers.append(Placed(cell.cell, list(cell.folders)))
    return layers[-1]


def _and_more(fitting: list[Placed], cell: Placed, layers: list[Placed]) -> Iterator[Placed]:
    """The layers that a cell fits, and then a new one."""
    yield from fitting
    fitting.append(_new(cell, layers))
    yield fitting[-1]


def _weights(cell: Placed) -> list[str]:
    return [facts["sha256"] for facts in cell.cell.record.get("checkpoints", {}).values()]


def _is_better(evaluation: Found, there: Found) -> bool:
    """Outcomes take the place of a failure."""
    return evaluation.record["status"] == "ok" != there.record["status"]


def _is_same(evaluation: Found, there: Found) -> bool:
    """Whether every image comes to the same; a failure adds nothing to what is there."""
    if evaluation.record["status"] != "ok":
        return True
    if evaluation.record["outcomes"] == there.record["outcomes"]:
        return True
    one, other = (read_outcomes(found.path, found.record) for found in (evaluation, there))
    return _arrays_are_equal(one, other)


def _images(evaluation: Found) -> int:
    """Of how many of the first images there is what broke them."""
    there = has_examples(evaluation.path, evaluation.record)
    return int(evaluation.record["images"]["first"]) if there else 0


def _arrays_are_equal(one: Outcomes, other: Outcomes) -> bool:
    """Of packed files that differ, for other versions of zlib pack otherwise."""
    if not (np.array_equal(one.y, other.y) and np.array_equal(one.origin, other.origin)):
        return False
    pairs = (one.stands, other.stands), (one.measured, other.measured)
    return all(
        mine.keys() == theirs.keys()
        and all(np.array_equal(mine[name], theirs[name], equal_nan=True) for name in mine)
        for mine, theirs in pairs
    )


def _duplicates(layers: Sequence[Placed]) -> Iterator[str]:
    for layer in layers[1:]:
        first = next(other for other in layers if _weights(other) == _weights(layer))
        if first is layer:
            where = f"{_source(layers[0].cell)} and {_source(layer.cell)}"
            yield f"cell {layer.name} has other weights in {where}"
        else:
            for name, evaluation in layer.evaluations.items():
                where = f"{_source(first.evaluations[name], 3)} and {_source(evaluation, 3)}"
                yield f"evaluation {layer.name}/{name} has other outcomes in {where}"


def _source(found: Found, deep: int = 2) -> Path:
    """The results folder of a record."""
    return found.path.parents[deep]
