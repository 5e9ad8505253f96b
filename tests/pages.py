"""The project's pages, their code and text, and the files of a run that they may name."""

import fnmatch
import functools
import re
import textwrap

from cellferry.core.digests import RECORDS
from running import ROOT

PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "config/*.md", "benchmarks/*.md", "profiles/*.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```[ ]*$", re.M | re.S)
SHELLS = ("bash", "sh", "console", "shell")


def text_of(page):
    """A page, without the changelog's list of old names."""
    return (ROOT / page).read_text(encoding="utf-8").partition("\n### Renamed\n")[0]


def blocks(page, *languages):
    """Fenced code of these languages, without its indentation."""
    return [
        textwrap.dedent(code) for _, language, code in FENCE.findall(text_of(page)) if language in languages
    ]


def prose(page):
    """A page without its fenced code."""
    return FENCE.sub("", text_of(page))


RESULT = re.compile(r"(?<![\w-])(?:results|logs)/[\w{}./*-]*[\w}*/]")


def rules_text():
    return "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))


@functools.cache
def written():
    """Paths that rules write, folder by folder, with * for wildcards."""
    texts = rules_text()
    texts += "".join(path.read_text(encoding="utf-8") for path in (ROOT / "profiles").rglob("*.yaml"))
    found = re.findall(r"(?:results|logs)/[\w{}./*-]*[\w}*]", texts)
    return [starred(path.replace("{{", "{").replace("}}", "}")) for path in found]


def starred(path):
    return [re.sub(r"\{\w+\}|[A-Z]{3,}|NAME", "*", part) for part in path.strip("/").split("/")]


def is_written(path):
    """True if a rule writes a path, its folder, or something below it."""
    parts = starred(path)
    return parts[:2] == ["results", RECORDS] or any(fits(parts, known) for known in written())


def fits(parts, known):
    length = min(len(parts), len(known))
    # Files have endings; folders do not, except stores and patterns.
    between = parts[length - 1] if len(parts) < len(known) else known[length - 1]
    if len(parts) != len(known) and re.search(r"\.\w+$", between) and not between.endswith(".zarr"):
        return False
    pairs = zip(parts[:length], known[:length], strict=True)
    return all(fnmatch.fnmatch(a, b) or fnmatch.fnmatch(b, a) for a, b in pairs)
