"""The configuration: its schema, its defaults and its problems.

Read by the Snakefile too, so it imports nothing that a login node with Snakemake alone lacks.
"""

import copy
import csv
import difflib
import functools
import glob
import json
import os
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from ..core.table_start import table_start
from ..cytometry.channels import SCALING_COLUMNS, TRANSFORMATION, read_markers
from ..errors import InputError
from ..labels.tables import read_ontology, read_parents, read_renames
from ..runs.methods import FORMAT_VERSION
from .paths import path_problem
from .samples import conversion_jobs, files_that_fit, sample_files, table_files

AUTOMATIC: dict[str, dict[tuple[str, str], Any]] = {
    "rna": {
        ("model", "type"): "scvi",
        ("model", "n_latent"): 30,
        ("model", "n_layers"): 2,
        ("surgery", "fit"): True,
    },
    # CytoVI's latent space depends on the number of markers.
    "cytometry": {("model", "type"): "cytovi", ("model", "n_layers"): 1, ("surgery", "fit"): False},
}
"""What `auto` stands for, where it depends on the modality."""

ONLY_FOR = {
    "rna": (
        ("genes", "n_variable"),
        ("genes", "keep"),
        ("genes", "map"),
        ("model", "gene_likelihood"),
        ("model", "scanvi_epochs"),
        ("prediction", "min_counts"),
        ("prediction", "min_genes"),
    ),
    "cytometry": (
        ("cytometry", "markers"),
        ("cytometry", "cofactor"),
        ("pretrained", "scaling"),
        ("pretrained", "backbone"),
    ),
}
"""Keys that mean nothing with another modality."""

DATASET_ONLY_FOR = {"rna": ("gene_id", "counts_rounding"), "cytometry": ("technology", "transformed")}

SCHEMA_PATH = Path(__file__).parents[3] / "config" / "schemas" / "config.schema.yaml"
README = "config/README.md"


@functools.cache
def load_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of the configuration; not to be changed, since all callers share it."""
    return yaml.safe_load(SCHEMA_PATH.read_text(encoding="utf-8"))


def fill_defaults(config: dict[str, Any]) -> None:
    """Add the schema's default for every key that `config` does not set, in place, and order keys as it does.

    Where the number of conversion jobs is left open, it follows from the files.
    """
    schema = load_schema()
    _fill(config, schema["properties"])
    for (section, key), value in AUTOMATIC[config["modality"]].items():
        if config[section][key] == "auto":
            config[section][key] = value
    for dataset in config["datasets"].values():
        _fill(dataset, schema["$defs"]["dataset"]["properties"])
        if dataset["jobs"] == "auto":
            dataset["jobs"] = conversion_jobs(dataset["path"], chunks=dataset["chunks"])
        dataset["jobs"] = min(dataset["jobs"], dataset["chunks"])


def _fill(values: dict[str, Any], properties: dict[str, Any]) -> None:
    for key, schema in properties.items():
        if "default" in schema:
            # A copy: the configuration must not share its lists with the schema.
            values.setdefault(key, copy.deepcopy(schema["default"]))
        if key not in values:
            continue
        # Popped, so that the keys get the schema's order.
        values[key] = _as_declared(values.pop(key), schema)
        if "properties" in schema and isinstance(values[key], dict):
            _fill(values[key], schema["properties"])


def _as_declared(value: Any, schema: dict[str, Any]) -> Any:
    """A value in one of the forms that mean the same, so that a run does not repeat jobs for another of them.

    Numbers are floats or whole, as the schema has it, and maps of plain values are sorted.
    """
    choices = [schema, *schema.get("oneOf", [])]
    types: set[str] = set()
    for choice in choices:
        named = choice.get("type", [])
        types.update([named] if isinstance(named, str) else named)
    if type(value) is int and "number" in types and "string" not in types:
        return float(value)
    if type(value) is float and value.is_integer() and "integer" in types:
        return int(value)
    if isinstance(value, dict) and "object" in types and "properties" not in schema:
        (of_values,) = (one["additionalProperties"] for one in choices if "additionalProperties" in one)
        in_order = value if "$ref" in of_values else sorted(value, key=str)  # the order of datasets counts
        return {key: _as_declared(value[key], of_values) for key in in_order}
    return value


def check(config: dict[str, Any], *, config_files: list[str], made_by_rules: Collection[str] = ()) -> None:
    """Check a configuration before anything runs.

    Parameters
    ----------
    config
        The configuration as given, without defaults.
    config_files
        The files it came from, to find keys given twice, of which YAML silently keeps the last.
    made_by_rules
        Paths that need not exist yet, since a rule makes them.

    Raises
    ------
    InputError
        One message that lists all problems.
    """
    problems = [problem for path in config_files for problem in _duplicate_keys(Path(path))]
    problems += _schema_problems(config)
    if isinstance(config.get("datasets"), dict) and all(isinstance(name, str) for name in config["datasets"]):
        problems += _role_problems(config["datasets"], pretrained=bool(config.get("pretrained")))
        for name, dataset in config["datasets"].items():
            if isinstance(dataset, dict):
                problems += _dataset_problems(name, dataset, set(map(Path, made_by_rules)))
    problems += _pretrained_problems(config)
    genes = config.get("genes")
    gene_map = genes.get("map") if isinstance(genes, dict) else None
    if isinstance(gene_map, str) and (problem := path_problem(gene_map, folders=False)):
        problems.append(f"genes.map: {problem}")
    problems += _label_problems(config)
    problems += _head_problems(config)
    problems += _modality_problems(config)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise InputError(f"the configuration has {len(problems)} problem(s):\n{listed}")


MERGE = "tag:yaml.org,2002:merge"
"""Tag of `<<`, which puts another map's keys into one."""


