"""A repeated job with more memory or smaller blocks writes the same results."""

import cellferry.resources.budget
import numpy as np
import pandas as pd
import pytest
from calibrate_classifier import calibrate_classifier
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.json_files import read_artifact
from cellferry.config.settings import ClassifierSettings, GeneSettings, LimitSettings, SplitSettings
from cellferry.features.subset import GeneFiles
from cellferry.heads.training import TrainingFiles
from cellferry.resources.budget import Budget
from content import contents
from convert_to_chunks import convert_to_chunks
from example_artifacts import write_features, write_reference_labels
from gather_predictions import gather_predictions
from inspect_dataset import inspect_dataset
from map_query import map_query
from merge_h5ad import merge_h5ad
from predict_labels import predict_labels
from scipy import io
from select_genes import select_genes
from shuffle_reference import shuffle_reference
from simulate import DATASET_DEFAULTS, label_names, settings_like, simulate_cells, write_cells, write_chunks
from split_reference import split_reference
from subset_common_genes import subset_common_genes
from subset_reference import subset_reference
from train_classifier import train_classifier
from write_fcs import write_fcs

BUDGETS = [Budget(2000), Budget(4000, 2), Budget(2000, 3), Budget(8000)]


@pytest.fixture
def sizes(monkeypatch):
    """Sizes of the blocks so far; kB for MB, so that small files are split into many."""
    monkeypatch.setattr(cellferry.resources.budget, "MB", 1024)
    found, block_bytes = [], Budget.block_bytes

    def noted(*args, **kwargs):
        found.append(block_bytes(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(Budget, "block_bytes", noted)
    return found


@pytest.fixture
def same(tmp_path):
    """Runs a script (`write(folder, budget)`) with every budget, and compares what it writes."""

    def check(write):
        expected = None
        for number, budget in enumerate(BUDGETS):
            folder = tmp_path / f"written_{number}"
            folder.mkdir()
            write(folder, budget)
            found = contents(folder)
            expected = expected or found
            assert found
            assert found == expected, budget

    return check


@pytest.fixture(scope="module")
def cells():
    return simulate_cells(2000, batches=("a", "b"))


def convert(path, folder, budget):
    config = {**DATASET_DEFAULTS, "role": "query", "path": str(path), "chunks": 3, "jobs": 1}
    inspected = str(path.with_suffix(".json"))
    inspect_dataset(inspected, name="blood", config=config, label_names=label_names())
    convert_to_chunks(
        inspected,
        str(folder / "chunks"),
        name="blood",
        config=config,
        label_names=label_names(),
        job=0,
        budget=budget,
        scratch=None,
    )


def test_convert_to_chunks(tmp_path, cells, same, sizes):
    cells.write_h5ad(tmp_path / "blood.h5ad")
    same(lambda folder, budget: convert(tmp_path / "blood.h5ad", folder, budget))
    assert len(set(sizes)) > 1


def test_convert_to_chunks_of_a_file_that_is_not_in_the_order_of_cells(tmp_path, cells, same, sizes):
    some = cells[:1000]
    source = tmp_path / "10x"
    source.mkdir()
    by_gene = some.X.tocsc().tocoo()
    by_gene.coords = by_gene.coords[::-1]
    by_gene.resize(some.shape[::-1])
    io.mmwrite(source / "matrix.mtx", by_gene.astype(np.int32), field="integer")
    (source / "genes.tsv").write_text("".join(f"{gene}\t{gene}\n" for gene in some.var_names))
    (source / "barcodes.tsv").write_text("".join(f"{name}\n" for name in some.obs_names))
    same(lambda folder, budget: convert(source, folder, budget))
    assert len(set(sizes)) > 1


@pytest.mark.parametrize("materialize", [False, True])
def test_merge_h5ad(tmp_path, cells, same, sizes, materialize):
    chunks = tmp_path / "chunks" / "blood"
    write_chunks(chunks, cells, chunks=3)
    same(
        lambda folder, budget: merge_h5ad(
            [str(chunks)], str(folder / "blood.h5ad"), materialize=materialize, budget=budget
        )
    )
    assert len(set(sizes)) > 1


@pytest.fixture
def selected(tmp_path, cells):
    """A merged file, its parts, and a choice of its genes."""
    write_cells(tmp_path / "merged.h5ad", cells, "atlas")
    split_reference(
        [str(tmp_path / "merged.h5ad")],
        [],
        str(tmp_path / "splits.parquet"),
        str(tmp_path / "labels.json"),
        settings=settings_like(SplitSettings, by="label", test=0.2),
        subsample=None,
        parents={},
        ontology={},
        seed=0,
        budget=BUDGETS[0],
    )
    pd.DataFrame({"gene": ["GENE5", "GENE150", "GENE1"]}).to_csv(tmp_path / "genes.tsv", sep="\t")
    write_features(tmp_path / "genes.json", ("atlas", "index"))
    return {
        name: str(tmp_path / name) for name in ("merged.h5ad", "splits.parquet", "genes.tsv", "genes.json")
    }


def test_select_genes(selected, same):
    files = dict.fromkeys(("atlas", "patients"), selected["merged.h5ad"])
    same(
        lambda folder, budget: select_genes(
            files,
            selected["splits.parquet"],
            None,
            genes=str(folder / "genes.tsv"),
            report=str(folder / "genes.json"),
            references=["atlas"],
            gene_ids=dict.fromkeys(files, "auto"),
            settings=settings_like(GeneSettings, n_variable=50, sketch_cells=1000),
            seed=0,
            budget=budget,
        )
    )


def test_subset_reference(selected, same, sizes):
    merged, splits, genes, report = selected.values()
    same(
        lambda folder, budget: subset_reference(
            {"atlas": merged},
            splits,
            GeneFiles(genes, report),
            {part: str(folder / f"{part}.h5ad") for part in ("train", "validation", "test")},
            inspected=[],
            gene_ids={"atlas": "auto"},
            budget=budget,
        )
    )
    assert len(set(sizes)) > 1


def test_subset_common_genes(selected, same, sizes):
    merged, _, genes, report = selected.values()
    same(
        lambda folder, budget: subset_common_genes(
            merged,
            GeneFiles(genes, report),
            str(folder / "common.h5ad"),
            name="atlas",
            gene_id="auto",
            min_common=0.3,
            inspected=None,
            labeled_only=False,
            max_cells=None,
            seed=0,
            budget=budget,
        )
    )
    assert len(set(sizes)) > 1


def test_shuffle_reference(selected, same):
    same(
        lambda folder, budget: shuffle_reference(
            selected["merged.h5ad"], str(folder / "store.zarr"), seed=0, budget=budget
        )
    )


@pytest.fixture(scope="module")
def query(trained, tmp_path_factory):
    """A query's counts of the trained model's genes, its cells mapped in two chunks, and classifiers."""
    folder = tmp_path_factory.mktemp("query")
    cells = simulate_cells(1500, n_genes=60, batches=("a", "b"), seed=3)
    write_cells(folder / "common.h5ad", cells, "atlas")
    mapped = [folder / "0.parquet", folder / "1.parquet"]
    for chunk, path in enumerate(mapped):
        map_chunk(trained, folder / "common.h5ad", path, BUDGETS[0], chunk=chunk)
    files = [str(path) for path in mapped]
    write_reference_labels(folder / "labels.json", ["B cell", "NK", "T cell"])
    train_classifier(
        TrainingFiles(files, files, str(trained.folder / "model"), *2 * [str(folder / "common.h5ad")]),
        str(folder / "labels.json"),
        str(folder / "classifier"),
        settings=settings_like(
            ClassifierSettings,
            heads=["xgboost", "linear", "neighbors", "expression"],
            max_training_cells=1000,
            neighbors=5,
            n_trees=10,
            max_depth=3,
            learning_rate=0.3,
        ),
        modality="rna",
        seed=0,
        budget=BUDGETS[0],
        threads=1,
    )
    calibrate_chunks(trained, folder, folder / "calibration.json", BUDGETS[0])
    return folder


def calibrate_chunks(trained, query, path, budget):
    calibrate_classifier(
        [str(query / f"{chunk}.parquet") for chunk in (0, 1)],
        [str(query / "0.parquet")],
        str(query / "common.h5ad"),
        str(query / "classifier"),
        str(trained.folder / "model"),
        str(query / "labels.json"),
        str(path),
        max_error=0.05,
        seed=0,
        budget=budget,
        threads=1,
    )


def map_chunk(trained, common, path, budget, *, chunk):
    model = str(trained.folder / "model")
    map_query(str(common), model, str(path), chunk=chunk, chunks=2, budget=budget, threads=1)


def predict_chunk(query, path, budget, *, chunk):
    predict_labels(
        str(query / f"{chunk}.parquet"),
        str(query / "common.h5ad"),
        str(query / "classifier"),
        str(query / "calibration.json"),
        str(path),
        chunk=chunk,
        chunks=2,
        limits=settings_like(LimitSettings, min_counts=20, min_genes=10),
        budget=budget,
        threads=1,
    )


def tables_agree(tmp_path, write):
    """Check like `same`, for matrix products, whose last bits depend on the block size."""
    tables = []
    for number, budget in enumerate(BUDGETS):
        write(tmp_path / f"{number}.parquet", budget)
        tables.append(pd.read_parquet(tmp_path / f"{number}.parquet"))
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], rtol=0, atol=1e-6)


