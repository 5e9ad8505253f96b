"""Estimate the accuracy lost to a query's missing genes, and recalibrate the decision without them.

The reference's validation cells are mapped and classified with the counts of these genes set to 0.
"""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from cellferry.artifacts.decision import DecisionModel
from cellferry.artifacts.gene_loss import GeneLoss, LabelLoss
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.artifacts.latents import codes_among
from cellferry.calibration.decision import calibrated_probabilities
from cellferry.calibration.fit import HeldOutCells, learn_decision, with_limits
from cellferry.calibration.novelty import learn_novelty
from cellferry.config.available_heads import MANY_LABELS
from cellferry.core.job import job
from cellferry.evaluation.metrics import label_scores, summary
from cellferry.evaluation.panel import baseline_f1
from cellferry.features.marker_values import holds_intensities
from cellferry.features.subset import HAS_ORTHOLOG, MEASURED
from cellferry.heads.classifier import Classifier, HeadOutputs
from cellferry.mapping.encoder import Encoder
from cellferry.resources.budget import Budget
from cellferry.resources.memory import (
    MAX_PANEL_CELLS,
    MB,
    MEMORY_MODELS,
    PANEL_VALUE_BYTES,
    calibration_cap,
    calibration_mb,
)
from cellferry.sampling.sketch import random_sketch, sketch_values
from scipy import sparse
from threadpoolctl import threadpool_limits


@dataclass(frozen=True)
class ReferenceFiles:
    """A reference's validation cells, model and classifiers.

    Parameters
    ----------
    validation, model
        Counts of the reference's validation cells, and the model that was fitted to their batches.
    classifier, decision
        What train_classifier and calibrate_classifier wrote.
    training
        Counts of the reference's training cells; None if unavailable.
    """

    validation: str
    model: str
    classifier: str
    decision: str
    training: str | None = None


def estimate_missing_genes(
    common: str,
    reference: ReferenceFiles,
    *,
    gene_loss: str,
    own_decision: str,
    max_loss: float,
    max_error: float,
    seed: int,
    budget: Budget,
    threads: int,
) -> None:
    """Write the query's share of the model's genes, the loss without the others, and the decision.

    Parameters
    ----------
    common
        The query's counts; its var marks the measured genes of the model.
    reference
        The reference's validation cells, model and classifiers.
    gene_loss
        JSON to write, a `GeneLoss`.
    own_decision
        JSON to write: the decision for cells with the measured genes only, at this `max_error`.
    max_loss
        Loss above which retraining is advised.
    max_error
        Accepted share of wrong labels among assigned ones.
    seed, budget, threads
        Seed of the draw of cells, memory and cores of the job.
    """
    with H5adReader(common) as query:
        measured = query.var[MEASURED].to_numpy(dtype=bool)
        name = str(query.uns["dataset"])
        is_paired = query.var.get(HAS_ORTHOLOG)
    heads = Classifier(reference.classifier, threads=threads)
    learned = read_artifact(DecisionModel, reference.decision)
    with H5adReader(reference.validation) as cells:
        codes, drawn = draw_cells(cells, heads, seed=seed)
        held_mb = calibration_mb(len(drawn), n_labels=len(heads.labels), n_heads=len(heads.head_names))
        encoder = Encoder.load(reference.model, cells.var.index)
        prices_panel = not measured.all() and reference.training and len(heads.labels) <= MANY_LABELS
        more_mb = heads.held_mb + 2 * held_mb + encoder.held_mb
        more_mb += panel_mb(reference.training, cells, len(drawn)) if prices_panel else 0
        max_bytes = budget.block_bytes(
            MEMORY_MODELS["estimate_missing_genes"], cells=cells.n_cells, more_mb=more_mb
        )
        rows = heads.rows_in(max_bytes, cells)
        outputs = {
            which: predict_block(cells, drawn, genes, encoder, heads, rows=rows, threads=threads)
            for which, genes in (("all", np.ones_like(measured)), ("measured", measured))
        }
        baseline = (None, None)
        if prices_panel:
            truth = np.array(heads.labels, dtype=object)[codes]
            baseline = price_panel(reference.training, cells, drawn, truth, measured, seed=seed)
    with_all, with_missing = (HeldOutCells.of(codes, blocks, heads) for blocks in outputs.values())
    adapted = learned
    # An earlier run's thresholds follow the error that it accepted.
    if not measured.all() or learned.held_out.max_error != max_error:
        adapted = own_rules(learned, with_missing, heads, max_error=max_error)
    judged_by = learned if measured.all() else adapted
    f1, labels = compare(learned, with_all, judged_by, with_missing, heads.labels)
    without_ortholog = None if is_paired is None else int((~is_paired.to_numpy(dtype=bool)).sum())
    measured_loss = with_advice(
        GeneLoss(
            genes=len(measured),
            measured=int(measured.sum()),
            cells=len(codes),
            macro_f1=f1[0],
            macro_f1_without=f1[1],
            loss=None,
            labels=labels,
            baseline_f1=baseline[0],
            baseline_f1_retrained=baseline[1],
            advice=False,
            without_ortholog=without_ortholog,
        ),
        max_loss=max_loss,
    )
    print_loss(measured_loss, name, max_loss=max_loss)
    write_artifact(measured_loss, gene_loss)
    write_artifact(adapted, own_decision)


