"""Reading a file of R's saveRDS or save: the tree of its objects."""

from pathlib import Path

from ...errors import InputError
from .nodes import Tree
from .stream import ASCII_STARTS, MAGIC, STARTS, Stream
from .walk import Walk


def read_tree(path: Path) -> Tree:
    """Walk through a file of `saveRDS` or `save` once.

    Memory is bounded by the constants above, about 200 MB at the most and a few MB as a rule.

    Raises
    ------
    InputError
        If it is no such file, written as text, or broken.
    EOFError
        If it ends too early.
    """
    with Stream(path) as stream:
        start = stream.peek(6)
        if start.startswith(ASCII_STARTS):
            raise InputError(
                f"{path}: was saved by R as text, and only R reads that; save it again without ascii = TRUE"
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
