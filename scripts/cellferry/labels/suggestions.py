"""Lines for a table of parents, suggested to the user: nothing is made of them until they are accepted."""

import re
from collections.abc import Iterable

WORD = re.compile(r"[^\W_]+")
GENERIC = {"cell"}
"""Words that stand in the names of all labels."""

MAX_SUGGESTED = 50


def parents_by_name(labels: Iterable[str], others: Iterable[str], tree: dict[str, str]) -> dict[str, str]:
    """Label that may be the parent of another, by their words: `T cell` of `CD4 T cells`.

    Parameters
    ----------
    labels
        Labels of the references, which may stand below others.
    others
        Further labels, of queries, which may stand above them.
    tree
        Parent by label, as given: a label that has one is left alone.
    """
    words = {label: _words(label) for label in (*labels, *others)}
    suggested = {}
    for label in labels:
        above = [other for other in words if words[other] < words[label] and not words[other] <= GENERIC]
        if above and label not in tree:
            # The one that has most words in common; of several the first by name.
            suggested[label] = min(above, key=lambda other: (-len(words[other]), other))
    return suggested


def _words(label: str) -> frozenset[str]:
    return frozenset(word.rstrip("s") or word for word in WORD.findall(label.casefold()))


def suggestion_lines(suggested: dict[str, str], why: str) -> list[str]:
    """What to print: a notice, and a line of `label<TAB>parent` for each."""
    if not suggested:
        return []
    notice = f"note: {len(suggested)} label(s) may stand below others {why}; nothing is made of that. Copy "
    lines = [f"{notice}the lines that are right to the table labels.parents:"]
    lines += [f"{label}\t{parent}" for label, parent in list(suggested.items())[:MAX_SUGGESTED]]
    if len(suggested) > MAX_SUGGESTED:
        lines.append(f"({len(suggested) - MAX_SUGGESTED} more)")
    return lines
