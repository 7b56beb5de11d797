"""CIFAR-10-C's published files: CIFAR-10's test images, corrupted by the authors.

Hendrycks & Dietterich 2019 (arXiv:1903.12261), zenodo.org/records/2535967. One file a kind, in
which severity k is the k-th fifth, in the order of CIFAR-10's test images.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from robench.data.load import Images
from robench.errors import DataError

FOLDER = "CIFAR-10-C"
"""Below the data root."""

_SHAPE = (32, 32, 3)


@dataclass(frozen=True)
class Published:
    """The files of a folder; nothing is read before it is asked for."""

    folder: Path
    count: int = 10_000
    """Images of one severity."""

    def check(self, test: Images) -> None:
        """Compare labels, at every severity, with those of test images of CIFAR-10.

        Raises:
            DataError: they are others, or there is no such file.
        """
        labels = self._array("labels", ())
        for severity in range(5):
            mine = labels[severity * self.count + test.origin.cpu().numpy()]
            if not np.array_equal(mine, test.y.cpu().numpy()):
                raise DataError(
                    f"{self.folder}: labels of severity {severity + 1} are not those of CIFAR-10's "
                    "test images"
                )

    def version(self, kind: str, severity: int, origin: Tensor) -> Tensor:
        """Images (N, 3, 32, 32), uint8, of test images at positions ``origin`` (N,).

        Raises:
            DataError: there is no such file, or it is damaged or not what it should be.
        """
        start = (severity - 1) * self.count
        rows = self._array(kind, _SHAPE)[start + origin.cpu().numpy()]
        return torch.from_numpy(np.ascontiguousarray(rows.transpose(0, 3, 1, 2)))

    def _array(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """A file as an array that is read where it is looked at; its header is checked before."""
        path, wanted = self.folder / f"{name}.npy", (5 * self.count, *shape)
        if not path.is_file():
            raise DataError(
                f"{FOLDER}: there is no file {path}; unpack CIFAR-10-C.tar of "
                "zenodo.org/records/2535967 below --data-root"
            )
        try:
            found = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy and the system each have their own
            raise DataError(f"{FOLDER}: {path} is damaged: {error}") from error
        if not isinstance(found, np.ndarray) or found.shape != wanted or found.dtype != np.uint8:
            is_now = f"{found.dtype} {found.shape}" if isinstance(found, np.ndarray) else "no array"
            raise DataError(f"{FOLDER}: {path} is {is_now} and not uint8 {wanted}")
        return found
