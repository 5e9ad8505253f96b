# Validate the configuration, then define the names that rules share.
#
# Reads:   the configuration; in the main process also the headers of the datasets
# Defines: MODALITY, REFERENCE, DATASETS, REFERENCES, QUERIES, PLACED, EVALUATED, MAPPED, HELD_OUT, SCORED, GENE_SOURCES,
#          IMAGE, ADAPTS, ZERO_FILLED, TESTED, LABEL_AGREEMENT, CHECKED, PROJECT, PROVENANCE, MODIFIER,
#          wildcard constraints, input functions

import runpy
import sys
from copy import deepcopy
from math import ceil
from pathlib import Path
from types import ModuleType, SimpleNamespace

# The package may be in a git repository, from which Snakemake fetches single files such as this one.
find_project = runpy.run_path(workflow.source_path("../scripts/cellferry/runs/project_folder.py"))[
    "project_folder"
]
# A package called `scripts` in PYTHONPATH would precede this folder, which is not a package. A workflow with
# this one as a module may have a folder of that name, too.
PROJECT = find_project(workflow)
folders = [PROJECT, *map(Path, sys.path)]
sys.modules["scripts"] = ModuleType("scripts")
sys.modules["scripts"].__path__ = [str(path / "scripts") for path in folders if (path / "scripts").is_dir()]

from scripts.cellferry.cluster.backoff import SlurmBackoff
from scripts.cellferry.config.checks import check
from scripts.cellferry.config.container import image_of, show_folders
from scripts.cellferry.config.named_reference import locate_pretrained
from scripts.cellferry.config.orthologs import shipped_table
from scripts.cellferry.config.providers import Modality, reference_of
from scripts.cellferry.config.samples import all_files, sample_files, table_files
from scripts.cellferry.config.schema import fill_defaults, load_schema
from scripts.cellferry.config.settings import (
    ClassifierSettings,
    GeneSettings,
    LabelSettings,
    LimitSettings,
    MarkerSettings,
    ModelSettings,
    PretrainedSettings,
    SplitSettings,
    SurgerySettings,
    settings_of,
)
from scripts.cellferry.config.spatial import coordinate_tables
from scripts.cellferry.core.disk import check_writable
from scripts.cellferry.core.run_record import check_run_is_current
from scripts.cellferry.core.yaml_text import restore_text
from scripts.cellferry.cytometry.marker_names import TRANSFORMATION
from scripts.cellferry.labels.ontology import SHIPPED
from scripts.cellferry.resources.rules import RULES
from scripts.cellferry.runs.as_module import check_module, own_rules, section_of
from scripts.cellferry.runs.command_line import begin_run, exit_with_message, is_looking_only
from scripts.cellferry.runs.encoding import check_encoding
from scripts.cellferry.runs.hashes import of_settings
from scripts.cellferry.runs.literal_paths import as_named, check_working_folder, masked
from scripts.cellferry.runs.provenance import Provenance
from scripts.cellferry.runs.python_path import check_installed_package, check_python_path

# Outputs of the rule demo_data.
DEMO_DATA = ("resources/demo/reference.h5ad", "resources/demo/query", "resources/demo/query_obs.csv")
# State of an interrupted training.
CHECKPOINTS = "results/reference/checkpoints"
BACKOFF = SlurmBackoff()
# One file per dataset; its conversion waits for it.
CHECKED = "results/checked"
# Snakemake's state of this workflow only, if it is a module of another one.
MODIFIER = workflow.modifier
PROVENANCE = Provenance(
    workflow,
    rules=lambda: own_rules(workflow),
    made_by_rules=("results", *DEMO_DATA),
    waited_for=CHECKED,
)

# Its section of the files; a module may have its own section, or values from elsewhere.
section = section_of(config, workflow.modifier_stack[0].globals["config"]) if MODIFIER.skip_configfile else ()
if not MODIFIER.is_main_snakefile():
    config = deepcopy(config)
if section is not None:
    restore_text(config, workflow.configfiles, load_schema(), section)
if workflow.is_main_process:
    RUN = begin_run()
    with exit_with_message():
        check_module(MODIFIER)
        check_encoding(config)
        check_python_path()
        check_installed_package()
        check_working_folder(Path.cwd())
        if not is_looking_only():  # Snakemake locks before it runs any hook
            check_writable(".snakemake")
        check(config, config_files=workflow.configfiles, made_by_rules=DEMO_DATA)
else:
    # Before Snakemake removes the job's old outputs.
    with exit_with_message():
        check_run_is_current()
