"""The pages as a website (make docs): the Markdown that GitHub shows, read where it lies.

The source folder is the project's own, so that a link such as ../config/README.md works in both places. This
file is named by -c.
"""

import re
import sys
import tomllib
from pathlib import Path

from pygments.lexers import PythonLexer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
DOCS = HERE.parent
ROOT = DOCS.parent
# Extensions lie beside this file.
sys.path.insert(0, str(HERE))

project = "cellferry"
author = "the cellferry authors"
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
extensions = ["myst_parser", "sphinx_copybutton", "linked_files", "key_rows"]

# ---- Pages

root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "config/**.md", "benchmarks/*.md"]
# Other folders are not searched: .venv and results have very many files.
exclude_patterns = [
    path.name
    for path in ROOT.iterdir()
    if path.is_dir() and path.name not in {"docs", "config", "benchmarks"}
]
# Names of headings as GitHub makes them, at every depth.
myst_heading_anchors = 6
# Every reference must lead somewhere; `make docs` turns warnings into errors.
nitpicky = True

# ---- Looks

html_theme = "furo"
html_title = f"cellferry {release}"
html_static_path = ["web.css"]
html_css_files = ["web.css"]
html_copy_source = False
html_use_index = False
html_show_copyright = False
# A prompt and what a command prints are not copied.
copybutton_prompt_text = "$ "

# ---- The report of the demo, at the top of the site (-D example_report=... names another)

REPORT = "report.html"
EMBEDDED = """
```{{raw}} html
<p>The report of the demo, to try it (<a href="{page}">in a window of its own</a>):</p>
<iframe class="report" src="{page}" title="The report of the demo" loading="lazy"></iframe>
```

"""


def add_report(app: Sphinx, config: object) -> None:
    """Take the report into the site."""
    report = (ROOT / app.config.example_report).resolve()
    if not report.is_file():
        raise FileNotFoundError(f"{report} is missing; `make docs` makes it")
    app.config.html_extra_path = [str(report)]


# ---- Navigation


def toctrees() -> str:
    """Sections and pages of docs/README.md as toctrees, each page once."""
    _, *sections = re.split(r"^## ", (DOCS / "README.md").read_text(encoding="utf-8"), flags=re.M)
    seen = {"README"}
    trees = [toctree(["docs/README"])]
    for section in sections:
        caption, _, body = section.partition("\n")
        linked = re.findall(r"\]\(([^)#]+)\.md\)", body)
        names = [(DOCS / link).resolve().relative_to(ROOT).as_posix() for link in linked]
        trees.append(toctree([name for name in dict.fromkeys(names) if name not in seen], caption))
        seen.update(names)
    return "".join(trees)


def toctree(pages: list[str], caption: str = "", glob: bool = False) -> str:
    """A toctree that is in the sidebar only."""
    options = [":hidden:", *([f":caption: {caption}"] if caption else []), *([":glob:"] if glob else [])]
    return "\n".join(["", "", "```{toctree}", *options, "", *(f"/{page}" for page in pages), "```", ""])


def add_to_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Add navigation and the report, which GitHub does not use, to pages."""
    if docname == root_doc:
        source[0] += toctrees()
    elif docname == "benchmarks/README":
        source[0] += toctree(["benchmarks/*"], glob=True)
    elif docname == "config/README":
        source[0] += toctree(["config/*/README"], glob=True)
    elif docname == "docs/reading_the_report":
        before, heading, after = source[0].partition("\n## ")
        source[0] = before + EMBEDDED.format(page=f"../{REPORT}") + heading + after


def add_front(app: Sphinx, exception: Exception | None) -> None:
    """Send the site's own address to its first page."""
    if exception is None:
        page = app.builder.get_target_uri(root_doc)
        refresh = f'<meta http-equiv="refresh" content="0; url={page}">'
        link = f'<a href="{page}">{html_title}</a>'
        text = f"<!doctype html>\n<title>{html_title}</title>\n{refresh}\n{link}\n"
        (Path(app.outdir) / "index.html").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register the functions above, and the language of Snakefiles."""
    app.add_lexer("snakemake", PythonLexer)
    app.add_config_value("example_report", "demo/results/report.html", "html", str)
    app.connect("config-inited", add_report)
    app.connect("source-read", add_to_pages)
    app.connect("build-finished", add_front)
