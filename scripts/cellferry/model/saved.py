"""Files of saved models, opened as data: no code in them is run."""

import os
import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.pickles import TABLES, code_in, names_in, what_it_runs
from ..core.reading import readable
from ..errors import InputError

MODEL_FILE = "model.pt"

FORCED, FORCED_NOT = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
"""Environment variables of torch that force files to be opened as data, or not."""


class Table:
    """Placeholder of a table in a file, or of a part of it."""

    def __init__(self, *_: Any) -> None:
        """Accept the arguments of a table."""

    def __setstate__(self, _: Any) -> None:
        """Accept the state of a table."""

    def __reduce__(self) -> tuple[Any, tuple]:
        """An empty dict, for saving."""
        return dict, ()


def _empty_dict(*_: Any) -> dict:
    return {}


def _empty_bytes() -> bytes:
    return b""


_RECONSTRUCT, _SCALAR = np._core.multiarray._reconstruct, np._core.multiarray.scalar
NUMPY_AND_DICTS = [
    np.ndarray,
    np.dtype,
    *(kind for name in np.dtypes.__all__ if isinstance(kind := getattr(np.dtypes, name), type)),
    *((_RECONSTRUCT, f"numpy.{core}.multiarray._reconstruct") for core in ("_core", "core")),
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("_core", "core")),
    (_empty_dict, "collections.defaultdict"),
    (dict, "builtins.dict"),
    (_empty_bytes, "builtins.bytes"),
    (Table, "builtins.slice"),
]
"""Types allowed in files besides tensors, text and numbers."""


@contextmanager
def only_data(file: Path) -> Iterator[None]:
    """Context in which torch opens files as data only, although scvi-tools requests pickles.

    Raises
    ------
    InputError
        If the file contains anything else, or is damaged.
    """
    tables = [(Table, name) for name in names_in(file) if name.startswith(TABLES)]
    before = {name: os.environ.pop(name, None) for name in (FORCED, FORCED_NOT)}
    os.environ[FORCED] = "1"
    try:
        with torch.serialization.safe_globals([*NUMPY_AND_DICTS, *tables]):
            yield
    except (pickle.UnpicklingError, EOFError) as error:
        raise InputError(f"{file} {_refusal(file, error)}") from error
    finally:
        del os.environ[FORCED]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _refusal(file: Path, error: Exception) -> str:
    """Problem of a file that could not be opened."""
    if isinstance(error, ImportError | AttributeError):  # it is trusted, and its code is not here
        return f"needs a package that is not installed ({error}); save the model again, with data only"
    if called := code_in(file):
        return f"{what_it_runs(called)}; cellferry writes no such file, make it again"
    first, *_ = str(error).splitlines() or ["it ends early"]
    return f"is not a file of scvi-tools' model.save() ({first}); copy it again, or save the model again"


def saved_model(folder: str | Path, *, trusted: bool = False) -> dict[str, Any]:
    """Content of a saved model under scvi-tools' names: `model_state_dict`, `var_names`, `attr_dict`.

    Parameters
    ----------
    folder
        The model's folder.
    trusted
        Whether code in the file may be run if it cannot be opened as data.

    Raises
    ------
    InputError
        If the file is damaged, or contains code and is not trusted.
    """
    file = Path(folder, MODEL_FILE)
    try:
        with readable(file):
            if trusted and code_in(file):
                return torch.load(file, map_location="cpu", weights_only=False)
            with only_data(file):
                return torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, TypeError, ValueError, AttributeError, ImportError, KeyError, IndexError) as error:
        raise InputError(f"{file} {_refusal(file, error)}") from error  # garbage, or code of another version


def as_data(value: Any) -> Any:
    """Convert to dicts, lists, arrays, text and numbers only, as `only_data` opens them.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    if value is None or isinstance(value, torch.Tensor | torch.dtype | torch.device | torch.Size):
        return value
    for kind in (bool, int, float, complex, str, bytes):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        kind = OrderedDict if isinstance(value, OrderedDict) else dict
        return kind((as_data(key), as_data(one)) for key, one in value.items())
    if isinstance(value, list | tuple | set):
        kind = next(kind for kind in (list, tuple, set) if isinstance(value, kind))
        return kind(map(as_data, value))
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "__array__"):  # a column of pandas, too
        array = np.asarray(value)
        return np.array([*map(as_data, array)], dtype=object) if array.dtype == object else array
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__}")
