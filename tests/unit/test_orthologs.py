"""Tables of orthologs: one-to-one pairs only, in either order, by ids and symbols; bad ones are refused."""

import gzip
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from cellferry.config.orthologs import FOLDER, orthologs_problem, shipped_names, shipped_table
from cellferry.errors import InputError
from cellferry.features.gene_ids import candidate_ids, harmonize, read_gene_table
from cellferry.features.orthologs import read_orthologs
from ortholog_table import write_table

HUMAN = ["CD3E", "MS4A1", "NKG7", "LYZ"]
MOUSE = ["Cd3e", "Ms4a1", "Nkg7", "Lyz2"]
HUMAN_IDS = [f"ENSG{number:011d}" for number in range(1, 5)]
MOUSE_IDS = [f"ENSMUSG{number:011d}" for number in range(1, 5)]


def written(path, rows, header="human_symbol,mouse_symbol\n"):
    path.write_text(header + "".join(",".join(row) + "\n" for row in rows))
    return read_orthologs(path)


def named(orthologs, genes, kind="symbol"):
    return orthologs.translations(np.array(genes, dtype=object)).get(kind, np.array([])).tolist()


@pytest.fixture
def pairs(tmp_path):
    return written(tmp_path / "orthologs.csv", zip(HUMAN, MOUSE, strict=True))


def offered(genes, orthologs=None, table=None, **columns):
    return candidate_ids(pd.DataFrame(columns, index=genes), gene_id="auto", table=table, orthologs=orthologs)


def test_each_species_is_named_as_the_other(pairs):
    assert named(pairs, ["Nkg7", "Cd3e", "Gm42418"]) == ["NKG7", "CD3E", None]
    assert named(pairs, ["LYZ", "GNLY", "CD3E"]) == ["Lyz2", None, "Cd3e"]
    assert named(pairs, ["gene"]) == []
    assert pairs.n_pairs == 4


@pytest.mark.parametrize(
    "header", ["", "human_symbol,mouse_symbol\n", "# from somewhere\nGene name,Mouse gene name\n"]
)
def test_the_species_may_stand_in_either_order_with_or_without_a_header(tmp_path, header):
    table = written(tmp_path / "orthologs.csv", zip(MOUSE, HUMAN, strict=True), header)
    assert named(table, ["Nkg7", "Cd3e"]) == ["NKG7", "CD3E"]
    assert table.n_pairs == 4


def test_a_first_row_whose_genes_look_like_words_is_no_header(tmp_path):
    table = written(tmp_path / "orthologs.csv", [("ID1", "Id1"), ("ID2", "Id2")], header="")
    assert named(table, ["Id1", "Id2"]) == ["ID1", "ID2"]


def test_genes_with_several_partners_are_out_and_counted(tmp_path):
    """Genes with two partners are not used; a duplicate pair is one pair."""
    rows = [
        *[("GZMB", "Gzmb"), ("GZMB", "Gzmc"), ("HLA-A", "H2-K1"), ("HLA-B", "H2-K1")],
        *[("CD3E", "Cd3e"), ("CD3E", "Cd3e"), ("GNLY", "")],
    ]
    table = written(tmp_path / "orthologs.csv", rows)
    assert (table.n_pairs, table.n_excluded) == (1, 4)
    assert named(table, ["Gzmb", "Gzmc", "H2-K1", "Cd3e"]) == [None, None, None, "CD3E"]
    assert table.has_partner(["GZMB", "HLA-B", "CD3E", "GNLY"]).tolist() == [False, False, True, False]


def test_ensembl_ids_with_versions_and_symbols_beside_them(tmp_path):
    rows = zip(HUMAN_IDS, HUMAN, MOUSE, [f"{gene}.3" for gene in MOUSE_IDS], strict=True)
    table = written(
        tmp_path / "biomart.csv", rows, "Gene stable ID,Gene name,Mouse gene name,Mouse gene stable ID\n"
    )
    assert named(table, ["ENSMUSG00000000002", "Cd3e", "Xkr4"], "ensembl") == [
        HUMAN_IDS[1],
        HUMAN_IDS[0],
        None,
    ]
    assert named(table, ["ENSMUSG00000000002", "Cd3e"], "symbol") == ["MS4A1", "CD3E"]
    assert named(table, [HUMAN_IDS[3]], "symbol") == ["Lyz2"]


