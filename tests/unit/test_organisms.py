"""Organisms are detected by the spelling of genes, and not assumed if it is ambiguous."""

import pytest
from cellferry.features.organisms import organism_of

WRITTEN = {
    "human": ["ENSG00000139618.19", "ENSG00000000003"],
    "mouse": ["ENSMUSG00000051951", "ENSMUSG00000025900.14"],
    "worm": ["WBGene00000001", "WBGene00000002"],
    "": ["12", "345", "x1?"],
}


@pytest.mark.parametrize("organism", WRITTEN)
def test_ids_tell(organism):
    assert organism_of(WRITTEN[organism]) == organism


def test_so_do_symbols():
    assert organism_of(["CD3E", "MS4A1", "MT-CO1", "C1orf112", "HLA-DRA"]) == "human"
    assert organism_of(["Cd3e", "Ms4a1", "mt-Co1", "Gm1992", "H2-Aa", "Xkr4"]) == "mouse or rat"
    assert organism_of(["cd4-1", "ms4a17a.8", "si:ch211", "krt4"]) == "zebrafish"


def test_a_mixture_is_of_none():
    assert organism_of(["CD3E", "Cd3e"]) == organism_of([]) == organism_of(["ENSXYZG00000000001"]) == ""