def test_map_query(trained, query, tmp_path, sizes):
    tables_agree(
        tmp_path, lambda path, budget: map_chunk(trained, query / "common.h5ad", path, budget, chunk=1)
    )
    assert len(set(sizes)) > 1


def test_calibrate_classifier(trained, query, tmp_path, sizes):
    thresholds = []
    for number, budget in enumerate(BUDGETS):
        calibrate_chunks(trained, query, tmp_path / str(number), budget)
        found = read_artifact(DecisionModel, tmp_path / str(number))
        numbers = [*found.weights.values(), *found.temperatures.values(), *found.set_thresholds.values()]
        thresholds.append([*numbers, *found.thresholds["label"].values()])
    np.testing.assert_allclose(thresholds[1:], np.tile(thresholds[0], (len(BUDGETS) - 1, 1)), atol=1e-5)
    assert len(set(sizes)) > 1


def test_predict_labels(query, tmp_path, sizes):
    tables_agree(tmp_path, lambda path, budget: predict_chunk(query, path, budget, chunk=1))
    assert len(set(sizes)) > 1


def test_gather_predictions(query, tmp_path, same, sizes):
    predictions = [str(tmp_path / f"predictions_{chunk}.parquet") for chunk in (0, 1)]
    for chunk, path in enumerate(predictions):
        predict_chunk(query, path, BUDGETS[0], chunk=chunk)
    same(
        lambda folder, budget: gather_predictions(
            predictions,
            [str(query / "0.parquet"), str(query / "1.parquet")],
            str(query / "common.h5ad"),
            str(query / "classifier"),
            str(query / "labels.json"),
            parquet=str(folder / "predictions.parquet"),
            csv=str(folder / "predictions.csv.gz"),
            labeled=str(folder / "labeled.h5ad"),
            annotations=str(folder / "labeled.cas.json"),
            counts=True,
            budget=budget,
        )
    )
    assert len(set(sizes)) > 1


def test_write_fcs(query, tmp_path, same, sizes):
    predictions = [str(tmp_path / f"predictions_{chunk}.parquet") for chunk in (0, 1)]
    for chunk, path in enumerate(predictions):
        predict_chunk(query, path, BUDGETS[0], chunk=chunk)
    gathered = pd.concat([pd.read_parquet(path) for path in predictions])
    gathered.to_parquet(tmp_path / "predictions.parquet", index=False)
    cells = simulate_cells(1500, n_genes=60, batches=("a", "b"), seed=3)
    cells.var["channel"] = cells.var_names
    write_cells(tmp_path / "merged.h5ad", cells, "atlas")
    same(
        lambda folder, budget: write_fcs(
            str(tmp_path / "merged.h5ad"),
            str(tmp_path / "predictions.parquet"),
            [str(query / "0.parquet"), str(query / "1.parquet")],
            str(folder / "fcs"),
            query="atlas",
            budget=budget,
        )
    )
    assert len(set(sizes)) > 1
