"""Heads and outputs of heads that consist of arrays, stored as npz under their parameters' names."""

from inspect import signature
from pathlib import Path
from typing import Self

import numpy as np


class ArraysHead:
    """Arrays whose attributes are the parameters of their class."""

    file_name: str

    def save(self, folder: Path) -> None:
        """Write the arrays as npz; None is left out."""
        held = {name: getattr(self, name) for name in signature(type(self)).parameters}
        np.savez(folder / self.file_name, **{name: held[name] for name in held if held[name] is not None})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        with np.load(folder / cls.file_name, allow_pickle=False) as arrays:
            return cls(**arrays)
