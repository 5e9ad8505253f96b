"""Dates that a spreadsheet made of gene symbols, and the original genes."""

import pandas as pd
import pytest
from cellferry.features.excel_dates import dates_among, genes_of_date

MARCH = "MARCHF1 or MTARC1"


@pytest.mark.parametrize(
    ("name", "genes"),
    [
        ("1-Mar", MARCH),
        ("01-Mar", MARCH),
        ("Mar-01", MARCH),
        ("Mar-1", MARCH),
        ("1-mars", MARCH),
        ("01. Mrz", MARCH),
        ("1. Mär", MARCH),
        ("1-Mar-06", MARCH),
        ("1-Mar-2006", MARCH),
        ("2006/03/01", MARCH),
        ("2006-03-01", MARCH),
        ("2006-03-01 00:00:00", MARCH),
        ("3-Mar", "MARCHF3"),
        ("2-Sep", "SEPTIN2"),
        ("02-sept", "SEPTIN2"),
        ("2006/09/02", "SEPTIN2"),
        ("9/15/2006", "SEPTIN15"),
        ("15.09.2006", "SEPTIN15"),
        ("1-Dec", "DELEC1"),
        ("1-Dez", "DELEC1"),
        ("2.31E+19", "a RIKEN gene"),
    ],
)
def test_dates(name, genes):
    assert genes_of_date(name) == genes


@pytest.mark.parametrize(
    "name",
    [
        "MARCHF1",
        "SEPT2",
        "SEPTIN2",
        "DEC1",
        "MAR1",
        "OCT4",
        "NOV",
        "HLA-A",
        "NKX2-1",
        "jun-1",
        "apr-1",
        "KRTAP5-1",
        "1-Foo",
        "1-2-3",
        "AC012345.1",
        "2310009E13Rik",
        "ENSG00000000003.15",
        "40-Mar",
        "2006-13-01",
        "MT-CO1",
        "RP11-34P13.7",
        "Y_RNA",
        "7SK",
        "5S_rRNA",
    ],
)
def test_genes_that_are_no_dates(name):
    assert genes_of_date(name) is None


def test_dates_among_genes_and_their_columns():
    genes = ["1-Mar", "ACTB", "1-Mar", *(f"G{number}" for number in range(20))]
    columns = {
        "symbol": ["2-Sep", *(f"S{number}" for number in range(22))],
        "released": ["1-Dec", "2-Dec"] + ["3-Dec"] * 21,
        "length": range(23),
    }
    found = dates_among(pd.DataFrame(columns, index=genes))
    assert found == {"1-Mar": MARCH, "2-Sep": "SEPTIN2"}
