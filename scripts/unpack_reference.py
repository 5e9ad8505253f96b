"""Unpack a packed reference into the files of a trained reference."""

import shutil
import tempfile
from pathlib import Path

from cellferry.artifacts.held_out import unpack_held_out
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.mapping.encoder import ENCODER
from cellferry.references.archive import HELD_OUT, HELD_OUT_ENCODER, MODEL, unpack, write_identity


def unpack_reference(archive: str, outputs: dict[str, str], *, folder: str) -> None:
    """Write an archive's files, each compared with its checksum.

    Parameters
    ----------
    archive
        The packed reference.
    outputs
        By name, files and folders of the results to write. Except for `identity`, `held_out` and
        `held_out_model`, their paths in `folder` are those in the archive.
    folder
        Folder of the outputs.
    """
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        manifest = unpack(archive, Path(temporary))
        print(f"{manifest.full_name}: {len(manifest.files)} files, as they were packed")
        if "held_out" in outputs:
            unpack_held_out(Path(temporary, HELD_OUT), Path(outputs["held_out"]))
            with complete(outputs["held_out_model"]) as path:
                shutil.copytree(Path(temporary, MODEL), path)
                if (path / HELD_OUT_ENCODER).exists():
                    (path / HELD_OUT_ENCODER).replace(path / ENCODER)
        write_identity(outputs["identity"], manifest, archive)
        made = {"identity", "held_out", "held_out_model"}
        for output in [path for name, path in outputs.items() if name not in made]:
            with complete(output) as path:
                shutil.move(Path(temporary, Path(output).relative_to(folder)), path)


if __name__ == "__main__":
    with job(snakemake):
        unpack_reference(
            snakemake.input.archive, dict(snakemake.output.items()), folder=snakemake.params.folder
        )
