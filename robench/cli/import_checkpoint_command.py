"""``robench import-checkpoint``: weights from elsewhere, taken over without running anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robench.cli.echo import echo
from robench.cli.options import CONTEXT, FileName, folder

if TYPE_CHECKING:
    from torch import Tensor

    from robench.models.classifier import Network
    from robench.models.statedict import Found


@click.command(
    "import-checkpoint", context_settings=CONTEXT, short_help="Take over weights from elsewhere."
)
@click.argument("file", type=FileName(exists=True, dir_okay=False, path_type=Path))
@click.option("--model", metavar="NAME", help="One of robench's networks, which they must fit.")
@click.option("--dataset", metavar="NAME", help="What it classifies; --model needs it.")
@click.option("--part", metavar="NAME", help="Which of the file's dictionaries to take.")
@click.option("--by-shape", is_flag=True, help="Match tensors by order and shape, not by name.")
@click.option(
    "--normalise/--no-normalise",
    default=None,
    help="Subtract the data set's mean first. Unsaid: as robench's recipe for it.",
)
@click.option(
    "--data-root", type=folder, default=Path("data"), metavar="FOLDER", help="A torchvision root."
)
@click.option("--output", type=FileName(dir_okay=False, path_type=Path), metavar="FILE",
              help="Unsaid: FILE's name with .safetensors.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace an output that is there.")
def command(file: Path, output: Path | None, part: str | None, **options: Any) -> int:
    """Convert a foreign checkpoint FILE (.pt, .pth, .ckpt, .safetensors) to robench's own form.

    Only tensors are read: a file that would run code, or holds anything else than tensors and plain
    values, is refused with the reason. With --model, every tensor must fit robench's network, and
    its natural accuracy is measured on images of the validation part.
    """
    from robench.models import foreign, statedict
    from robench.store.files import checksum

    target = _target(file, output, force=options["force"])
    _check_names(options)
    with foreign.blamed(file):
        found = statedict.find(foreign.read(file), part, file.stat().st_size)
    echo(_taken(found))
    about = {"file": file.name, "sha256": checksum(file), "taken": ".".join(found.taken)}
    tensors: Mapping[str, Tensor] = found.tensors
    if options["model"]:
        with foreign.blamed(file):
            network, said = _fitted(found.tensors, options)
        tensors, about = network.state_dict(), about | said
        _measure(network, options["dataset"], options["data_root"])
    else:
        echo("no --model: its tensors were not compared with any network")
    _save(tensors, about, target)
    echo(target)
    return 0


def _target(file: Path, output: Path | None, *, force: bool) -> Path:
    from robench.errors import ConfigError

    target = output or file.with_suffix(".safetensors")
    if target.suffix != ".safetensors":
        raise ConfigError(f"--output {target} does not end with .safetensors")
    if target.resolve() == file.resolve():
        raise ConfigError(f"{file} would be replaced by what is made of it; give --output")
    if target.exists() and not force:
        raise ConfigError(f"{target} is there already; --force replaces it")
    return target


def _check_names(options: Mapping[str, Any]) -> None:
    """Everything that can be told without the file."""
    from robench.data.catalogue import facts
    from robench.errors import ConfigError
    from robench.models.catalogue import check

    model, dataset = options["model"], options["dataset"]
    if model and dataset:
        check(model, dataset, facts(dataset))
    elif model or dataset or options["by_shape"] or options["normalise"] is not None:
        raise ConfigError("--model and --dataset go together, and other options need both")


def _taken(found: "Found") -> str:
    """What was read, in a line."""
    named = f"from {'.'.join(found.taken)!r}" if found.taken else "from its top"
    parts = [f"took {len(found.tensors)} tensors {named}"]
    if found.left_out:
        more = f" and {len(found.left_out) - 5} more" if len(found.left_out) > 5 else ""
        first = ", ".join(repr(name[:80]) for name in found.left_out[:5])
        parts.append(f"left out {first}{more}")
    if found.prefix:
        parts.append(f"cut {found.prefix!r} off their names")
    return "; ".join(parts)


def _fitted(
    tensors: "Mapping[str, Tensor]", options: Mapping[str, Any]
) -> "tuple[Network, dict[str, Any]]":
    """The network with the weights, and what the file's header says of it."""
    from robench.data.catalogue import facts
    from robench.models import fit
    from robench.models.catalogue import build

    dataset, normalise = options["dataset"], _normalises(tensors, options)
    network = build(options["model"], facts(dataset), normalise=normalise)
    said = {name: options[name] for name in ("model", "dataset")} | {"normalise": normalise}
    if options["by_shape"]:
        pairs = fit.by_shape(network, tensors)
        tensors = {mine: tensors[other] for mine, other in pairs.items()}
        mine, other = next(iter(pairs.items()))
        echo(f"matched {len(pairs)} tensors by order and shape: {other!r} is {mine!r}, ...")
        said["renamed"] = pairs
    filled = fit.fit(network, tensors)
    for line in _filled(filled, network, dataset):
        echo(line)
    return network.eval(), said


