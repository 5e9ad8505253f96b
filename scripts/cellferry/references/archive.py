"""A packed reference: one file with everything to label a query, and a checksum of each member.

`NAME-VERSION.cellferry.zip` is an ordinary zip archive. Its first member, `reference.json`, describes the
reference and lists the others with sizes and SHA-256; their paths are those in the results of a run. No
member is a pickle.

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
"""Version of the archive; raise it if older versions of the workflow cannot read it."""

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
"""Results of a run that are packed unchanged, by their names in rules."""
HELD_OUT, TEST_SCORES = "held_out.npz", "evaluation/test.json"
MODEL, CLASSIFIER = "reference/model", "reference/classifier"
LATENTS = "mapped/reference/0.parquet"
VALIDATION, VALIDATION_MODEL = "common/validation.h5ad", "mapped/validation/model"
"""Results from which held-out cells are packed, and to which they are unpacked."""
HELD_OUT_ENCODER = "held_out_encoder.npz"
"""In the model's folder: its encoder for other batches of held-out cells, if any."""

MEMBERS = re.compile(
    "|".join(map(re.escape, (*AS_THEY_ARE.values(), GENE_NAMES, HELD_OUT, TEST_SCORES, LATENTS)))
    + rf"|({MODEL}|{CLASSIFIER})/[a-z][a-z0-9_]*\.(npz|json|ubj|parquet)"
)
"""Allowed names of members."""

PATTERNS = {
    "name": re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*"),
    "version": re.compile(r"[A-Za-z0-9][A-Za-z0-9._+]*"),
}
"""Patterns of names and versions, also in registries; no dash in versions, for unique file names."""

BYTES_AT_ONCE = 1 << 20
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of all members: equal files give equal archives."""


class Member(NamedTuple):
    """A member's size in bytes, and the SHA-256 of its content."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Description of a packed reference: `reference.json`.

    Attributes
    ----------
    name, version, license
        Name, version and terms of use.
    modality, organism, assay, tissue, description, doi, citation
        Descriptions of its cells; empty if not given.
    n_genes, namespace
        Number of the model's genes (or markers), and their kind of ids: see `Features`.
    labels
        By predictable label: `cells` of the reference, and their `batches` (donors).
    n_batches
        Batches of the training cells.
    scores
        `cells`, `accuracy` and `macro_f1` of its held-out cells; empty without them.
    settings
        Settings of the model and of its classifiers, by name.
    made_with
        Versions of cellferry and of the packages that made it.
    missing
        Missing parts, in words: an imported model has no counts.
    result_format
        Version of the files in it, see `cellferry.runs.methods.FORMAT_VERSION`.
    files
        All other members.
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
        """True if it contains counts of held-out cells, and scores of further held-out cells."""
        return HELD_OUT in self.files and TEST_SCORES in self.files

    @property
    def full_name(self) -> str:
        """Name and version in the form of a configuration."""
        return f"{self.name}@{self.version}"


def file_name(name: str, version: str) -> str:
    """File name of a reference's archive."""
    return f"{name}-{version}{ENDING}"


def is_packed(path: object) -> bool:
    """True if a value of the configuration is the path of an archive."""
    return isinstance(path, str) and path.endswith(ENDING)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, as `sha256sum` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_archive(path: str | Path, manifest: Manifest, files: dict[str, Path]) -> Manifest:
    """Write an archive, which appears when it is complete; equal files give equal bytes.

    Parameters
    ----------
    path
        The archive.
    manifest
        The description; `files` are added.
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
    """Read the manifest of an archive, and nothing else.

    Raises
    ------
    InputError
        If it is not a packed reference, or a newer version wrote it.
    """
    with _opened(path) as archive:
        return _manifest(archive, Path(path))


def verify(path: str | Path) -> Manifest:
    """Compare all members of an archive with its manifest.

    Raises
    ------
    InputError
        If it is not a packed reference, was changed or truncated, contains a foreign member, or a newer
        version wrote it.
    """
    with _opened(path) as archive:
        manifest = _manifest(archive, Path(path))
        for name, member in manifest.files.items():
            _read(archive, name, member, lambda piece: None)
    return manifest


def read_member(path: str | Path, name: str) -> bytes:
    """Read one member of an archive and check its checksum.

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
    """Write the members of an archive into a folder, and check their checksums.

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
    """Write an archive's manifest with names of members, and the SHA-256 of the archive."""
    about = asdict(manifest) | {"files": sorted(manifest.files), "sha256": sha256_of(archive)}
    with complete(path) as temporary:
        temporary.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_identity(path: str | Path) -> dict[str, Any]:
    """Read a file that `write_identity` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def identity_of(path: str | Path) -> dict[str, str]:
    """Name, version and SHA-256 from `write_identity`, which are recorded with the labels."""
    about = read_identity(path)
    return {key: about[key] for key in ("name", "version", "sha256")}


@contextmanager
def _opened(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; its errors become an `InputError` with its path."""
    remedy = "copy or fetch it again"
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    # Errors of a damaged archive: checksums, headers, zlib or JSON.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        what = f"is not a packed reference, or was changed after it was packed ({error})"
        raise InputError(Problem(str(path), what, remedy)) from error
    except OSError as error:
        if is_retryable(error):
            raise
        raise InputError(Problem(str(path), f"cannot be read ({error.strerror or error})", remedy)) from error


def _manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    """The manifest of an archive, checked against its members."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if MANIFEST not in names:
        what = f"is not a packed reference: {MANIFEST} is missing"
        raise InputError(Problem(str(path), what, "name a file that `make pack` wrote"))
    if archive.getinfo(MANIFEST).file_size > MAX_MANIFEST_BYTES:
        raise ValueError(f"{MANIFEST} has {archive.getinfo(MANIFEST).file_size} bytes")
    content = json.loads(archive.read(MANIFEST))
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise ValueError(f"{MANIFEST} has no format")
    version = content.pop("format")
    if version > FORMAT:
        what = f"was packed by a newer version of cellferry (format {version}; this one reads {FORMAT})"
        raise InputError(
            Problem(str(path), what, "update cellferry, or use an older version of the reference")
        )
    manifest = _built(content)
    _check_names(infos, manifest)
    return manifest


def _built(content: dict[str, Any]) -> Manifest:
    """Build a manifest from JSON with checked types."""
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
    """Refuse members that are duplicate, not listed, foreign, or not regular files."""
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
            raise ValueError(f"{name} has {info.file_size} bytes instead of {manifest.files[name].size}")
    if absent := manifest.files.keys() - seen:
        raise ValueError(f"{sorted(absent)[0]} is missing")


def _read(archive: zipfile.ZipFile, name: str, member: Member, take: Callable[[bytes], Any]) -> None:
    """Pass a member to `take` piece by piece, and compare size and checksum with the manifest."""
    digest, size = hashlib.sha256(), 0
    with archive.open(name) as source:
        while piece := source.read(BYTES_AT_ONCE):
            size += len(piece)
            if size > member.size:
                break
            digest.update(piece)
            take(piece)
    if size != member.size or digest.hexdigest() != member.sha256:
        raise ValueError(f"{name} differs from its checksum in {MANIFEST}")
