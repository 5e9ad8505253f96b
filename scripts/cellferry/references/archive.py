"""A packed reference: one file that holds all that labels a query, with a checksum of each of its members.

`NAME-VERSION.cellferry.zip` is an ordinary zip archive. Its first member, `reference.json`, says what the
reference is and lists the others with sizes and SHA-256; they have the places that they have among the
results of a run. None of them is a pickle.

Imported by the Snakefile: standard library only.
"""

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, get_origin

from ..core.atomic import complete
from ..core.problems import Problem
from ..core.reading import is_retryable
from ..errors import InputError

ENDING = ".cellferry.zip"

FORMAT = 1
"""Version of the archive; to be raised when older versions of the workflow cannot read it."""

MANIFEST = "reference.json"
MAX_MANIFEST_BYTES = 16 << 20

GENES, FEATURES, GENE_NAMES = "genes.tsv", "genes.json", "gene_names.tsv"
AS_THEY_ARE = {
    "genes": GENES,
    "report": FEATURES,
    "labels": "reference/labels.json",
    "decision": "reference/calibration.json",
    "left_out": "reference/left_out.json",
    "history": "reference/history.csv",
}
"""Results of a run that are packed unchanged, by the names that rules have for them."""
HELD_OUT, TEST_SCORES = "held_out.npz", "evaluation/test.json"
MODEL, CLASSIFIER = "reference/model", "reference/classifier"
LATENTS = "mapped/reference/0.parquet"
VALIDATION, VALIDATION_MODEL = "common/validation.h5ad", "mapped/validation/model"
"""Results that held-out cells are packed from, and unpacked to."""
HELD_OUT_ENCODER = "held_out_encoder.npz"
"""In the model's folder: its encoder for the batches of held-out cells, if these are others."""

MEMBERS = re.compile(
    "|".join(map(re.escape, (*AS_THEY_ARE.values(), GENE_NAMES, HELD_OUT, TEST_SCORES, LATENTS)))
    + rf"|({MODEL}|{CLASSIFIER})/[a-z][a-z0-9_]*\.(npz|json|ubj|parquet)"
)
"""What members may be called."""

PATTERNS = {
    "name": re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*"),
    "version": re.compile(r"[A-Za-z0-9][A-Za-z0-9._+]*"),
}
"""How names and versions are written, in registries too. No dash in versions: names of files are unique."""

BYTES_AT_ONCE = 1 << 20
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of all members: the same files make the same archive."""


class Member(NamedTuple):
    """A member's size in bytes, and the SHA-256 of its content."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a packed reference says of itself: `reference.json`.

    Attributes
    ----------
    name, version, license
        What it is called, and the terms under which it may be used.
    modality, organism, assay, tissue, description, doi, citation
        Of its cells; empty where they were not given.
    n_genes, namespace
        Genes (or markers) of the model, and which kind of ids they have: see `Features`.
    labels
        By label that can be predicted: `cells` of the reference, and `batches` (donors) that they are of.
    n_batches
        Batches of the training cells.
    scores
        Of its held-out cells: `cells`, `accuracy`, `macro_f1`; none where there are none.
    settings
        Settings of the model and of its classifiers, by name.
    made_with
        Versions of cellferry and of the packages that made it.
    missing
        What it lacks, in words: an imported model has no counts.
    result_format
        Version of the files in it, see `cellferry.runs.methods.FORMAT_VERSION`.
    files
        All members but this one.
    """

    name: str
    version: str
    license: str
    modality: str
    organism: str = ""
    assay: str = ""
    tissue: str = ""
    description: str = ""
    doi: str = ""
    citation: str = ""
    n_genes: int
    namespace: str
    labels: dict[str, dict[str, int]]
    n_batches: int
    scores: dict[str, float]
    settings: dict[str, Any]
    made_with: dict[str, str]
    missing: list[str]
    result_format: int
    files: dict[str, Member] = field(default_factory=dict)

    @property
    def has_held_out(self) -> bool:
        """Whether counts of held-out cells are in it, and what became of others."""
        return HELD_OUT in self.files and TEST_SCORES in self.files

    @property
    def full_name(self) -> str:
        """Name and version, as a configuration gives them."""
        return f"{self.name}@{self.version}"


def file_name(name: str, version: str) -> str:
    """What the archive of a reference is called."""
    return f"{name}-{version}{ENDING}"


def is_packed(path: object) -> bool:
    """Whether a value of the configuration names an archive."""
    return isinstance(path, str) and path.endswith(ENDING)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, as `sha256sum` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_archive(path: str | Path, manifest: Manifest, files: dict[str, Path]) -> Manifest:
    """Write an archive; it appears when it is complete. The same files make the same bytes.

    Parameters
    ----------
    path
        The archive.
    manifest
        What it says of itself; `files` are added.
    files
        The file of each member.

    Returns
    -------
    The manifest with its members.
    """
    members = {name: Member(files[name].stat().st_size, sha256_of(files[name])) for name in sorted(files)}
    whole = replace(manifest, files=members)
    content = {"format": FORMAT} | asdict(whole)
    content["files"] = {name: member._asdict() for name, member in members.items()}
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    with complete(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_info(MANIFEST), text.encode())
        for name in members:
            with files[name].open("rb") as source, archive.open(_info(name), "w", force_zip64=True) as target:
                while piece := source.read(BYTES_AT_ONCE):
                    target.write(piece)
    return whole


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system, info.external_attr = 3, 0o100644 << 16
    return info


def read_manifest(path: str | Path) -> Manifest:
    """Read what an archive says of itself; nothing else of it is looked at.

    Raises
    ------
    InputError
        If it is not a packed reference, or a newer version wrote it.
    """
    with _opened(path) as archive:
        return _manifest(archive, Path(path))


def verify(path: str | Path) -> Manifest:
    """Compare all members of an archive with what its manifest says of them.

    Raises
    ------
    InputError
        If it is not a packed reference, was changed or truncated, holds a member that does not belong
        there, or a newer version wrote it.
    """
    with _opened(path) as archive:
        manifest = _manifest(archive, Path(path))
        for name, member in manifest.files.items():
            _read(archive, name, member, lambda piece: None)
    return manifest


def read_member(path: str | Path, name: str) -> bytes:
    """Read one member of an archive, compared with its checksum.

    Raises
    ------
    InputError
        As `verify` does.
    """
    with _opened(path) as archive:
        pieces: list[bytes] = []
        _read(archive, name, _manifest(archive, Path(path)).files[name], pieces.append)
    return b"".join(pieces)


def unpack(path: str | Path, folder: Path) -> Manifest:
    """Write the members of an archive into a folder, each compared with its checksum.

    Raises
    ------
    InputError
        As `verify` does.
    """
    with _opened(path) as archive:
        manifest = _manifest(archive, Path(path))
        for name, member in manifest.files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as target:
                _read(archive, name, member, target.write)
    return manifest


def write_identity(path: str | Path, manifest: Manifest, archive: str | Path) -> None:
    """Write what an archive says of itself, its members by name alone, and its own SHA-256."""
    about = asdict(manifest) | {"files": sorted(manifest.files), "sha256": sha256_of(archive)}
    with complete(path) as temporary:
        temporary.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_identity(path: str | Path) -> dict[str, Any]:
    """What `write_identity` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def identity_of(path: str | Path) -> dict[str, str]:
    """Name, version and SHA-256 in what `write_identity` wrote: by these labels say where they come from."""
    about = read_identity(path)
    return {key: about[key] for key in ("name", "version", "sha256")}


