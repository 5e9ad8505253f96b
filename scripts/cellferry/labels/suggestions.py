"""Suggested lines for a table of parents, which have no effect until the user copies them."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

WORD = re.compile(r"[^\W_]+")
GENERIC = {"cell"}
"""Words in the names of many labels."""

MAX_SUGGESTED = 50

MIN_CELLS, MIN_SHARE_EACH, MIN_SHARE_TOGETHER = 20, 0.1, 0.5
"""Minimum of a possible coarser label's cells, and of their shares with finer labels."""


def parents_by_name(labels: Iterable[str], others: Iterable[str], tree: dict[str, str]) -> dict[str, str]:
    """Possible parents of labels, by their words: `T cell` of `CD4 T cells`.

    Parameters
    ----------
    labels
        Labels of the references, which may be below others.
    others
        Further labels, of queries, which may be above them.
    tree
        Parent by label, as given: a label that has one is left alone.
    """
    words = {label: _words(label) for label in (*labels, *others)}
    suggested = {}
    for label in labels:
        above = [other for other in words if words[other] < words[label] and not words[other] <= GENERIC]
        if above and label not in tree:
            # The one with most words in common; the first by name of several.
            suggested[label] = min(above, key=lambda other: (-len(words[other]), other))
    return suggested


def parents_by_mapping(cells: Mapping[tuple[str, str], int], leaves: Collection[str]) -> dict[str, str]:
    """Possible parents of labels, by the predicted labels of the parents' cells.

    If most cells of a label were predicted as two or more labels, each for a tenth of them, it may be a
    coarser label in another annotation.

    Parameters
    ----------
    cells
        Cells by truth and predicted label.
    leaves
        Labels that can be predicted; other predictions are not finer labels.
    """
    suggested = {}
    sizes: Counter[str] = Counter()
    for (truth, _), n in cells.items():
        sizes[truth] += n
    for truth in sorted(name for name, n in sizes.items() if n >= MIN_CELLS):
        called = {
            label: n
            for (name, label), n in cells.items()
            if name == truth and label in leaves and label != truth and n >= MIN_SHARE_EACH * sizes[truth]
        }
        if len(called) > 1 and sum(called.values()) >= MIN_SHARE_TOGETHER * sizes[truth]:
            for label in sorted(called):
                suggested.setdefault(label, truth)
    return suggested


def _words(label: str) -> frozenset[str]:
    return frozenset(word.rstrip("s") or word for word in WORD.findall(label.casefold()))


def suggestion_lines(suggested: dict[str, str], why: str) -> list[str]:
    """Lines to print: a notice, and `label<TAB>parent` for each suggestion."""
    if not suggested:
        return []
    notice = f"note: {len(suggested)} label(s) may be below others {why}; this has no effect. Copy "
    lines = [f"{notice}correct lines to the table labels.parents:"]
    lines += [f"{label}\t{parent}" for label, parent in list(suggested.items())[:MAX_SUGGESTED]]
    if len(suggested) > MAX_SUGGESTED:
        lines.append(f"({len(suggested) - MAX_SUGGESTED} more)")
    return lines
