"""The pairs of the accuracy benchmark: labeled references, and queries with known labels.

Each row of the table becomes a configuration of the workflow with default settings.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
from anndata.io import read_elem

DATA = Path("data")
"""Folder of the real data in configurations."""

PAIR, WITHOUT_LABEL, CASE = "pair", "without a label", "case"
"""A plain pair; one whose reference lacks a label of the query; another hard case."""

DEFAULT_MAX_ERROR = 0.05
OTHER_MAX_ERRORS = (0.01, 0.1)
"""Further values of `prediction.max_error` for plain pairs."""

FIRST_SEED = 0
"""The seed of variations of pairs and of queries of one label."""

QUICK_QUERY = 200
QUICK_SETTINGS = {
    "reference": {"subsample": 600},
    "model": {"epochs": 10},
    "surgery": {"epochs": 2},
    "prediction": {"n_trees": 40},
}
"""Settings of a quick run, which shows that everything works and measures nothing."""


@dataclass(frozen=True)
class Dataset:
    """A dataset of a configuration: its name and its keys, without `role`."""

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
    """A run of the workflow: a reference and its queries.

    Attributes
    ----------
    name
        Name of its folder.
    reference, queries
        The datasets; queries by the name of the pair, `reference → query`.
    settings
        Further keys of the configuration.
    of
        `PAIR`, or a kind of variation of a pair; variations are made with the first seed only.
    one_by_one
        True if every label of a query is also a query of its own, with the first seed.
    without
        Label taken out of the reference.
    genes
        Share of the queries' genes that is kept, drawn at random.
    quick
        True for few cells, few epochs and no queries of one label.
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
        """Names of the pairs, by the query's name in the configuration."""
        return {query.name: pair for pair, query in self.queries.items()}

    @property
    def called(self) -> str:
        """Name of the reference."""
        return next(iter(self.queries)).partition(" → ")[0]

    @property
    def other_max_errors(self) -> tuple[float, ...]:
        """Further values of `max_error`; one for a quick run."""
        if self.of != PAIR:
            return ()
        return OTHER_MAX_ERRORS[-1:] if self.quick else OTHER_MAX_ERRORS

    def is_made_with(self, seed: int) -> bool:
        """True if a seed has a run; variations have the first seed only."""
        return self.of == PAIR or seed == FIRST_SEED

    def has_queries_of_one_label(self, seed: int) -> bool:
        """True for the first seed only: these queries take most of a run's time."""
        return self.of == PAIR and self.one_by_one and not self.quick and seed == FIRST_SEED

    def config(self, seed: int, data: Path) -> dict:
        """The configuration, in a folder where `data` is linked.

        Parameters
        ----------
        seed
            Seed of everything drawn at random.
        data
            Folder of the real data, for the labels of a reference without one of them.

        Raises
        ------
        ValueError
            If the reference has no cell of the label to take out.
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
        """Write files that the data lack: queries of fewer genes."""
        for query in self.queries.values():
            path = folder / file_of_fewer_genes(query)
            if self.genes < 1 and not path.exists():
                write_fewer_genes(data / query.path, path, share=self.genes)


def as_quick(config: dict) -> dict:
    """A configuration that runs in minutes: few cells, epochs and trees.

    `role: evaluate` draws some of a query's cells.
    """
    datasets = {
        name: own
        if own["role"] == "reference"
        else own | {"role": "evaluate", "max_cells": min(own.get("max_cells", QUICK_QUERY), QUICK_QUERY)}
        for name, own in config["datasets"].items()
    }
    return config | {"datasets": datasets, **QUICK_SETTINGS}


def labels_of(dataset: Dataset, data: Path) -> list[str]:
    """Labels in an h5ad file."""
    with h5py.File(data / dataset.path, "r", locking=False) as file:
        labels = read_elem(file["obs"])[dataset.label]
    return sorted(labels.dropna().astype(str).unique())


def file_of_fewer_genes(query: Dataset) -> str:
    """File of a query with fewer genes, in the folder of the run."""
    return f"{query.name}_of_fewer_genes.h5ad"


def write_fewer_genes(source: Path, target: Path, *, share: float) -> None:
    """Write a file with a random share of its genes; counts are in X."""
    cells = ad.read_h5ad(source)
    rng = np.random.default_rng(FIRST_SEED)
    kept = np.sort(rng.choice(cells.n_vars, round(share * cells.n_vars), replace=False))
    cells[:, kept].copy().write_h5ad(target)


def at(name: str, path: str, label: str, **keys: object) -> Dataset:
    """A dataset with further keys of a configuration."""
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
# Values are on a display scale, neither raw nor arcsinh, and only scaled.
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
        # Cells of several classes have this label.
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
        # The role draws cells; all else is that of a query.
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