def _normalises(tensors: "Mapping[str, Tensor]", options: Mapping[str, Any]) -> bool:
    from robench.training.recipes import RECIPES

    if "mean" in tensors:
        return tensors["mean"].numel() > 1
    asked = options["normalise"]
    return bool(RECIPES[options["dataset"]].normalise if asked is None else asked)


def _filled(names: list[str], network: "Network", dataset: str) -> list[str]:
    """What the file did not have, and what stands in its place."""
    lines = []
    if "mean" in names:
        values = ", ".join(f"{value:g}" for value in network.mean.flatten().tolist())
        plain = not network.mean.any() and bool((network.std == 1).all())
        what = "images stay in [0, 1]" if plain else f"those of {dataset} are filled in ({values})"
        option = "--normalise" if plain else "--no-normalise"
        lines.append(f"the file has no mean and deviation: {what}; {option} if that is wrong")
    elif "std" not in names:
        lines.append("mean and deviation are the file's own")
    counters = [name for name in names if name.endswith("num_batches_tracked")]
    if counters:
        lines.append(f"{len(counters)} counters of batch normalisation are 0; nothing reads them")
    return lines


def _measure(network: "Network", dataset: str, data_root: Path) -> None:
    """Natural accuracy, never on test images, so that trying again is no choice made on them."""
    import torch

    from robench.data.load import load
    from robench.errors import DataError
    from robench.evaluation.recognition import IMAGES

    try:
        data = load(dataset, data_root, torch.device("cpu"))
    except DataError as error:
        echo(f"warning: natural accuracy was not measured: {error}", err=True)
        return
    images, classes = data.validation.first(IMAGES), data.facts.num_classes
    with torch.inference_mode():  # logits that are not finite are wrong answers here, no error
        right = (network(images.x()).argmax(1) == images.y).float().mean().item()
    echo(f"natural accuracy on {len(images)} validation images of {dataset}: {right:.0%}")
    chance = 1 / classes
    if right <= chance + 3 * (chance * (1 - chance) / len(images)) ** 0.5:
        echo(
            f"warning: that is no better than guessing among {classes} classes: another network, "
            "order of classes or normalisation than it was trained with?",
            err=True,
        )


def _save(tensors: "Mapping[str, Tensor]", about: dict[str, Any], target: Path) -> None:
    """The weights as robench keeps its own, with their SHA-256 beside them."""
    import hashlib

    from robench.store.files import write
    from robench.training.checkpoint import packed

    content = packed({f"model.{n}": t for n, t in tensors.items()}, {"imported": about})
    write(target, content)
    digest = hashlib.sha256(content).hexdigest()
    write(target.with_suffix(".safetensors.sha256"), f"{digest}  {target.name}\n".encode())
