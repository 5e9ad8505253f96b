"""List the use of every dataset's channels, and the model's markers that it lacks."""

import pandas as pd
from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import read_artifact
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.cytometry.marker_names import BACKBONE, MARKER, marker_key

COLUMNS = ("dataset", "channel", "marker", "kind", "use")


def compare_panels(inspected: list[str], genes: str, panel: str) -> None:
    """Write a table with a row per channel, and per marker that a dataset lacks.

    Columns: `dataset`; `channel`, the name in its file; `marker`, the name in the model (the dataset's name
    if the model lacks it); `kind`; `use`: `backbone` (input of the model), `decoded` (measured in some
    references only), `not in the model`, `missing`, or `dropped`.

    Parameters
    ----------
    inspected
        JSON files as `inspect_dataset` writes them.
    genes
        The model's markers, as `select_markers` wrote them.
    panel
        Table to write (tsv).
    """
    model = pd.read_csv(genes, sep="\t", dtype={"gene": str}, keep_default_na=False)
    uses = dict(zip(model["gene"], model[BACKBONE].map({True: "backbone", False: "decoded"}), strict=True))
    known = {marker_key(marker): marker for marker in uses}
    rows = []
    for path in inspected:
        inspection = read_artifact(Inspection, path)
        lacking = dict.fromkeys(uses)
        for channel in inspection.channels:
            marker = known.get(marker_key(channel.name), channel.name) if channel.kind == MARKER else None
            use = uses.get(marker, "not in the model") if marker else "dropped"
            rows.append((inspection.dataset, channel.channel, marker, channel.kind, use))
            lacking.pop(marker, None)
        rows += [(inspection.dataset, None, marker, MARKER, "missing") for marker in lacking]
    table = pd.DataFrame(rows, columns=COLUMNS)
    with complete(panel) as path:
        table.to_csv(path, sep="\t", index=False)
    print(table.groupby(["dataset", "use"], sort=False).size().to_string())


if __name__ == "__main__":
    with job(snakemake):
        compare_panels(list(snakemake.input.inspected), snakemake.input.genes, snakemake.output[0])
