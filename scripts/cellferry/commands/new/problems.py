"""Problems and warnings of a configuration that the workflow reports before its first long job."""

import io
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import yaml
from check_datasets import check_datasets
from inspect_dataset import inspect_dataset

from ...artifacts.inspection import Inspection
from ...artifacts.json_files import read_artifact
from ...config.checks import find_problems
from ...config.schema import fill_defaults
from ...core.problems import Problem, problems_of
from ...errors import InputError
from ...features.gene_check import GeneCheck
from ...features.orthologs import table_of_orthologs
from ...labels.names import LabelNames


def problems_and_warnings(text: str) -> tuple[list[Problem], list[str]]:
    """Problems and warnings of a configuration (text) and its datasets."""
    config = yaml.safe_load(text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(text, encoding="utf-8")
        try:
            problems = find_problems(config, config_files=[str(path)])
        except InputError as error:
            problems = problems_of(error)
        if problems:
            return problems, []
        fill_defaults(config)
        names = LabelNames({}, config["labels"]["missing"])
        inspected = []
        output = io.StringIO()
        cytometry = config["modality"] == "cytometry"
        try:
            with redirect_stdout(output):
                for name, keys in config["datasets"].items():
                    inspected.append(str(Path(folder, f"{name}.json")))
                    whole = {**keys, "modality": config["modality"], "markers": {}}
                    inspect_dataset(inspected[-1], name=name, config=whole, label_names=names)
                check_datasets(
                    inspected,
                    str(Path(folder, "datasets.tsv")),
                    parents={},
                    gene_sources=list(config["datasets"]) if cytometry else None,
                    min_common=config["genes"]["min_common"],
                    genes=GeneCheck(
                        gene_ids={name: keys["gene_id"] for name, keys in config["datasets"].items()},
                        sources=list(config["datasets"]),
                        min_common=config["genes"]["min_common"],
                        n_variable=config["genes"]["n_variable"],
                        orthologs=table_of_orthologs(config["genes"]["orthologs"], None),
                    ),
                )
        except InputError as error:
            return problems_of(error), []
        inspections = [read_artifact(Inspection, path) for path in inspected]
    return [], [warning for inspection in inspections for warning in inspection.warnings]
