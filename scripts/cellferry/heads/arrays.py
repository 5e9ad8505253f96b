"""Heads that are arrays and no more: stored as npz, read back by the names of their parameters."""

from pathlib import Path
from typing import Self

import numpy as np


class ArraysHead:
    """A head whose attributes are the parameters of its class."""

    file_name: str

    def save(self, folder: Path) -> None:
        """Write the arrays as npz."""
        np.savez(folder / self.file_name, **vars(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(folder / cls.file_name, allow_pickle=False) as arrays:
            return cls(**arrays)
