"""Checks of the configuration.

Imported by the Snakefile: standard library, yaml and jsonschema only.
"""

import glob
import importlib.util
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.problems import Problem, Problems, problems_of, suggestion
from ..core.yaml_keys import duplicate_keys
from ..errors import InputError
from ..labels.ontology import ontology_path
from ..labels.tables import read_ontology, read_parents, read_renames
from ..labels.tree import tree_of_labels
from .headers import obs_columns, paths_of
from .modality import head_problems, modality_problems
from .named_reference import with_located_reference
from .orthologs import orthologs_problem
from .paths import path_problem
from .pretrained import pretrained_problems
from .samples import files_that_fit
from .schema import load_schema
from .schema_errors import config_problems


def check(config: dict[str, Any], *, config_files: list[str], made_by_rules: Collection[str] = ()) -> None:
    """Check a configuration before the first job; parameters as in `find_problems`.

    Raises
    ------
    InputError
        One message that lists all problems.
    """
    problems = find_problems(config, config_files=config_files, made_by_rules=made_by_rules)
    if problems:
        raise InputError(Problems(f"the configuration has {len(problems)} problem(s)", tuple(problems)))


def find_problems(
    config: dict[str, Any], *, config_files: list[str], made_by_rules: Collection[str] = ()
) -> list[Problem]:
    """Find all problems of a configuration.

    Parameters
    ----------
    config
        The configuration as given, without defaults.
    config_files
        Its files, to find duplicate keys, of which YAML silently keeps the last.
    made_by_rules
        Paths that need not exist yet, because a rule makes them.
    """
    problems = [problem for path in config_files for problem in duplicate_keys(Path(path))]
    problems += config_problems(config)
    if isinstance(config.get("datasets"), dict) and all(isinstance(name, str) for name in config["datasets"]):
        problems += _role_problems(config["datasets"], pretrained=bool(config.get("pretrained")))
        for name, dataset in config["datasets"].items():
            if isinstance(dataset, dict):
                problems += _dataset_problems(name, dataset, set(map(Path, made_by_rules)))
    located, not_found = with_located_reference(config, config_files)
    problems += not_found + pretrained_problems(located)
    genes = config.get("genes")
    gene_map = genes.get("map") if isinstance(genes, dict) else None
    if isinstance(gene_map, str) and (problem := path_problem(gene_map, folders=False)):
        problems.append(replace(problem, where="genes.map"))
    problems += filter(None, [orthologs_problem(config)])
    problems += _label_problems(config)
    problems += head_problems(config)
    return problems + modality_problems(config)


def _role_problems(datasets: dict[str, Any], *, pretrained: bool) -> list[Problem]:
    by_role: dict[str, list[str]] = {"reference": [], "query": [], "evaluate": []}
    for name, dataset in datasets.items():
        if isinstance(dataset, dict) and dataset.get("role") in by_role:
            by_role[dataset["role"]].append(name)
    problems = []
    if pretrained and by_role["reference"]:
        problems.append(
            Problem(
                f"datasets.{by_role['reference'][0]}.role",
                "`pretrained` already gives the reference of this run",
                "remove the dataset, or remove `pretrained` to train a new model",
            )
        )
    if not pretrained and not by_role["reference"]:
        what = "at least one dataset needs `role: reference`, unless `pretrained` is set"
        problems.append(Problem("datasets", what))
    if not by_role["query"] and not by_role["evaluate"]:
        problems.append(Problem("datasets", "at least one dataset needs `role: query` or `role: evaluate`"))
    return problems + [
        Problem(f"datasets.{name}.label", f"{what} needs the name of its obs column with the labels")
        for role, what in (("reference", "a reference"), ("evaluate", "a dataset to evaluate"))
        for name in by_role[role]
        if not datasets[name].get("label")
    ]


