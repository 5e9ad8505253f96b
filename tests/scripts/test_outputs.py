"""docs/outputs.md: its columns are those of the files, and its code runs unchanged."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from calibrate_classifier import calibrate_classifier
from cellferry.artifacts.expression_sums import REFERENCE_SUMS, ExpressionSums
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.config.settings import LimitSettings
from cellferry.evaluation.gene_tables import GeneTables
from cellferry.heads.expression import log_normalized
from cellferry.labels.colors import colors_of
from cellferry.labels.vocabulary import MAPPINGS
from cellferry.resources.budget import Budget
from example_artifacts import hierarchy_of, write_reference_labels
from gather_predictions import gather_predictions
from mapped import LABELS, train_heads, write_part
from predict_labels import predict_labels
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
OF_SEVERAL_REFERENCES = {"nearest_reference", "nearest_reference_distance", "next_reference_distance"}
CHUNKS = 2
PLACES = [*list(range(3)) * 20, 3, 0.5, 1.5]
TABLES = ("label_genes", "shifted_genes")
SIZES = {label: 10 + n for n, label in enumerate(LABELS)}
"""Cells of the reference by label."""


def blocks(language, *, after="", before=""):
    """Code of a language on the page, between two of its headings."""
    text = PAGE[PAGE.index(after) :] if after else PAGE
    text = text[: text.index(before)] if before else text
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def predict_chunk(folder, classifier, predictions, sums, *, chunk):
    """Predictions of a chunk of the query, and sums of its expression."""
    predict_labels(
        str(folder / "query" / f"{chunk}.parquet"),
        str(folder / "query" / "common.h5ad"),
        classifier,
        str(folder / "calibration.json"),
        predictions,
        sums,
        chunk=chunk,
        chunks=CHUNKS,
        limits=LimitSettings(min_p=0.01, min_counts=10, min_genes=5),
        budget=Budget(2000),
        threads=1,
    )


@pytest.fixture(scope="module")
def patients(tmp_path_factory):
    """A folder with results of a query, made by the workflow's scripts."""
    folder = tmp_path_factory.mktemp("run")
    with threadpool_limits(1):
        train = train_heads(folder, list(range(3)) * 60, ontology={LABELS[0]: "CL:0000788"}, rare={"mast": 3})
        held_out = write_part(folder / "validation", list(range(3)) * 40, batches=("x", "y"), seed=3)
        query = write_part(folder / "query", PLACES, unfitted=PLACES, chunks=CHUNKS, batches=("q",), seed=5)
        rules, classifier = str(folder / "calibration.json"), str(folder / "classifier")
        calibrate_classifier(
            held_out.mapped,
            train.mapped,
            held_out.common,
            classifier,
            str(folder / "model"),
            str(folder / "genes.tsv"),
            rules,
            max_error=0.05,
            seed=0,
            budget=Budget(2000),
            threads=1,
        )
        predictions, sums = (
            [str(folder / f"predictions{chunk}.{ending}") for chunk in range(CHUNKS)]
            for ending in ("parquet", "npz")
        )
        for chunk in range(CHUNKS):
            predict_chunk(folder, classifier, predictions[chunk], sums[chunk], chunk=chunk)
    write_reference_labels(folder / "labels.json", LABELS, sizes=SIZES)
    gather_predictions(
        predictions,
        query.mapped,
        query.common,
        classifier,
        str(folder / "labels.json"),
        gene_tables=GeneTables(
            sums,
            str(folder / "merged.h5ad"),
            None,
            *(str(folder / f"results/predictions/patients/{name}.tsv") for name in TABLES),
        ),
        parquet=str(folder / "results/predictions/patients.parquet"),
        csv=str(folder / "results/predictions/patients.csv.gz"),
        labeled=str(folder / "results/labeled/patients.h5ad"),
        annotations=str(folder / "results/labeled/patients.cas.json"),
        counts=True,
        budget=Budget(2000),
    )
    return folder


def test_every_column_is_on_the_page(patients):
    written = pq.read_schema(patients / "results/predictions/patients.parquet").names
    heads = [name.removesuffix("_label") for name in written if f"{name[:-6]}_probability" in written]
    heads = [head for head in heads if head not in ("best", "runner_up", *MAPPINGS)]
    general = set()
    for name in written:
        head = next((head for head in heads if name in (f"{head}_label", f"{head}_probability")), None)
        name = name.replace(f"{head}_", "HEAD_", 1) if head else name
        general.add(re.sub(r"^level_lineage", "level_NAME", name))
    table = PAGE[PAGE.index("## Columns") : PAGE.index("**Missing values**")]
    first_cells = re.findall(r"^\| (`.*?) \|", table, re.M)
    described = set(re.findall(r"`(\w+)`", " ".join(first_cells)))
    assert general == described - OF_SEVERAL_REFERENCES
    assert len(heads) == 6


