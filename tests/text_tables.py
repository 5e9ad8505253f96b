"""Small tables of counts as text, in the layouts that pandas, R and others write."""

import gzip

import numpy as np
import pandas as pd

GENES = [f"ENSG{i:011d}" for i in range(12)]
CELLS = [f"s{i}" for i in range(40)]
FEATURECOUNTS = '# Program:featureCounts v2.0.1; Command:"featureCounts" "-a" "x, y.gtf" "-o" "a.txt" \n'


def make_counts():
    return np.random.default_rng(0).poisson(0.5, size=(len(CELLS), len(GENES)))


def write_table(path, *, genes_as_rows=False, header="pandas", genes=GENES, cells=CELLS, quoting=0, end="\n"):
    frame = pd.DataFrame(make_counts(), index=cells, columns=genes)
    frame = frame.T if genes_as_rows else frame
    text = frame.to_csv(sep="\t" if ".tsv" in path.name else ",", quoting=quoting, lineterminator=end)
    if header == "R":  # the column of row names has no name
        first, rest = text.split(end, 1)
        text = (
            first.lstrip('"').lstrip(",\t") + end + rest
            if not quoting
            else first.removeprefix('"",') + end + rest
        )
    if header == "corner":
        text = "gene" + text
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path
