"""Several files of one dataset, read one after another as one."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from .. import formats
from ..cytometry.marker_names import KIND, MARKER, marker_key
from ..cytometry.panels import markers_of
from ..errors import InputError
from ..features.gene_ids import ENSEMBL, strip_version
from ..formats import Block, Cells, Header, Options, OutOfOrderError

MIN_COMMON = 0.5
"""Smallest share of common genes (or markers) between a file and the first one."""

PREVIEW_VALUES = 1 << 16


class Concatenation:
    """The files of a dataset in order; a single file stays as it is.

    If files differ in their genes (or channels), the common ones are read, in the order of the first file.

    Parameters
    ----------
    files
        Paths by name of the sample.
    options, format
        See `formats.header`.

    Attributes
    ----------
    header
        Header of the only file, or of all together, with their common folder as path.
    headers
        Headers of the files.
    samples
        Names of the samples, one per file.
    starts
        First cell of each file, and the end of the last one, counted over all files.

    Raises
    ------
    InputError
        If a file cannot be read, or the files do not belong together.
    """

    def __init__(self, files: dict[str, Path], options: Options, format: str) -> None:  # noqa: A002
        self.samples = list(files)
        self.headers: list[Header] = []
        for path in files.values():
            header = formats.header(path, options, format)
            if self.headers and header.var.equals(self.headers[0].var):
                header = header.replace(var=self.headers[0].var)  # equal names are stored once
            self.headers.append(header)
        if len({header.values for header in self.headers}) > 1:
            raise InputError(
                f"{options.key('path')}: some of its files hold counts and others intensities; "
                "make two datasets of them"
            )
        self._genes = _common_genes(self.headers, options)
        self.starts = np.cumsum([0, *(header.n_cells for header in self.headers)])
        self.header = self.headers[0] if len(files) == 1 else self._together()

    def _together(self) -> Header:
        headers = self.headers
        first = headers[0]
        places = {
            place: all(header.places.get(place, False) for header in headers)
            for place in first.places
            if all(place in header.places for header in headers)
        }
        kept = self._genes[0]
        var = first.var if kept is None else first.var.iloc[kept]
        stored = [header.nonzeros for header in headers]
        return first.replace(
            path=Path(os.path.commonpath([header.path.parent.absolute() for header in headers])),
            n_cells=int(self.starts[-1]),
            n_genes=len(var),
            var=var,
            nonzeros=None if None in stored else sum(stored),
            places=places,
            held_mb=max(header.held_mb for header in headers),
            counts=None if any(header.counts is None for header in headers) else first.counts,
            obs_columns=[
                column
                for column in first.obs_columns
                if all(column in header.obs_columns for header in headers)
            ],
            preview=np.concatenate(
                [header.preview[: PREVIEW_VALUES // len(headers) + 1] for header in headers]
            ),
            remarks=_remarks(self.samples, headers, len(var)),
            warnings=_said_once([header.warnings for header in headers]),
        )

    @property
    def in_order(self) -> bool:
        """True if the first cells' counts are available without reading a whole file."""
        return all(header.in_order for header in self.headers)

    def cells(self, columns: list[str]) -> Iterator[tuple[int, Cells]]:
        """Yield the number of the file with names and given annotation columns of its cells."""
        for number, header in enumerate(self.headers):
            for cells in formats.cells(header, columns):
                yield number, cells

    def blocks(
        self, columns: list[str], max_bytes: int, scratch: Path, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, Block]]:
        """Yield the number of the file with blocks of its cells; see `formats.blocks`.

        Parameters
        ----------
        start, stop
            The first cell, and the one after the last, counted over all files.

        Raises
        ------
        OutOfOrderError
            If a file is not sorted as expected; the next call takes this into account.
        """
        stop = int(self.starts[-1]) if stop is None else stop
        for number, header in enumerate(self.headers):
            offset = int(self.starts[number])
            first, last = max(start - offset, 0), min(stop - offset, header.n_cells)
            if first >= last:
                continue
            try:
                for block in formats.blocks(header, columns, max_bytes, scratch, first, last):
                    if self._genes[number] is not None:
                        block.counts = block.counts[:, self._genes[number]]
                        block.counts.sort_indices()
                    yield number, block
            except OutOfOrderError:
                print(f"{header.path}: is not fully sorted by cell; it is sorted in files on disk")
                self.headers[number] = header.replace(details=header.details | {"sorted": False})
                raise


