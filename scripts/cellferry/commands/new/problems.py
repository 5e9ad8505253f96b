"""Problems and warnings that the workflow reports of a configuration before its first long job."""

import io
import json
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import yaml
from check_datasets import check_datasets
from inspect_dataset import inspect_dataset

from ...config.checks import check
from ...config.schema import fill_defaults
from ...errors import InputError
from ...labels.names import LabelNames
from .discovery import Found, kind_of_ids


def problems_of(text: str) -> tuple[list[str], list[str]]:
    """What the workflow will say of a configuration before its first long job: problems, and warnings."""
    config = yaml.safe_load(text)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(text, encoding="utf-8")
        try:
            check(config, config_files=[str(path)])
        except InputError as error:
            return _split(error), []
        fill_defaults(config)
        names = LabelNames({}, config["labels"]["missing"])
        inspected = []
        said = io.StringIO()
        cytometry = config["modality"] == "cytometry"
        try:
            with redirect_stdout(said):
                for name, own in config["datasets"].items():
                    inspected.append(str(Path(folder, f"{name}.json")))
                    whole = {**own, "modality": config["modality"], "markers": {}}
                    inspect_dataset(inspected[-1], name=name, config=whole, label_names=names)
                check_datasets(
                    inspected,
                    str(Path(folder, "datasets.tsv")),
                    parents={},
                    gene_sources=list(config["datasets"]) if cytometry else None,
                    min_common=config["genes"]["min_common"],
                )
        except InputError as error:
            return _split(error), []
        found = [json.loads(Path(path).read_text(encoding="utf-8")) for path in inspected]
    return [], [warning for one in found for warning in one["warnings"]]


def gene_doubts(found: list[Found]) -> list[str]:
    """A word where genes have Ensembl ids here and symbols there, and no dataset holds both."""
    kinds = {}
    for one in found:
        var = one.dataset.header.var
        ids = [var.index.to_numpy(dtype=object), *(var[column].to_numpy(dtype=object) for column in var)]
        kinds[one.name] = {kind for kind in map(kind_of_ids, ids) if kind != "numbers"}
    if set.intersection(*kinds.values()):
        return []
    listed = ", ".join(f"{name} has {' and '.join(sorted(some))}" for name, some in kinds.items())
    return [f"genes are called differently ({listed}); name a table of both in genes.map"]


def _split(error: InputError) -> list[str]:
    """The single sentences of a message that lists several."""
    lines = [line.removeprefix("  - ") for line in str(error).splitlines() if line.startswith("  - ")]
    return lines or [str(error)]
