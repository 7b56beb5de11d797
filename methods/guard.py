"""Guard: ends any training that overfits catastrophically (Wong et al. 2020, arXiv:2001.03994)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.optim import Optimizer

from robench.adversary.pgd import PGD
from robench.data.batches import Batch
from robench.errors import ConfigError
from robench.seeds import seeded
from robench.training.method import Run, State, crafting, method
from robench.training.wrapper import Wrapper


@dataclass(frozen=True, kw_only=True)
class Guard(Wrapper):
    """When robust accuracy on training images has fallen, training ends where it was good.

    At the end of every epoch of the last stage, PGD with steps of eps/4 attacks some training
    images. If far fewer of them stand than at the look before, the weights, and all that is
    remembered with them, go back to that look and stay there; the epochs that are left cost
    nothing. A look costs one forward and one backward pass of each of its images for each step, and
    a forward pass more, beside what is declared below.

    Reduces to: its inner method as long as nothing falls, and with drop = 1.

    Differs from the authors' code: a look is at the same images from the same starts every time,
    in eval mode (theirs: an epoch's first batch, augmented, in train mode). Training ends with the
    weights of the last good look as theirs does, but its other epochs are still counted.
    """

    drop: Annotated[float, Meta(gt=0, le=1)] = 0.2
    """Share of the images that may fall from one look to the next; the authors'."""
    steps: Annotated[int, Meta(ge=1)] = 5
    """Of PGD, from a uniform start; the authors'."""
    images: Annotated[int, Meta(ge=1)] = 256
    """The first training images, without augmentation; ours, theirs are a batch of 128."""

    def init(self, model: nn.Module, run: Run) -> State:
        return {**self.inner.init(model, run), "guard/robust": torch.tensor(0.0)}

    def step(self, model: nn.Module, batch: Batch, run: Run, optimizer: Optimizer) -> Tensor:
        if "guard/stopped" in run.state:  # a name, not a value: the device need not be asked
            run.log["guard/stopped"] = 1.0
            return run.state["guard/stopped"]
        loss = self.inner.step(model, batch, run, optimizer)
        if run.ends_epoch and run.stage == self.stages()[-1].name:
            self._look(model, run, loss)
        return loss

    def _look(self, model: nn.Module, run: Run, loss: Tensor) -> None:
        robust = self._robust(model, run)
        run.log["guard/robust"] = robust
        if run.state["guard/robust"] - robust > self.drop:
            model.load_state_dict(_under("guard/model/", run.state))
            memory, end = _under("guard/memory/", run.state), run.state["guard/loss"]
            run.state = memory | {"guard/stopped": end}
            return
        memory = {n: v for n, v in run.state.items() if not n.startswith("guard/")}
        good = {f"guard/model/{n}": v.clone() for n, v in model.state_dict().items()}
        good |= {f"guard/memory/{n}": v.clone() for n, v in memory.items()}
        run.state = memory | good | {"guard/robust": robust, "guard/loss": loss}

    def _robust(self, model: nn.Module, run: Run) -> Tensor:
        """Share of the images that stand."""
        if run.pool is None:
            raise ConfigError("guard needs training images to look at")
        images, eps = run.pool.images.first(self.images), float(run.threat.eps)
        attack = PGD(steps=self.steps, step_size=eps / 4)
        with crafting(model, "eval"), seeded(0), torch.no_grad():
            x_adv = attack(model, images.x(), images.y, run.threat)
            return (model(x_adv).argmax(1) == images.y).float().mean()


def _under(prefix: str, state: State) -> State:
    return {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}


presets = {"*": Guard(inner=method("fgsm"))}  # what the authors guard