fill_defaults(config)
with exit_with_message():
    locate_pretrained(config)

with exit_with_message():
    IMAGE = image_of(
        config["container"],
        {method.name.lower() for method in workflow.deployment_settings.deployment_method},
    )
# Without effect it is nothing that the report is made from.
if not IMAGE and config.pop("container") and workflow.is_main_process:
    print("note: `container` has no effect without --software-deployment-method apptainer", file=sys.stderr)


# The image of all rules; None without containers.
container: IMAGE


MODALITY = Modality(config["modality"])
with exit_with_message():
    REFERENCE = reference_of(config)
# Without latents there is no model to fit.
config["surgery"]["fit"] &= REFERENCE.has_latents
DATASETS = list(config["datasets"])
# Trained together; on a tie, the first one's gene names are used.
REFERENCES = [name for name in DATASETS if config["datasets"][name]["role"] == "reference"]
QUERIES = [name for name in DATASETS if config["datasets"][name]["role"] == "query"]
# Queries whose cells may have coordinates.
PLACED = [name for name in QUERIES if config["datasets"][name]["coordinates"] != "none"]
# Labeled datasets for scoring only.
EVALUATED = [name for name in DATASETS if config["datasets"][name]["role"] == "evaluate"]
MAPPED = [*QUERIES, *EVALUATED]
# Parts of the references outside of training: mapped and predicted like any query.
HELD_OUT = ["validation", "test"]
# Queries with known labels.
SCORED = [name for name in MAPPED if config["datasets"][name]["label"]]
# True if thresholds are raised for queries with lower probabilities than held-out cells.
ADAPTS = config["prediction"]["shift"] == "adapt"
# Scores of the references' test part; with an imported model it has no counts to predict from.
TESTED = [REFERENCE.file("evaluation/test.json")] if REFERENCE.has_held_out else []
# Agreement of the labels of several references; empty for one.
LABEL_AGREEMENT = {"label_agreement": "results/evaluation/label_agreement.tsv"} if len(REFERENCES) > 1 else {}
# Datasets whose common genes are candidates for the model.
GENE_SOURCES = [*REFERENCES, *MAPPED] if config["genes"]["retrain_on_common"] else REFERENCES
# Queries that may lack genes of the model; estimating the loss takes counts of the reference.
ZERO_FILLED = [
    name
    for name in MAPPED
    if REFERENCE.has_held_out and (name not in GENE_SOURCES or not REFERENCE.is_of_this_run)
]


wildcard_constraints:
    dataset="|".join(DATASETS),
    part="|".join(["reference", *MAPPED, *HELD_OUT]),
    query="|".join([*MAPPED, *HELD_OUT]),
    chunk=r"\d+",
    job=r"\d+",


def dataset_files(wildcards):
    """Input function: the files of the wildcard's dataset, and those in its folders.

    A folder's own time does not change when a file in it is overwritten. With `follow_links`, targets of HDF5
    links are included.
    """
    dataset = config["datasets"][wildcards.dataset]
    path = dataset["path"]
    if isinstance(path, str) and Path(path) in map(Path, DEMO_DATA):
        return path
    return [masked(file) for file in all_files(path, follow_links=dataset["follow_links"])]


def dataset_tables(wildcards):
    """Input function: tables of annotation and coordinates of the wildcard's dataset."""
    dataset = config["datasets"][wildcards.dataset]
    files = sample_files(dataset["path"]).values()
    beside = coordinate_tables(files, dataset["coordinates"], dataset["role"])
    return [masked(file) for file in [*table_files(dataset["obs"]), *beside]]


def dataset_config(wildcards):
    """Param function: settings for reading the wildcard's dataset."""
    own = config["datasets"][wildcards.dataset]
    elsewhere = ("gene_id", "jobs", "max_cells", "technology", "transformed")
    reading = {key: value for key, value in own.items() if key not in elsewhere}
    markers = {"modality": MODALITY.name, "markers": config["cytometry"]["markers"]}
    return reading | (markers if MODALITY.has_intensities else {})


def gene_map():
    """The table of gene ids: the user's, or that of a packed reference."""
    return masked(config["genes"]["map"]) if config["genes"]["map"] else REFERENCE.gene_names


# Name of a shipped table of orthologs; None without one, or if the user names a file.
SHIPPED_ORTHOLOGS = config["genes"]["orthologs"] if shipped_table(config["genes"]["orthologs"]) else None


def orthologs():
    """The user's table of orthologs; [] without one, or for a shipped one."""
    return optional(None if SHIPPED_ORTHOLOGS else config["genes"]["orthologs"])


