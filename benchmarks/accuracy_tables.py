"""The tables of benchmarks/accuracy.md and docs/accuracy.md, from benchmarks/accuracy.tsv."""

import numpy as np
import pandas as pd
from accuracy_quoted import AUROC_OF_B_CELLS, METHODS, TOOLS
from accuracy_runs import MIN_CELLS_ALONE, SEED_OF_QUERIES_OF_ONE_LABEL
from accuracy_scores import (
    ALONE,
    ANSWER,
    BASELINE,
    BEST_LABEL,
    CELLTYPIST,
    HEADS,
    HELD_OUT,
    MIXED,
    REASONS,
    SEPARATORS,
    TABLE,
    UNSEEN,
    read,
)
from measuring import ROOT

PAGE = TABLE.with_suffix(".md")
DOCS = ROOT / "docs" / "accuracy.md"
BEGIN, END = "<!-- made by benchmarks/accuracy.py -->\n", "<!-- end of what benchmarks/accuracy.py made -->\n"
QUOTED = " (quoted)"
KEPT_ALONE = 0.8
"""What a query of one label should have right, where the mixed query has it."""

INTRODUCTION = """# Labels beside those of other tools

Real pairs of a labeled reference and a query whose labels are known; seeds: {seeds}; all settings are the
defaults. A value with a spread is the mean of the seeds, with the least and the most; one without is of
one seed, the first, or the same in all. Accuracy and macro-F1 are over cells whose label the reference
has (in ten cells or more). *Best label* takes every cell's best label, *answer* counts `unknown` as wrong.
All numbers are in [accuracy.tsv](accuracy.tsv).

The workflow, PCA and logistic regression, and CellTypist learn from the same training cells (a fifth or more
of a reference is held out) and the same genes. What is marked *quoted* was measured once, by hand, with one
seed, on the same files: trained on all of the reference, with 2,000 variable genes.

Measured with one head on expression; `expression_pca` and `expression_ranks` came later, as did calibration
by a temperature alone and learned limits of quality.

"""
MAIN = """## Pairs

*Gap* is what the best label lacks to the best of the others, below zero where it is ahead. Gaps under .02 are
within what another seed gives.

"""
EVERYBODY = """## Everybody on every pair

Accuracy. *Worst gap*: the most that a row lacks, on any of its pairs, to the best of that pair's column.

"""
BY_HEAD = """## Each classifier alone

Macro-F1. Rows of held-out cells are of the part of the reference that its model never met.

"""
CALIBRATION = """## Calibration

Expected calibration error (Guo et al. 2017, ten bins of equal width): how far probabilities are from the
shares that are right. The best label's probability is calibrated on held-out cells of the reference; those
of single classifiers are not.

"""
REJECTION = """## What is answered, and how often it is wrong

`prediction.max_error` is .05, on cells like the held-out ones of the reference: the rows of these are the
fair comparison, and a query from another laboratory is not promised as much. Reasons are shares of all cells.
*All*: a label given to a cell that the reference has no label for counts as wrong.

"""
UNSEEN_LABELS = """## Labels that the reference lacks

AUROC of telling their cells from those of labels it has: 1 where all of them look farther out, .5 by chance.

"""
ONE_LABEL = """## Queries of a single cell type

With seed {seed}, every label of a query with {least} cells or more is a query of its own beside the mixed
one: the same cells, mapped and predicted without the others. Shares of the label's cells that are right, or
`unknown`.

"""
FOOTER = """## How

{machine}.

    make benchmark-accuracy DATA=/data WORK=/scratch SEEDS="{seeds}"

Data: 10x PBMC 3k; Symphony's PBMC of three chemistries (Kang, J.B. et al. 2021); PBMC at rest and under
interferon beta (Kang, H.M. et al. 2018); sc_mixology cell lines (Tian et al. 2019).
"""


def write_pages() -> None:
    """Write benchmarks/accuracy.md, and the part of docs/accuracy.md that is made from the table."""
    table, machine = read()
    PAGE.write_text(page(table, machine), encoding="utf-8")
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(before + BEGIN + excerpt(table) + END + after, encoding="utf-8")


def page(table: pd.DataFrame, machine: str) -> str:
    """All of benchmarks/accuracy.md."""
    seeds = " ".join(str(seed) for seed in sorted(table["seed"].unique()))
    parts = [INTRODUCTION.format(seeds=seeds), in_short(table), "\n"]
    parts += [MAIN, main_table(table), EVERYBODY, everybody_table(table)]
    heads = [BEST_LABEL, *HEADS.values()]
    parts += [BY_HEAD, by_method_table(table, "macro_f1", [*heads, BASELINE, CELLTYPIST])]
    parts += [CALIBRATION, by_method_table(table, "ece", heads)]
    parts += [REJECTION, rejection_table(table), UNSEEN_LABELS, unseen_table(table)]
    alone = ONE_LABEL.format(seed=SEED_OF_QUERIES_OF_ONE_LABEL, least=MIN_CELLS_ALONE)
    parts += [alone, one_label_table(table)]
    return "".join(parts) + FOOTER.format(machine=machine, seeds=seeds)


