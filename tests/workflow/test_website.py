"""The website that `make docs` builds of the pages: complete, and strict about links."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from key_table import key_table
from pages import PAGES
from running import ROOT

REPORT = "<!doctype html><title>A stub of the report</title>"
# Folders with linked files that are not pages.
NEEDED = ("config", "docs", "benchmarks", "profiles")


class Website:
    """A copy of the pages, and sphinx's output by the command of the Makefile."""

    def __init__(self, folder: Path) -> None:
        self.source, self.built = folder / "project", folder / "built"
        for name in NEEDED:
            shutil.copytree(ROOT / name, self.source / name)
        for path in [*ROOT.glob("*.md"), ROOT / "CITATION.cff", ROOT / "pyproject.toml"]:
            shutil.copy(path, self.source)
        (folder / "report.html").write_text(REPORT)
        self.report = folder / "report.html"

    def build(self) -> subprocess.CompletedProcess:
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        options = re.search(r"/sphinx-build (.*) \. build/docs$", makefile, re.M)[1].split()
        command = [sys.executable, "-m", "sphinx", *options, "-D", f"example_report={self.report}"]
        command += [self.source, self.built]
        return subprocess.run(command, cwd=self.source, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def website(tmp_path_factory):
    """The website of the pages as they are and of a binary file, built without a warning."""
    website = Website(tmp_path_factory.mktemp("website"))
    (website.source / "config" / "examples" / "cells.bin").write_bytes(b"\xff\x00")
    result = website.build()
    assert result.returncode == 0, result.stdout + result.stderr
    return website


class Links(HTMLParser):
    """Addresses that a page links to, and its own ids."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets, self.ids = set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.add(value)
            elif name in ("id", "name"):
                self.ids.add(value)


def test_every_page_is_there(website):
    missing = [page for page in PAGES if not (website.built / page.with_suffix(".html")).is_file()]
    assert not missing
    assert (website.built / "searchindex.js").is_file()


def test_every_address_of_every_page_exists(website):
    pages = {path: Links(path) for path in website.built.rglob("*.html") if "_static" not in path.parts}
    lost = []
    for path, page in pages.items():
        for target in page.targets:
            address = urlsplit(target)
            if address.scheme or address.netloc:
                continue
            file = (path.parent / unquote(address.path)).resolve() if address.path else path
            anchors = pages[file].ids | {""} if file in pages else {""}
            if not file.is_file() or unquote(address.fragment) not in anchors:
                lost.append(f"{path.relative_to(website.built)}: {target}")
    assert not lost
    # The pages were read, and not skipped.
    assert len(pages) > len(PAGES)
    assert sum(len(page.targets) for page in pages.values()) > 1000


def test_the_reports_own_page_is_embedded(website):
    assert (website.built / "report.html").read_text() == REPORT
    page = (website.built / "docs" / "reading_the_report.html").read_text(encoding="utf-8")
    assert re.search(r'<iframe [^>]*src="\.\./report\.html"', page)


def test_every_key_has_an_address(website):
    keys = re.findall(r"^\| `([^`]+)`", key_table(), re.M)
    addresses = Links(website.built / "config" / "README.html").ids
    assert {re.sub(r"[^a-z0-9]+", "-", key.lower()) for key in keys} <= addresses


def test_linked_files_and_folders_are_shown(website):
    profile = (website.built / "files" / "profiles" / "slurm" / "config.yaml.html").read_text(
        encoding="utf-8"
    )
    assert "max_mem_mb" in profile
    folder = Links(website.built / "files" / "config" / "examples.html")
    examples = {f"examples/{path.name}.html" for path in (ROOT / "config" / "examples").glob("*.yaml")}
    assert examples <= folder.targets
    assert not any("cells.bin" in target for target in folder.targets)


BROKEN = {
    "a page": ("[x](memoirs.md)", r"'memoirs\.md'"),
    "a heading": ("[x](memory.md#the-plans)", r"'the-plans'"),
    "a heading of the page": ("[x](#nowhere-here)", r"'nowhere-here'"),
    "a file": ("[x](../profiles/slurm/configuration.yaml)", r"configuration\.yaml"),
    "a folder": ("[x](../config/samples/)", r"config/samples"),
    "a picture": ("![x](rulegraphs.svg)", r"rulegraphs\.svg"),
}


def test_what_leads_nowhere_fails_the_build(website):
    page = website.source / "docs" / "quickstart.md"
    page.write_text(
        page.read_text(encoding="utf-8") + "\n\n".join(["", *(link for link, _ in BROKEN.values())])
    )
    (website.source / "docs" / "forgotten.md").write_text("# A page that docs/README.md does not list\n")
    result = website.build()
    assert result.returncode != 0
    warnings = [line for line in result.stderr.splitlines() if "WARNING" in line]
    for name, (_, told) in BROKEN.items():
        assert any("quickstart.md" in line and re.search(told, line) for line in warnings), (name, warnings)
    assert any("forgotten.md" in line and "toctree" in line for line in warnings), warnings
    assert len(warnings) == len(BROKEN) + 1, warnings


def test_a_report_that_is_missing_fails_the_build(website):
    website.report.rename(website.report.with_name("elsewhere.html"))
    try:
        result = website.build()
    finally:
        website.report.with_name("elsewhere.html").rename(website.report)
    assert result.returncode != 0
    assert "report.html is missing" in result.stderr