@pytest.mark.parametrize("name", TABLES)
def test_every_column_of_the_tables_of_genes_is_on_the_page(patients, name):
    section = PAGE[PAGE.index("## Genes of labels") : PAGE.index("## Huge queries")]
    section = section[section.index(f"`{name}.tsv` has up to") :].partition("`shifted_genes.tsv` has")
    described = re.findall(r"^\| (`.*?) \|", section[0] or section[2], re.M)
    written = pd.read_csv(patients / f"results/predictions/patients/{name}.tsv", sep="\t")
    assert set(written.columns) == set(re.findall(r"`(\w+)`", " ".join(described)))


def test_genes_of_a_label_are_those_that_it_was_simulated_with(patients):
    written = pd.read_csv(patients / "results/predictions/patients/label_genes.tsv", sep="\t")
    assert set(written["label"]) == set(LABELS)
    for code, label in enumerate(LABELS):
        rows = written[written["label"] == label].head(8)
        own = [f"GENE{gene}" for gene in range(10 * code, 10 * code + 10)]
        raised = rows[rows["mean_query"] > rows["mean_runner_up"]]
        assert len(raised)
        assert set(raised["gene"]) <= set(own)


def test_sums_are_of_the_expression_of_cells_by_best_label(patients):
    found = pd.concat(pd.read_parquet(patients / f"predictions{chunk}.parquet") for chunk in range(CHUNKS))
    kept = found["reason"].to_numpy() != "low quality"
    with H5adReader(patients / "query" / "common.h5ad") as reader:
        expression = log_normalized(reader.counts(0, reader.n_cells)).toarray()
    sums = ExpressionSums(LABELS, expression.shape[1])
    for chunk in range(CHUNKS):
        sums.add_sums(ExpressionSums.load(patients / f"predictions{chunk}.npz"))
    for code, label in enumerate(LABELS):
        cells = expression[kept & (found["best_label"] == label).to_numpy()]
        assert sums.cells[code] == len(cells) > 0
        np.testing.assert_allclose(sums.mean(code), cells.mean(axis=0), atol=1e-6)