def excerpt(table: pd.DataFrame) -> str:
    """What docs/accuracy.md shows of it."""
    return f"{main_table(table)}{in_short(table)}"


def accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of everything listed (rows) on every pair (columns), mean of the seeds; NaN where unknown."""
    measured = table.query("kind == @MIXED and measure == 'accuracy'")
    found = measured.pivot_table("value", "method", "pair")
    order = [BEST_LABEL, ANSWER, *HEADS.values(), BASELINE, CELLTYPIST]
    found = found.loc[[name for name in order if name in found.index], list(measured["pair"].unique())]
    quoted = pd.DataFrame({name + QUOTED: values for name, values in {**TOOLS, **METHODS}.items()}).T
    return pd.concat([found, quoted.reindex(columns=found.columns)])


def gaps(accuracy: pd.DataFrame) -> pd.DataFrame:
    """What every row lacks to the best of each column."""
    return accuracy.max() - accuracy


def worst(gap: pd.Series) -> tuple[float, str]:
    """The largest gap of a row, and the pair it is on."""
    return float(gap.max()), str(gap.idxmax())


def in_short(table: pd.DataFrame) -> str:
    """What the tables come to, one sentence each."""
    gap = gaps(accuracies(table))
    size, where = worst(gap.loc[BEST_LABEL])
    lines = [f"Worst gap of the best label to the best of everything listed: {short(size)} ({where})."]
    tools = gap.index.intersection([CELLTYPIST, *(name + QUOTED for name in TOOLS)])
    others = {name: worst(gap.loc[name]) for name in tools if gap.loc[name].notna().any()}
    if others:
        name = min(others, key=lambda name: others[name][0])
        size, where = others[name]
        lines.append(
            f"The smallest worst gap of another tool, on the pairs it has: {short(size)} ({name}; {where})."
        )
    alone = means(table, ALONE, BEST_LABEL, ["right, mixed", "right, alone"])
    right = alone[alone["right, mixed"] >= KEPT_ALONE]
    lost = right[right["right, alone"] < KEPT_ALONE]
    if len(right):
        lines.append(
            f"Of {len(right)} labels of which a mixed query has {short(KEPT_ALONE)} or more right, "
            f"{len(right) - len(lost)} have as many right in a query of their own"
            + (f"; not: {listed(lost)}." if len(lost) else ".")
        )
    errors = means(table, HELD_OUT, ANSWER, ["error among accepted"]).iloc[:, 0]
    lines.append(
        f"Errors among the labels given to held-out cells: {short(errors.min())} to {short(errors.max())}."
    )
    separation = [f"auroc of {name}" for name in SEPARATORS]
    unseen = means(table, UNSEEN, ANSWER, ["cells", *separation])
    for (pair, label), found in unseen[unseen["cells"] >= MIN_CELLS_ALONE].iterrows():
        areas = ", ".join(f"{short(found[f'auroc of {name}'])} by `{name}`" for name in SEPARATORS)
        lines.append(f"AUROC of {label} cells, which the reference lacks ({pair}): {areas}.")
    return "".join(f"- {line}\n" for line in lines)


def listed(labels: pd.DataFrame) -> str:
    """Labels with what their own query has right."""
    return ", ".join(
        f"{label} of {pair} ({short(row['right, alone'])})" for (pair, label), row in labels.iterrows()
    )


def means(table: pd.DataFrame, kind: str, method: str, measures: list[str]) -> pd.DataFrame:
    """Means over the seeds: a row per pair and label, a column per measure."""
    rows = table.query("kind == @kind and method == @method and measure in @measures")
    found = rows.pivot_table("value", ["pair", "label"], "measure", sort=False)
    return found.reindex(columns=measures).astype(float)


def main_table(table: pd.DataFrame) -> str:
    """One row per pair: own scores, others beside them, and the gap."""
    accuracy = accuracies(table)
    others = accuracy.drop(index=[BEST_LABEL, ANSWER, *HEADS.values()], errors="ignore")
    lines = []
    for pair in accuracy.columns:
        best = others[pair].idxmax()
        line = [pair, cells(table, pair, MIXED), spread(table, pair, BEST_LABEL, "accuracy")]
        line += [spread(table, pair, BEST_LABEL, "macro_f1"), spread(table, pair, ANSWER, "accuracy")]
        line += [spread(table, pair, method, "accuracy") for method in (BASELINE, CELLTYPIST)]
        line += [f"{short(others.loc[best, pair])}, {best}"]
        lines.append([*line, short(others.loc[best, pair] - accuracy.loc[BEST_LABEL, pair])])
    heads = ["reference → query", "cells", "best label", "its macro-F1", "answer", "PCA and LR", "CellTypist"]
    return markdown([*heads, "best of the others", "gap"], lines)


def everybody_table(table: pd.DataFrame) -> str:
    """Accuracy of everything listed on every pair, and the worst gap of each."""
    accuracy = accuracies(table)
    lines = []
    for name, gap in gaps(accuracy).iterrows():
        size, where = worst(gap.dropna()) if gap.notna().any() else (np.nan, "")
        lines.append([name, *(short(value) for value in accuracy.loc[name]), short(size), where])
    return markdown(["", *accuracy.columns, "worst gap", "on"], lines)


def by_method_table(table: pd.DataFrame, measure: str, methods: list[str]) -> str:
    """One measure of every method, of queries and of held-out cells."""
    present = set(table.query("measure == @measure")["method"])
    methods = [method for method in methods if method in present]
    lines = [
        [pair, *(spread(table, pair, method, measure, kind=kind) for method in methods)]
        for kind, pair in scored(table)
    ]
    return markdown(["reference → query", *methods], lines)


def rejection_table(table: pd.DataFrame) -> str:
    """What was answered, why the rest was not, how often answers are wrong, and prediction sets."""
    measures = ["unknown", *REASONS, "error among accepted", "error among accepted, unseen labels too"]
    measures += ["coverage", "labels in a set"]
    lines = [
        [pair, cells(table, pair, kind), *(spread(table, pair, ANSWER, name, kind=kind) for name in measures)]
        for kind, pair in scored(table)
    ]
    heads = ["reference → query", "cells", "unknown", *REASONS, "error among accepted", "the same, all"]
    return markdown([*heads, "truth in the prediction set", "labels in it"], lines)


def unseen_table(table: pd.DataFrame) -> str:
    """What becomes of labels that the reference lacks; what others reach for B cells below it."""
    lines = []
    for pair, label in table.query("kind == @UNSEEN")[["pair", "label"]].drop_duplicates().to_numpy():
        of = {"kind": UNSEEN, "label": label}
        line = [pair, label, cells(table, pair, **of), spread(table, pair, ANSWER, "unknown", **of)]
        line += [spread(table, pair, ANSWER, f"auroc of {name}", **of) for name in SEPARATORS]
        lines.append([*line, spread(table, pair, CELLTYPIST, "auroc of probability", **of)])
    heads = [
        "reference → query",
        "label",
        "cells",
        "called unknown",
        *(f"by `{name}`" for name in SEPARATORS),
    ]
    others = ", ".join(f"{name} {short(value)}" for name, value in AUROC_OF_B_CELLS.items())
    return f"{markdown([*heads, 'CellTypist, by probability'], lines)}Quoted, for the B cells: {others}.\n\n"


def one_label_table(table: pd.DataFrame) -> str:
    """Cells of one label in the mixed query, and in a query of their own."""
    columns = [(BEST_LABEL, "right"), (ANSWER, "right"), (ANSWER, "unknown")]
    lines = []
    for pair, label in table.query("kind == @ALONE")[["pair", "label"]].drop_duplicates().to_numpy():
        of = {"kind": ALONE, "label": label}
        line = [pair, label, cells(table, pair, **of)]
        for method, measure in columns:
            line += [spread(table, pair, method, f"{measure}, {where}", **of) for where in ("mixed", "alone")]
        lines.append(line)
    heads = ["reference → query", "label", "cells", "best label, mixed", "alone", "answer, mixed", "alone"]
    return markdown([*heads, "unknown, mixed", "alone"], lines)


def scored(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Kind and pair of all queries, and after these of all held-out parts."""
    pairs = {kind: table.query("kind == @kind")["pair"].unique() for kind in (MIXED, HELD_OUT)}
    return [(kind, pair) for kind in pairs for pair in pairs[kind]]


