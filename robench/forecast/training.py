"""What training a cell will take: some of its own steps, and all the others like them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from robench import networks
from robench.adversary.gradient import gradient
from robench.adversary.losses import cross_entropy
from robench.data.batches import Batch
from robench.data.load import Data
from robench.evaluation.trial import CHUNK
from robench.forecast.clock import an_image
from robench.models.passes import Passes, counted
from robench.plan import Job
from robench.seeds import seeded
from robench.threat import Threat
from robench.training.course import Course
from robench.training.epochs import autocast, rounds
from robench.training.method import Stage
from robench.training.recipe import Recipe
from robench.training.train import begun

FIRST = 4
"""Images of the first step that is tried."""


@dataclass(frozen=True)
class Effort:
    """Of one training."""

    seconds: float
    memory: float
    """Bytes at most, beside what the process has already."""
    weights: float
    """Bytes of a checkpoint."""
    state: float
    """Bytes of what training goes on from, on the disk while it lasts."""


class Probed:
    """A cell's method with a network that nothing was trained of, ready for steps."""

    def __init__(self, job: Job, data: Data) -> None:
        self.job, self.data = job, replace(data, extra=job.extra)
        self.device, cell = data.train.y.device, job.cell
        threat, maker = Threat(cell.norm, float(cell.eps)), networks.maker(cell, data)
        self.course = begun(job.method, maker, self.data, cell.recipe, threat, cell.seed)
        self.model, self.run = self.course.model, self.course.run
        self.run.progress = 0.5  # past any warm-up

    def deployed(self) -> nn.Module:
        """What would be attacked."""
        return self.job.method.deploy(self.course.trained, self.run).eval()

    def batch(self, images: int) -> Batch:
        """The first training images, over again where there are too few."""
        index = torch.arange(images, device=self.device) % len(self.data.train)
        return Batch(self.data.train.x(index), self.data.train.y[index], index)


def effort(job: Job, data: Data) -> Effort:
    """Of a cell's training, from steps of each of its stages.

    A step of fewer images is tried where a whole one takes long. What ends early on a network that
    has learnt nothing is scaled up to the passes that the method declares.
    """
    with seeded(0):
        probed = Probed(job, data)
        course, spent = probed.course, 0.0
        before = _used(probed.device)
        for number, stage in enumerate(job.method.stages()):
            course.stage, course.optimizer = number, None
            _, recipe = course.present()
            step = _step(probed, stage, recipe)
            spent += step * len(data.train) * rounds(stage, job.cell.recipe)
        spent += _looks(probed)
        weights = float(_size(probed.model.state_dict().values()))
        held = weights + _size(_of_optimizer(course))
        memory = _activations(probed) + 2 * held + 2 * weights
        if probed.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated(probed.device) - before
    return Effort(spent, memory, weights, held + 2 * weights)


def _step(probed: Probed, stage: Stage, recipe: Recipe) -> float:
    """Seconds an image of a step of a stage."""
    method, run, optimizer = probed.job.method, probed.run, probed.course.begin_stage()
    run.stage, seen = stage.name, 0
    probed.model.train()

    def work(images: int) -> None:
        nonlocal seen
        seen += images
        with autocast(recipe, probed.device):
            method.step(probed.model, probed.batch(images), run, optimizer)

    with counted(probed.model) as passes:
        each = an_image(work, probed.device, FIRST, recipe.batch_size)
    return each * _ended_early(passes, method.passes(stage.name), seen)


def _ended_early(counted: Passes, declared: Passes, images: int) -> float:
    """How many times as much a step takes that does not end early."""
    done = counted.forwards + counted.backwards
    most = images * (declared.forwards + declared.backwards)
    return max(1.0, most / done) if done else 1.0


def _looks(probed: Probed) -> float:
    """Seconds of all looks at the validation part."""
    recipe, method = probed.job.cell.recipe, probed.job.method
    due, number = 0, 0
    for stage in method.stages():
        last = rounds(stage, recipe)
        for epoch in range(1, last + 1):
            number += 1
            due += stage.validated and (epoch == last or number % recipe.validate_every == 0)
    images = min(recipe.validation_images, len(probed.data.validation))
    with_gradient, without = passing(probed.deployed(), probed.batch, probed.device)
    return due * images * ((recipe.validation_steps + 1) * with_gradient + 2 * without)


def passing(
    model: nn.Module, batch: Callable[[int], Batch], device: torch.device, most: int = CHUNK
) -> tuple[float, float]:
    """Seconds an image of a pass with the gradient of the image, and of one without."""

    def with_gradient(images: int) -> None:
        given = batch(images)
        gradient(model, given.x, cross_entropy, given.y)

    @torch.no_grad()
    def without(images: int) -> Tensor:
        return model(batch(images).x)

    return an_image(with_gradient, device, FIRST, most), an_image(without, device, FIRST, most)


def _activations(probed: Probed) -> float:
    """Bytes kept for backward passes: of a batch twice over, or of a chunk that is attacked."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    batch = probed.batch(2)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = probed.deployed()(batch.x.requires_grad_())
    del logits
    weights = {p.untyped_storage().data_ptr() for p in probed.model.parameters()}
    each = sum(size for place, size in kept.items() if place not in weights) / len(batch.y)
    recipe, data = probed.job.cell.recipe, probed.data
    looked = min(recipe.validation_images, len(data.validation))
    return each * max(2 * recipe.batch_size, min(CHUNK, len(data.test)), looked)


def _of_optimizer(course: Course) -> list[Tensor]:
    assert course.optimizer is not None
    states = course.optimizer.state.values()
    return [value for state in states for value in state.values() if isinstance(value, Tensor)]


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _used(device: torch.device) -> int:
    """Bytes in use on CUDA; what is most from now on is measured against it."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)
