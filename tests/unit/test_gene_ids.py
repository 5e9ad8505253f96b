"""Gene ids: kinds, versions, translation by a table, and the choice of columns."""

import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from cellferry.features.gene_ids import candidate_ids, harmonize, id_kind, read_gene_table, strip_version

ENSEMBL_IDS = ["ENSG00000000003.15", "ENSG00000000005", "ENSG00000000419.1"]
SYMBOLS = ["TSPAN6", "TNMD", "DPM1"]


def offered(var, table=None, gene_id="auto"):
    return candidate_ids(var, gene_id=gene_id, table=table)


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (ENSEMBL_IDS, "ensembl"),
        (["ENSMUSG00000051951.6", "ENSMUSG00000089699"], "ensembl"),
        (SYMBOLS, "symbol"),
        (["574405", "574404"], "symbol"),
        ([], "symbol"),
    ],
)
def test_kind(ids, kind):
    assert id_kind(np.array(ids)) == kind


@pytest.mark.parametrize(
    ("gene", "stripped"),
    [
        ("ENSG00000139618.19", "ENSG00000139618"),
        ("ENSG00000182378.15_PAR_Y", "ENSG00000182378"),
        ("AP000902.1", "AP000902.1"),  # a symbol, not a version
        ("H2-K1", "H2-K1"),
    ],
)
def test_versions_are_stripped_from_ensembl_ids_only(gene, stripped):
    assert strip_version(gene) == stripped


def test_a_var_column_brings_two_kinds_together():
    reference = pd.DataFrame(index=ENSEMBL_IDS)
    query = pd.DataFrame({"gene_ids": ["ENSG00000000005.6", "ENSG00000000419"]}, index=["TNMD", "DPM1"])
    result = harmonize({"r": offered(reference), "q": offered(query)}, reference="r")
    assert result.kind == "ensembl"
    assert result.columns == {"r": "index", "q": "gene_ids"}
    assert result.common == ["ENSG00000000005", "ENSG00000000419"]


def test_of_two_kinds_that_fit_the_references_names_win():
    var = pd.DataFrame({"ENSEMBL": ENSEMBL_IDS}, index=SYMBOLS)
    result = harmonize({"r": offered(var), "q": offered(var)}, reference="r")
    assert (result.kind, result.common) == ("symbol", SYMBOLS)


def test_a_table_brings_two_kinds_together(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text(
        "gene_id,gene_name\n" + "".join(f"{e},{s}\n" for e, s in zip(ENSEMBL_IDS, SYMBOLS, strict=True))
    )
    table = read_gene_table(path)
    candidates = {
        "r": offered(pd.DataFrame(index=ENSEMBL_IDS), table),
        "q": offered(pd.DataFrame(index=["DPM1", "TNMD", "NOT_IN_TABLE"]), table),
    }
    result = harmonize(candidates, reference="r")
    assert result.common == ["ENSG00000000005", "ENSG00000000419"]
    assert result.columns["q"] == "index, by genes.map"
    assert list(result.ids["q"]) == ["ENSG00000000419", "ENSG00000000005", None]


def test_table_columns_may_stand_the_other_way_and_the_first_row_counts(tmp_path):
    path = tmp_path / "map.tsv"
    path.write_text("TSPAN6\tENSG00000000003.15\nTSPAN6\tENSG00000999999\n")
    table = read_gene_table(path)
    assert table.to_ensembl == {"TSPAN6": "ENSG00000000003"}
    assert table.to_symbol == {"ENSG00000000003": "TSPAN6", "ENSG00000999999": "TSPAN6"}


def test_a_table_without_ensembl_ids_is_refused(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("a,b\nc,d\n")
    with pytest.raises(InputError, match=r"genes\.map: .*map\.csv has no row with an Ensembl id"):
        read_gene_table(path)


def test_rows_of_two_ensembl_ids_translate_nothing(tmp_path):
    """biomaRt writes the id where a gene has no symbol; other tables hold ids with versions, or of mice."""
    path = tmp_path / "map.csv"
    path.write_text(
        "ENSG00000000003,ENSG00000000003\nENSG00000000005,TNMD\nENSMUSG00000067377,ENSG00000000419\n"
    )
    table = read_gene_table(path)
    assert table.to_symbol == {"ENSG00000000005": "TNMD"}
    assert table.to_ensembl == {"TNMD": "ENSG00000000005"}
    path.write_text("gene_id,gene_id_version,symbol\nENSG00000000003,ENSG00000000003.15,TSPAN6\n")
    with pytest.raises(InputError, match=r"genes\.map: .* has no row with an Ensembl id and a symbol"):
        read_gene_table(path)


def test_a_table_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "map.csv"
    path.write_bytes(b"ENSG00000000003,\xe9\n")
    with pytest.raises(InputError, match=r"map\.csv, line 1: 'é' is not UTF-8 .*iconv -f latin1 -t utf-8"):
        read_gene_table(path)


def test_a_column_of_few_values_is_no_gene_id():
    var = pd.DataFrame({"feature_biotype": pd.Categorical(["gene"] * 3)}, index=SYMBOLS)
    assert list(offered(var)["symbol"]) == ["index"]


def test_a_named_column_is_the_only_one_taken():
    var = pd.DataFrame({"old": ["A", "B", "C"]}, index=SYMBOLS)
    assert list(offered(var, gene_id="old")["symbol"]) == ["old"]


def test_an_unknown_column_is_refused():
    with pytest.raises(InputError, match="no var column 'symbol'; there are: index"):
        offered(pd.DataFrame(index=SYMBOLS), gene_id="symbol")


def test_no_gene_in_common_is_refused_with_examples():
    candidates = {
        "r": offered(pd.DataFrame(index=SYMBOLS)),
        "q": offered(pd.DataFrame(index=["Tspan6", "Tnmd"])),
    }
    with pytest.raises(InputError, match=r"no gene in common.*q: Tspan6, Tnmd.*genes\.map.*gene_id.*species"):
        harmonize(candidates, reference="r")
