"""Training images that a method may draw besides its batch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robench.data.batches import Batch
from robench.data.load import Images


@dataclass(frozen=True)
class Pool:
    """The training part, augmented as batches are; what is drawn comes from torch's generator."""

    images: Images
    augmented: Callable[[Tensor], Tensor]

    def draw(self, count: int) -> Batch:
        """Any images, each as likely as the others; one may come twice."""
        return self._batch(torch.randint(len(self.images), (count,)))

    def alike(self, batch: Batch) -> Batch:
        """For each image of a batch another one of its class; itself where it is the only one.

        Images that are not of the pool have an index beyond it, and get any one of their class.
        """
        starts, counts, order, place = self._by_class
        y, index = batch.y.cpu(), batch.index.cpu()
        mine = (index < len(place)).long()
        others = counts[y] - mine
        offset = mine + (torch.rand(len(y)) * others).long().clamp_max(others - 1)
        offset = torch.where(others > 0, offset, 0)
        at = torch.where(mine > 0, place[index * mine] - starts[y], 0)
        return self._batch(order[starts[y] + (at + offset) % counts[y]])

    def _batch(self, index: Tensor) -> Batch:
        index = index.to(self.images.y.device)
        return Batch(self.augmented(self.images.x(index)), self.images.y[index], index)

    @cached_property
    def _by_class(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Where each class begins in the order by class, its size, that order, and its inverse."""
        y = self.images.y.cpu()
        counts, order = y.bincount(), y.argsort(stable=True)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        return counts.cumsum(0) - counts, counts, order, place
