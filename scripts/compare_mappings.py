"""Compare what a query's labels are by the model fitted to its batches, and by the reference's as it is."""

from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.artifacts.mappings import Mapping, Mappings
from cellferry.calibration.decision import calibrated_probabilities, decide, ood_pvalues
from cellferry.config.settings import SurgerySettings
from cellferry.core.logs import logged
from cellferry.evaluation.metrics import summary
from cellferry.heads.classifier import Classifier, HeadOutputs
from cellferry.model.both_mappings import FITTED, UNFITTED, both_encoders
from cellferry.model.encoder import load_model
from cellferry.model.scvi_models import set_up_torch
from cellferry.model.surgery import draw_sketch, new_batches
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MAX_COMPARED_CELLS, MB, MEMORY_MODELS, calibration_mb
from cellferry.sampling.sketch import random_sketch, sketch_values
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class ComparedFiles:
    """What two mappings of a query are made with.

    Parameters
    ----------
    common
        Values of the query's cells.
    model, reference_model
        Folder of the model that maps the query, and of the reference's that it was made of.
    classifier, decision
        What train_classifier wrote, and the decision for this query.
    """

    common: str
    model: str
    reference_model: str
    classifier: str
    decision: str


def compare_mappings(
    files: ComparedFiles,
    mappings: str,
    *,
    settings: SurgerySettings,
    batch_size: int,
    min_p: float,
    seed: int,
    budget: Budget,
    threads: int,
    gpu: int,
) -> None:
    """Map a sketch of the query both ways, and write what the answers have in common.

    Parameters
    ----------
    files
        The query's values, the models and the classifiers.
    mappings
        JSON to write, `Mappings`.
    settings, batch_size
        How the query's model was made. If it was not fitted it is fitted here, to compare.
    min_p
        As in the configuration's section `prediction`.
    seed, budget, threads, gpu
        Seed of the sketch, and what the job was given.
    """
    accelerator = set_up_torch(threads=threads, seed=seed, gpu=gpu)
    heads = Classifier(files.classifier, threads=threads)
    learned = read_artifact(DecisionModel, files.decision)
    with H5adReader(files.common) as reader:
        rows = random_sketch(np.ones(reader.n_cells, dtype=bool), MAX_COMPARED_CELLS, seed=seed)
        probabilities_mb = calibration_mb(
            len(rows), n_labels=len(heads.labels), n_heads=len(heads.head_names)
        )
        values = sketch_values(reader, len(rows))
        held_mb = heads.held_mb + probabilities_mb
        need = MEMORY_MODELS["compare_mappings"]
        budget.require(need, cells=reader.n_cells, values=values, more_mb=held_mb)
        cells = reader.rows(rows)
        batches = reader.categories("batch")[reader.codes("batch")[rows]]
        truth = None
        if "label" in reader.obs_columns:
            truth = np.append(reader.categories("label"), None)[reader.codes("label")[rows]]
        sketch = None
        if not settings.fit and new_batches(reader, files.reference_model):
            held_mb += int(need.value_bytes * values) // MB
            sketch = draw_sketch(
                reader,
                files.reference_model,
                sketch_cells=settings.sketch_cells,
                seed=seed,
                need=need,
                budget=budget,
                more_mb=held_mb,
            )
        used = load_model(files.model, reader.var.index, accelerator=accelerator)
    ways, best = {}, {}
    both = both_encoders(
        used, files.reference_model, sketch, settings, batch_size=batch_size, accelerator=accelerator
    )
    for way, encoder in both.items():
        codes = {batch: code for code, batch in enumerate(encoder.batches)}
        latents = encoder.latents(cells, np.array([codes[batch] for batch in batches], dtype=np.int64))
        ways[way], best[way] = describe(
            heads.predict_block(latents, cells, intensities=True), heads, learned, truth, min_p=min_p
        )
        print(f"{way}: {asdict(ways[way])}")
    same_label = float(np.mean(best[FITTED] == best[UNFITTED])) if len(rows) else None
    if same_label is not None:
        print(f"the best label is the same for {same_label:.1%} of {len(rows)} cells")
    write_artifact(Mappings(len(rows), ways[FITTED], ways[UNFITTED], same_label), mappings)


def describe(
    outputs: HeadOutputs, heads: Classifier, learned: DecisionModel, truth: np.ndarray | None, *, min_p: float
) -> tuple[Mapping, np.ndarray]:
    """Numbers of one way of mapping, and the best label of each cell."""
    ood_pvalue = ood_pvalues(learned, outputs.distance, outputs.label_distance)
    enough = np.zeros(len(ood_pvalue), dtype=bool)
    probabilities = calibrated_probabilities(learned, outputs.by_head)
    decided = decide(probabilities, ood_pvalue, enough, heads.hierarchy, learned, min_p=min_p)
    known = np.isin(truth, heads.labels) if truth is not None else np.zeros(0, dtype=bool)
    pairs = (
        Counter(zip(truth[known], decided["best_label"][known], strict=True)) if known.any() else Counter()
    )
    numbers = Mapping(
        labeled=float(np.mean(np.equal(decided["reason"], None))),
        out_of_reference=float(np.mean(ood_pvalue < min_p)),
        probability=float(np.mean(decided["probability"])),
        **asdict(summary(pairs)),
    )
    return numbers, decided["best_label"]


if __name__ == "__main__":
    with logged(snakemake.log[0]), threadpool_limits(snakemake.threads):
        files, params = snakemake.input, snakemake.params
        compare_mappings(
            ComparedFiles(files.common, files.model, files.reference_model, files.classifier, files.decision),
            snakemake.output.mappings,
            settings=SurgerySettings(**params.surgery),
            batch_size=params.batch_size,
            min_p=params.min_p,
            seed=params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
            gpu=snakemake.resources.get("gpu", 0),
        )