@contextmanager
def _opened(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """An archive; what is wrong with it becomes an `InputError` that names it."""
    remedy = "copy or fetch it again"
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    # What a damaged archive shows as: in its checksums, its headers, or in what zlib and JSON make of them.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        what = f"is not a packed reference, or was changed after it was packed ({error})"
        raise InputError(Problem(str(path), what, remedy)) from error
    except OSError as error:
        if is_retryable(error):
            raise
        raise InputError(Problem(str(path), f"cannot be read ({error.strerror or error})", remedy)) from error


def _manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    """What an archive says of itself; its list of members is that of the archive."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if MANIFEST not in names:
        what = f"is not a packed reference: {MANIFEST} is missing"
        raise InputError(Problem(str(path), what, "name a file that `make pack` wrote"))
    if archive.getinfo(MANIFEST).file_size > MAX_MANIFEST_BYTES:
        raise ValueError(f"{MANIFEST} has {archive.getinfo(MANIFEST).file_size} bytes")
    content = json.loads(archive.read(MANIFEST))
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise ValueError(f"{MANIFEST} names no format")
    version = content.pop("format")
    if version > FORMAT:
        what = f"was packed by a newer version of cellferry (format {version}; this one reads {FORMAT})"
        raise InputError(
            Problem(str(path), what, "update cellferry, or take an older version of the reference")
        )
    manifest = _built(content)
    _check_names(infos, manifest)
    return manifest


def _built(content: dict[str, Any]) -> Manifest:
    """A manifest from JSON, each field of its type."""
    types = {each.name: get_origin(each.type) or each.type for each in fields(Manifest)}
    for name, value in content.items():
        if name not in types or not isinstance(value, types[name]) or isinstance(value, bool):
            raise ValueError(f"{MANIFEST} has {name}: {value!r}")
    for key, pattern in PATTERNS.items():
        if not pattern.fullmatch(content.get(key, "")):
            raise ValueError(f"{MANIFEST} has {key}: {content.get(key)!r}")
    try:
        files = {name: Member(**member) for name, member in content.pop("files", {}).items()}
        return Manifest(**content, files=files)
    except TypeError as error:  # a field too few
        raise ValueError(f"{MANIFEST}: {error}") from error


def _check_names(infos: Iterable[zipfile.ZipInfo], manifest: Manifest) -> None:
    """Refuse members that stand twice, are not listed, do not belong in a reference, or are no files."""
    seen = set()
    for info in infos:
        name = info.filename
        if name in seen:
            raise ValueError(f"{name} occurs twice")
        seen.add(name)
        if name == MANIFEST:
            continue
        if not MEMBERS.fullmatch(name):
            raise ValueError(f"{name!r} is not a file of a reference")
        if name not in manifest.files:
            raise ValueError(f"{name} is not listed in {MANIFEST}")
        kind = info.external_attr >> 16 & 0o170000
        if kind not in (0, 0o100000):
            raise ValueError(f"{name} is not a regular file")
        if info.file_size != manifest.files[name].size:
            raise ValueError(f"{name} has {info.file_size} bytes, and {manifest.files[name].size} are listed")
    if absent := manifest.files.keys() - seen:
        raise ValueError(f"{sorted(absent)[0]} is missing")


def _read(archive: zipfile.ZipFile, name: str, member: Member, take: Callable[[bytes], Any]) -> None:
    """Give the content of a member to `take`, piece by piece, and compare it with what is listed."""
    digest, size = hashlib.sha256(), 0
    with archive.open(name) as source:
        while piece := source.read(BYTES_AT_ONCE):
            size += len(piece)
            if size > member.size:
                break
            digest.update(piece)
            take(piece)
    if size != member.size or digest.hexdigest() != member.sha256:
        raise ValueError(f"{name} is not what {MANIFEST} lists")
