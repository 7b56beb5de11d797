"""Other people's trainers and attacks, where they are installed, with the same settings."""

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec

import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.loops.pictures import batches_of, loader
from benchmarks.loops.reference import BETA, Step, reference, trades_loss, update
from benchmarks.loops.task import INNER, Task, Turn


def _torchattacks_madry(
    model: nn.Module, x: Tensor, y: Tensor, optimizer: Optimizer, task: Task
) -> Tensor:
    import torchattacks

    attack = torchattacks.PGD(model, float(task.threat.eps), task.step_size, INNER)
    x_adv = attack(x, y)
    return update(F.cross_entropy(model(x_adv), y), optimizer)


def _torchattacks_trades(
    model: nn.Module, x: Tensor, y: Tensor, optimizer: Optimizer, task: Task
) -> Tensor:
    import torchattacks

    attack = torchattacks.TPGD(model, float(task.threat.eps), task.step_size, INNER)
    return update(trades_loss(model, x, y, attack(x)), optimizer)


_TORCHATTACKS: Mapping[str, Step] = {"madry": _torchattacks_madry, "trades": _torchattacks_trades}


def torchattacks(method: str, task: Task) -> Turn | None:
    """The public loop around its PGD, or its TPGD for TRADES."""
    return reference(_TORCHATTACKS, method, task) if method in _TORCHATTACKS else None


def art(method: str, task: Task) -> Turn | None:
    """adversarial-robustness-toolbox; it takes arrays, and does not augment."""
    if method != "madry":
        return None
    from art.defences.trainer import AdversarialTrainerMadryPGD
    from art.estimators.classification import PyTorchClassifier

    model, batch = task.network(), task.recipe.batch_size
    classifier = PyTorchClassifier(
        model=model,
        loss=nn.CrossEntropyLoss(),
        optimizer=task.optimizer(model),
        input_shape=task.data.facts.shape,
        nb_classes=task.data.facts.num_classes,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )
    trainer = AdversarialTrainerMadryPGD(
        classifier,
        nb_epochs=1,
        batch_size=batch,
        eps=float(task.threat.eps),
        eps_step=task.step_size,
        max_iter=INNER,
        num_random_init=1,
    )
    x, y = (part.numpy() for part in batches_of(task))

    def turn() -> None:
        with _silent():
            trainer.fit(x, y, nb_epochs=1)

    return turn


def torchdefenses(method: str, task: Task) -> Turn | None:
    """Its trainers, on the pictures of the public loop."""
    import torchdefenses as td
    from torchdefenses import trainer as trainers

    model = td.RobModel(task.network(), n_classes=task.data.facts.num_classes)
    ball = {"eps": float(task.threat.eps), "alpha": task.step_size, "steps": INNER}
    known: Mapping[str, Callable[[], object]] = {
        "natural": lambda: trainers.Standard(model),
        "madry": lambda: trainers.AT(model, **ball),
        "trades": lambda: trainers.TRADES(model, **ball, beta=BETA),
    }
    if method not in known:
        return None
    trainer, pictures = known[method](), loader(task)

    def turn() -> None:
        with tempfile.TemporaryDirectory() as folder, _silent():
            trainer.fit(  # type: ignore[attr-defined]
                train_loader=pictures,
                max_epoch=1,
                optimizer=task.optimizer(model),
                save_path=f"{folder}/kept",
                save_type=None,
                record_type=None,
            )

    return turn


PACKAGES: Mapping[str, Callable[[str, Task], Turn | None]] = {
    name: side
    for name, side in (
        ("torchattacks", torchattacks),
        ("art", art),
        ("torchdefenses", torchdefenses),
    )
    if find_spec(name) is not None
}
"""Those that are here; each says for a method if it has it."""


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """They print progress."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
