"""The markers of a model among those of a dataset."""

import numpy as np
import pandas as pd

from ..artifacts.features import Features
from ..artifacts.h5ad_reader import H5adReader
from ..artifacts.inspection import Inspection
from ..artifacts.json_files import read_artifact
from ..cytometry.marker_names import BACKBONE
from ..cytometry.panels import check_share, markers_of, names_in_model
from ..cytometry.transformation import Transformation
from ..cytometry.value_detection import check_kind
from .gene_selection import GeneSelection
from .subset import MEASURED, Selection


def marker_selection(
    reader: H5adReader,
    genes: str,
    report: str,
    inspected: str,
    *,
    name: str,
    min_common: float = 0.0,
) -> tuple[Selection, pd.DataFrame]:
    """Selection and transformation of the model's markers in a file.

    Parameters
    ----------
    reader
        The dataset's merged file.
    genes, report
        The model's markers and the summary, as `select_markers` wrote them.
    inspected
        The dataset's inspection.
    name
        The dataset's name.
    min_common
        Share of the backbone that the dataset must have.

    Returns
    -------
    The function that selects and transforms, and var of the file to write: markers, with masks of `measured`
    ones and of the `backbone`.

    Raises
    ------
    InputError
        If the dataset has too few of the markers, or its values are of another kind.
    """
    table = pd.read_csv(genes, sep="\t", dtype={"gene": str}, keep_default_na=False)
    features = read_artifact(Features, report)
    seen = read_artifact(Inspection, inspected).intensities
    ids = np.array(names_in_model(reader.var, table["gene"]), dtype=object)
    measured = table["gene"].isin(set(ids) - {None}).to_numpy()
    backbone = table[BACKBONE].to_numpy(dtype=bool)
    check_share(name, markers_of(reader.var), table["gene"][backbone].to_list(), min_common)
    check_kind(name, seen, features.values)
    print(f"{name} has {(measured & backbone).sum()} of the model's {backbone.sum()} input markers")
    picks = GeneSelection(ids, table["gene"].to_list())
    transform = Transformation.from_json(features.transformation).of(seen, measured)
    var = pd.DataFrame({MEASURED: measured, BACKBONE: backbone}, index=pd.Index(table["gene"], name="gene"))
    return lambda values: transform(picks(values)), var