class _DuplicateKeyLoader(yaml.SafeLoader):
    """Remembers keys that stand twice in one mapping."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.duplicates: list[tuple[str, str, int]] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: dict[Any, str] = {}
        for key_node, _ in node.value:
            if key_node.tag == MERGE:
                continue
            key, text = self.construct_object(key_node, deep=True), key_node.value
            if key in seen:
                self.duplicates.append((text, seen[key], key_node.start_mark.line + 1))
            seen[key] = text
        return super().construct_mapping(node, deep)


def _duplicate_keys(path: Path) -> list[str]:
    with open(path, encoding="utf-8") as file:
        loader = _DuplicateKeyLoader(file)
        try:
            loader.get_single_data()
        except yaml.YAMLError:  # JSON with tabs
            return []
        finally:
            loader.dispose()
    return [
        f"{path}, line {line}: the key '{key}' is given twice in one place"
        + (f" (without quotes '{first}' is the same to YAML)" if first != key else "")
        + "; rename or remove one of them"
        for key, first, line in loader.duplicates
    ]


def _schema_problems(config: dict[str, Any]) -> list[str]:
    if names := list(_names_that_are_no_text(config, "")):
        # A schema looks at names that are strings only.
        return [
            f"{place}the name {name!r} is not text; write it in quotes or rename it" for place, name in names
        ]
    errors = sorted(
        Draft202012Validator(load_schema()).iter_errors(config), key=lambda e: list(map(str, e.path))
    )
    return [problem for error in errors for problem in _describe(error)]


def _names_that_are_no_text(values: Any, place: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(values, dict):
        return
    for name, value in values.items():
        if not isinstance(name, str):
            yield f"{place}: " if place else "", name
        yield from _names_that_are_no_text(value, f"{place}.{name}".removeprefix("."))


def _describe(error: Any) -> list[str]:
    """A schema error in the words of someone who edits config.yaml."""
    place = ".".join(str(part) for part in error.absolute_path) or "the configuration"
    if error.validator == "additionalProperties" and error.validator_value is False:
        known = list(error.schema["properties"])
        return [
            f"{place}: there is no key '{key}'{_suggestion(key, known)}; all keys are in {README}"
            for key in error.instance
            if key not in known
        ]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [f"{place}: the key '{key}' is missing; see {README}" for key in missing]
    if error.parent is None and error.validator == "propertyNames":
        return [f"{place}: {error.message}; see {README}"]
    if list(error.schema_path)[-3:-1] == ["datasets", "propertyNames"]:
        return [
            f"datasets: '{error.instance}' cannot be a dataset's name; names are letters, digits, '-' and "
            "'_', and 'reference', 'validation' and 'test' are taken by parts of the references; rename it"
        ]
    description = error.schema.get("description", "")
    if error.validator == "type" and "string" in error.validator_value and _needs_quotes(error.instance):
        return [f"{place}: {error.instance!r} is not text; write it in quotes. {description}".rstrip()]
    if error.validator == "oneOf":
        choices = " or ".join(
            str(choice.get("const", choice.get("type"))) for choice in error.validator_value
        )
        return [f"{place}: {error.instance!r} is not {choices}. {description}"]
    return [f"{place}: {error.message}. {description}".rstrip()]


def _needs_quotes(value: Any) -> bool:
    """Whether a value is what YAML makes of a word without quotes: a number, a boolean or a date."""
    return not isinstance(value, str | dict | list | None)


def _suggestion(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


PRETRAINED_FILES = (
    "genes.tsv",
    "genes.json",
    "common/reference.h5ad",
    "common/validation.h5ad",
    "mapped/reference/0.parquet",
    "mapped/validation/model/model.pt",
    "evaluation/test.json",
    "reference/model/model.pt",
    "reference/classifier/labels.json",
    "reference/rules.json",
    "reference/labels.json",
    "reference/left_out.json",
    "reference/history.csv",
)
"""What a run needs of the results of an earlier one, in which the reference was trained."""


def _pretrained_problems(config: dict[str, Any]) -> list[str]:
    """What is wrong with the folder of an earlier run, or with a model of others."""
    folder = config.get("pretrained")
    if isinstance(folder, dict):
        return _imported_problems(folder)
    if not isinstance(folder, str):
        return []
    if Path(folder).resolve() == Path("results").resolve():
        return [
            f"pretrained: {folder} is where this run writes its own results; run snakemake in another "
            "folder, or leave the key out and keep the reference among the datasets"
        ]
    missing = [name for name in PRETRAINED_FILES if not Path(folder, name).exists()]
    if missing:
        return [
            f"pretrained: {folder} (looked in {Path.cwd()}) has no {', '.join(missing)}; name the folder "
            "`results` of a finished run"
        ]
    labels = Path(folder, "reference", "labels.json")
    try:
        found = json.loads(labels.read_text(encoding="utf-8")).get("format", 1)
    except (OSError, ValueError) as error:
        return [f"pretrained: {labels} cannot be read ({error}); copy the folder again"]
    if found != FORMAT_VERSION:
        return [
            f"pretrained: {folder} holds results of format {found}, and this version reads format "
            f"{FORMAT_VERSION}; run it again with this version, or continue with the version that made it"
        ]
    return []


def _imported_problems(imported: dict[str, Any]) -> list[str]:
    """What is wrong with a model of others: what is not there, and columns that the latents lack."""
    model, latents = imported.get("model"), imported.get("latents")
    problems = _scaling_problems(imported)
    if isinstance(model, str) and not Path(model, "model.pt").is_file():
        problems.append(
            f"pretrained.model: {model} (looked in {Path.cwd()}) has no file model.pt; name the folder that "
            "scvi-tools' model.save() wrote"
        )
    if not isinstance(latents, str):
        return problems
    if problem := path_problem(latents, folders=False):
        return [*problems, f"pretrained.latents: {problem}"]
    found = _latent_columns(Path(latents))
    return problems + [
        f"pretrained.{key}: {latents} has no column '{imported[key]}'{_suggestion(imported[key], found)}; it "
        f"has: {', '.join(found) or 'none'}"
        for key in ("label", "batch")
        if found is not None and isinstance(imported.get(key), str) and imported[key] not in found
    ]


def _scaling_problems(imported: dict[str, Any]) -> list[str]:
    """What is wrong with the table that says how a model's values were scaled."""
    model, scaling = imported.get("model"), imported.get("scaling")
    if not isinstance(scaling, str):
        return []
    if isinstance(model, str) and Path(model, TRANSFORMATION).exists():
        return [
            f"pretrained.scaling: {model} holds a {TRANSFORMATION} that says how values are scaled; take the "
            "key out"
        ]
    if problem := path_problem(scaling, folders=False):
        return [f"pretrained.scaling: {problem}"]
    found = _table_columns(Path(scaling), named=False)
    missing = [column for column in SCALING_COLUMNS if found is not None and column not in found]
    return (
        [f"pretrained.scaling: {scaling} has no column {', '.join(missing)}; it has: {', '.join(found)}"]
        if missing
        else []
    )