def values_of(
    table: pd.DataFrame, pair: str, method: str, measure: str, *, kind: str, label: str
) -> np.ndarray:
    """The values of all seeds."""
    return table.query(
        "pair == @pair and method == @method and measure == @measure and kind == @kind and label == @label"
    )["value"].to_numpy()


def spread(
    table: pd.DataFrame, pair: str, method: str, measure: str, *, kind: str = MIXED, label: str = ""
) -> str:
    """Mean of the seeds, and their least and most where these differ: `.871 (.868–.874)`."""
    values = values_of(table, pair, method, measure, kind=kind, label=label)
    if not len(values):
        return "–"
    least, most = short(values.min()), short(values.max())
    return short(values.mean()) if least == most else f"{short(values.mean())} ({least}–{most})"


def cells(table: pd.DataFrame, pair: str, kind: str, label: str = "") -> str:
    """Number of cells, or its range."""
    values = values_of(table, pair, ANSWER, "cells", kind=kind, label=label)
    least, most = f"{values.min():.0f}", f"{values.max():.0f}"
    return least if least == most else f"{least}–{most}"


def short(value: float) -> str:
    """A share with three decimals and no leading zero; a minus where it is below zero."""
    if np.isnan(value):
        return "–"
    text = f"{abs(value):.3f}".removeprefix("0")
    return f"−{text}" if value <= -0.0005 else text


def markdown(heads: list[str], lines: list[list[str]]) -> str:
    """A table, and an empty line."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) + "\n"