def chunk_folders(dataset):
    """Folders of a dataset's chunks, one per job."""
    return [f"results/chunks/{dataset}/{job}" for job in range(config["datasets"][dataset]["jobs"])]


def label_table(key):
    """The file of a key below `labels`; [] if the configuration contains the names."""
    value = config["labels"][key]
    return masked(value) if isinstance(value, str) else []


def is_a_file():
    """The user's OBO file of `labels.is_a`; [] for the shipped one, or without one."""
    value = config["labels"]["is_a"]
    return [] if value in (None, SHIPPED) else masked(value)


def decision_model(wildcards):
    """Input function: the decision model for the wildcard's query."""
    own = wildcards.query in ZERO_FILLED
    return (
        f"results/mapped/{wildcards.query}/calibration.json"
        if own
        else REFERENCE.file("reference/calibration.json")
    )


def decision_for_query(wildcards):
    """Input function: the same, with raised thresholds if `prediction.shift` is `adapt`."""
    return f"results/mapped/{wildcards.query}/raised.json" if ADAPTS else decision_model(wildcards)


def marker_table(wildcards):
    """Input function: the file of `cytometry.markers`; [] if the configuration contains them."""
    markers = config["cytometry"]["markers"]
    return masked(markers) if isinstance(markers, str) else []


def optional(path):
    """A path as an input of a rule; [] for None."""
    return [] if path is None else masked(path)


def plain_paths(named):
    """A rule's named files as strings and lists: Snakemake's types cannot be params."""
    return {
        name: as_named(files) if isinstance(files, str) else list(map(as_named, files))
        for name, files in named.items()
    }


def transformation_beside(model):
    """The file with the transformation of intensities in a model's folder, or []."""
    path = Path(model, TRANSFORMATION)
    return masked(path) if path.exists() else []


def chunk_numbers(part):
    """Numbers of the chunks of a mapped part.

    The part `reference` has as many as all references together; a held-out part has its share of those.
    """
    if part in MAPPED:
        return range(config["datasets"][part]["chunks"])
    if not REFERENCE.has_counts:
        return range(1 if REFERENCE.has_latents else 0)
    if not REFERENCE.is_of_this_run:
        return range(len(list(Path(config["pretrained"], "mapped", part).glob("[0-9]*.parquet"))))
    chunks = sum(config["datasets"][name]["chunks"] for name in REFERENCES)
    return range(ceil(chunks * config["split"][part]) if part in HELD_OUT else chunks)


def mapped_chunks(part):
    """Files of a part's latents, in order; the reference's parts in its results folder."""
    folder = "results" if part in MAPPED else REFERENCE.folder
    return [f"{folder}/mapped/{part}/{chunk}.parquet" for chunk in chunk_numbers(part)]


def attempt_number(wildcards, attempt):
    """Resource function: number of the attempt; scripts size their buffers by it.

    Attempts after the first begin when SLURM answers.
    """
    if attempt > 1 and workflow.is_main_process and workflow.executor_plugin.name == "slurm":
        BACKOFF.wait_until_slurm_answers()
    return attempt


def scale_by_attempt(base):
    """Resource function: `base` times the number of the attempt."""

    def amount(wildcards, attempt):
        return base * attempt

    return amount


def threads_of(rule):
    """Cores that a rule requests if the profile does not set them."""
    return RULES[rule].local.threads


def resources_of(rule):
    """Resources that a rule requests if the profile does not set them."""
    request = RULES[rule].local
    return {
        "mem_mb": scale_by_attempt(request.mem_mb),
        "runtime": scale_by_attempt(request.runtime),
        "attempt": attempt_number,
    }


def requested_resources(wildcards):
    """Param function: requests of every rule's jobs, per attempt."""
    attempts = range(1, workflow.execution_settings.retries + 2)
    requests = {}
    for found in own_rules(workflow):
        amounts = [
            found.expand_resources({}, [], attempt, skip_evaluation={"tmpdir"}) for attempt in attempts
        ]
        requests[found.name] = {
            name: [int(resources.get(name, 0)) for resources in amounts] for name in ("mem_mb", "runtime")
        }
    return requests


def inspected_from(dataset):
    """Hash of a dataset's present files, keys and method version of inspection."""
    return of_settings(PROVENANCE.own(rules.inspect_dataset.rule, SimpleNamespace(dataset=dataset)))


def is_checked(dataset):
    """True if a dataset was checked in its present state."""
    checked = Path(CHECKED, dataset)
    return checked.exists() and checked.read_text(encoding="utf-8") == inspected_from(dataset)