def _latent_columns(path: Path) -> list[str] | None:
    """Columns of a file of latents; None if they cannot be told here."""
    if path.suffix == ".parquet":  # takes more than a login node has
        return None
    is_text = path.name.removesuffix(".gz").endswith((".csv", ".tsv"))
    return _table_columns(path) if is_text else _file_columns(path)


def _role_problems(datasets: dict[str, Any], *, pretrained: bool) -> list[str]:
    by_role: dict[str, list[str]] = {"reference": [], "query": [], "evaluate": []}
    for name, dataset in datasets.items():
        if isinstance(dataset, dict) and dataset.get("role") in by_role:
            by_role[dataset["role"]].append(name)
    problems = []
    if pretrained and by_role["reference"]:
        problems.append(
            f"datasets.{by_role['reference'][0]}.role: a run with `pretrained` has its reference already; "
            "remove the dataset, or the key `pretrained` to train a model anew"
        )
    if not pretrained and not by_role["reference"]:
        problems.append(
            "datasets: at least one dataset needs `role: reference`, or name an earlier run in `pretrained`"
        )
    if not by_role["query"] and not by_role["evaluate"]:
        problems.append("datasets: at least one dataset needs `role: query` or `role: evaluate`")
    return problems + [
        f"datasets.{name}.label: {what} needs the name of its obs column with the labels"
        for role, what in (("reference", "a reference"), ("evaluate", "a dataset to evaluate"))
        for name in by_role[role]
        if not datasets[name].get("label")
    ]


