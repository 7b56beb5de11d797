"""The recipe: everything about training that is not the method, shared by all methods of a run.

It moves robust accuracy as much as the method does (Pang et al. 2021, arXiv:2010.00467), so every
field is recorded, and a method that departs from the shared values is marked in every table.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from robench import settings
from robench.settings import Plain

Share = Annotated[float, Meta(gt=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How any method is trained; the defaults are Pang et al.'s for CIFAR-10."""

    epochs: Annotated[int, Meta(ge=1)] = 110
    """Times that every training image is seen."""
    batch_size: Annotated[int, Meta(ge=1)] = 128
    """Images a step."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """SGD with momentum, or Adam (betas 0.9 and 0.999)."""
    lr: Annotated[float, Meta(gt=0)] = 0.1
    """Largest learning rate."""
    momentum: Annotated[float, Meta(ge=0, lt=1)] = 0.9
    """Of SGD."""
    nesterov: bool = False
    """Nesterov's form of SGD's momentum."""
    weight_decay: Annotated[float, Meta(ge=0)] = 5e-4
    """L2 penalty on all weights."""
    schedule: Literal["constant", "piecewise", "cosine", "cyclic"] = "piecewise"
    """Of the learning rate: cyclic rises from 0 for two fifths of training and falls back to 0."""
    milestones: tuple[Share, ...] = (100 / 110, 105 / 110)
    """Shares of training after which a piecewise schedule drops."""
    drop: Share = 0.1
    """Factor of each drop."""
    augment: Literal["none", "crop", "crop-flip"] = "crop-flip"
    """Random shifts, and mirror images."""
    pad: Annotated[int, Meta(ge=0, le=16)] = 4
    """Largest shift in pixels."""
    padding: Literal["zero", "reflect"] = "zero"
    """What comes in at the border."""
    normalise: bool = True
    """Whether the network subtracts the data set's mean and divides by its deviation."""
    craft: Literal["eval", "train"] = "eval"
    """Mode of batch normalisation while training examples are perturbed."""
    ema: Annotated[float, Meta(gt=0, lt=1)] | None = None
    """Decay a step of the running average of weights that is deployed; none: the weights."""
    bf16: bool = False
    """bfloat16 autocast in training, on CUDA only; evaluation is always float32."""
    compile: Literal["none", "default", "reduce-overhead"] = "none"
    """torch.compile of the network in training, on CUDA only; the last with CUDA graphs."""
    validate_every: Annotated[int, Meta(ge=1)] = 1
    """Epochs from one look at the validation part to the next; the last epoch gets one always."""
    validation_images: Annotated[int, Meta(ge=1)] = 1000
    """Most validation images looked at."""
    validation_steps: Annotated[int, Meta(ge=1)] = 10
    """PGD steps of that look."""


OF_A_STAGE = (
    "batch_size", "optimizer", "lr", "momentum", "nesterov", "weight_decay", "schedule",
    "milestones", "drop", "augment", "pad", "padding", "bf16",
)  # fmt: skip
"""What one stage of a method may do otherwise; the rest belongs to the whole of training."""

_YOUNGER = ("compile",)
"""Fields that came when there were results already."""


def plain(recipe: Recipe) -> Plain:
    """As files and keys hold it: younger fields only where they are used, so that keys stay."""
    values = settings.plain(recipe)
    defaults = settings.plain(Recipe())
    return {k: v for k, v in values.items() if k not in _YOUNGER or v != defaults[k]}
