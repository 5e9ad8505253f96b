"""Stand-ins for the files of a configuration, for a dry run, which does not read them."""

import shutil
from pathlib import Path
from typing import Any

from cellferry.config.pretrained import PRETRAINED_FILES
from cellferry.references.archive import is_packed
from cellferry.references.registry import PROJECT
from example_artifacts import write_reference_labels

TOY = PROJECT / "config" / "references" / "pbmc68k-demo-1.cellferry.zip"


def write_placeholders(config: dict[str, Any], folder: Path) -> None:
    """Write the missing files of a configuration below `folder`.

    A pattern gets one file. Tables have the columns that the configuration names: only those are read.
    """
    for dataset in config["datasets"].values():
        columns = [dataset.get("label"), dataset.get("batch"), *dataset.get("keep_obs", [])]
        for path in [*_paths(dataset["path"]), *_paths(dataset.get("obs"))]:
            _write(folder / path.replace("*", "first"), columns)
    trained = config.get("pretrained")
    if isinstance(trained, str) and "@" in trained:
        return  # shipped, with a name
    if is_packed(trained):
        (folder / trained).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TOY, folder / trained)
        return
    if isinstance(trained, str):
        write_earlier_run(folder / trained)
    elif trained:
        _write(folder / trained["model"] / "model.pt", [])
        _write(folder / trained["latents"], [trained["label"], trained.get("batch")])


def write_earlier_run(results: Path) -> None:
    """Write empty files in the place of an earlier run's results."""
    for name in PRETRAINED_FILES:
        path = results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    write_reference_labels(results / "reference" / "labels.json", ["B", "T"])


def _paths(given: Any) -> list[str]:
    """Paths and patterns of a key: none, one, several, or several with names."""
    if given is None:
        return []
    several = list(given.values()) if isinstance(given, dict) else given
    return several if isinstance(several, list) else [several]


def _write(path: Path, columns: list[str | None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(",".join(["cell_id", *filter(None, columns)]) + "\n", encoding="utf-8")
