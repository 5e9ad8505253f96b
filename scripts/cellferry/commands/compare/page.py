"""The printed comparison of two tables, and the written table."""

import csv
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ...core.atomic import complete
from ...core.text import aligned, printable
from ...labels.vocabulary import UNKNOWN
from .answers import Answers
from .causes import MEANING, SAME
from .identities import UNRECORDED, share
from .pairs import BATCH, Pairs

MAX_PAIRS = 20
"""Maximum number of printed pairs of labels; the file has all."""

MAX_LABELS = 20
"""Maximum number of printed labels that only one table has."""

MAX_TEXT = 40
"""Maximum number of printed characters of a label."""


def as_page(
    pairs: Pairs, rows: list[dict], origins: tuple[dict, dict], vocabularies: tuple[set[str], set[str]]
) -> str:
    """The comparison as text: differences of the tables, changed labels and their causes.

    Parameters
    ----------
    pairs
        The tables, after all cells were read.
    rows
        Rows of `cellferry.commands.compare.causes.counted`.
    origins
        Fields of `cellferry.commands.compare.identities.identities`, for A and B.
    vocabularies
        Labels that could be given in A, and in B.
    """
    changed = [row for row in rows if row["cause"] != SAME]
    parts = [
        [f"{each.key}  {printable(str(each.path))}  ({each.n_cells:,} cells)" for each in (pairs.a, pairs.b)],
        *differences(*origins),
        summary(pairs, rows),
    ]
    if changed:
        parts += [causes_table(changed), pairs_table(changed)]
    parts += [one_sided(pairs.a, "a_label", rows, *vocabularies)]
    parts += [one_sided(pairs.b, "b_label", rows, *vocabularies[::-1])]
    if any(BATCH in row for row in rows):
        parts.append(batches_table(rows))
    return "\n\n".join("\n".join(part) for part in parts if part)


def differences(a: dict[str, str], b: dict[str, str]) -> list[list[str]]:
    """A table of origin fields that differ, and the names of equal fields."""
    same = [field for field in a if a[field] == b[field] != UNRECORDED]
    rows = [(field, shown(a[field]), shown(b[field])) for field in a if a[field] != b[field]]
    table = aligned([("difference", "A", "B"), *rows], left=(0, 1, 2)) if rows else []
    return [table, [f"same in both: {', '.join(same)}"] if same else []]


def summary(pairs: Pairs, rows: list[dict]) -> list[str]:
    """Numbers of cells with the same label, and of changes to and from `unknown`."""
    same = sum(row["cells"] for row in rows if row["cause"] == SAME)
    both = sum(row["cells"] for row in rows)
    became = sum(row["cells"] for row in rows if row["a_label"] != UNKNOWN == row["b_label"])
    were = sum(row["cells"] for row in rows if row["a_label"] == UNKNOWN != row["b_label"])
    how = "in the same order" if pairs.same_order else "matched by name"
    lines = [
        f"{both:,} cells are in both, {how}. Same label: {same:,} ({share(same / both)}). "
        f"Changed: {both - same:,}.",
        f"  became {UNKNOWN}: {became:,}; were {UNKNOWN}: {were:,}; another label: "
        f"{both - same - became - were:,}",
    ]
    lines += [f"  only in {key}: {cells:,} cells" for key, cells in pairs.only.items() if cells]
    return lines


def causes_table(changed: list[dict]) -> list[str]:
    """Changed cells by cause, the largest first, with the meaning of each cause."""
    cells = total(changed, "cause")
    everything = cells.total()
    rows = [(cause, f"{n:,}", share(n / everything), MEANING[cause]) for cause, n in cells.most_common()]
    return aligned([("most likely cause", "cells", "share", ""), *rows])


def pairs_table(changed: list[dict]) -> list[str]:
    """The most frequent changes with their most frequent cause."""
    cells = total(changed, "a_label", "b_label")
    causes = total(changed, "a_label", "b_label", "cause")
    rows = []
    for (a, b), n in cells.most_common(MAX_PAIRS):
        cause = max(MEANING, key=lambda name: causes[a, b, name])
        rows.append((shown(a), shown(b), f"{n:,}", f"{cause} ({causes[a, b, cause]:,})"))
    lines = aligned([("label in A", "label in B", "cells", "most likely cause"), *rows], left=(0, 1, 3))
    more = len(cells) - len(rows)
    return lines + ([f"and {more:,} more pairs; OUTPUT=changes.tsv writes all of them"] if more else [])


def one_sided(answers: Answers, side: str, rows: list[dict], here: set[str], there: set[str]) -> list[str]:
    """Labels that only one table could give, with their cells' labels in the other."""
    cells, other = Counter(), {}
    for row in rows:
        cells[row[side]] += row["cells"]
        across = row["b_label" if side == "a_label" else "a_label"]
        other.setdefault(row[side], Counter())[across] += row["cells"]
    labels = sorted(here - there, key=lambda label: (-cells[label], label))
    found = []
    for label in labels[:MAX_LABELS]:
        across = [
            f"{shown(name)} {share(n / cells[label])}"
            for name, n in other.get(label, Counter()).most_common(3)
        ]
        found.append((f"  {shown(label)}", f"{cells[label]:,}", ", ".join(across)))
    more = [f"  and {len(labels) - MAX_LABELS:,} more"] if len(labels) > MAX_LABELS else []
    there_name = "B" if answers.key == "A" else "A"
    head = (f"only in {answers.key}", "cells", f"label in {there_name}")
    return aligned([head, *found]) + more if found else []


def batches_table(rows: list[dict]) -> list[str]:
    """Cells and share of changed labels by batch."""
    cells = total(rows, BATCH)
    changed = total([row for row in rows if row["cause"] != SAME], BATCH)
    found = [
        (shown(batch or "none"), f"{n:,}", f"{changed[batch]:,}", share(changed[batch] / n))
        for batch, n in sorted(cells.items(), key=lambda item: str(item[0]))
    ]
    return aligned([("batch", "cells", "changed", "share"), *found], left=(0,))


def write_table(rows: list[dict], path: Path) -> None:
    """Write cells by both labels and cause as tab-separated text, the most frequent first."""
    cells = total(rows, "a_label", "b_label", "cause")
    with complete(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["label_a", "label_b", "cause", "cells"])
        for key, n in sorted(cells.items(), key=lambda item: (-item[1], item[0])):
            writer.writerow([*key, n])


def total(rows: Iterable[dict], *keys: str) -> Counter:
    """Count cells by one value or a tuple of values; ties are sorted by value."""
    cells: Counter = Counter()
    for row in rows:
        cells[row[keys[0]] if len(keys) == 1 else tuple(row[key] for key in keys)] += row["cells"]
    return Counter(dict(sorted(cells.items(), key=lambda item: str(item[0]))))


def shown(text: str) -> str:
    """A text for a table: on one line, and shortened."""
    text = printable(text)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
