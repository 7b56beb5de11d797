"""Train a method: what each epoch comes to, and which one is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from robench.data.load import Data
from robench.events import Epoch, Tell, Warned
from robench.seeds import derive, seeded
from robench.threat import Threat
from robench.training.epochs import Done, epochs, new_run
from robench.training.method import Method, Run, State
from robench.training.recipe import Recipe
from robench.training.validate import Trouble, Validation, troubles, validate


@dataclass(frozen=True)
class Checkpoint:
    """Weights and the method's state after an epoch, on the CPU, with what validation said."""

    epoch: int
    stage: str
    tensors: State
    """``model.*``: the trained module, averaged if the recipe asks; ``state.*``: the method's."""
    validation: Validation


@dataclass
class Trained:
    """What training leaves behind."""

    best: Checkpoint
    """Chosen on the validation part, never on the test part, among the last stage's epochs."""
    last: Checkpoint
    troubles: list[Trouble] = field(default_factory=list)


def train(
    method: Method,
    classifier: Callable[[], nn.Module],
    data: Data,
    recipe: Recipe,
    threat: Threat,
    seed: int,
    tell: Tell,
    cell: str = "",
) -> Trained:
    """Train a method on the training part; one seed fixes everything that is random.

    Raises:
        Diverged: a loss is not finite.
    """
    device = data.train.y.device
    run = new_run(data, threat, recipe)
    with seeded(derive(seed, "init")):
        model = method.build(classifier, run).to(device)
        run.state = {name: value.to(device) for name, value in method.init(model, run).items()}
    looked_at = data.validation.first(recipe.validation_images)
    trained: Trained | None = None
    before: list[Validation] = []
    with seeded(derive(seed, "train")):
        for done in epochs(method, model, data, recipe, run, derive(seed, "data")):
            look = None
            if done.ends_stage or done.number % recipe.validate_every == 0:
                deployed, stream = method.deploy(done.model, run), derive(seed, "validation")
                look = validate(deployed, looked_at, threat, recipe.validation_steps, stream)
                new = Checkpoint(done.number, done.stage, _tensors(done.model, run), look)
                if trained is not None and trained.last.stage != new.stage:
                    before = []
                robust = method.select_on == "robust"
                found = troubles(done.number, look, before, robust=robust)
                before.append(look)
                for trouble in _unheard(found, trained):
                    tell(Warned(f"{cell}: epoch {trouble.epoch}: {trouble.detail}"))
                trained = _keep(method, trained, new, found)
            tell(_told(cell, done, look))
    assert trained is not None  # the last epoch of a stage is always looked at
    return trained


def _keep(method: Method, old: Trained | None, new: Checkpoint, found: list[Trouble]) -> Trained:
    """The newest checkpoint is the last; the best is the one of its stage with most merit."""
    troubled = (old.troubles if old else []) + found
    if old is None or old.last.stage != new.stage:
        return Trained(new, new, troubled)
    return Trained(max(old.best, new, key=lambda c: _merit(method, c)), new, troubled)


def _merit(method: Method, checkpoint: Checkpoint) -> tuple[float, float, int]:
    """What the best checkpoint has most of; of equal ones, the later."""
    look = checkpoint.validation
    chosen, other = look.robust, look.natural
    if method.select_on == "natural":
        chosen, other = other, chosen
    return chosen, other, checkpoint.epoch


def _unheard(found: list[Trouble], trained: Trained | None) -> list[Trouble]:
    """Troubles of a kind that has not been told yet."""
    told = {trouble.flag for trouble in trained.troubles} if trained else set()
    return [trouble for trouble in found if trouble.flag not in told]


def _tensors(model: nn.Module, run: Run) -> State:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"state.{name}": value for name, value in run.state.items()}
    return {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}


def _told(cell: str, done: Done, look: Validation | None) -> Epoch:
    return Epoch(
        cell=cell,
        epoch=done.number,
        epochs=done.total,
        stage=done.stage,
        lr=done.rate,
        loss=done.loss,
        validation_natural=look.natural if look else None,
        validation_robust=look.robust if look else None,
        seconds=done.seconds,
        forwards=done.passes.forwards,
        backwards=done.passes.backwards,
        log=done.log,
    )
