"""What an attack is, and one attack on one batch of images: nothing it returns is trusted."""

import math
from typing import Protocol

import torch
from torch import Tensor, nn

from robench.errors import AttackError
from robench.models.frozen import frozen
from robench.seeds import seeded
from robench.threat import Threat


class Attack(Protocol):
    """Anything that perturbs labelled images; a plain function will do.

    One that only calls the model, and asks for gradients of images, may say so with a class
    attribute ``only_calls = True``: it is then given a faster copy of the same network. One with
    ``many_radii = True`` may be given a threat model with one radius for each image.
    """

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, /) -> Tensor:
        """Perturbed images, (B, C, H, W) in [0, 1]; the model is in eval mode."""
        ...


def attempt(
    name: str, attack: Attack, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, seed: int
) -> Tensor:
    """An attack's images, checked and projected.

    Raises:
        AttackError: it failed, left the threat model, returned NaN or changed the model.
        torch.OutOfMemoryError: the batch is too large; a smaller one may do.
    """
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with seeded(seed), frozen(model):  # some attacks would leave gradients on parameters
        try:
            x_adv = attack(model, x.clone(), y.clone(), threat)  # its own: it may write into them
        except AttackError:
            raise
        except (Exception, SystemExit) as error:
            if out_of_memory(error):
                raise torch.OutOfMemoryError(str(error)) from error
            raise AttackError(f"attack {name!r} failed: {type(error).__name__}: {error}") from error
    if any(module.training for module in model.modules()):
        raise AttackError(f"attack {name!r} left the model in train mode")
    after = model.state_dict()
    if any(not torch.equal(tensor, after[key]) for key, tensor in before.items()):
        raise AttackError(f"attack {name!r} changed the model")
    return checked(name, x_adv, x, threat)


def checked(name: str, x_adv: Tensor, x: Tensor, threat: Threat, slack: float = 1e-5) -> Tensor:
    """The same images, projected; an error when they were out by more than rounding."""
    if x_adv.shape != x.shape:
        raise AttackError(f"attack {name!r} returned images of shape {tuple(x_adv.shape)}")
    x_adv = x_adv.detach().to(x.dtype)
    if threat.norm == "L1":  # which adds up the rounding of all pixels
        slack += x[0].numel() * torch.finfo(x.dtype).eps / 2
    outside = torch.maximum(-x_adv, x_adv - 1).amax()
    excess = torch.maximum((threat.distance(x_adv, x) - threat.eps).amax(), outside).item()
    if math.isnan(excess):
        raise AttackError(f"attack {name!r} returned NaN")
    if excess > slack:
        raise AttackError(f"attack {name!r} left the threat model by {excess:.2g}")
    return threat.project(x_adv, x)


@torch.no_grad()
def right(model: nn.Module, x: Tensor, y: Tensor, looks: int = 1) -> Tensor:
    """Which images (B,) are classified rightly, by most of several looks at a stochastic model.

    Raises:
        AttackError: a logit is not finite.
    """
    return labelled(model, x, y, looks) == y


@torch.no_grad()
def labelled(model: nn.Module, x: Tensor, y: Tensor, looks: int = 1) -> Tensor:
    """Labels (B,) that a model gives: the true one where most looks do, else the commonest wrong.

    Raises:
        AttackError: a logit is not finite.
    """
    votes = torch.zeros((), device=x.device)
    for _ in range(looks):
        logits = model(x)
        if not logits.isfinite().all():
            raise AttackError("the model's logits are not finite")
        given = logits.argmax(1, keepdim=True)
        votes = votes + torch.zeros_like(logits).scatter(1, given, 1)
    known = y < votes.shape[1]  # a network may have fewer classes than there are labels
    true = torch.where(known, y, 0)[:, None]
    right = known & (votes.gather(1, true).squeeze(1) > looks / 2)
    wrong = torch.where(known[:, None], votes.scatter(1, true, -1), votes).argmax(1)
    return torch.where(right, y, wrong)


def out_of_memory(error: BaseException) -> bool:
    """CUDA has an error of its own for it; a CPU's allocator only says so."""
    said = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return said or isinstance(error, torch.OutOfMemoryError | MemoryError)
