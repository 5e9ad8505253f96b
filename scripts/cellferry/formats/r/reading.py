"""Reader of files of R's saveRDS and save: the tree of their objects."""

from pathlib import Path

from ...errors import InputError
from .nodes import Tree
from .stream import ASCII_STARTS, MAGIC, STARTS, Stream
from .walk import Walk


def read_tree(path: Path) -> Tree:
    """Walk once through a file of `saveRDS` or `save`.

    Memory is limited by the constants above: at most about 200 MB, usually a few MB.

    Raises
    ------
    InputError
        If it is not such a file, is written as text, or is broken.
    EOFError
        If it ends too early.
    """
    with Stream(path) as stream:
        start = stream.peek(6)
        if start.startswith(ASCII_STARTS):
            raise InputError(
                f"{path}: was saved by R as text, which only R reads; save it again without ascii = TRUE"
            )
        is_saved = start[:5] in MAGIC
        if not start.startswith(STARTS):
            raise InputError(
                f"{path}: is not a file of R's saveRDS or save; if R reads it, save it again with saveRDS"
            )
        if is_saved:
            stream.skip(5)
        encoding = stream.begin()
        walk = Walk(stream)
        root = walk.run(walk.bindings() if is_saved else walk.value(keep=True))
        # Checksums of compressed files are compared at their end.
        stream.skip_rest()
    objects = dict(zip(root.tags, root.items, strict=True)) if is_saved else {"": root}
    return Tree(path, objects, encoding, stream.is_packed)
