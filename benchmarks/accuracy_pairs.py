"""The pairs of the accuracy benchmark: labeled references, and queries whose labels are known.

One table of all; a configuration of the workflow is made of each row, with default settings.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
from anndata.io import read_elem

DATA = Path("data")
"""What configurations call the folder of the real data."""

PAIR, WITHOUT_LABEL, CASE = "pair", "without a label", "case"
"""A pair as it is; one whose reference lacks a label of the query; another case that is hard."""

DEFAULT_MAX_ERROR = 0.05
OTHER_MAX_ERRORS = (0.01, 0.1)
"""Values of `prediction.max_error` that are tried beside the default, on pairs as they are."""

FIRST_SEED = 0
"""The one seed of what is made with one seed only: variations of pairs, queries of one label."""

QUICK_QUERY = 200
QUICK_SETTINGS = {
    "reference": {"subsample": 600},
    "model": {"epochs": 10},
    "surgery": {"epochs": 2},
    "prediction": {"n_trees": 40},
}
"""What makes a run quick: it shows that everything works, and measures nothing."""


@dataclass(frozen=True)
class Dataset:
    """Cells of a file: their name in the configuration, and its keys, without `role`."""

    name: str
    path: str
    label: str
    keys: dict = field(default_factory=dict)

    @property
    def config(self) -> dict:
        """The keys of the configuration."""
        return {"path": str(DATA / self.path), "label": self.label, "chunks": 1, **self.keys}


@dataclass(frozen=True)
class Run:
    """A run of the workflow: a reference and its queries, by what the pairs are called.

    Attributes
    ----------
    name
        Name of its folder.
    reference, queries
        The datasets; queries by the name of the pair, `reference → query`.
    settings
        Further keys of the configuration.
    of
        `PAIR`, or what kind of variation of a pair it is; variations are made with the first seed only.
    one_by_one
        Whether every label of a query is a query of its own too, with the first seed.
    without
        Label whose cells are taken out of the reference.
    genes
        Share of the queries' genes that is kept, drawn at random.
    quick
        Whether it runs on few cells, for few epochs, without queries of one label.
    """

    name: str
    reference: Dataset
    queries: dict[str, Dataset]
    settings: dict = field(default_factory=dict)
    of: str = PAIR
    one_by_one: bool = True
    without: str | None = None
    genes: float = 1.0
    quick: bool = False

    @property
    def pairs(self) -> dict[str, str]:
        """What the pairs are called, by the query's name in the configuration."""
        return {query.name: pair for pair, query in self.queries.items()}

    @property
    def called(self) -> str:
        """What the reference is called."""
        return next(iter(self.queries)).partition(" → ")[0]

    @property
    def other_max_errors(self) -> tuple[float, ...]:
        """Values of `max_error` to try beside the default; quickly one of them."""
        if self.of != PAIR:
            return ()
        return OTHER_MAX_ERRORS[-1:] if self.quick else OTHER_MAX_ERRORS

    def is_made_with(self, seed: int) -> bool:
        """Whether there is a run with a seed: of variations with the first one only."""
        return self.of == PAIR or seed == FIRST_SEED

    def has_queries_of_one_label(self, seed: int) -> bool:
        """Whether they are made: they are many and take most of a run's time, hence with one seed only."""
        return self.of == PAIR and self.one_by_one and not self.quick and seed == FIRST_SEED

    def config(self, seed: int, data: Path) -> dict:
        """The configuration, in a folder where `data` is linked.

        Parameters
        ----------
        seed
            Seed of everything drawn at random.
        data
            Folder of the real data, from which the labels of a reference are read that lacks one.

        Raises
        ------
        ValueError
            If a label that is to be taken out does not occur.
        """
        reference = {"role": "reference", **self.reference.config}
        if self.without:
            others = labels_of(self.reference, data)
            others.remove(self.without)
            reference["cells"] = {**reference.get("cells", {}), self.reference.label: others}
        datasets = {self.reference.name: reference}
        for query in self.queries.values():
            datasets[query.name] = {"role": "query", **query.config}
            if self.genes < 1:
                datasets[query.name]["path"] = file_of_fewer_genes(query)
        config = {"datasets": datasets, **self.settings, "seed": seed}
        return as_quick(config) if self.quick else config

    def write_files(self, folder: Path, data: Path) -> None:
        """Write what the configuration names and the data do not hold: queries of fewer genes."""
        for query in self.queries.values():
            path = folder / file_of_fewer_genes(query)
            if self.genes < 1 and not path.exists():
                write_fewer_genes(data / query.path, path, share=self.genes)


