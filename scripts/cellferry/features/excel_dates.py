"""Gene names that a spreadsheet converted to dates or numbers: SEPT2 to 2-Sep, MARCH1 to 1-Mar."""

import re

import pandas as pd

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
SPELLINGS = {
    "MRZ": "MAR",
    "MÄR": "MAR",
    "MÄRZ": "MAR",
    "MARS": "MAR",
    "MARCH": "MAR",
    "MARC": "MAR",
    "SEPT": "SEP",
    "OKT": "OCT",
    "DEZ": "DEC",
    "DÉC": "DEC",
    "DIC": "DEC",
}
"""Months in other languages and lengths, by the months in gene names."""

DAY_AND_MONTH = re.compile(r"(\d{1,2})[-./ ]+([^\W\d_]{3,5})\.?([-./ ]+\d{2,4})?$")
MONTH_AND_DAY = re.compile(r"([^\W\d_]{3,5})\.?[-./ ]+(\d{1,2})$")
YEAR_FIRST = re.compile(r"(?:19|20)\d\d[-./](\d{1,2})[-./](\d{1,2})([ T]00:00(:00)?)?$")
YEAR_LAST = re.compile(r"(\d{1,2})[-./](\d{1,2})[-./](?:19|20)?\d\d$")
EXPONENT = re.compile(r"\d(\.\d+)?E\+\d+$")
"""RIKEN's names, such as 2310009E13 (Rik): digits, an E and digits."""

CALLED_BY = {
    "MAR": ("MARCHF{day}", "MTARC{day}"),
    "SEP": ("SEPTIN{day}",),
    "DEC": ("DELEC{day}",),
    "OCT": ("POU-domain gene OCT{day}",),
    "NOV": ("CCN3, called NOV",),
}
"""Current names of genes by month: MARCH and MARC, SEPT, DEC genes."""

LAST_MARC = 2
"""There are two MARC genes, and one DEC gene."""

MAX_DATES = 0.1
"""Share of dates above which a column has dates, not genes."""


def dates_among(var: pd.DataFrame) -> dict[str, str]:
    """Gene names that are spreadsheet dates or numbers, with their possible genes.

    Parameters
    ----------
    var
        The genes, by name, with columns of strings.
    """
    excel_dates: dict[str, str] = {}
    for values in (var.index, *(var[column] for column in var.columns)):
        names = dict.fromkeys(value for value in values if isinstance(value, str) and value[:1].isalnum())
        dates = {name: genes for name in names if (genes := genes_of_date(name)) is not None}
        if len(dates) <= max(1, MAX_DATES * len(names)):
            excel_dates |= dates
    return excel_dates


def genes_of_date(name: str) -> str | None:
    """The genes that a date may have been, `a RIKEN gene` for a number; None if the name is neither."""
    if EXPONENT.match(name):
        return "a RIKEN gene"
    if match := DAY_AND_MONTH.match(name):
        return _genes(match[2], int(match[1]))
    # Worms have genes called jun-1 and apr-1.
    if (match := MONTH_AND_DAY.match(name)) and (len(match[2]) > 1 or not name.islower()):
        return _genes(match[1], int(match[2]))
    if match := YEAR_FIRST.match(name):
        return _genes_of_numbers(int(match[1]), int(match[2]))
    if match := YEAR_LAST.match(name):
        # Month and day, or day and month.
        both = [_genes_of_numbers(int(match[first]), int(match[3 - first])) for first in (1, 2)]
        return " or ".join(dict.fromkeys(genes for genes in both if genes)) or None
    return None


def _genes_of_numbers(month: int, day: int) -> str | None:
    return _genes(MONTHS[month - 1], day) if 1 <= month <= len(MONTHS) else None


def _genes(month: str, day: int) -> str | None:
    month = month.upper()
    month = SPELLINGS.get(month, month)
    if month not in MONTHS or not 1 <= day <= 31:
        return None
    called = CALLED_BY.get(month, (f"{month}{{day}}",))
    if month == "MAR" and day > LAST_MARC:
        called = called[:1]
    return " or ".join(dict.fromkeys(name.format(day=day) for name in called))
