"""Multinorm: Linf, L2 and L1 at once, as MAX, AVG, MSD (Maini et al. 2020) or E-AT (2105.12508)."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robench.adversary.pgd import PGD
from robench.adversary.union import ascend_in_all, worst
from robench.data.batches import Batch
from robench.data.catalogue import DATASETS
from robench.models.passes import Passes
from robench.training.method import Run, State
from robench.training.several import Ball, Several, at_radii_of


@dataclass(frozen=True, kw_only=True)
class Multinorm(Several):
    """Cross-entropy on PGD examples of several balls, put together in one of four ways.

    max trains on the worst of each image's, avg on all. msd (multi steepest descent) tries each
    step in every ball, goes on from where the loss is highest, and trains on the highest of all
    steps; it starts as the first norm's attack, and makes the steps of the longest. eat draws Linf
    or L1 for a batch, in proportion to the share of images that have fallen in it so far.

    The radius of the grid's own norm is the grid's. Robust accuracy in the grid's ball alone
    chooses the best checkpoint. train.csv has the share of images that each norm gave.

    Reduces to: adversarial training in a norm, with that norm alone; msd then makes its steps, but
    trains on the highest of them, not the last.

    Differs from the authors' code: avg takes one step with the mean loss (theirs: a step a norm,
    each crafted on the weights so far). A step in L1 is shared by the largest 5 % of the entries
    (theirs: by 5 to 20, drawn anew each step, none at the border of [0, 1]). Examples are crafted
    in eval mode (theirs: in train mode, but for eat). On MNIST theirs makes about twice the steps,
    some from random starts. eat takes the last of PGD's images and counts those that stand then
    (theirs: APGD's best in 10 steps, which are linf.steps = 10 and l1.steps = 10).
    """

    how: Literal["max", "avg", "msd", "eat"] = "msd"
    """The way in which balls come together."""

    @property
    def trained(self) -> tuple[Ball, ...]:
        return tuple(norm for norm in self.norms if self.how != "eat" or norm != "L2")

    def init(self, model: nn.Module, run: Run) -> State:
        nothing = torch.zeros(len(self.trained))
        return {"right": nothing, "seen": nothing} if self.how == "eat" else {}

    def perturb(self, model: nn.Module, batch: Batch, run: Run) -> Tensor:
        balls = self.balls(run.threat)
        if self.how == "msd":
            x_adv, whose = ascend_in_all(
                model,
                batch.x,
                self.within(balls[0].norm).begin(batch.x, balls[0]),
                batch.y,
                balls,
                steps=max(self.steps()),
                sizes=[self.within(ball.norm).size(ball) for ball in balls],
            )
        elif self.how == "avg" or len(balls) == 1:
            return torch.cat(self.crafted(model, batch, balls))
        elif self.how == "eat":
            drawn = int(chances(run.state["right"], run.state["seen"]).multinomial(1))
            (x_adv,) = self.crafted(model, batch, [balls[drawn]])
            whose = torch.full_like(batch.y, drawn)
            self._judge(model, batch, x_adv, drawn, run)
        else:
            x_adv, _, whose = worst(model, self.crafted(model, batch, balls), batch.y)
        for number, ball in enumerate(balls):
            run.note(f"share/{ball.norm}", (whose == number).float().mean())
        return x_adv

    def loss(self, model: nn.Module, batch: Batch, x_adv: Tensor, run: Run) -> Tensor:
        return F.cross_entropy(model(x_adv), batch.y.repeat(len(x_adv) // len(batch.y)))

    def passes(self, stage: str) -> Passes:
        norms, steps = len(self.trained), self.steps()
        if self.how == "msd":
            return Passes(max(steps) * (1 + norms) + 1, max(steps) + 1)
        if self.how == "avg" or norms == 1:
            return Passes(sum(steps) + norms, sum(steps) + norms)
        if self.how == "eat":
            return Passes(max(steps) + 2, max(steps) + 1)
        return Passes(sum(steps) + norms + 1, sum(steps) + 1)

    def _judge(self, model: nn.Module, batch: Batch, x_adv: Tensor, drawn: int, run: Run) -> None:
        """Count how many images of a batch stand in the norm that was drawn."""
        with torch.no_grad():
            right = (model(x_adv).argmax(1) == batch.y).sum()
        mine = torch.arange(len(self.trained), device=right.device) == drawn
        run.state["right"] = run.state["right"] + mine * right
        run.state["seen"] = run.state["seen"] + mine * len(batch.y)


def chances(right: Tensor, seen: Tensor) -> Tensor:
    """Of each norm to be drawn, in proportion to what fell in it; even until all were drawn."""
    fell = 1 - right / seen.clamp_min(1)
    known = (seen > 0).all() & (fell > 0).any()
    return torch.where(known, fell, 1.0)


def paper(dataset: str, *sizes: float) -> Multinorm:
    """40, 50 and 50 steps from the image itself, of these lengths in Linf, L2 and L1."""
    kinds = zip(("linf", "l2", "l1"), (40, 50, 50), sizes, strict=True)
    attacks = {norm: PGD(steps=n, step_size=size, start="none") for norm, n, size in kinds}
    return Multinorm(**at_radii_of(dataset, **attacks))


presets = {
    "*": Multinorm(),  # ours: the radii of digits, and ten steps that follow them
    **{name: Multinorm(**at_radii_of(name)) for name in DATASETS},  # ours: the same
    # Lengths of the authors' mnist_funcs.py and cifar_funcs.py; in L1, of a whole step.
    "mnist": paper("mnist", 0.01, 0.1, 1.0),
    "cifar10": paper("cifar10", 0.003, 0.05, 1.0),
}