def test_nothing_is_summed_where_the_reference_has_nothing_to_be_compared_with(patients, tmp_path):
    """As for a pre-trained model, or classifiers of an earlier version; labels are the same."""
    shutil.copytree(patients / "classifier", tmp_path / "classifier")
    (tmp_path / "classifier" / REFERENCE_SUMS).unlink()
    predictions, sums = tmp_path / "0.parquet", tmp_path / "0.npz"
    predict_chunk(patients, str(tmp_path / "classifier"), str(predictions), str(sums), chunk=0)
    assert ExpressionSums.load(sums).labels == []
    expected = pd.read_parquet(patients / "predictions0.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(predictions), expected)


def test_the_labeled_file_has_what_the_page_says(patients):
    adata = ad.read_h5ad(patients / "results/labeled/patients.h5ad")
    for key in (*adata.obsm, "label_colors", "cellferry"):
        assert f"`{key}`" in PAGE
    assert not adata.obs.isna().to_numpy().any()
    assert {"none", "out of reference"} <= set(adata.obs["reason"])


def test_every_output_of_a_run_is_on_the_page():
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    outputs = "".join(re.findall(r"^    output:\n(.*?)^    log:", text, re.M | re.S))
    paths = set(re.findall(r"\"(results/[^\"]+)\"", outputs))
    assert len(paths) > 20
    named = re.findall(r"`(results/[^`]+)`", PAGE)
    for path in paths:
        # A folder covers its files, and a query's whole file its chunks.
        known = [name for name in named if path.startswith(name.rstrip("/"))]
        assert known or path.replace("/{chunk}", "") in named, path


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python(patients, tmp_path, number):
    shutil.copytree(patients / "results", tmp_path / "results")
    adata = ad.read_h5ad(patients / "results/labeled/patients.h5ad")
    # The user's own file: other cells in another order, and a column of the same name.
    own = ad.AnnData(adata.X[::-2], obs=pd.DataFrame({"label": "mine"}, index=adata.obs_names[::-2]))
    own.write_h5ad(tmp_path / "patients.h5ad")
    block = blocks("python")[number]
    after = ""
    if "mine.obs" in block:
        after = (
            "assert mine.obs['label'].eq('mine').all()\n"
            "assert mine.obs['cellferry_label'].tolist() == labels.loc[mine.obs_names, 'label'].tolist()\n"
        )
    result = subprocess.run(
        [sys.executable, "-c", block + after],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def r_code_works(folder, packages, code):
    """Run R, or skip if it lacks a package."""
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    present = " && ".join(f"requireNamespace('{package}', quietly = TRUE)" for package in packages)
    asked = ["Rscript", "-e", f"quit(status = !({present}))"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip(f"R lacks one of the packages {', '.join(packages)}")
    loading = "".join(f"suppressMessages(library({package}))\n" for package in packages)
    (folder / "script.R").write_text(loading + code, encoding="utf-8")
    # Labels have letters that are not ASCII.
    result = subprocess.run(
        ["Rscript", "script.R"],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


OBJECT = """
names <- c("other", paste0("cell", 40:0))
in_g1 <- rep(1, 42)
counts <- Matrix::sparseMatrix(in_g1, 1:42, x = 1, dims = c(2, 42), dimnames = list(c("g1", "g2"), names))
"""


def expected(folder, column, missing="NA"):
    table = pd.read_csv(folder / "results/predictions/patients.csv.gz", index_col="cell")
    values = table.loc[[f"cell{cell}" for cell in range(40, -1, -1)], column]
    return [missing, *values.fillna(missing)]


def test_seurat_takes_the_csv(patients):
    first, second = blocks("r", after="## Seurat", before="## SingleCellExperiment")
    made = f"{OBJECT}patients <- CreateSeuratObject(counts)\n"
    say = 'writeLines(paste(patients$label, patients$reason, patients$level_lineage, sep = ";"))\n'
    told = r_code_works(patients, ["SeuratObject"], made + first + say).splitlines()
    columns = [expected(patients, column) for column in ("label", "reason", "level_lineage")]
    assert told == [";".join(values) for values in zip(*columns, strict=True)]

    one_line, add = first.strip().splitlines()
    assert one_line.startswith("labels <- read.csv(")
    assert add == "patients <- AddMetaData(patients, labels)"

    made = f"{OBJECT}patients <- CreateSeuratObject(counts[, -1])\n"
    say = (
        'stopifnot(identical(dim(Embeddings(patients, "cellferry")), c(41L, 5L)))\n'
        'writeLines(c(Embeddings(patients, "cellferry")["cell7", ], names(colors), colors))\n'
    )
    told = r_code_works(patients, ["SeuratObject", "rhdf5"], made + second + say).splitlines()
    with h5py.File(patients / "results/labeled/patients.h5ad") as file:
        latents = file["obsm/X_cellferry"][7]
    assert [float(number) for number in told[:5]] == pytest.approx(latents.tolist(), rel=1e-5)
    names, colors = told[5 : 5 + (len(told) - 5) // 2], told[5 + (len(told) - 5) // 2 :]
    known = colors_of(SIZES, hierarchy_of(LABELS))
    given = dict(zip(names, colors, strict=True))
    assert {label: given[label] for label in LABELS} == {label: known[label] for label in LABELS}


def test_seurat_takes_labels_that_r_would_misread(patients, tmp_path):
    folder = tmp_path / "results/predictions"
    folder.mkdir(parents=True)
    for labels in (["T", "T", "F"], ["1", "2", "2"], ["NA", "TRUE", "1e3"]):
        table = pd.DataFrame({"cell": ["a", "b", "c"], "label": labels, "level_cell type": "x"})
        table.to_csv(folder / "patients.csv.gz", index=False, quoting=2)
        read, _ = blocks("r", after="## Seurat")[0].splitlines()
        told = r_code_works(tmp_path, ["SeuratObject"], f"{read}\nwriteLines(c(names(labels), labels$label))")
        assert told.splitlines() == ["label", "level_cell type", *labels]


def test_singlecellexperiment_takes_the_csv(patients):
    (block,) = blocks("r", after="## SingleCellExperiment")
    made = f"{OBJECT}patients <- SingleCellExperiment(list(counts = counts))\n"
    say = "writeLines(paste(patients$label))\n"
    told = r_code_works(patients, ["SingleCellExperiment"], made + block + say).splitlines()
    assert told == expected(patients, "label")
