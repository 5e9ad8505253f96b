"""The image of the jobs with `--software-deployment-method apptainer`, and the folders bound into it.

Apptainer and Singularity take options from environment variables, which the processes of scripts inherit.
Imported by the Snakefile: standard library only.
"""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from ..core.project import PROJECT
from ..errors import InputError
from .samples import all_files

ADDRESSES = ("docker://", "oras://", "library://")
"""Prefixes of addresses of images."""

FORMATS = (b"#!/usr/bin/env run-singularity", b"hsqs")
"""First bytes of image files: SIF, SquashFS."""

OF_IMAGE = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "sbin", "sys", "usr")
"""Folders of the image itself: only single files in them are bound, not the folders."""

SHOWN = "CELLFERRY_SHOWN"
"""Environment variable with the bound folders. A job's node may lack some of the inherited ones."""

NVIDIA = Path("/dev/nvidiactl")
"""Exists if a job has an NVIDIA driver."""


def image_of(container: str | None, methods: Collection[str]) -> str | None:
    """The image of all rules; None without containers.

    Parameters
    ----------
    container
        As in the configuration: path of an image, or an address.
    methods
        Snakemake's software deployment methods, such as ``{"apptainer"}``.

    Raises
    ------
    InputError
        If jobs should run in an image, but `container` is not a usable one, or the project is not a clone.
    """
    if "apptainer" not in methods:
        return None
    if "conda" in methods:
        raise InputError(
            "software-deployment-method: with conda and apptainer together, conda would run inside the "
            "image, which has no conda; give apptainer alone"
        )
    if not (PROJECT / "Snakefile").exists():
        raise InputError(
            "software-deployment-method: in an image, jobs cannot use a cellferry that Snakemake fetched "
            "from a git repository; name the Snakefile by the path of a clone, or remove apptainer"
        )
    if container is None:
        raise InputError(
            "container: software-deployment-method is apptainer, but no image is named; build one and set "
            "the key (docs/slurm.md), or remove apptainer"
        )
    # Snakemake refuses blanks, and reads braces as wildcards.
    if any(character.isspace() or character in "{}" for character in container):
        raise InputError(f"container: {container!r} has a blank or brace in its name; rename the image")
    if "://" in container:
        if not any(container.startswith(address) and container != address for address in ADDRESSES):
            raise InputError(
                f"container: {container} is not an address of an image "
                f"({', '.join(ADDRESSES)}); correct it, or name a file"
            )
        return container
    return _local_image(container)


def _local_image(container: str) -> str:
    path = Path(container).absolute()
    if not path.exists():
        raise InputError(f"container: {path} is missing; build it (docs/slurm.md), or name another image")
    if path.is_dir():
        is_image = (path / "bin" / "sh").exists()
    else:
        try:
            with open(path, "rb") as file:
                is_image = file.read(max(map(len, FORMATS))).startswith(FORMATS)
        except OSError as error:
            raise InputError(
                f"container: {path} cannot be read ({error.strerror}); get read permission from its owner"
            ) from error
    if not is_image:
        raise InputError(
            f"container: {path} is not an image of Apptainer; name the file of `apptainer build` "
            "(docs/slurm.md)"
        )
    return container


def show_folders(config: dict[str, Any], others: Iterable[str | Path] = ()) -> None:
    """Bind a run's folders, and a GPU, into containers of this process and its children.

    Parameters
    ----------
    config
        The configuration: folders of its files are bound, and those of the targets of links.
    others
        Further folders; missing ones are left out.

    Raises
    ------
    InputError
        If the name of a folder has a comma or colon, which Apptainer cannot bind.
    """
    prefix = "APPTAINER" if shutil.which("apptainer") else "SINGULARITY"
    inherited = os.environ.get(SHOWN, "").split(",")
    given = [entry for entry in os.environ.get(f"{prefix}_BIND", "").split(",") if entry not in inherited]
    here = [Path(os.path.expandvars(folder)) for folder in [tempfile.gettempdir(), Path.cwd(), *others]]
    here = [folder.absolute() for folder in here if folder.is_dir()]
    folders = folders_to_show(config, [*here, *map(Path.resolve, here)])
    if bad := next((folder for folder in folders if {",", ":"} & set(folder)), None):
        raise InputError(
            f"{bad} has a comma or colon in its name, and Apptainer cannot bind such a folder; rename it"
        )
    os.environ[SHOWN] = ",".join(folders)
    os.environ[f"{prefix}_BIND"] = ",".join(dict.fromkeys([*given, *folders]))
    if NVIDIA.exists():
        os.environ[f"{prefix}_NV"] = "1"


def folders_to_show(config: dict[str, Any], others: Iterable[Path] = ()) -> list[str]:
    """Folders of the configuration's files and others, without nested ones."""
    folders = {*others}
    for path in _files_of(config):
        folders.update(_on_the_way(path))
    return [str(folder) for folder in sorted(folders) if not folders & set(folder.parents)]


def _files_of(config: dict[str, Any]) -> Iterator[Path]:
    """Files and folders in the configuration; for missing ones the nearest existing parent."""
    # The image itself is not bound.
    named = [Path(text) for text in _texts({**config, "container": None})]
    for dataset in config["datasets"].values():
        named += all_files(dataset["path"], follow_links=dataset["follow_links"])
    for path in named:
        yield next((folder for folder in [path, *path.parents] if os.path.lexists(folder)), Path())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _on_the_way(path: Path) -> Iterator[Path]:
    """The folder of a file, and of each target of links; a folder itself."""
    path, seen = Path(os.path.abspath(path)), set()
    while path not in seen:
        seen.add(path)
        folder = path if path.is_dir() else path.parent
        shown = [each for each in {folder, folder.resolve()} if not _is_of_image(each)]
        yield from shown
        if not shown and path.is_file():
            yield path
        if path.is_symlink():
            path = Path(os.path.normpath(path.parent.resolve() / os.readlink(path)))


def _is_of_image(folder: Path) -> bool:
    """True if binding a folder would hide one of the image."""
    parts = folder.parts
    return len(parts) < 2 or (parts[1] in OF_IMAGE and len(parts) < 4)
