"""Pack a pre-trained model: `make import-model MODEL=folder NAME=blood VERSION=1 LICENSE=CC-BY-4.0`.

Files and columns in the folder are detected; given ones replace them.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from ...core.pickles import TRUST
from ...errors import InputError
from ..ending import fail
from ..pack.__main__ import DETAILS, archive_path, summary
from ..pack.contents import pack
from .counted import gene_annotation
from .expression_only import About, import_celltypist
from .folders import celltypist_file
from .found import Given, find
from .results import configuration, make_results


def import_model(
    given: Given,
    *,
    name: str,
    version: str,
    license_: str,
    output: Path,
    details: dict[str, str],
    more: dict[str, Any],
) -> str:
    """Write the archive; return the printed summary.

    Parameters
    ----------
    given
        The model, and the paths and columns that the user gave.
    name, version, license_, output, details
        See `commands.pack`.
    more
        Further keys of `pretrained`, if given.

    Raises
    ------
    InputError
        If something is missing, ambiguous, or cannot be used.
    """
    if not given.model:
        raise InputError(
            "MODEL= is missing; name the folder of a model, such as MODEL=/data/atlas/scanvi_model"
        )
    path = archive_path(name, version, license_, output)
    if file := celltypist_file(Path(given.model)):
        about = About(name, version, license_.strip(), details)
        return summary(path, import_celltypist(file, path, given, about, more))
    found = find(given)
    print("\n".join(found.lines), flush=True)
    config = configuration(found, {**more, "trust": given.trust})
    with tempfile.TemporaryDirectory() as folder:
        results = make_results(config, found, Path(folder))
        var = gene_annotation(found.latents.path, found.registered)
        manifest = pack(results, path, var, name=name, version=version, license=license_.strip(), **details)
    return summary(path, manifest)


def as_given(message: str) -> str:
    """A message on configuration keys, with the names of this command's arguments."""
    message = message.replace(TRUST, TRUST.replace("set pretrained.trust: true", "give TRUST=1"))
    keys = "|".join(("model", "latents", "label", "batch", "key", "scaling", "backbone", "trust"))
    return re.sub(rf"\bpretrained\.({keys})\b", lambda match: match[1].upper(), message)


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make import-model", description=__doc__)
    named = ("model", "latents", "label", "batch", "key")
    for key in (*named, "trust", "scaling", "backbone", "name", "version", "license", *DETAILS):
        parser.add_argument(f"--{key}", default="")
    parser.add_argument("--output", type=Path, default=Path())
    args = parser.parse_args(arguments)
    given = Given(*(getattr(args, key).strip() for key in named), trust=args.trust not in ("", "0"))
    backbone = [marker.strip() for marker in args.backbone.split(",") if marker.strip()]
    try:
        said = import_model(
            given,
            name=args.name,
            version=args.version,
            license_=args.license,
            output=args.output,
            details={key: " ".join(getattr(args, key).split()) for key in DETAILS},
            more={"scaling": args.scaling.strip() or None, "backbone": backbone or None},
        )
    except (InputError, OSError) as error:
        return fail("make import-model", as_given(str(error)))
    print(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
