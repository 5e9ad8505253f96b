"""Names of markers as instruments and programs write them, and the table that sets others."""

import pytest
from cellferry.cytometry.marker_names import (
    is_named_after_metal,
    marker_key,
    marker_name,
    read_markers,
)
from cellferry.errors import InputError
from marker_lists import MARKERS


@pytest.mark.parametrize(
    ("name", "marker"),
    [
        ("CD45RA", "CD45RA"),
        ("139La_CD45RA", "CD45RA"),
        ("La139_CD45RA", "CD45RA"),
        ("139La-CD45RA", "CD45RA"),
        ("139La CD45RA", "CD45RA"),
        ("(La139)Di_CD45RA", "CD45RA"),
        ("La139Di_CD45RA", "CD45RA"),
        ("CD45RA(La139)Di", "CD45RA"),
        ("CD45RA (La139)Di", "CD45RA"),
        ("CD45RA(La139Di)", "CD45RA"),
        ("CD45RA_La139", "CD45RA"),
        ("CD45RA_La139Di", "CD45RA"),
        ("CD45RA_139La", "CD45RA"),
        ("CD3.Er170.Di", "CD3"),
        ("CD3(110:114)Dd", "CD3"),
        ("CD3(Cd110,Cd111,Cd112)Dd", "CD3"),
        ("CD3(Cd110Cd111Cd114)Di", "CD3"),
        ("89Y_CD45", "CD45"),
        ("209Bi_CD16", "CD16"),
        ("113In_CD235ab", "CD235ab"),
        ("112Cd_CD8", "CD8"),
        ("Comp-FITC-A :: CD3", "CD3"),
        ("Comp-FITC-A", "FITC-A"),
        ("FITC-A", "FITC-A"),
        ("FITC-A ::", "FITC-A"),
        ("141Pr_CD196_CCR6", "CD196_CCR6"),
        ("HLA-DR", "HLA-DR"),
        ("CD110", "CD110"),
        ("CD8 (100)", "CD8 (100)"),
        ("pSTAT3_Y705", "pSTAT3_Y705"),
        ("pp38_Y182", "pp38_Y182"),
        ("Nd142Di", "Nd142Di"),
        ("139La_", "139La"),
        ("Alexa Fluor 700-A", "Alexa Fluor 700-A"),
        ("Qdot 605-A", "Qdot 605-A"),
        ("", ""),
    ],
)
def test_marker_names(name, marker):
    assert marker_name(name) == marker


SPELLINGS = [
    [
        "CD45RA",
        "CD45_RA",
        "cd45ra",
        "CD45-RA",
        "CD45 RA",
        "139La_CD45RA",
        "CD45RA(La139)Di",
        "FITC-A :: CD45RA",
    ],
    ["TCRgd", "TCRγδ", "TCR γδ", "TCR-gd", "tcr_GD"],
    ["HLA-DR", "HLADR", "HLA_DR", "HLA.DR", "174Yb_HLA-DR"],
    ["NK1.1", "NK1/1", "NK1-1", "NK11"],
    ["PD-1", "PD1", "pd_1"],
    ["IFN-γ", "IFNg", "IFN-g"],
    ["CD3", "CD3(110:114)Dd", "Comp-APC-A :: CD3", "CD3 (v)"],
    ["FITC-A", "Comp-FITC-A", "FJComp-FITC-A"],
]


def test_spellings_of_one_marker_have_one_key_and_others_have_others():
    keys = [{marker_key(name) for name in names} for names in SPELLINGS]
    assert [len(found) for found in keys] == [1] * len(SPELLINGS)
    assert len(set.union(*keys)) == len(SPELLINGS)
    others = [
        "CD8",
        "CD8a",
        "CD8b",
        "CD4",
        "CD45",
        "CD45RO",
        "CD3e",
        "CD32",
        "IL-1b",
        "IL-1a",
        "IL-10",
        "IL-1",
    ]
    assert len({marker_key(name) for name in others}) == len(others)
    assert marker_key("-") == "-"


def test_markers_that_differ_have_keys_that_do():
    """Those that do not are spellings of one."""
    same = {}
    for name in MARKERS:
        same.setdefault(marker_key(name), []).append(name)
    assert sorted(names for names in same.values() if len(names) > 1) == [
        ["BCL-6", "Bcl6"],
        ["BCL2", "Bcl-2"],
        ["CD163", "Cd163"],
        ["CD200", "Cd200"],
        ["FLT3", "Flt-3"],
        ["FoxP3", "Foxp3"],
        ["GATA3", "GATA-3"],
        ["Granzyme_B", "GranzymeB"],
        ["IFNg", "IFN-γ"],
        ["Ki67", "Ki-67"],
        ["NK1/1", "NK1.1"],
        ["T-bet", "Tbet"],
        ["TCF1", "TCF-1"],
        ["TCRgd", "TCRγδ"],
        ["TIMD4", "TimD4"],
        ["TNFa", "TNF-α"],
    ]


def test_metals_are_known_wherever_they_stand():
    assert all(map(is_named_after_metal, ["La139Di", "139La", "139La_CD45RA", "CD3(110:114)Dd", "CD45-89Y"]))
    others = ["CD110", "FITC-A", "PE-Cy7-A", "Qdot 605-A", "BV421", "Alexa Fluor 700-A", "pp38_Y182", "VL1-A"]
    assert not any(map(is_named_after_metal, others))


def test_a_table_of_markers(tmp_path):
    (tmp_path / "markers.tsv").write_text("name\tmarker\nCD8a\tCD8\nGFP\t\nPacific Blue-A\tCD19\n")
    given = {"name": "marker", "CD8a": "CD8", "GFP": None, "Pacific Blue-A": "CD19"}
    assert read_markers(str(tmp_path / "markers.tsv")) == read_markers(given)
    markers = read_markers(given)
    assert markers.find("cd8-a") == (True, "CD8")
    assert markers.find("153Eu_CD8a") == (True, "CD8")
    assert markers.find("gfp", "FITC-A") == (True, None)
    assert markers.find("Pacific Blue-A", "Pacific Blue-A") == (True, "CD19")
    assert markers.find("CD3", "Pacific Blue-A") == (True, "CD19")
    assert markers.find("CD3", "PE-A") == (False, None)
    assert read_markers({3: 5}).find("3") == (True, "5")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"CD8a": "CD8", "cd8-a": "CD8b"}, "'cd8-a' means 'CD8b' and 'CD8'; keep one of them"),
        ({"GFP": None, "gfp": "GFP"}, "'gfp' means 'GFP' and no marker; keep one of them"),
    ],
)
def test_a_name_for_two_markers(given, said):
    with pytest.raises(InputError, match=f"cytometry.markers: {said}"):
        read_markers(given)


def test_a_table_that_is_none(tmp_path):
    (tmp_path / "markers.csv").write_text("CD8a,CD8\nGFP\n")
    with pytest.raises(InputError, match=r"cytometry\.markers: line 2 of .*markers\.csv has one column"):
        read_markers(str(tmp_path / "markers.csv"))
    with pytest.raises(InputError, match=r"none\.csv: there is no such file"):
        read_markers("none.csv")
