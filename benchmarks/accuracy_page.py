"""The pages of the accuracy benchmark: benchmarks/accuracy.md, and a part of docs/accuracy.md."""

from pathlib import Path

import pandas as pd
from accuracy_others import CELLTYPIST, OTHERS
from accuracy_pairs import FIRST_SEED
from accuracy_quoted import TOOLS
from accuracy_runs import MIN_CELLS_ALONE
from accuracy_scores import (
    ALONE,
    ANSWER,
    BASELINE,
    BEST_LABEL,
    HEADS,
    HELD_OUT,
    LIMIT,
    SEPARATORS,
    TABLE,
    UNSEEN,
    read,
)
from accuracy_tables import (
    QUOTED,
    by_method_table,
    case_table,
    everybody,
    everybody_table,
    gaps,
    limit_table,
    main_table,
    means,
    one_label_table,
    rare_table,
    rejection_table,
    short,
    unseen_table,
    worst,
)
from measuring import ROOT

PAGE = TABLE.with_suffix(".md")
DOCS = ROOT / "docs" / "accuracy.md"
BEGIN, END = "<!-- made by benchmarks/accuracy.py -->\n", "<!-- end of what benchmarks/accuracy.py made -->\n"
KEPT_ALONE = 0.8
"""Share of a label that should be right in its own query too."""

INTRODUCTION = """# Accuracy beside other tools

Real pairs of an annotated reference and a query with known labels; seeds: {seeds}; default settings. A
value with a spread is the mean of the seeds, with the lowest and the highest; one without is of one seed,
or the same in all. Accuracy and macro-F1 are over cells whose label the reference has (in ten cells or
more). *Best label* is every cell's best label, *answer* counts `unknown` as wrong. All numbers are in
[{table}]({table}).

All methods are trained on the same cells (a fifth or more of a reference is held out) and the same genes,
except *quoted* ones. These were measured once, by hand, with one seed, on the same files: trained on all
of the reference, with 2,000 variable genes.

"""
OTHER_METHODS = """- *Ranks after SingleR*: Spearman's correlation with single cells, implemented here.
- *scVI and neighbors*: the 15 nearest training cells in the latent space of the run (CytoVI's for
  cytometry).
- *Majority voting*: CellTypist's, within clusters of the query.

Zeisel's and the tumor's pairs are random halves of one dataset; the others differ by laboratory,
technology, condition, animal or patient.

"""
QUICK = """**A quick run: few cells, few epochs. It shows that everything works; its numbers mean nothing.**

"""
MAIN = """## Pairs

*Gap*: difference of the best of the others and the best label, below zero if the best label is ahead.
Gaps under .02 are within the differences between seeds.

"""
EVERYBODY = """## All methods on all pairs

Accuracy. *Worst gap*: the largest gap of a row to the best of a pair's column, over its pairs.

"""
EVERYBODY_F1 = """Macro-F1, likewise; unknown for quoted methods.

"""
LIMITS = """## Allowed and observed errors

For each `prediction.max_error`: the share of cells that get a label, the share of these labels that is
wrong, and the share that the run expects to be wrong (`expected_error`). The first two are over cells
whose label the reference has. Means of the seeds. The limit holds for cells like the held-out ones.

"""
CASES = """## Hard cases

With seed {seed}: a query of 20 cells; a reference of two labels and a query with more; a query without
60 % of its genes, with the model trained on the rest, and with missing genes as zeros. *The same, all*
includes labels of cells without a label in the reference.

"""
RARE_LABELS = """## Labels with too few reference cells

Labels of fewer than ten reference cells are not predicted: their cells should be `unknown`.

"""
BY_HEAD = """## Each classifier alone

Macro-F1. Rows of held-out cells are of the part of the reference that its model was not trained on.

"""
CALIBRATION = """## Calibration

Expected calibration error (Guo et al. 2017, ten bins of equal width): difference of probabilities and the
shares that are right. The best label's probability is calibrated on held-out cells of the reference;
those of single classifiers are not.

"""
REJECTION = """## Answers and their errors

`prediction.max_error` is .05 for cells like the held-out ones of the reference: judge it by their rows,
since a query from another laboratory can exceed it. Reasons are shares of all cells. *All*: a label given
to a cell without a label in the reference is wrong.

"""
UNSEEN_LABELS = """## Labels that the reference lacks

AUROC of their cells against those of the reference's labels: 1 if all of them are farther out, .5 by
chance. The name of a pair gives the label taken out of its reference after *without*.

"""
ONE_LABEL = """## Queries of a single cell type

With seed {seed}, every label of a query with {least} cells or more is a query of its own beside the mixed
one: the same cells, mapped and predicted without the others. Shares of the label's cells that are right,
or `unknown`.

"""
FOOTER = """## Method

{machine}.

    make benchmark-accuracy DATA=/data WORK=/scratch {choice}

Data: 10x PBMC 3k; Symphony's PBMC of three chemistries (Kang, J.B. et al. 2021); PBMC at rest and under
interferon beta (Kang, H.M. et al. 2018); sc_mixology cell lines (Tian et al. 2019); cortex and hippocampus
of mice (Zeisel et al. 2015); STARmap, prefrontal cortex (Wang et al. 2018); pancreatic tumors (Moncada et
al. 2020); CyTOF of bone marrow (Levine et al. 2015); HIPC's T cells by flow cytometry.
"""