def _label_problems(config: dict[str, Any]) -> list[str]:
    """What is wrong with the section `labels`, its tables, and the columns of levels."""
    section = config.get("labels")
    labels = section if isinstance(section, dict) else {}
    problems = []
    for key, read in (("rename", read_renames), ("parents", read_parents), ("ontology", read_ontology)):
        if isinstance(labels.get(key), dict | str):
            try:
                read(labels[key])
            except InputError as error:
                problems.append(str(error) if str(error).startswith("labels.") else f"labels.{key}: {error}")
    datasets = config.get("datasets")
    for name, dataset in (datasets if isinstance(datasets, dict) else {}).items():
        levels = dataset.get("levels") if isinstance(dataset, dict) else None
        if not isinstance(levels, list) or not levels:
            continue
        if dataset.get("role") in ("query", "evaluate"):
            problems.append(f"datasets.{name}.levels: only a reference has levels; take the key out")
        if labels.get("parents"):
            problems.append(
                f"datasets.{name}.levels: labels.parents gives coarser labels already; take one of them out"
            )
        problems += [
            f"datasets.{name}.levels: '{level}' is what the labels themselves are called; name another column"
            for level in levels
            if level in ("label", dataset.get("label"))
        ]
    return problems


def _head_problems(config: dict[str, Any]) -> list[str]:
    prediction, model = (
        config[name] if isinstance(config.get(name), dict) else {} for name in ("prediction", "model")
    )
    imported = isinstance(config.get("pretrained"), dict)
    cytometry = config.get("modality") == "cytometry"
    without = {}
    if cytometry or (model.get("type") != "scanvi" and not imported):
        without["scanvi"] = "only a model of type scanvi has such a classifier"
    if imported:
        reason = "a model of others comes without the counts that heads on expression learn from"
        without |= {"expression": reason, "expression_xgboost": reason}
    if not cytometry:
        reason = "cytovi and expression_xgboost take cytometry (modality)"
        without |= {"cytovi": reason, "expression_xgboost": reason}
    named = prediction.get("heads")
    if not isinstance(named, list) or not named or not all(head in without for head in named):
        return []
    reasons = ", and ".join(dict.fromkeys(without[head] for head in named))
    return [
        f"prediction.heads: [{', '.join(named)}] leaves nothing to predict with, since {reasons}; "
        "name another head too"
    ]


def _modality_problems(config: dict[str, Any]) -> list[str]:
    """Keys that have no effect with the modality, models that do not fit it, and a wrong table of markers."""
    modality = config.get("modality", "rna")
    if not isinstance(modality, str) or modality not in AUTOMATIC:
        return []  # said by the schema
    (other,) = AUTOMATIC.keys() - {modality}
    given = [
        f"{section}.{key}"
        for section, key in ONLY_FOR[other]
        if isinstance(config.get(section), dict) and key in config[section]
    ]
    datasets = config.get("datasets")
    given += [
        f"datasets.{name}.{key}"
        for name, dataset in (datasets if isinstance(datasets, dict) else {}).items()
        for key in DATASET_ONLY_FOR[other]
        if isinstance(dataset, dict) and key in dataset
    ]
    problems = [
        f"{key}: has no effect where modality is {modality}; take the key out, or set modality: {other}"
        for key in given
    ]
    model = config.get("model")
    kind = model.get("type", "auto") if isinstance(model, dict) else "auto"
    if (kind == "cytovi") != (modality == "cytometry") and kind in ("cytovi", "scvi", "scanvi"):
        problems.append(
            f"model.type: {kind} does not learn from what datasets of modality {modality} hold; take the key "
            f"out, or set modality: {other}"
        )
    markers = config["cytometry"].get("markers") if isinstance(config.get("cytometry"), dict) else None
    if isinstance(markers, dict | str):
        try:
            read_markers(markers)
        except InputError as error:
            problems.append(
                str(error) if str(error).startswith("cytometry.") else f"cytometry.markers: {error}"
            )
    return problems


