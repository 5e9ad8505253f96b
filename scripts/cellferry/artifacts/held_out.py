"""Counts of held-out cells as plain arrays, in a packed reference: `held_out.npz`."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from ..core.problems import Problem
from ..errors import InputError
from .h5ad_reader import H5adReader
from .h5ad_writer import H5adWriter

OBS = ("batch", "label")
VAR = "var_"
"""Prefix of the names of arrays with columns of genes."""


def pack_held_out(reader: H5adReader, rows: np.ndarray, path: Path) -> None:
    """Write some cells of a file between rules; they are named by their numbers.

    Parameters
    ----------
    reader
        The file.
    rows
        The cells, ascending.
    path
        Archive of arrays to write.
    """
    counts = reader.rows(rows)
    arrays = {"indices": counts.indices, "indptr": counts.indptr, "data": counts.data}
    if np.array_equal(counts.data, counts.data.astype(np.int32)):
        arrays["data"] = counts.data.astype(np.min_scalar_type(int(counts.data.max(initial=0))))
    for column in OBS:
        used, codes = np.unique(reader.codes(column)[rows], return_inverse=True)
        names = np.append(reader.categories(column), "")[used]  # code -1, without a label, is the last
        arrays |= {column: codes.astype(np.int32), f"{column}_names": names.astype(np.str_)}
    arrays |= {f"{VAR}{name}": values.to_numpy() for name, values in reader.var.items()}
    genes = reader.var.index.to_numpy().astype(np.str_)
    about = {"dataset": reader.uns["dataset"], "values": reader.uns.get("values", "counts")}
    np.savez(path, genes=genes, **{name: np.array(str(each)) for name, each in about.items()}, **arrays)


def unpack_held_out(path: Path, target: Path) -> None:
    """Write the packed cells of `pack_held_out` as a file between rules.

    Raises
    ------
    InputError
        If the arrays are inconsistent.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = dict(arrays)
        genes = pd.Index(found["genes"].astype(object), name="gene")
        columns = {name.removeprefix(VAR): found[name] for name in found if name.startswith(VAR)}
        shape = (len(found["indptr"]) - 1, len(genes))
        if found["indptr"][-1] != len(found["data"]) or any(len(found[column]) != shape[0] for column in OBS):
            raise ValueError(f"its values are not those of {shape[0]} cells")
        parts = (found["data"].astype(np.float32), found["indices"], found["indptr"])
        counts = sparse.csr_matrix(parts, shape=shape)
        counts.check_format(full_check=True)
        obs = {}
        for column in OBS:
            names = found[f"{column}_names"].astype(object)
            obs[column] = np.where(names == "", None, names)[found[column]]
        var = pd.DataFrame(columns, index=genes)
        names = np.array([f"cell_{number}" for number in range(shape[0])], dtype=object)
        with H5adWriter(target, var) as writer:
            writer.append(counts, names, obs)
            writer.write_uns(dataset=str(found["dataset"]), values=str(found["values"]))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        what = f"was damaged after packing ({error})"
        raise InputError(Problem(str(path), what, "copy the reference again from its source")) from error
