"""Training loops to compare with: the one that people copy, and a careful one.

Both read pictures one at a time. The public loop's inner steps call ``loss.backward()`` on all of
the network, and its TRADES asks for the natural prediction anew in every step; its AWP is a second
network and optimiser. The careful loop asks for gradients of images alone, for the natural
prediction once, and raises weights where they are.
"""

import copy
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.loops.pictures import loader
from benchmarks.loops.task import INNER, Task, Turn

BETA, GAMMA = 6.0, 0.005
"""Of TRADES and AWP: robench's presets."""

Step = Callable[[nn.Module, Tensor, Tensor, Optimizer, Task], Tensor]
"""An update on a batch; its loss."""


def reference(steps: Mapping[str, Step], method: str, task: Task) -> Turn:
    """One epoch of pictures with a step of a loop."""
    model, pictures = task.network(), loader(task)
    optimizer, step = task.optimizer(model), steps[method]

    def turn() -> None:
        total = 0.0
        for x, y in pictures:
            model.train()
            total += step(model, x, y, optimizer, task).item()

    return turn


def divergence(attacked: Tensor, clean: Tensor, reduction: str = "batchmean") -> Tensor:
    """Of the natural prediction from the attacked one."""
    return F.kl_div(attacked.log_softmax(1), clean.softmax(1), reduction=reduction)


def moved(x_adv: Tensor, grad: Tensor, x: Tensor, task: Task) -> Tensor:
    """A step of PGD in Linf."""
    stepped = x_adv.detach() + task.step_size * grad.sign()
    eps = float(task.threat.eps)
    return torch.min(torch.max(stepped, x - eps), x + eps).clamp(0, 1)


def noisy(x: Tensor, task: Task) -> Tensor:
    """A random start in the ball."""
    eps = float(task.threat.eps)
    return (x + torch.empty_like(x).uniform_(-eps, eps)).clamp(0, 1)


def update(loss: Tensor, optimizer: Optimizer) -> Tensor:
    """Of the weights."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def natural(model: nn.Module, x: Tensor, y: Tensor, optimizer: Optimizer, task: Task) -> Tensor:
    """Natural training, the same in both."""
    return update(F.cross_entropy(model(x), y), optimizer)


def public_pgd(
    model: nn.Module, x: Tensor, start: Tensor, objective: Callable[[Tensor], Tensor], task: Task
) -> Tensor:
    """By ``loss.backward()``."""
    model.eval()
    x_adv = start
    for _ in range(INNER):
        x_adv = x_adv.detach().requires_grad_()
        model.zero_grad()
        objective(model(x_adv)).backward()
        assert x_adv.grad is not None
        x_adv = moved(x_adv, x_adv.grad, x, task)
    model.train()
    return x_adv.detach()


def careful_pgd(
    model: nn.Module, x: Tensor, start: Tensor, objective: Callable[[Tensor], Tensor], task: Task
) -> Tensor:
    """By the gradient of the images alone."""
    model.eval()
    x_adv = start
    for _ in range(INNER):
        x_adv = x_adv.detach().requires_grad_()
        (grad,) = torch.autograd.grad(objective(model(x_adv)), x_adv)
        x_adv = moved(x_adv, grad, x, task)
    model.train()
    return x_adv.detach()


def public_madry(
    model: nn.Module, x: Tensor, y: Tensor, optimizer: Optimizer, task: Task
) -> Tensor:
    """Adversarial training."""
    x_adv = public_pgd(model, x, noisy(x, task), lambda z: F.cross_entropy(z, y), task)
    return update(F.cross_entropy(model(x_adv), y), optimizer)


def careful_madry(
    model: nn.Module, x: Tensor, y: Tensor, optimizer: Optimizer, task: Task
) -> Tensor:
    """Adversarial training."""
    x_adv = careful_pgd(model, x, noisy(x, task), lambda z: F.cross_entropy(z, y), task)
    return update(F.cross_entropy(model(x_adv), y), optimizer)


def trades_loss(model: nn.Module, x: Tensor, y: Tensor, x_adv: Tensor) -> Tensor:
    """Natural loss and divergence."""
    clean = model(x)
    return F.cross_entropy(clean, y) + BETA * divergence(model(x_adv), clean)


def public_trades_images(model: nn.Module, x: Tensor, task: Task) -> Tensor:
    """The natural prediction is asked for in every step."""
    start = x + 1e-3 * torch.randn_like(x)
    return public_pgd(model, x, start, lambda z: divergence(z, model(x), "sum"), task)


def careful_trades_images(model: nn.Module, x: Tensor, task: Task) -> Tensor:
    """The natural prediction is asked for once."""
    start = x + 1e-3 * torch.randn_like(x)
    model.eval()
    with torch.no_grad():
        clean = model(x)
    return careful_pgd(model, x, start, lambda z: divergence(z, clean, "sum"), task)


def public_trades(
    model: nn.Module, x: Tensor, y: Tensor, optimizer: Optimizer, task: Task
) -> Tensor:
    """TRADES."""
    x_adv = public_trades_images(model, x, task)
    return update(trades_loss(model, x, y, x_adv), optimizer)


def careful_trades(
    model: nn.Module, x: Tensor, y: Tensor, optimizer: Optimizer, task: Task
) -> Tensor:
    """TRADES."""
    x_adv = careful_trades_images(model, x, task)
    return update(trades_loss(model, x, y, x_adv), optimizer)


def public_awp(model: nn.Module, x: Tensor, y: Tensor, optimizer: Optimizer, task: Task) -> Tensor:
    """The way up is a step of another network's optimiser."""
    x_adv = public_trades_images(model, x, task)
    other = copy.deepcopy(model)
    climber = torch.optim.SGD(other.parameters(), lr=0.01)
    update(-trades_loss(other, x, y, x_adv), climber)
    raised = dict(other.named_parameters())
    with torch.no_grad():
        ways = {}
        for name, weight in model.named_parameters():
            way = raised[name] - weight
            if weight.ndim > 1:
                ways[name] = GAMMA * weight.norm() / (way.norm() + 1e-20) * way
                weight.add_(ways[name])
    loss = update(trades_loss(model, x, y, x_adv), optimizer)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in ways:
                weight.sub_(ways[name])
    return loss


def careful_awp(model: nn.Module, x: Tensor, y: Tensor, optimizer: Optimizer, task: Task) -> Tensor:
    """The way up is the gradient's."""
    x_adv = careful_trades_images(model, x, task)
    weights = [weight for weight in model.parameters() if weight.ndim > 1]
    statistics = [buffer.clone() for buffer in model.buffers()]
    slopes = torch.autograd.grad(trades_loss(model, x, y, x_adv), weights)
    for buffer, before in zip(model.buffers(), statistics, strict=True):
        buffer.copy_(before)
    kept = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight, slope in zip(weights, slopes, strict=True):
            weight.add_(GAMMA * weight.norm() / (slope.norm() + 1e-20) * slope)
    optimizer.zero_grad()
    loss = trades_loss(model, x, y, x_adv)
    loss.backward()
    with torch.no_grad():
        for weight, before in zip(weights, kept, strict=True):
            weight.copy_(before)
    optimizer.step()
    return loss.detach()


PUBLIC: Mapping[str, Step] = {
    "natural": natural, "madry": public_madry, "trades": public_trades, "awp": public_awp,
}  # fmt: skip
CAREFUL: Mapping[str, Step] = {
    "natural": natural, "madry": careful_madry, "trades": careful_trades, "awp": careful_awp,
}  # fmt: skip
