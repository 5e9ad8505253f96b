"""Inspect a user's file without reading its counts, and collect all its problems."""

from typing import Any

from cellferry.artifacts.inspection import Inspection
from cellferry.artifacts.json_files import write_artifact
from cellferry.config.samples import sample_files
from cellferry.core.job import job
from cellferry.core.problems import Problem
from cellferry.datasets.dataset import Dataset
from cellferry.datasets.findings import Findings
from cellferry.datasets.inspection import findings_of
from cellferry.errors import InputError
from cellferry.formats.hdf5 import refuse_what_crashes
from cellferry.labels.names import LabelNames
from cellferry.runs.hashes import of_settings

LABELED = {"reference": "a reference", "evaluate": "a dataset to evaluate"}
"""Roles that need labels."""


def inspect_dataset(
    inspected: str, *, name: str, config: dict[str, Any], label_names: LabelNames, made_from: str = ""
) -> None:
    """Write the contents of a dataset's file, and its problems, as JSON.

    User errors do not end this function: they are collected in `problems`, to be reported
    together.

    Parameters
    ----------
    inspected
        The JSON file to write.
    name, config
        The dataset's name and its part of the configuration, with defaults.
    label_names
        The dataset's label names.
    made_from
        Hash of all inputs of the inspection, its identity.
    """
    all_findings = Findings()
    role = config["role"]
    if role in LABELED and not config["label"]:
        what = f"{LABELED[role]} needs the obs column with its labels"
        all_findings.problems.append(Problem(f"datasets.{name}.label", what, "name it"))
    try:
        for file in sample_files(config["path"]).values():
            refuse_what_crashes(file, follow_links=config["follow_links"])
        for findings in findings_of(Dataset(name, config), label_names):
            all_findings.add(findings)
    except InputError as error:
        all_findings.problems.append(Problem("", str(error)))
    inspection = Inspection(
        dataset=name,
        role=role,
        path=config["path"],
        made_from=made_from,
        **all_findings.fields,
        named=all_findings.named,
        problems=list(dict.fromkeys(map(str, all_findings.problems))),
        warnings=all_findings.warnings,
    )
    write_artifact(inspection, inspected)
    for kind in ("problems", "warnings"):
        for sentence in getattr(inspection, kind):
            print(f"{kind[:-1]}: {sentence}")


if __name__ == "__main__":
    with job(snakemake):
        inspect_dataset(
            snakemake.output[0],
            name=snakemake.wildcards.dataset,
            config=snakemake.params.dataset,
            label_names=LabelNames(**snakemake.params.labels),
            made_from=of_settings(snakemake.params.provenance["own"]),
        )
