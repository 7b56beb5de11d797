"""Photographs that stay on the disk: read when they are asked for, never all at once."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from robench.errors import DataError

ENDINGS = (".jpeg", ".jpg", ".png")

BORDER = 1 / 16
"""Of a photograph's shorter side, left out at either end: 224 pixels of 256, as usual."""


@dataclass(frozen=True)
class Files:
    """Image files, each read as the middle square of the photograph, in colour."""

    root: Path
    names: npt.NDArray[np.str_]
    """Below the root, (N,)."""
    side: int
    """Of the square, in pixels."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As the tensor of all of them would have it."""
        return len(self), 3, self.side, self.side

    def __getitem__(self, index: Tensor | slice) -> "Files":
        chosen = index if isinstance(index, slice) else index.cpu().numpy()
        return Files(self.root, self.names[chosen], self.side)

    def read(self) -> Tensor:
        """(N, 3, side, side), uint8; several threads decode, and the order is that of the names.

        Raises:
            DataError: a file cannot be read.
        """
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            squares = list(threads.map(self._square, self.names))
        return torch.stack(squares) if squares else torch.empty(self.shape, dtype=torch.uint8)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names and sizes: to read all content would take as long as an epoch."""
        whole = hashlib.sha256(f"{self.side}".encode())
        for name in self.names:
            whole.update(f"{name} {(self.root / name).stat().st_size}\n".encode())
        return whole.hexdigest()

    def _square(self, name: str) -> Tensor:
        path = self.root / name
        try:
            with Image.open(path) as photograph:
                square = ImageOps.fit(
                    photograph.convert("RGB"), (self.side, self.side), bleed=BORDER
                )
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def classes(root: Path) -> list[str]:
    """The folders in a folder, in the order of their labels.

    Raises:
        DataError: there is none.
    """
    found = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not found:
        raise DataError(f"{root} has no folder for any class")
    return found


def folder(root: Path, side: int) -> tuple[Files, npt.NDArray[np.int64]]:
    """Files below a folder with a folder for each class, and their labels.

    Raises:
        DataError: there is no such folder, or no class in it.
    """
    names, labels = list[str](), list[int]()
    for label, name in enumerate(classes(root)):
        found = sorted(p.name for p in (root / name).iterdir() if p.suffix.lower() in ENDINGS)
        names += [f"{name}/{file}" for file in found]
        labels += [label] * len(found)
    return Files(root, np.array(names), side), np.array(labels, dtype=np.int64)
