"""Sphinx extension: an address for each key, such as config/README.html#prediction-max-error."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class KeyRows(SphinxTransform):
    """Rows of the table of keys get the key as their id, and the table a class."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        """Find the table by its head: key, default, what it is."""
        if self.env.docname != "config/README":
            return
        for table in self.document.findall(nodes.table):
            head, *rows = table.findall(nodes.row)
            if [entry.astext() for entry in head][:2] != ["key", "default"]:
                continue
            table["classes"].append("keys")
            for row in rows:
                literal = row[0].next_node(nodes.literal)
                literal["ids"].append(nodes.make_id(literal.astext()))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform."""
    app.add_transform(KeyRows)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