def as_quick(config: dict) -> dict:
    """A configuration that runs in minutes: a thin reference, thin queries, few epochs and trees.

    `role: evaluate` is what draws some of a query's cells.
    """
    datasets = {
        name: own
        if own["role"] == "reference"
        else own | {"role": "evaluate", "max_cells": min(own.get("max_cells", QUICK_QUERY), QUICK_QUERY)}
        for name, own in config["datasets"].items()
    }
    return config | {"datasets": datasets, **QUICK_SETTINGS}


def labels_of(dataset: Dataset, data: Path) -> list[str]:
    """Labels that occur in an h5ad file."""
    with h5py.File(data / dataset.path, "r", locking=False) as file:
        labels = read_elem(file["obs"])[dataset.label]
    return sorted(labels.dropna().astype(str).unique())


def file_of_fewer_genes(query: Dataset) -> str:
    """Name of the file of a query that lacks genes, in the folder of the run."""
    return f"{query.name}_of_fewer_genes.h5ad"


def write_fewer_genes(source: Path, target: Path, *, share: float) -> None:
    """Write cells whose counts are in X with a share of their genes, drawn at random with a fixed seed."""
    cells = ad.read_h5ad(source)
    rng = np.random.default_rng(FIRST_SEED)
    kept = np.sort(rng.choice(cells.n_vars, round(share * cells.n_vars), replace=False))
    cells[:, kept].copy().write_h5ad(target)


def at(name: str, path: str, label: str, **keys: object) -> Dataset:
    """A dataset, its further keys as they stand in a configuration."""
    return Dataset(name, path, label, keys)


def with_keys(dataset: Dataset, **keys: object) -> Dataset:
    """A dataset with other or further keys."""
    return replace(dataset, keys=dataset.keys | keys)


BROAD = "cell_type_broad_harmonised"
PBMC3K = at("pbmc3k", "pbmc/ref_pbmc3k.h5ad", "cell_type_broad", batch="batch")
SYMPHONY = at("symphony", "pbmc/query_symphony_3tech.h5ad", BROAD, batch="donor")
SYMPHONY_3, SYMPHONY_5 = (
    at(name, SYMPHONY.path, BROAD, batch="donor", cells={"donor": donors})
    for name, donors in {"symphony_3p": ["3pv1", "3pv2"], "symphony_5p": ["5p"]}.items()
)
CTRL, STIM = (
    at(f"kang_{group}", "pbmc/query_kang_ifnb.h5ad", BROAD, batch="sample_id", cells={"group_id": [group]})
    for group in ("ctrl", "stim")
)
LINES, SINGLETS = "cell_line_demuxlet", {"demuxlet_cls": ["SNG"]}
CELSEQ2 = at("celseq2", "cellmix/ref_celseq2_5cl.h5ad", LINES, batch="plate", cells=SINGLETS)
DROPSEQ = at("dropseq", "cellmix/query_dropseq.h5ad", LINES, cells=SINGLETS)
TENX = at("tenx", "cellmix/cepo_cellbench.rda", LINES)
ENSEMBL_TO_SYMBOL = {"genes": {"map": str(DATA / "formats/GENCODEv44_Gene_id2name.csv")}}
ZEISEL, ZEISEL_FINE = (
    [at(name, f"more/{name}.h5ad", label) for name in ("zeisel_ref", "zeisel_query")]
    for label in ("class", "subclass")
)
STARMAP = [
    at(f"starmap_{name}", f"more/starmap_{name}.h5ad", "cell_type", batch="mouse")
    for name in ("ref_2mice", "query_mouse3")
]
TUMOR = [at(name, f"more/{name}.h5ad", "cell_type") for name in ("pdac_ref", "pdac_query")]
CYTOF = [
    at(f"cytof_{name}", f"levine32_cytof/{file}_dense.h5ad", "population", batch="sample")
    for name, file in {"h1": "ref_H1", "h2": "query_H2"}.items()
]
# On a display scale, neither raw nor arcsinh: values are only scaled.
FLOW = [
    at(
        f"flow_{part}",
        f"more/hipc_stanford_{part}_values.csv.gz",
        "gate",
        obs=str(DATA / f"more/hipc_stanford_{part}_gates.csv.gz"),
        obs_by="order",
        transformed=True,
    )
    for part in ("ref", "query")
]
MARKERS = {"modality": "cytometry"}


