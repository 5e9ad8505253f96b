"""Sphinx extension: pages that show the files and folders of the project that other pages link to.

As on GitHub, a link to profiles/slurm/config.yaml opens the file, one to config/examples a list of its files.
"""

import html
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

FOLDER = "files"
LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml", ".smk": "python", "": "python"}


class LinkToFile(SphinxTransform):
    """Links to files and folders that are not pages lead to pages that show them."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        """Replace what MyST makes of such links: a download, or a reference without a target."""
        for node in [*self.document.findall(addnodes.download_reference), *self._unresolved()]:
            _, path = self.env.relfn2path(node["reftarget"], self.env.docname)
            if not Path(path).is_dir() and not is_text(Path(path)):
                continue  # Sphinx copies a picture, and warns of what is not there
            target = Path(path).relative_to(self.env.srcdir)
            self.app.linked_files.add(target)
            uri = self.app.builder.get_relative_uri(self.env.docname, page_of(target))
            node.replace_self(nodes.reference("", "", *node.children, internal=True, refuri=uri))

    def _unresolved(self) -> list[addnodes.pending_xref]:
        found = self.document.findall(addnodes.pending_xref)
        return [node for node in found if node["reftype"] == "myst" and not node["refdomain"]]


def is_text(path: Path) -> bool:
    """Whether a path is a file that is shown as text: drawings are pictures."""
    if path.suffix == ".svg":
        return False
    try:
        path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    return True


def page_of(path: Path) -> str:
    """Name of the page that shows a file or a folder."""
    return str(PurePosixPath(FOLDER, *path.parts))


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The pages, of files that are only in linked folders too."""
    root = Path(app.srcdir)
    folders = [root / path for path in app.linked_files if (root / path).is_dir()]
    inside = {path.relative_to(root) for folder in folders for path in _texts_in(folder)}
    for path in sorted(app.linked_files | inside):
        shown = _list if (root / path).is_dir() else _text
        title = html.escape(str(path))
        body = f"<h1><code>{title}</code></h1>\n{shown(app, root / path)}"
        yield page_of(path), {"title": title, "body": body}, "page.html"


def _texts_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and is_text(path))


def _list(app: Sphinx, folder: Path) -> str:
    names = [path.name for path in _texts_in(folder)]
    # Beside the folder's page, whose address has no / at its end.
    items = (f'<li><a href="{folder.name}/{name}.html"><code>{name}</code></a></li>' for name in names)
    return f"<ul>{''.join(items)}</ul>"


def _text(app: Sphinx, path: Path) -> str:
    language = LANGUAGES.get(path.suffix, "text")
    return app.builder.highlighter.highlight_block(path.read_text(encoding="utf-8"), language)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the transform and the pages."""
    app.linked_files = set()
    app.add_transform(LinkToFile)
    app.connect("html-collect-pages", pages)
    # Linked files are gathered while all pages are read, in one process.
    return {"parallel_read_safe": False, "parallel_write_safe": True}
