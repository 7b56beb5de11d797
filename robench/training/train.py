"""Train a method: what each epoch comes to, and which one is kept."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from torch import nn

from robench.data.load import Data
from robench.events import Epoch, Tell, Warned
from robench.keeping import Forgetful, Keeper
from robench.keeping import State as Saved
from robench.models.compiled import compiled
from robench.models.layout import laid_out
from robench.seeds import derive, seeded
from robench.threat import Threat
from robench.training.course import Course
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
    looks: list[Validation] = field(default_factory=list)
    """All looks at the validation part in the last stage."""


def train(
    method: Method,
    classifier: Callable[[], nn.Module],
    data: Data,
    recipe: Recipe,
    threat: Threat,
    seed: int,
    tell: Tell,
    cell: str = "",
    keeper: Keeper | None = None,
) -> Trained:
    """Train a method on the training part; one seed fixes everything that is random.

    Where the keeper has a saved state, training goes on from it and ends as if nothing had been.

    Raises:
        Diverged: a loss is not finite.
    """
    keeper = keeper or Forgetful()
    course = begun(method, classifier, data, recipe, threat, seed)
    run = course.run
    looked_at = data.validation.first(recipe.validation_images)
    trained: Trained | None = None

    def state() -> Saved:
        return course.state() | {"trained": _packed(trained) if trained else None}

    with seeded(derive(seed, "train")):
        if (saved := keeper.load()) is not None:
            course.take_up(saved)
            trained = _unpacked(saved["trained"]) if saved["trained"] else None
        for done in epochs(course, data, lambda: keeper.between(state)):
            look = None
            due = done.ends_stage or done.number % recipe.validate_every == 0
            if due and done.validated:
                deployed, stream = method.deploy(course.trained, run), derive(seed, "validation")
                look = validate(deployed, looked_at, threat, recipe.validation_steps, stream)
                new = Checkpoint(done.number, done.stage, _tensors(course.trained, run), look)
                found = _found(method, new, trained)
                for trouble in _unheard(found, trained):
                    tell(Warned(f"{cell}: epoch {trouble.epoch}: {trouble.detail}"))
                trained = _keep(method, trained, new, found)
            tell(_told(cell, done, look))
            if done.number < done.total:
                keeper.ended(state)
    assert trained is not None  # the last epoch of the last stage is always looked at
    return trained


def begun(
    method: Method,
    classifier: Callable[[], nn.Module],
    data: Data,
    recipe: Recipe,
    threat: Threat,
    seed: int,
) -> Course:
    """A training before its first step: the network as it is drawn, on the device."""
    device, run = data.train.y.device, new_run(data, threat, recipe)
    with seeded(derive(seed, "init")):
        model = laid_out(method.build(classifier, run).to(device))
        if recipe.compile != "none" and device.type == "cuda":
            compiled(model, recipe.compile)
        run.state = {name: value.to(device) for name, value in method.init(model, run).items()}
    return Course(method, model, recipe, run, derive(seed, "data"))


def _found(method: Method, new: Checkpoint, trained: Trained | None) -> list[Trouble]:
    """What the newest look shows beside those before it in the same stage."""
    same = trained is not None and trained.last.stage == new.stage
    before = trained.looks if trained is not None and same else []
    robust = method.select_on == "robust"
    return troubles(new.epoch, new.validation, before, robust=robust)


def _keep(method: Method, old: Trained | None, new: Checkpoint, found: list[Trouble]) -> Trained:
    """The newest checkpoint is the last; the best is the one of its stage with most merit."""
    troubled = (old.troubles if old else []) + found
    if old is None or old.last.stage != new.stage:
        return Trained(new, new, troubled, [new.validation])
    best = max(old.best, new, key=lambda c: _merit(method, c))
    return Trained(best, new, troubled, [*old.looks, new.validation])


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


def _packed(trained: Trained) -> Saved:
    """As plain values and tensors."""
    return {
        "best": vars(trained.best) | {"validation": asdict(trained.best.validation)},
        "last": vars(trained.last) | {"validation": asdict(trained.last.validation)},
        "troubles": [asdict(trouble) for trouble in trained.troubles],
        "looks": [asdict(look) for look in trained.looks],
    }


def _unpacked(state: Saved) -> Trained:
    best, last = (
        Checkpoint(**state[name] | {"validation": Validation(**state[name]["validation"])})
        for name in ("best", "last")
    )
    found = [Trouble(**trouble) for trouble in state["troubles"]]
    return Trained(best, last, found, [Validation(**look) for look in state["looks"]])


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