def price_panel(
    training: str, cells: H5adReader, drawn: np.ndarray, truth: np.ndarray, measured: np.ndarray, *, seed: int
) -> tuple[float | None, float | None]:
    """Macro-F1 of the baseline on the drawn cells: all genes, measured genes only."""
    with H5adReader(training) as learned:
        by_all, by_measured = (
            baseline_f1(learned, cells, drawn, truth, genes, seed=seed)
            for genes in (np.ones_like(measured), measured)
        )
    return by_all, by_measured


def with_advice(found: GeneLoss, *, max_loss: float) -> GeneLoss:
    """Add the baseline's loss, and the advice to retrain if that costs less."""
    if not found.cells:
        return found
    loss, retrained = found.macro_f1 - found.macro_f1_without, found.loss_retrained
    # If retraining costs as much, the panel lacks the genes that distinguish labels.
    return replace(found, loss=loss, advice=loss > max_loss and (retrained is None or retrained < loss))


def panel_mb(training: str, cells: H5adReader, n_drawn: int) -> int:
    """Memory (MB) of the baselines on training and held-out cells."""
    with H5adReader(training) as learned:
        values = sketch_values(learned, MAX_PANEL_CELLS) + sketch_values(cells, n_drawn)
    return int(PANEL_VALUE_BYTES * values // MB)


def draw_cells(cells: H5adReader, heads: Classifier, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (the classifiers' codes) and rows of validation cells drawn at random."""
    codes = codes_among(heads.labels, cells.codes("label"), cells.categories("label"))
    drawn = random_sketch(codes >= 0, calibration_cap(n_labels=len(heads.labels)), seed=seed)
    return codes[drawn], drawn


def predict_block(
    cells: H5adReader,
    drawn: np.ndarray,
    measured: np.ndarray,
    encoder: Encoder,
    heads: Classifier,
    *,
    rows: int,
    threads: int,
) -> list[HeadOutputs]:
    """Classifier outputs for the drawn cells, block by block, from these genes only."""
    kept_genes = sparse.diags_array(measured.astype(np.float32)).tocsr()
    batch_code = {batch: code for code, batch in enumerate(encoder.batches)}
    codes = np.array([batch_code.get(batch, 0) for batch in cells.categories("batch")], dtype=np.int64)
    outputs = []
    for start in range(0, cells.n_cells, rows):
        stop = min(start + rows, cells.n_cells)
        first, last = np.searchsorted(drawn, [start, stop])
        here = drawn[first:last] - start
        counts = sparse.csr_matrix(cells.counts(start, stop)[here] @ kept_genes)
        counts.sort_indices()
        batches = codes[cells.codes("batch", start, stop)[here]]
        latents = encoder.latents(counts, batches, threads=threads)
        outputs.append(heads.predict_block(latents, counts, intensities=holds_intensities(cells)))
    return outputs


def own_rules(
    learned: DecisionModel, with_missing: HeldOutCells, heads: Classifier, *, max_error: float
) -> DecisionModel:
    """The decision for cells with the measured genes only.

    Parameters
    ----------
    learned
        The reference's decision, for cells with all genes.
    with_missing, heads
        Classifier outputs for validation cells without the missing genes, and the classifiers.
    max_error
        Share of wrong labels among those given out.
    """
    own = learn_decision(
        with_missing,
        heads,
        # The rehearsal ran on all genes, and counted donors there.
        donors=np.full(len(with_missing.codes), -1),
        prior=np.array([learned.weights[head] for head in heads.head_names]),
        max_error=max_error,
        made_from=learned.made_from,
    )
    if learned.held_out.rehearsed:
        own = as_strict(own, learned, with_missing, heads)
    return replace(own, held_out=replace(own.held_out, donors=learned.held_out.donors))


def as_strict(
    own: DecisionModel, rehearsed: DecisionModel, cells: HeldOutCells, heads: Classifier
) -> DecisionModel:
    """Limit the decision to a rehearsed one's accuracy: these cells are of donors seen in training."""
    softened = replace(
        own,
        temperatures={name: max(t, rehearsed.temperatures[name]) for name, t in own.temperatures.items()},
        mixture_temperature=max(own.mixture_temperature, rehearsed.mixture_temperature),
    )
    probabilities = calibrated_probabilities(softened, cells.by_head)
    found = with_limits(softened, heads, cells.codes, probabilities, rare=cells.rare)
    return replace(
        found,
        novelty=learn_novelty(probabilities, cells),
        thresholds={
            level: {node: max(least, rehearsed.thresholds[level][node]) for node, least in nodes.items()}
            for level, nodes in found.thresholds.items()
        },
        set_thresholds={
            label: min(least, rehearsed.set_thresholds[label])
            for label, least in found.set_thresholds.items()
        },
    )


def compare(
    learned: DecisionModel,
    with_all: HeldOutCells,
    adapted: DecisionModel,
    with_missing: HeldOutCells,
    labels: list[str],
) -> tuple[list[float | None], dict[str, LabelLoss]]:
    """Macro-F1 with all genes and without the missing ones, and F1 by label."""
    pairs = []
    for decision, cells in ((learned, with_all), (adapted, with_missing)):
        best = calibrated_probabilities(decision, cells.by_head).argmax(axis=1)
        pairs.append(Counter(zip(cells.codes.tolist(), best.tolist(), strict=True)))
    codes = np.unique(with_all.codes).tolist()
    f1 = [label_scores(counted, codes) for counted in pairs]
    by_label = {
        labels[code]: LabelLoss(f1[0][code].f1, f1[1][code].f1, f1[0][code].support) for code in codes
    }
    return [summary(counted).macro_f1 for counted in pairs], by_label


def print_loss(loss: GeneLoss, name: str, *, max_loss: float) -> None:
    """Print the loss of the query `name`; see `estimate_missing_genes`."""
    print(f"{name} has {loss.measured} of the model's {loss.genes} genes")
    if loss.without_ortholog is not None:
        print(f"{loss.without_ortholog} of the others have no one-to-one ortholog in its species")
    if loss.cells:
        print(
            f"with these alone macro-F1 of {loss.cells} validation cells is "
            f"{loss.macro_f1_without:.3f}, and {loss.macro_f1:.3f} with all"
        )
    else:
        print("the reference has no validation cells: the loss without the others cannot be estimated")
    if loss.loss_retrained is not None:
        print(
            f"the baseline's macro-F1 on them is {loss.baseline_f1:.3f} if it is trained on all genes, and "
            f"{loss.baseline_f1_retrained:.3f} on those that {name} has"
        )
    if loss.advice:
        print(
            f"warning: the loss is more than genes.max_loss ({max_loss}): train on genes that {name} "
            "has too (genes.retrain_on_common: true, and no `pretrained`)"
        )
    elif loss.loss is not None and loss.loss > max_loss:
        print(
            f"warning: the loss is more than genes.max_loss ({max_loss}), and training on the genes that "
            f"{name} has would cost as much: provide coarser labels (`levels`, `labels.parents`)"
        )


if __name__ == "__main__":
    with job(snakemake), threadpool_limits(snakemake.threads):
        files = snakemake.input
        estimate_missing_genes(
            files.common,
            ReferenceFiles(
                files.validation, files.model, files.classifier, files.decision, files.training or None
            ),
            gene_loss=snakemake.output.gene_loss,
            own_decision=snakemake.output.decision,
            max_loss=snakemake.params.max_loss,
            max_error=snakemake.params.max_error,
            seed=snakemake.params.seed,
            budget=Budget.of(snakemake.resources),
            threads=snakemake.threads,
        )