def pair(name: str, title: str, both: list[Dataset], **changes: Any) -> Run:
    """A run of one reference and one query."""
    reference, query = both
    return Run(name, reference, {title: query}, **changes)


def lacking(label: str, name: str, title: str, both: list[Dataset]) -> Run:
    """A pair whose reference lacks a label."""
    return pair(name, title, both, of=WITHOUT_LABEL, without=label)


RUNS = [
    pair("pbmc3k_to_symphony", "PBMC 3k → Symphony", [PBMC3K, SYMPHONY]),
    Run("pbmc3k_to_kang", PBMC3K, {"PBMC 3k → Kang ctrl": CTRL, "PBMC 3k → Kang stim": STIM}),
    pair("kang_ctrl_to_stim", "Kang ctrl → Kang stim", [CTRL, STIM]),
    pair("kang_stim_to_ctrl", "Kang stim → Kang ctrl", [STIM, CTRL]),
    pair("symphony_3p_to_5p", "Symphony 3' → 5'", [SYMPHONY_3, SYMPHONY_5]),
    pair("symphony_to_pbmc3k", "Symphony → PBMC 3k", [SYMPHONY, PBMC3K]),
    pair("kang_ctrl_to_pbmc3k", "Kang ctrl → PBMC 3k", [CTRL, PBMC3K]),
    pair("celseq2_to_dropseq", "CEL-seq2 → Drop-seq", [CELSEQ2, DROPSEQ]),
    pair("celseq2_to_10x_symbols", "CEL-seq2 → 10x", [CELSEQ2, TENX], settings=ENSEMBL_TO_SYMBOL),
    pair("zeisel_class", "Zeisel, 7 classes", ZEISEL),
    pair(
        "zeisel_subclass",
        "Zeisel, subclasses",
        ZEISEL_FINE,
        # Cells of several classes are called so.
        settings={"labels": {"missing": ["(none)"]}},
        one_by_one=False,
    ),
    pair("starmap", "STARmap, another mouse", STARMAP),
    pair("tumor", "Pancreatic tumor", TUMOR),
    pair("cytof", "CyTOF H1 → H2", CYTOF, settings={**MARKERS, "labels": {"missing": ["unassigned"]}}),
    pair("flow", "Flow cytometry, another patient", FLOW, settings=MARKERS, one_by_one=False),
    lacking("B", "pbmc3k_without_b_to_symphony", "PBMC 3k without B → Symphony", [PBMC3K, SYMPHONY]),
    lacking("B", "kang_without_b", "Kang ctrl without B → Kang stim", [CTRL, STIM]),
    lacking("H2228", "celseq2_without_h2228", "CEL-seq2 without H2228 → Drop-seq", [CELSEQ2, DROPSEQ]),
    lacking("interneurons", "zeisel_without_interneurons", "Zeisel without interneurons", ZEISEL),
    lacking("Oligo", "starmap_without_oligo", "STARmap without Oligo", STARMAP),
    lacking("Cancer_clone_B", "tumor_without_clone_b", "Pancreatic tumor without clone B", TUMOR),
    pair(
        "pbmc3k_to_20_cells",
        "PBMC 3k → 20 cells of Symphony",
        # The role draws cells; all else is as of a query.
        [PBMC3K, with_keys(SYMPHONY, role="evaluate", max_cells=20)],
        of=CASE,
    ),
    pair(
        "two_labels_to_symphony",
        "PBMC 3k of two labels → Symphony",
        [with_keys(PBMC3K, cells={PBMC3K.label: ["B", "CD14 Mono"]}), SYMPHONY],
        of=CASE,
    ),
    pair("zeisel_few_genes", "Zeisel, 40 % of the genes", ZEISEL, of=CASE, genes=0.4),
    pair(
        "zeisel_zero_filled",
        "Zeisel, 40 % of the model's genes",
        ZEISEL,
        of=CASE,
        genes=0.4,
        settings={"genes": {"retrain_on_common": False}},
    ),
]
