"""Names in PyTorch files: a pickle calls functions by name, and so runs its author's code.

Names are collected without calling anything. Imported by the Snakefile: standard library only.
"""

import pickle
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

PLAIN = re.compile(
    r"""
    torch\.(\w+Storage|bfloat16|bool|(float|u?int|complex)\d+\w*|Size|device)
    | torch\.storage\.(Untyped|Typed)Storage
    | torch\._utils\._rebuild_(tensor_v2|parameter) | torch\.nn\.parameter\.Parameter
    | collections\.(OrderedDict|defaultdict) | _codecs\.encode
    | builtins\.(dict|bytes|bytearray|set|slice|complex)
    | numpy\.(dtype|ndarray|dtypes\.\w+DType) | numpy\.(_core|core)\.multiarray\.(_reconstruct|scalar)
    """,
    re.VERBOSE,
)
"""Names of numbers, text, arrays and tensors, the content of scvi-tools models."""

TABLES = ("pandas.", "pyarrow.")
"""Start of the names in tables. Models contain their losses in tables, which are not needed and not read.
"""

ARRAYS = re.compile(
    r"""
    numpy\.(dtype|ndarray|dtypes\.\w+DType) | _codecs\.encode | collections\.OrderedDict
    | numpy\.(_core|core)\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)
    """,
    re.VERBOSE,
)
"""Names of numbers, text and arrays in pickles that PyTorch did not write."""

MAX_PICKLES = 5
"""Consecutive pickles in a PyTorch file that is not a zip."""


TRUST = "if you trust its author, set pretrained.trust: true"
"""Remedy for a pre-trained model that would run code."""


class _Inert:
    """Replacement for any named object of a pickle; accepts every call and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return super().__new__(cls)

    def _nothing(self, *_: Any) -> None:
        pass

    __init__ = __call__ = __setitem__ = __setstate__ = append = extend = add = _nothing


def _full_name(module: str, name: str) -> str:
    """A name in Python 3's spelling."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


class _Names(pickle.Unpickler):
    """Unpickler that collects names and imports nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> type[_Inert]:
        self.names.add(_full_name(module, name))
        return _Inert

    def persistent_load(self, _: Any) -> None:  # PyTorch's reference to a tensor's numbers
        return None


class StandIn:
    """Attributes of a pickled object: a class of the same name, without its code."""

    def __init__(self, *_: Any) -> None:
        pass


class _Attributes(pickle.Unpickler):
    """Unpickler of arrays and plain objects; objects of given classes become `StandIn`."""

    def __init__(self, file: IO[bytes], stands_in: re.Pattern[str]) -> None:
        super().__init__(file)
        self._stands_in = stands_in

    def find_class(self, module: str, name: str) -> Any:
        full = _full_name(module, name)
        if self._stands_in.fullmatch(full):
            return type(name, (StandIn,), {})
        if not ARRAYS.fullmatch(full):
            raise pickle.UnpicklingError(f"it names {full}")
        # Renamed in numpy 2.
        return super().find_class(re.sub(r"^numpy\.core\b", "numpy._core", module), name)


def attributes_in(file: Path, stands_in: re.Pattern[str]) -> Any:
    """Load a pickle of arrays and plain objects; other named objects are never called.

    Parameters
    ----------
    file
        The pickle.
    stands_in
        Names of classes whose objects become a `StandIn` of the same name.

    Raises
    ------
    ValueError
        If the pickle contains any other name, or cannot be read to its end.
    """
    with file.open("rb") as stream:
        try:
            return _Attributes(stream, stands_in).load()
        except OSError:
            raise
        except Exception as error:  # garbage can raise any error
            raise ValueError(str(error) or type(error).__name__) from error


def code_in(file: Path) -> list[str]:
    """Names in a PyTorch file that are neither data nor tables: functions that loading it would call.

    A damaged or truncated file is read up to the damage; PyTorch cannot load more of it either.

    Raises
    ------
    OSError
        If the file cannot be read at all.
    """
    names = names_in(file)
    return sorted(name for name in names if not PLAIN.fullmatch(name) and not name.startswith(TABLES))


def what_it_runs(code: list[str]) -> str:
    """Part of a message about the names that `code_in` returned for a file."""
    shown = ", ".join(code[:3]) + (f" and {len(code) - 3} more" if len(code) > 3 else "")
    return (
        f"would call {shown}, which is not a part of a model: opening such a file runs its author's code "
        "with your rights"
    )


def names_in(file: Path) -> set[str]:
    """All names in a PyTorch file."""
    names: set[str] = set()
    for stream in _streams(file):
        for _ in range(MAX_PICKLES):
            unpickler = _Names(stream)
            try:
                unpickler.load()
            except OSError:
                raise
            except Exception:  # garbage can raise any error
                break
            finally:
                names |= unpickler.names
    return names


def _streams(file: Path) -> Iterator[IO[bytes]]:
    with file.open("rb") as stream:
        if stream.read(2) != b"PK":
            stream.seek(0)
            yield stream
    if not zipfile.is_zipfile(file):
        return
    size = file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist():
            # PyTorch does not compress: an entry larger than the file is not its own.
            if entry.filename.endswith(".pkl") and entry.file_size <= size:
                with archive.open(entry) as stream:
                    yield stream
