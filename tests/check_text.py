"""Phrases that the project's text must not contain: python tests/check_text.py [FILES].

Checked are pages, comments, docstrings, messages and descriptions; of tests only docstrings and comments.
Skipped are code in backticks, text in double quotation marks, and lines that end with the comment `quoted`.
"""

import ast
import io
import os
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
PHRASES = PROJECT / "tests" / "banned_phrases.tsv"
GLOSSARY = PROJECT / "docs" / "glossary.md"

PAGES = (".md",)
PYTHON = (".py", ".smk")
WHOLE = (".yaml", ".yml", ".cff", ".rst", ".j2")
COMMENTS = (".toml", ".sh", ".js", ".gitattributes", ".editorconfig")
NAMED = {
    "Snakefile": ".smk",
    "Makefile": ".toml",
    "run": ".toml",
    "Dockerfile": ".toml",
    ".dockerignore": ".toml",
}

FENCED = re.compile(
    r"^( *)```.*?^\1```|<style.*?</style>|<script.*?</script>",
    re.MULTILINE | re.DOTALL,
)
CODE = re.compile(
    r"``.+?``|`[^`]*`|“[^”]*”|\"[^\"\n]*\"|\]\([^)\s]*\)|https?://\S+|\{[{%#].*?[%#}]\}|<[^>\n]*>|\$\([^)]*\)",
    re.DOTALL,
)
ESCAPED = re.compile(r"^.*(?:<!-- quoted -->|(?:#|//) quoted)\s*$", re.MULTILINE)
OPENING = re.compile(
    r"\A[\s*_#>-]*"
    r"|[.!?:;][)*_]*\s+[*_(]*"
    r"|\n\s*\n[\s*_#>-]*"
    r"|^[ \t]*(?:[-*#>]+|\d+\.)[ \t]+[*_]*"
    r"|\|[ \t]*[*_]*",
    re.MULTILINE,
)
"""Text before the opening of a sentence, an item, a title or a table cell."""


@dataclass(frozen=True)
class Phrase:
    """A banned phrase: its rule, its pattern, and what to write instead."""

    rule: str
    pattern: re.Pattern
    instead: str

    @classmethod
    def of(cls, rule: str, pattern: str, instead: str) -> "Phrase":
        """A phrase of a table; a space matches any white space."""
        return cls(rule, re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE), instead)


@dataclass(frozen=True)
class Opening(Phrase):
    """A phrase that no sentence opens with."""


def phrases() -> list[Phrase]:
    """The banned phrases, and the glossary's words that another word replaces."""
    lines = [line for line in PHRASES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    found = []
    for line in lines[1:]:
        rule, pattern, instead = line.split("\t")
        kind = Opening if pattern.startswith(r"\A") else Phrase
        found.append(kind.of(rule, pattern.removeprefix(r"\A"), instead))
    return [*found, *replaced_words(GLOSSARY.read_text(encoding="utf-8"))]


def replaced_words(page: str) -> Iterator[Phrase]:
    """Words of the glossary's table of replaced words: `| word | "one", "another" |`."""
    _, _, section = page.partition("## One word per thing")
    for row in re.findall(r"^\| (.+?) \| (.+?) \|$", section.partition("\n## ")[0], re.MULTILINE)[1:]:
        word, replaced = row
        for one in replaced.replace('"', "").split(", "):
            yield Phrase.of("e", rf"\b{re.escape(one).replace(r'\ ', ' ')}\b", f"{word} (docs/glossary.md)")


def blank(match: re.Match) -> str:
    """White space of the same lines in place of a match, and one character that opens no sentence."""
    text = match.group()
    return "·" + re.sub(r"[^\n]", " ", text[1:])


def prose(text: str) -> str:
    """Text without code, quotations and escaped lines, of the same lines."""
    for pattern in (ESCAPED, FENCED, CODE):
        text = pattern.sub(blank, text)
    return text


def passages(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of each passage of a file."""
    kind = NAMED.get(path.name, path.suffix or path.name)
    if kind not in (*PAGES, *WHOLE, *PYTHON, *COMMENTS):
        return
    text = path.read_text(encoding="utf-8")
    if kind in (*PAGES, *WHOLE):
        if kind in (".yaml", ".yml"):
            text = re.sub(r"^(\s*)# ?", r"\1  ", text, flags=re.MULTILINE)
        yield 1, text
    elif kind == ".py":
        yield from python_passages(text, only_docstrings="tests" in path.parts)
    elif kind == ".smk":
        for found in re.finditer(r'"""(.+?)"""', text, re.DOTALL):
            yield 1 + text.count("\n", 0, found.start()), found.group(1)
        yield from comment_passages(comments_alone(text), "#")
    elif kind in COMMENTS:
        yield from comment_passages(text, "//" if kind == ".js" else "#")


def comment_passages(text: str, mark: str) -> Iterator[tuple[int, str]]:
    """Blocks of comments."""
    block: list[str] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        before, found, comment = line.partition(mark)
        if found and not before.strip():
            block.append(comment)
            continue
        if block:
            yield number - len(block), "\n".join(block)
            block = []
        if found and before.endswith((" ", "\t")):
            yield number, comment


def python_passages(text: str, *, only_docstrings: bool) -> Iterator[tuple[int, str]]:
    """Docstrings, comments, and other strings of more than a word."""
    nodes = list(ast.walk(ast.parse(text)))
    docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
    parts = {
        part for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node)
    } - docstrings
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            pieces = (part.value if isinstance(part, ast.Constant) else "·" for part in node.values)
            string = "".join(map(str, pieces))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            string = node.value
        else:
            continue
        if " " in string and (node in docstrings or not only_docstrings):
            yield node.lineno, string
    yield from comment_passages(comments_alone(text), "#")


def comments_alone(text: str) -> str:
    """The comments of Python code, in their lines; code before one is a single letter."""
    lines = text.splitlines()
    kept = [""] * len(lines)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            kept[row - 1] = token.string if not lines[row - 1][:column].strip() else "x " + token.string
    return "\n".join(kept)


def problems(path: Path, banned: list[Phrase]) -> Iterator[str]:
    """Banned phrases of a file, each with its line and what to write instead."""
    for first, passage in passages(path):
        text = prose(passage)
        openings = {match.end() for match in OPENING.finditer(text)}
        for phrase in banned:
            for match in phrase.pattern.finditer(text):
                if isinstance(phrase, Opening) and (
                    match.start() not in openings or not match.group()[0].isupper()
                ):
                    continue
                line = first + text.count("\n", 0, match.start())
                around = " ".join(text[max(0, match.start() - 30) : match.end() + 30].split())
                yield f"{path}:{line}: rule {phrase.rule}: “{around}”: {phrase.instead}"


def project_files() -> list[str]:
    """Names of the project's files, committed or not, without ignored ones."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines()


def main(names: list[str]) -> int:
    """Print the problems of files, or of the project; 1 if there are some."""
    banned = phrases()
    if not names:
        os.chdir(PROJECT)
    paths = [Path(name) for name in names or project_files()]
    checked = (path for path in paths if path.is_file() and path.resolve() != Path(__file__).resolve())
    found = [problem for path in checked for problem in problems(path, banned)]
    print(*found, sep="\n", end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
