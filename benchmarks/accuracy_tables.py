"""The tables of the accuracy benchmark, from its long table of scores."""

import numpy as np
import pandas as pd
from accuracy_others import CELLTYPIST, OTHERS
from accuracy_quoted import AUROC_OF_B_CELLS, METHODS, TOOLS
from accuracy_scores import (
    ALONE,
    ANSWER,
    BASELINE,
    BEST_LABEL,
    CASE,
    HEADS,
    HELD_OUT,
    LIMIT,
    MIXED,
    RARE,
    REASONS,
    SEPARATORS,
    UNSEEN,
)
from measuring import markdown

QUOTED = " (quoted)"
OWN = [BEST_LABEL, ANSWER, *HEADS.values()]
MEASURED_OTHERS = [BASELINE, *OTHERS]


def everybody(table: pd.DataFrame, measure: str = "accuracy") -> pd.DataFrame:
    """One measure of all methods (rows) on all pairs (columns), mean of the seeds; NaN if unknown.

    Quoted methods have an accuracy only.
    """
    measured = table.query("kind == @MIXED and measure == @measure")
    found = measured.pivot_table("value", "method", "pair")
    order = [name for name in [*OWN, *MEASURED_OTHERS] if name in found.index]
    found = found.loc[order, list(measured["pair"].unique())]
    if measure != "accuracy":
        return found
    quoted = pd.DataFrame({name + QUOTED: values for name, values in {**TOOLS, **METHODS}.items()}).T
    return pd.concat([found, quoted.reindex(columns=found.columns)])


def gaps(scores: pd.DataFrame) -> pd.DataFrame:
    """Difference of each column's best and every row."""
    return scores.max() - scores


def worst(gap: pd.Series) -> tuple[float, str]:
    """The largest gap of a row, and the pair it is on."""
    return float(gap.max()), str(gap.idxmax())


def means(table: pd.DataFrame, kind: str, method: str, measures: list[str]) -> pd.DataFrame:
    """Means over the seeds: a row per pair and label, a column per measure."""
    rows = table.query("kind == @kind and method == @method and measure in @measures")
    found = rows.pivot_table("value", ["pair", "label"], "measure", sort=False)
    return found.reindex(columns=measures).astype(float)


def main_table(table: pd.DataFrame) -> str:
    """One row per pair: scores of cellferry and of other tools, and the gaps."""
    accuracy, macro_f1 = (everybody(table, measure) for measure in ("accuracy", "macro_f1"))
    others = accuracy.drop(index=OWN, errors="ignore")
    others_f1 = macro_f1.drop(index=OWN, errors="ignore")
    lines = []
    for pair in accuracy.columns:
        best = others[pair].idxmax()
        line = [pair, cells(table, pair, MIXED), spread(table, pair, BEST_LABEL, "accuracy")]
        line += [spread(table, pair, BEST_LABEL, "macro_f1"), spread(table, pair, ANSWER, "accuracy")]
        line += [spread(table, pair, method, "accuracy") for method in (BASELINE, CELLTYPIST)]
        line += [f"{short(others.loc[best, pair])}, {best}"]
        line += [short(others.loc[best, pair] - accuracy.loc[BEST_LABEL, pair])]
        lines.append([*line, short(others_f1[pair].max() - macro_f1[pair].get(BEST_LABEL, np.nan))])
    heads = ["reference → query", "cells", "best label", "its macro-F1", "answer", "PCA and LR", "CellTypist"]
    return table_of([*heads, "best of the others", "gap", "gap in macro-F1"], lines)


def everybody_table(table: pd.DataFrame, measure: str) -> str:
    """One measure of all methods on all pairs, and the worst gap of each."""
    scores = everybody(table, measure)
    if scores.columns.empty:
        return ""
    lines = []
    for name, gap in gaps(scores).iterrows():
        size, where = worst(gap.dropna()) if gap.notna().any() else (np.nan, "")
        lines.append([name, *(short(value) for value in scores.loc[name]), short(size), where])
    head = "" if measure == "accuracy" else measure.replace("_", "-").replace("f1", "F1")
    return table_of([head, *scores.columns, "worst gap", "on"], lines)


def by_method_table(table: pd.DataFrame, measure: str, methods: list[str]) -> str:
    """One measure of every method, of queries and of held-out cells."""
    present = set(table.query("measure == @measure")["method"])
    methods = [method for method in methods if method in present]
    lines = [
        [pair, *(spread(table, pair, method, measure, kind=kind) for method in methods)]
        for kind, pair in scored(table)
    ]
    return table_of(["reference → query", *methods], lines)


