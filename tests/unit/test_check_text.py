"""The check of the project's own text: what it finds, and what it leaves alone."""

import pytest
from check_text import phrases, problems, replaced_words


def found(path, text):
    path.write_text(text, encoding="utf-8")
    return [problem.split(": ", 2)[1] for problem in problems(path, phrases())]


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("The log says which.", ["rule a"]),
        ("A file.\nOf these, three.", ["rule b"]),
        ("# What comes first\n", ["rule b"]),
        ("| Where it is | here |", ["rule b"]),
        ("Another file that somebody packed.", ["rule c", "rule d"]),
        ("It is none.", ["rule d"]),
        ("That is\nno batch.", ["rule d"]),
        ("It stands\nin a file.", ["rule e"]),
        ("A label tree.", ["rule e"]),
        ("There is no such file, which is no longer read. What is it?", []),
        ('The `key says`, and “it knows” and "he says".', []),
        ("```\nit says\n```\nThe key [name](https://example.org/what_it_says).", []),
        ("Cited: it says so. <!-- quoted -->", []),
    ],
)
def test_pages(tmp_path, text, rules):
    assert found(tmp_path / "page.md", text) == rules


def test_code(tmp_path):
    code = '''"""Tells it."""
word = "says"
a = f"{word} knows " "it"  # it says
b = "a message that asks"  # quoted
# What it is.
"""It hears."""
'''
    assert found(tmp_path / "a.py", code) == ["rule a"] * 5 + ["rule b"]
    (tmp_path / "tests").mkdir()
    assert found(tmp_path / "tests" / "a.py", code) == ["rule a"] * 3 + ["rule b"]


def test_configurations_and_makefiles(tmp_path):
    assert found(tmp_path / "a.yaml", "# What it is\na: it says\n") == ["rule a", "rule b"]
    assert found(tmp_path / "Makefile", "# It says\nsays: knows\n") == ["rule a"]
    assert found(tmp_path / "a.smk", '# It says\nrule tells:\n    """It asks."""\n') == ["rule a"] * 2
    assert found(tmp_path / "a.bin", "it says") == []


def test_lines_are_those_of_the_file(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("One.\n\n```\ntwo\n```\nIt\nsays so.\n")
    (problem,) = problems(path, phrases())
    assert problem.startswith(f"{path}:7: rule a: “One. · It says so.”: ")


def test_words_that_the_glossary_replaces():
    table = '| word | instead of |\n|---|---|\n| model | "foreign model", "net" |\n'
    page = f"## One word per thing\n\n{table}\n## Other\n| a | b |\n"
    assert [(phrase.pattern.pattern, phrase.instead) for phrase in replaced_words(page)] == [
        (r"\bforeign\s+model\b", "model (docs/glossary.md)"),
        (r"\bnet\b", "model (docs/glossary.md)"),
    ]
