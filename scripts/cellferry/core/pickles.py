"""What a file of torch's names: a pickle calls functions by their names, and so runs the code of its writer.

Looked at without calling any. Imported by the Snakefile: standard library only.
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
"""Names of numbers, text, arrays and tensors, of which models of scvi-tools consist."""

TABLES = ("pandas.", "pyarrow.")
"""Beginnings of the names in tables. Models hold their losses in some, which nobody needs: they are not read.
"""

ARRAYS = re.compile(
    r"""
    numpy\.(dtype|ndarray|dtypes\.\w+DType) | _codecs\.encode | collections\.OrderedDict
    | numpy\.(_core|core)\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)
    """,
    re.VERBOSE,
)
"""Names of numbers, text and arrays in a pickle that is not torch's."""

MAX_PICKLES = 5
"""Pickles one after another in a file of torch's that is no zip."""


TRUST = "if you know and trust them, set pretrained.trust: true"
"""What to do about a model of others that would run code."""


class _Inert:
    """Stands for whatever a pickle names; takes everything, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return super().__new__(cls)

    def _nothing(self, *_: Any) -> None:
        pass

    __init__ = __call__ = __setitem__ = __setstate__ = append = extend = add = _nothing


def _full_name(module: str, name: str) -> str:
    """A name as Python 3 has it."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


class _Names(pickle.Unpickler):
    """Collects names, and finds none of them."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> type[_Inert]:
        self.names.add(_full_name(module, name))
        return _Inert

    def persistent_load(self, _: Any) -> None:  # torch's way to the numbers of a tensor
        return None


class StandIn:
    """An object of a pickle by its attributes alone: a class of its name, which runs nothing."""

    def __init__(self, *_: Any) -> None:
        pass


class _Attributes(pickle.Unpickler):
    """Makes arrays and plain objects, and stand-ins for those of the classes given."""

    def __init__(self, file: IO[bytes], stands_in: re.Pattern[str]) -> None:
        super().__init__(file)
        self._stands_in = stands_in

    def find_class(self, module: str, name: str) -> Any:
        full = _full_name(module, name)
        if self._stands_in.fullmatch(full):
            return type(name, (StandIn,), {})
        if not ARRAYS.fullmatch(full):
            raise pickle.UnpicklingError(f"it names {full}")
        # As it is called since numpy 2.
        return super().find_class(re.sub(r"^numpy\.core\b", "numpy._core", module), name)


def attributes_in(file: Path, stands_in: re.Pattern[str]) -> Any:
    """The object in a pickle of arrays and plain objects; nothing of what else it names is called.

    Parameters
    ----------
    file
        The pickle.
    stands_in
        Names of classes, whose objects become objects of a `StandIn` of that name.

    Raises
    ------
    ValueError
        If it names anything else, or is not a pickle that can be read to its end.
    """
    with file.open("rb") as stream:
        try:
            return _Attributes(stream, stands_in).load()
        except OSError:
            raise
        except Exception as error:  # whatever garbage makes of the stack
            raise ValueError(str(error) or type(error).__name__) from error


def code_in(file: Path) -> list[str]:
    """Names in a file of torch's that are neither data nor tables: what is called when it is opened.

    Nothing of a file that is no pickle, or one cut off, beyond where it can be read: torch cannot, either.

    Raises
    ------
    OSError
        If it cannot be read at all.
    """
    names = names_in(file)
    return sorted(name for name in names if not PLAIN.fullmatch(name) and not name.startswith(TABLES))


def what_it_runs(code: list[str]) -> str:
    """Part of a message on a file, about names that `code_in` found in it."""
    shown = ", ".join(code[:3]) + (f" and {len(code) - 3} more" if len(code) > 3 else "")
    return (
        f"would call {shown}, which is no part of a model: a file like this runs code of whoever wrote it, "
        "with your rights, as soon as it is opened"
    )


def names_in(file: Path) -> set[str]:
    """All names in a file of torch's."""
    names: set[str] = set()
    for stream in _streams(file):
        for _ in range(MAX_PICKLES):
            unpickler = _Names(stream)
            try:
                unpickler.load()
            except OSError:
                raise
            except Exception:  # whatever garbage makes of the stack
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
            # Not packed by torch: what claims to be larger than the file is none of its.
            if entry.filename.endswith(".pkl") and entry.file_size <= size:
                with archive.open(entry) as stream:
                    yield stream