def rejection_table(table: pd.DataFrame) -> str:
    """Shares answered, reasons for the rest, errors of the answers, and prediction sets."""
    measures = ["unknown", *REASONS, "error among accepted", "error among accepted, unseen labels too"]
    measures += ["coverage", "labels in a set"]
    lines = [
        [pair, cells(table, pair, kind), *(spread(table, pair, ANSWER, name, kind=kind) for name in measures)]
        for kind, pair in scored(table)
    ]
    heads = ["reference → query", "cells", "unknown", *REASONS, "error among accepted", "the same, all"]
    return table_of([*heads, "truth in the prediction set", "labels in it"], lines)


def limit_table(table: pd.DataFrame) -> str:
    """Shares labeled with each `max_error`, observed and expected errors; means of the seeds."""
    measures = ["given", "error among accepted", "expected error"]
    found = means(table, LIMIT, ANSWER, measures)
    limits = sorted(found.index.get_level_values("label").unique())
    lines = [
        [pair, *(short(found[name].get((pair, limit), np.nan)) for limit in limits for name in measures)]
        for pair in found.index.get_level_values("pair").unique()
    ]
    heads = [f"{float(limit):g}: {name}" for limit in limits for name in ("given", "wrong", "expected")]
    return table_of(["reference → query", *heads], lines)


def case_table(table: pd.DataFrame) -> str:
    """Scores of the hard cases."""
    measures = [
        "unknown",
        "error among accepted",
        "error among accepted, unseen labels too",
        "expected error",
    ]
    lines = []
    for pair in table.query("kind == @CASE")["pair"].unique():
        line = [pair, cells(table, pair, CASE)]
        line += [spread(table, pair, BEST_LABEL, name, kind=CASE) for name in ("accuracy", "macro_f1")]
        line += [spread(table, pair, method, "accuracy", kind=CASE) for method in (ANSWER, *MEASURED_OTHERS)]
        lines.append([*line, *(spread(table, pair, ANSWER, name, kind=CASE) for name in measures)])
    heads = ["reference → query", "cells", "best label", "its macro-F1", "answer", *MEASURED_OTHERS]
    return table_of([*heads, "unknown", "error among accepted", "the same, all", "expected error"], lines)


def rare_table(table: pd.DataFrame) -> str:
    """Predictions of cells whose label has too few reference cells."""
    lines = []
    for pair, label in table.query("kind == @RARE")[["pair", "label"]].drop_duplicates().to_numpy():
        of = {"kind": RARE, "label": label}
        numbers = [number(table, pair, ANSWER, "reference cells", **of), cells(table, pair, **of)]
        lines.append([pair, label, *numbers, spread(table, pair, ANSWER, "unknown", **of)])
    return table_of(["reference → query", "label", "reference cells", "cells", "called unknown"], lines)


def unseen_table(table: pd.DataFrame) -> str:
    """Predictions of labels that the reference lacks, and quoted results for B cells."""
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
    found = table_of([*heads, "CellTypist, by probability"], lines)
    return found and f"{found}Quoted, for the B cells of PBMC 3k: {others}.\n\n"


def one_label_table(table: pd.DataFrame) -> str:
    """Cells of one label in the mixed query and in their own."""
    columns = [(BEST_LABEL, "right"), (ANSWER, "right"), (ANSWER, "unknown")]
    lines = []
    for pair, label in table.query("kind == @ALONE")[["pair", "label"]].drop_duplicates().to_numpy():
        of = {"kind": ALONE, "label": label}
        line = [pair, label, cells(table, pair, **of)]
        for method, measure in columns:
            line += [spread(table, pair, method, f"{measure}, {where}", **of) for where in ("mixed", "alone")]
        lines.append(line)
    heads = ["reference → query", "label", "cells", "best label, mixed", "alone", "answer, mixed", "alone"]
    return table_of([*heads, "unknown, mixed", "alone"], lines)


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
    """Mean of the seeds, with lowest and highest if these differ: `.871 (.868–.874)`."""
    values = values_of(table, pair, method, measure, kind=kind, label=label)
    if not len(values):
        return "–"
    least, most = short(values.min()), short(values.max())
    return short(values.mean()) if least == most else f"{short(values.mean())} ({least}–{most})"


def cells(table: pd.DataFrame, pair: str, kind: str, label: str = "") -> str:
    """Number of cells, or its range."""
    return number(table, pair, ANSWER, "cells", kind=kind, label=label)


def number(table: pd.DataFrame, pair: str, method: str, measure: str, *, kind: str, label: str = "") -> str:
    """A number, or its range."""
    values = values_of(table, pair, method, measure, kind=kind, label=label)
    least, most = f"{values.min():.0f}", f"{values.max():.0f}"
    return least if least == most else f"{least}–{most}"


def short(value: float) -> str:
    """A share with three decimals and no leading zero; a minus if negative."""
    if np.isnan(value):
        return "–"
    text = f"{abs(value):.3f}".removeprefix("0")
    return f"−{text}" if value <= -0.0005 else text


def table_of(heads: list[str], lines: list[list[str]]) -> str:
    """A table and an empty line; an empty text without lines."""
    return markdown(heads, lines) + "\n" if lines else ""
