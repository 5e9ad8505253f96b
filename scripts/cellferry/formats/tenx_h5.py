"""10x Genomics' .h5 files, since Cell Ranger 3 (one group `matrix`) and before (a group per genome)."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import pandas as pd

from ..errors import InputError
from .compressed import check_compressed
from .hdf5 import open_hdf5
from .hdf5_parts import check_written
from .interface import Block, Cells, FileSignature, Header, Options, as_strings, refuse_place
from .matrix import array_at, csr_rows, glance, group_at, looks_like_counts
from .pieces import read_part
from .values import check_rows

CELLS_AT_ONCE = 1 << 17


def recognizes(path: Path, signature: FileSignature) -> bool:
    """True if a file is a .h5 file of 10x Genomics."""
    # Cell Ranger 3 and later have one group `matrix`; earlier ones a group per genome.
    return any("barcodes" in group for group in (signature.groups or {}).values())


def header(path: Path, options: Options) -> Header:
    """Read the header of a 10x .h5 file; see `interface.Header`."""
    refuse_place(path, options)
    with open_hdf5(path, options) as file:
        groups = [
            name for name in file if isinstance(file.get(name), h5py.Group) and "barcodes" in file[name]
        ]
        if not groups:
            raise InputError(
                f"{path}: is not a 10x .h5 file: none of its groups contains barcodes; "
                f"correct {options.key('format')}"
            )
        is_v3 = groups == ["matrix"]
        name = "matrix" if is_v3 else _choose_genome(path, groups, options)
        group = file[name]
        check_rows(array_at(group, "shape"), 2)
        var = _features(group) if is_v3 else _genes(group)
        n_features, n_cells = (int(n) for n in read_part(group["shape"]))
        n_barcodes, n_pointers = len(array_at(group, "barcodes")), len(array_at(group, "indptr"))
        check_rows(group["barcodes"], n_barcodes)
        if (len(var), n_barcodes, n_pointers - 1) != (n_features, n_cells, n_cells):
            raise InputError(
                f"{path}: the matrix of {name} is {n_features} features × {n_cells} cells, but {len(var)} "
                f"features and {n_barcodes} cells are named; the file is damaged: export it again"
            )
        check_compressed(group, "csr", (n_cells, n_features), path)
        values = glance(group)
        return Header(
            path=path,
            format="10x_h5",
            options=options,
            n_cells=n_cells,
            n_genes=len(var),
            nonzeros=int(group["data"].shape[0]),
            dtype=str(group["data"].dtype),
            storage="csr",  # genes × cells in CSC is cells × genes in CSR
            places={"matrix": looks_like_counts(values)},
            counts="matrix",
            var=var,
            obs_columns=[],
            preview=values,
            details={"group": name},
        )


def cells(header: Header, columns: list[str]) -> Iterator[Cells]:
    """Yield barcodes, about a hundred thousand at a time; the format has no annotation."""
    with open_hdf5(header.path, header.options) as file:
        barcodes = file[header.details["group"]]["barcodes"]
        for start in range(0, header.n_cells, CELLS_AT_ONCE):
            yield Cells(as_strings(read_part(barcodes, slice(start, start + CELLS_AT_ONCE))), {})


def blocks(
    header: Header, columns: list[str], max_bytes: int, scratch: Path, start: int, stop: int
) -> Iterator[Block]:
    """Yield counts and barcodes in row blocks; see `formats.blocks`."""
    with open_hdf5(header.path, header.options) as file:
        group = file[header.details["group"]]
        shape = (header.n_cells, header.n_genes)
        for counts in csr_rows(group, shape, max_bytes, header.path, start, stop):
            end = start + counts.shape[0]
            yield Block(counts, as_strings(read_part(group["barcodes"], slice(start, end))), {})
            start = end


def _features(group: h5py.Group) -> pd.DataFrame:
    """Features since Cell Ranger 3: names as the index; ids, types and genomes as columns."""
    features = group_at(group, "features")
    for part in features.values():
        check_written(part)
    columns = {"gene_ids": "id", "feature_types": "feature_type", "genome": "genome"}
    if "gene_id" in features:  # probes, with a separate gene id
        columns |= {"gene_ids": "gene_id", "probe_ids": "id"}
    return pd.DataFrame(
        {
            column: as_strings(read_part(array_at(features, key)))
            for column, key in columns.items()
            if key in features
        },
        index=pd.Index(as_strings(read_part(array_at(features, "name"))), dtype=object),
    )


def _genes(group: h5py.Group) -> pd.DataFrame:
    for name in ("genes", "gene_names"):
        check_written(array_at(group, name))
    return pd.DataFrame(
        {"gene_ids": as_strings(read_part(array_at(group, "genes")))},
        index=pd.Index(as_strings(read_part(array_at(group, "gene_names"))), dtype=object),
    )


def _choose_genome(path: Path, groups: list[str], options: Options) -> str:
    if options.genome in groups:
        return options.genome
    if options.genome is None and len(groups) == 1:
        return groups[0]
    setting = f"is '{options.genome}'" if options.genome else "is not set"
    raise InputError(
        f"{path}: {options.key('genome')} {setting}, but the file contains {', '.join(groups)}; "
        "set it to one of them"
    )