def _label_problems(config: dict[str, Any]) -> list[Problem]:
    """Problems of the section `labels`, its tables, and the columns of levels."""
    section = config.get("labels")
    labels = section if isinstance(section, dict) else {}
    problems = []
    for key, read in (("rename", read_renames), ("parents", read_parents), ("ontology", read_ontology)):
        if isinstance(labels.get(key), dict | str):
            try:
                read(labels[key])
            except InputError as error:
                problems += problems_of(error, where=f"labels.{key}")
    if not problems:
        problems += _tree_problems(labels)
    datasets = config.get("datasets")
    for name, dataset in (datasets if isinstance(datasets, dict) else {}).items():
        levels = dataset.get("levels") if isinstance(dataset, dict) else None
        if not isinstance(levels, list) or not levels:
            continue
        where = f"datasets.{name}.levels"
        if dataset.get("role") in ("query", "evaluate"):
            problems.append(Problem(where, "only a reference has levels", "remove the key"))
        for key in ("parents", "is_a"):
            if labels.get(key):
                what = f"labels.{key} already gives coarser labels"
                problems.append(Problem(where, what, "remove one of them"))
        problems += [
            Problem(where, f"'{level}' is the name of the labels themselves", "name another column")
            for level in levels
            if level in ("label", dataset.get("label"))
        ]
    return problems


def _tree_problems(labels: dict[str, Any]) -> list[Problem]:
    """Problems of the hierarchy from parents and the Cell Ontology, without the references' labels."""
    is_a = labels.get("is_a")
    if not isinstance(is_a, str):
        return []
    path = ontology_path(is_a)
    if problem := path_problem(path, folders=False):
        return [replace(problem, where="labels.is_a")]
    try:
        tree_of_labels(labels.get("parents") or {}, labels.get("ontology") or {}, is_a, ())
    except InputError as error:
        return problems_of(error, where="labels.is_a")
    return []


def _dataset_problems(name: str, dataset: dict[str, Any], made_by_rules: set[Path]) -> list[Problem]:
    problems = []
    for key in ("path", "obs"):
        where = f"datasets.{name}.{key}"
        paths = paths_of(dataset.get(key))
        for path in paths:
            if Path(path) not in made_by_rules:
                problem = _pattern_problem(path, folders=key == "path")
                problems += [replace(problem, where=where)] if problem else []
        problems += [
            Problem(where, f"duplicate path {path}", "remove one of them")
            for path in sorted({path for path in paths if paths.count(path) > 1})
        ]
    if dataset.get("role") == "reference" and dataset.get("coordinates", "auto") not in ("auto", "none"):
        what = "coordinates are written to labeled files, which a reference does not have"
        problems.append(Problem(f"datasets.{name}.coordinates", what, "remove the key"))
    if not dataset.get("obs"):
        properties = load_schema()["$defs"]["dataset"]["properties"]
        problems += [
            Problem(
                f"datasets.{name}.{key}",
                "has no effect without a table",
                f"name it in datasets.{name}.obs, or remove the key",
            )
            for key in ("obs_by", "obs_min_common")
            if dataset.get(key, properties[key]["default"]) != properties[key]["default"]
        ]
    if dataset.get("follow_links") and importlib.util.find_spec("h5py") is None:
        what = "external links need h5py, which is not installed in snakemake's environment"
        problems.append(Problem(f"datasets.{name}.follow_links", what, "install it there: pip install h5py"))
    return problems or _column_problems(name, dataset)


def _pattern_problem(pattern: str, *, folders: bool) -> Problem | None:
    """The first problem of a path, or of the files that match a pattern."""
    files = files_that_fit(pattern) if glob.has_magic(pattern) else []
    if glob.has_magic(pattern) and not files and not os.path.lexists(pattern):
        what = f"no file matches the pattern {pattern} (looked in {Path.cwd()})"
        return Problem("", what, "correct it")
    problems = (path_problem(path, folders=folders) for path in files or [pattern])
    return next(filter(None, problems), None)


def _column_problems(name: str, dataset: dict[str, Any]) -> list[Problem]:
    """Columns of the configuration that the dataset lacks.

    Only for headers that can be read without the data environment: an h5ad if h5py is installed, an
    annotation table always. The rule inspect_dataset checks all others.
    """
    wanted = {key: dataset.get(key) for key in ("label", "batch")}
    for key in ("cells", "keep_obs", "levels"):
        if isinstance(dataset.get(key), dict | list):
            wanted |= {f"{key}.{column}": column for column in dataset[key]}
    if isinstance(dataset.get("coordinates"), list) and dataset.get("role") != "reference":
        wanted |= {f"coordinates.{column}": column for column in dataset["coordinates"]}
    columns = obs_columns(dataset)
    if columns is None:
        return []
    return [
        Problem(
            f"datasets.{name}.{key}",
            f"{dataset['path']} has no obs column '{column}'{suggestion(column, columns)}; it has: "
            f"{', '.join(columns) or 'none'}",
        )
        for key, column in wanted.items()
        if isinstance(column, str) and column not in columns
    ]