def write_pages() -> None:
    """Write benchmarks/accuracy.md, and the part of docs/accuracy.md that is made from the table."""
    table, machine = read()
    PAGE.write_text(page(table, machine), encoding="utf-8")
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCS.write_text(before + BEGIN + excerpt(table) + END + after, encoding="utf-8")


def write_quick_page(path: Path) -> None:
    """Write the page of a quick run beside its table."""
    text = page(*read(path), name=path.name, choice="QUICK=1")
    title, _, rest = text.partition("\n\n")
    path.with_suffix(".md").write_text(f"{title}\n\n{QUICK}{rest}", encoding="utf-8")


def page(table: pd.DataFrame, machine: str, *, name: str = TABLE.name, choice: str | None = None) -> str:
    """All of benchmarks/accuracy.md; tables without rows are left out.

    `name` is the table's file, `choice` the end of the command in place of the seeds.
    """
    seeds = " ".join(str(seed) for seed in sorted(table["seed"].unique()))
    heads = [BEST_LABEL, *HEADS.values()]
    parts = [INTRODUCTION.format(seeds=seeds, table=name), OTHER_METHODS]
    parts += [in_short(table), "\n"]
    sections = {
        MAIN: main_table(table),
        EVERYBODY: everybody_table(table, "accuracy"),
        EVERYBODY_F1: everybody_table(table, "macro_f1"),
        BY_HEAD: by_method_table(table, "macro_f1", [*heads, BASELINE, CELLTYPIST]),
        CALIBRATION: by_method_table(table, "ece", heads),
        LIMITS: limit_table(table),
        REJECTION: rejection_table(table),
        UNSEEN_LABELS: unseen_table(table),
        RARE_LABELS: rare_table(table),
        CASES.format(seed=FIRST_SEED): case_table(table),
        ONE_LABEL.format(seed=FIRST_SEED, least=MIN_CELLS_ALONE): one_label_table(table),
    }
    parts += [text + found for text, found in sections.items() if found]
    return "".join(parts) + FOOTER.format(machine=machine, choice=choice or f'SEEDS="{seeds}"')


def excerpt(table: pd.DataFrame) -> str:
    """The part of docs/accuracy.md that is made from the table."""
    return f"{main_table(table)}{in_short(table)}"


def in_short(table: pd.DataFrame) -> str:
    """The main results of the tables, one sentence each."""
    gap = gaps(everybody(table))
    if gap.columns.empty:
        return ""
    size, where = worst(gap.loc[BEST_LABEL])
    size_f1, where_f1 = worst(gaps(everybody(table, "macro_f1")).loc[BEST_LABEL])
    lines = [
        f"Worst gap of the best label to the best of everything listed: {short(size)} ({where}); "
        f"in macro-F1: {short(size_f1)} ({where_f1})."
    ]
    tools = gap.index.intersection([*OTHERS, *(name + QUOTED for name in TOOLS)])
    others = {name: worst(gap.loc[name]) for name in tools if gap.loc[name].notna().any()}
    if others:
        name = min(others, key=lambda name: others[name][0])
        size, where = others[name]
        lines.append(f"Smallest worst gap of another tool, on its pairs: {short(size)} ({name}; {where}).")
    alone = means(table, ALONE, BEST_LABEL, ["right, mixed", "right, alone"])
    right = alone[alone["right, mixed"] >= KEPT_ALONE]
    lost = right[right["right, alone"] < KEPT_ALONE]
    if len(right):
        lines.append(
            f"Labels with {short(KEPT_ALONE)} or more of their cells right in a mixed query: {len(right)}; "
            f"of these with as many right in their own query: {len(right) - len(lost)}"
            + (f"; not: {listed(lost)}." if len(lost) else ".")
        )
    errors = means(table, HELD_OUT, ANSWER, ["error among accepted"]).iloc[:, 0]
    lines.append(
        f"Errors among the labels given to held-out cells: {short(errors.min())} to {short(errors.max())}."
    )
    lines += kept_promises(table)
    separation = [f"auroc of {name}" for name in SEPARATORS]
    unseen = means(table, UNSEEN, ANSWER, ["cells", *separation])
    for (pair, label), found in unseen[unseen["cells"] >= MIN_CELLS_ALONE].iterrows():
        areas = ", ".join(f"{short(found[f'auroc of {name}'])} by `{name}`" for name in SEPARATORS)
        lines.append(f"AUROC of {label} cells, which the reference lacks ({pair}): {areas}.")
    return "".join(f"- {line}\n" for line in lines)


def kept_promises(table: pd.DataFrame) -> list[str]:
    """Numbers of queries within each `max_error`, as one line, or no line."""
    found = means(table, LIMIT, ANSWER, ["error among accepted"]).iloc[:, 0].dropna()
    mixed = found[[pair in everybody(table).columns for pair in found.index.get_level_values("pair")]]
    counts = [
        f"{int((errors <= float(limit)).sum())} of {len(errors)} with `max_error` {float(limit):g}"
        for limit, errors in mixed.groupby(level="label")
    ]
    return [f"Queries with no more wrong labels than allowed: {', '.join(counts)}."] if counts else []


def listed(labels: pd.DataFrame) -> str:
    """Labels, each with the share right in its own query."""
    return ", ".join(
        f"{label} of {pair} ({short(row['right, alone'])})" for (pair, label), row in labels.iterrows()
    )