def _dataset_problems(name: str, dataset: dict[str, Any], made_by_rules: set[Path]) -> list[str]:
    problems = []
    for key in ("path", "obs"):
        paths = _paths(dataset.get(key))
        for path in paths:
            if Path(path) not in made_by_rules:
                problem = _pattern_problem(path, folders=key == "path")
                problems += [f"datasets.{name}.{key}: {problem}"] if problem else []
        problems += [
            f"datasets.{name}.{key}: names {path} twice; remove one of them"
            for path in sorted({path for path in paths if paths.count(path) > 1})
        ]
    if not dataset.get("obs"):
        properties = load_schema()["$defs"]["dataset"]["properties"]
        problems += [
            f"datasets.{name}.{key}: has no effect without a table; name it in datasets.{name}.obs, or take "
            "the key out"
            for key in ("obs_by", "obs_min_common")
            if dataset.get(key, properties[key]["default"]) != properties[key]["default"]
        ]
    return problems or _column_problems(name, dataset)


def _pattern_problem(pattern: str, *, folders: bool) -> str | None:
    """The first problem of a path, or of the paths that match a pattern."""
    found = files_that_fit(pattern) if glob.has_magic(pattern) else []
    if glob.has_magic(pattern) and not found and not os.path.lexists(pattern):
        return f"there is nothing that fits the pattern {pattern} (looked in {Path.cwd()}); correct it"
    problems = (path_problem(path, folders=folders) for path in found or [pattern])
    return next(filter(None, problems), None)


def _paths(given: Any) -> list[str]:
    """Paths and patterns of a key that takes one, several, or several with names."""
    several = list(given.values()) if isinstance(given, dict) else given
    return [path for path in (several if isinstance(several, list) else [several]) if isinstance(path, str)]


def _column_problems(name: str, dataset: dict[str, Any]) -> list[str]:
    """Columns that the configuration names and the dataset lacks.

    Only where the header can be read without the data environment: an h5ad when h5py is installed,
    an annotation table always. What is left out here is found by the rule inspect_dataset.
    """
    wanted = {key: dataset.get(key) for key in ("label", "batch")}
    for key in ("cells", "keep_obs", "levels"):
        if isinstance(dataset.get(key), dict | list):
            wanted |= {f"{key}.{column}": column for column in dataset[key]}
    found = obs_columns(dataset)
    if found is None:
        return []
    return [
        f"datasets.{name}.{key}: {dataset['path']} has no obs column '{column}'"
        f"{_suggestion(column, found)}; it has: {', '.join(found) or 'none'}"
        for key, column in wanted.items()
        if isinstance(column, str) and column not in found
    ]


def obs_columns(dataset: dict[str, Any]) -> list[str] | None:
    """Names of a dataset's obs columns, its annotation table's included; None if they cannot be told here."""
    if not _paths(dataset.get("path")):
        return None
    files = sample_files(dataset["path"])
    columns = _file_columns(next(iter(files.values())))
    if columns is None:
        return None
    columns = columns if "" in files else [*columns, "sample"]
    if not dataset.get("obs"):
        return columns
    table = _table_columns(table_files(dataset["obs"])[0], named=dataset.get("obs_by") != "order")
    return None if table is None else columns + table


def _file_columns(path: Path) -> list[str] | None:
    if path.is_dir():
        return [] if list(path.glob("*matrix.mtx*")) else None
    if not path.is_file():
        return None
    if path.name.removesuffix(".gz").endswith((".csv", ".tsv", ".mtx")):
        return []
    try:
        import h5py
    except ImportError:  # the launcher environment of a login node may lack it
        return None
    try:
        with h5py.File(path, "r", locking=False) as file:
            if "mod" in file:
                return None
            if "obs" not in file:
                return [] if any("barcodes" in group for group in file.values()) else None
            obs = file["obs"]
            names = obs.dtype.names if isinstance(obs, h5py.Dataset) else obs.attrs["column-order"]
            return [str(column) for column in names]
    except (OSError, KeyError, TypeError):  # said in full by inspect_dataset
        return None


def _table_columns(path: Path, *, named: bool = True) -> list[str] | None:
    try:
        start = table_start(path, blanks="regular" if named else "quoted")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error, InputError):
        return None
    if start is None:
        return []
    return start.names if not named and not start.is_short else start.names[1:]