def _common_genes(headers: list[Header], options: Options) -> list[np.ndarray | None]:
    """Positions of the common genes per file; None for a file with exactly these, in this order."""
    if all(header.var is headers[0].var for header in headers):
        return [None] * len(headers)
    with_ids = all("gene_ids" in header.var for header in headers)
    keys = [_gene_keys(header.var, with_ids=with_ids) for header in headers]
    common = keys[0]
    first = _genes(headers[0])
    for header, own_keys in zip(headers[1:], keys[1:], strict=True):
        common = common[common.isin(own_keys)]
        genes = _genes(header)
        # All cytometers have time and scatter.
        n_common = int(common.isin(own_keys[genes.positions]).sum())
        if n_common < MIN_COMMON * max(len(first.names), len(genes.names)):
            otherwise = (
                "if some of these have other names, add them to cytometry.markers; else "
                if KIND in header.var
                else ""
            )
            raise InputError(
                f"{header.path}: has {n_common} {genes.what} in common with the files before it in "
                f"{options.key('path')}; the first has {len(first.names)}, such as {_some(first.names)}, "
                f"and it has {len(genes.names)}, such as {_some(genes.names)}; {otherwise}make it a dataset "
                "of its own"
            )
    return [
        None if len(common) == len(own_keys) and common.equals(own_keys) else own_keys.get_indexer(common)
        for own_keys in keys
    ]


class _Genes(NamedTuple):
    """Genes, or marker channels, for the comparison of files."""

    what: str
    names: list[str]
    positions: np.ndarray


def _genes(header: Header) -> _Genes:
    if KIND not in header.var:
        return _Genes("genes", list(map(str, header.var.index)), np.arange(len(header.var)))
    return _Genes("markers", markers_of(header.var), np.flatnonzero(header.var[KIND] == MARKER))


def _some(names: list[str]) -> str:
    return ", ".join([*names[:3], "…"])


def _gene_keys(var: pd.DataFrame, *, with_ids: bool) -> pd.MultiIndex:
    """Keys that identify genes: the Ensembl id, else name and other id; plus a number if these repeat.

    Versions of ids are ignored, and so are symbols of genes with ids: samples may have been aligned to
    releases that name some genes differently. Channels are identified by the part that all spellings of a
    marker share, and by whether they are markers.
    """
    keys = map(marker_key, var.index) if KIND in var else map(strip_version, map(str, var.index))
    names = pd.DataFrame({"name": list(keys)}, dtype=object)
    names["id"] = [strip_version(str(gene)) for gene in var["gene_ids"]] if with_ids else ""
    names.loc[[ENSEMBL.match(gene) is not None for gene in names["id"]], "name"] = ""
    if KIND in var:
        names["id"] = np.where(var[KIND] == MARKER, MARKER, "")
    names["number"] = names.groupby(["name", "id"], dropna=False).cumcount()
    return pd.MultiIndex.from_frame(names)


def _remarks(samples: list[str], headers: list[Header], n_common: int) -> list[str]:
    """Remarks on the files together, and on each of them."""
    sizes = [header.n_genes for header in headers]
    remarks = [f"{len(headers)} files, the samples {', '.join(samples)}"]
    if max(sizes) > n_common:
        what = "channels" if KIND in headers[0].var else "genes"
        remarks.append(
            f"the files have {min(sizes)} to {max(sizes)} {what}; the {n_common} common ones are used"
        )
    return remarks + _said_once([header.remarks for header in headers])


def _said_once(remarks: list[list[str]]) -> list[str]:
    """Remarks on all files, each once with the number of files it applies to."""
    counted = Counter(remark for of_file in remarks for remark in set(of_file))
    return [
        remark if n == len(remarks) else f"{remark} ({n} of the files)"
        for remark, n in sorted(counted.items())
    ]