def test_a_symbol_of_two_genes_names_neither(tmp_path):
    rows = zip(HUMAN_IDS, ["CD3E", "CD3E", "NKG7", "LYZ"], MOUSE_IDS, MOUSE, strict=True)
    table = written(tmp_path / "four.csv", rows, header="")
    assert named(table, ["Cd3e", "Ms4a1", "Nkg7"], "symbol") == [None, None, "NKG7"]
    assert named(table, ["Cd3e", "Ms4a1"], "ensembl") == HUMAN_IDS[:2]
    assert named(table, ["CD3E", "LYZ", "NKG7"], "ensembl") == [None, MOUSE_IDS[3], MOUSE_IDS[2]]


def test_two_columns_of_different_kinds(tmp_path):
    table = written(tmp_path / "mixed.csv", zip(HUMAN_IDS, MOUSE, strict=True), header="")
    assert named(table, MOUSE, "ensembl") == HUMAN_IDS
    assert named(table, HUMAN_IDS, "symbol") == MOUSE


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "holds no row"),
        ("human_symbol,mouse_symbol\n", "holds no row"),
        ("CD3E\nMS4A1\n", "line 1 of .* has one column, and two are needed; give each gene"),
        ("CD3E,Cd3e\nMS4A1\n", "line 2 of .* has one column"),
        ("CD3E,\nMS4A1,\n", r"no one-to-one pair of genes in its first two columns \(2 rows\)"),
        ("GZMB,Gzmb\nGZMB,Gzmc\n", "no one-to-one pair"),
        ("ENSG00000000001,ENSG00000000003\n", r"hold genes of one species, such as ENSG.*genes\.map"),
        ("Cd3e,Cd3e\nLyz2,Lyz2\n", "hold genes of one species, such as Cd3e and Cd3e"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, content, said):
    (tmp_path / "orthologs.csv").write_text(content)
    with pytest.raises(
        InputError, match=rf"genes\.orthologs: .*orthologs\.csv.*{said}|genes\.orthologs: {said}"
    ):
        read_orthologs(tmp_path / "orthologs.csv")


def test_a_table_that_cannot_be_read(tmp_path):
    (tmp_path / "orthologs.csv.gz").write_bytes(gzip.compress(b"CD3E,Cd3e\n" * 1000)[:-20])
    with pytest.raises(InputError, match=r"orthologs\.csv\.gz"):
        read_orthologs(tmp_path / "orthologs.csv.gz")


def test_a_query_of_another_species_takes_the_references_names(pairs):
    candidates = {"atlas": offered(["GNLY", *HUMAN], pairs), "mice": offered(["Gm1", *MOUSE[::-1]], pairs)}
    result = harmonize(candidates, reference="atlas")
    assert result.common == HUMAN
    assert result.columns == {"atlas": "index", "mice": "index, by genes.orthologs"}
    assert list(result.ids["mice"]) == [None, *HUMAN[::-1]]


def test_datasets_of_the_references_species_keep_their_names(pairs):
    candidates = {name: offered(HUMAN, pairs) for name in ("atlas", "patients")}
    candidates |= {"mice": offered(MOUSE, pairs)}
    result = harmonize(candidates, reference="atlas")
    assert result.columns == {"atlas": "index", "patients": "index", "mice": "index, by genes.orthologs"}
    result = harmonize(candidates, reference="mice")
    assert result.common == MOUSE
    assert result.columns["mice"] == "index"


