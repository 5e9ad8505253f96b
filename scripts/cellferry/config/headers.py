"""Columns of the datasets' files, from their headers."""

import csv
import zlib
from pathlib import Path
from typing import Any

from ..core.table_start import table_start
from ..errors import InputError
from .samples import sample_files, table_files
from .spatial import key_order


def latent_table_columns(path: Path) -> list[str] | None:
    """Columns of a file of latents; None if they cannot be read here."""
    if path.suffix == ".parquet":  # needs a package that login nodes lack
        return None
    is_text = path.name.removesuffix(".gz").endswith((".csv", ".tsv"))
    return table_columns(path) if is_text else file_columns(path)


def paths_of(given: Any) -> list[str]:
    """Paths and patterns of a key: one, a list, or a mapping of names."""
    several = list(given.values()) if isinstance(given, dict) else given
    return [path for path in (several if isinstance(several, list) else [several]) if isinstance(path, str)]


def obs_columns(dataset: dict[str, Any]) -> list[str] | None:
    """A dataset's obs columns, with those of its annotation table; None if they cannot be read here."""
    if not paths_of(dataset.get("path")):
        return None
    files = sample_files(dataset["path"])
    columns = file_columns(next(iter(files.values())))
    if columns is None:
        return None
    columns = columns if "" in files else [*columns, "sample"]
    if not dataset.get("obs"):
        return columns
    table = table_columns(table_files(dataset["obs"])[0], named=dataset.get("obs_by") != "order")
    return None if table is None else columns + table


def file_columns(path: Path) -> list[str] | None:
    """Names of a file's obs columns; None if its header does not show them."""
    if path.is_dir():
        return [] if list(path.glob("*matrix.mtx*")) else None
    if not path.is_file():
        return None
    if path.name.removesuffix(".gz").endswith((".csv", ".tsv", ".mtx")):
        return []
    try:
        import h5py
    except ImportError:  # a login node's environment may lack it
        return None
    try:
        with h5py.File(path, "r", locking=False) as file:
            # External links are not read here; inspect_dataset refuses them.
            if any(isinstance(file.get(name, getlink=True), h5py.ExternalLink) for name in file):
                return None
            if "mod" in file:
                return None
            if "obs" not in file:
                # There can be single values and dangling links beside the groups.
                groups = [group for group in map(file.get, file) if isinstance(group, h5py.Group)]
                return [] if any("barcodes" in group for group in groups) else None
            obs = file["obs"]
            names = obs.dtype.names if isinstance(obs, h5py.Dataset) else obs.attrs["column-order"]
            names = [names] if isinstance(names, str | bytes) else names
            return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
    # Reported by inspect_dataset.
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        return None


def table_columns(path: Path, *, named: bool = True) -> list[str] | None:
    """Names of a text table's columns; None if its header cannot be read."""
    try:
        start = table_start(path, blanks="regular" if named else "quoted")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, InputError):
        return None
    if start is None:
        return []
    all_named = (not named and not start.is_short) or (named and key_order(start.names))
    return start.names if all_named else start.names[1:]