def test_the_reference_is_never_renamed(pairs):
    """A query with all genes of the other species must not change the species of the reference."""
    candidates = {"atlas": offered([*HUMAN, "GNLY"], pairs), "mice": offered(MOUSE, pairs)}
    assert harmonize(candidates, reference="atlas").columns["atlas"] == "index"


@pytest.mark.parametrize(
    ("reference", "query"), [(HUMAN_IDS, MOUSE), (HUMAN, MOUSE_IDS), (HUMAN_IDS, MOUSE_IDS)]
)
def test_together_with_a_table_of_ids(tmp_path, pairs, reference, query):
    """The table of orthologs has symbols, and genes.map the ids of both species."""
    ids = zip([*HUMAN_IDS, *MOUSE_IDS], [*HUMAN, *MOUSE], strict=True)
    (tmp_path / "map.csv").write_text("".join(f"{ensembl},{symbol}\n" for ensembl, symbol in ids))
    table = read_gene_table(tmp_path / "map.csv")
    candidates = {"atlas": offered(reference, pairs, table), "mice": offered(query, pairs, table)}
    result = harmonize(candidates, reference="atlas")
    assert result.common == reference
    assert "genes.orthologs" in result.columns["mice"]


def test_tables_that_come_along_are_found_by_name():
    assert shipped_names() == ["human-mouse"]
    assert shipped_table("mouse-human") == shipped_table("human-mouse")
    assert shipped_table("orthologs.csv") is shipped_table(None) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, None),
        ("human-mouse", None),
        ("mouse-human", None),
        ("human-mose", r"genes\.orthologs: there is no file human-mose .*did you mean 'human-mouse'\?"),
        ("no.csv", r"there is no file no\.csv .*; name human-mouse or the path of a table of two columns"),
    ],
)
def test_the_key_is_checked_before_anything_runs(given, said):
    problem = orthologs_problem({"genes": {"orthologs": given}})
    assert problem is None if said is None else re.search(said, str(problem))


def test_the_table_that_comes_along():
    """One-to-one in ids and symbols, of the right species, with the main genes of blood cells."""
    table = read_orthologs(FOLDER / "human-mouse.tsv.gz")
    assert table.source == "human-mouse"
    assert table.n_excluded == 0
    assert table.n_pairs == 17_125
    for names, start in zip(table.names, ("ENSG0", "ENSMUSG0"), strict=True):
        assert all(gene.startswith(start) for gene in names["ensembl"])
        for kind in ("ensembl", "symbol"):
            assert max(Counter(gene for gene in names[kind] if gene is not None).values()) == 1
    known = {"Cd3e": "CD3E", "Ms4a1": "MS4A1", "Ptprc": "PTPRC", "mt-Co1": "MT-CO1", "H2-Ea": "HLA-DRA"}
    assert named(table, list(known)) == list(known.values())
    # Gene families that expanded in one species have no one-to-one pairs.
    assert not table.has_partner(["CD3E", "MS4A1", "GZMB", "CD8B", "FCGR3A", "GNLY"])[2:].any()


def test_the_same_export_makes_the_same_bytes(tmp_path):
    (tmp_path / "export.csv").write_text(
        "Gene stable ID,Gene name,Mouse gene name,Mouse gene stable ID\n"
        + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in zip(HUMAN_IDS, HUMAN, MOUSE, MOUSE_IDS, strict=True))
    )
    for name in ("human-mouse.tsv.gz", "human-mouse.again.tsv.gz"):
        write_table(str(tmp_path / "export.csv"), tmp_path / name, ["From nowhere."])
    made, again = (tmp_path / name for name in ("human-mouse.tsv.gz", "human-mouse.again.tsv.gz"))
    assert made.read_bytes() == again.read_bytes()
    text = gzip.decompress(made.read_bytes()).decode().splitlines()
    assert text[1] == "human_ensembl\thuman_symbol\tmouse_ensembl\tmouse_symbol"
    assert text[2] == "\t".join([HUMAN_IDS[0], HUMAN[0], MOUSE_IDS[0], MOUSE[0]])
