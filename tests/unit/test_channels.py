"""Channels of a file: their kinds, and the names of those that are markers."""

import pandas as pd
import pytest
from cellferry.cytometry.channels import channel_kind, channels_of
from cellferry.cytometry.marker_names import (
    CHANNEL,
    DETECTOR,
    KIND,
    MARKER,
    marker_name,
    read_markers,
)
from cellferry.cytometry.panels import markers_of, names_in_model
from cellferry.errors import InputError
from marker_lists import MARKERS

DETECTORS = ["Nd142Di", "Pt195Di", "Rh103Di", "Ce140Di", "Pd105Di", "PE-A", "FITC-A", "DAPI-A", "7-AAD-A"]
DETECTORS += ["Hoechst Blue-A", "Propidium Iodide-A", "PC7", "PC5.5-A", "FL1-A", "V1-A", "AmCyan-A", "BL1-A"]


@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "141Pr_{}",
        "141Pr-{}",
        "Pr141_{}",
        "89Y_{}",
        "194Pt_{}",
        "{}(Pr141)Di",
        "{}(Cd110)Dd",
        "{}.Er170.Di",
        "{}_141Pr",
        "{}-89Y",
        "Comp-PE-Cy7-A :: {}",
        "FJComp-BV421-A :: {}",
        "BL1-A::{}",
        "141Pr_{} (v)",
        "  {} ",
    ],
)
def test_no_marker_is_dropped(written):
    names = [written.format(name) for name in MARKERS]
    assert [name for name in names if channel_kind(name) != MARKER] == []
    assert [marker_name(name) for name in names] == MARKERS


@pytest.mark.parametrize("detector", DETECTORS)
def test_no_marker_is_dropped_whatever_measured_it(detector):
    """Platinum labels antibodies, too, and DAPI-A is BD's detector of BUV395."""
    assert [name for name in MARKERS if channel_kind(name, detector) != MARKER] == []


KINDS = {
    "time": "Time time TIME HDR-T Time(ms) TIME_MSW TLSW Timestamp",
    "scatter": "FSC-A FSC-H FSC-W SSC-A ssc-h SSC-B-A FSC_A SSC_1_A FSCA SSCH SSC V-SSC-A VSSC-A "
    "VSSC-H Comp-FSC-A 405-SSC-A FS_INT SS SS_Log FSC-Width",
    "dna": "DNA DNA1 DNA-2 DNA_1 191Ir_DNA1 193Ir_DNA2 DNA1(Ir191)Di DNA2(Ir193)Dd Ir191Di 191Ir "
    "Ir193Dd Intercalator 191Ir_Intercalator",
    "viability": "Viability viability Live/Dead LiveDead Live_Dead LIVE-DEAD L/D l/d LD L-D LD_Aqua "
    "AmCyan_L/D Cisplatin 195Pt_Cisplatin 195Pt_Viability Cisplatin(Pt195)Di Pt198Di "
    "195Pt Rh103Di 103Rh 103Rh_Viability Zombie_NIR 7AAD 7-AAD DAPI PI Propidium_Iodide "
    "SYTOX_Blue Fixable_Viability FVS780 FVS FVD_eF506 ViaKrome_808 Dead_cells "
    "Hoechst33342 DRAQ7 Ghost_Dye",
    "bead": "Beads 140Ce_Beads Bead beadDist 140Ce_EQ4_Beads EQBeads EQ4 Ce140_Bead",
    "barcode": "BC1 BC-12 102Pd_BC1 BC1(La139)Dd 102Pd_Barcode bc_separation_dist",
    "other": "HDR-CE HDR-SE HDR-V Event_Info Sort_Result_Bits Drop_Phase Event_length Event_length(ms) "
    "Cell_length event_length EventLength Event_# EventNum "
    "event_number EventID OriginalEventID cell_id file_number FileNum SampleID sample_id "
    "Center Offset Width Residual mahalanobis_dist BCKG190Di Autofluorescence AF AF-A "
    "background Empty label individual population cluster_id UMAP_1 UMAP1 UMAP_X tSNE1 "
    "t-SNE_2 latent_0 latent_19 131Xe_conta label_code best_label_code probability "
    "ood_pvalue",
}


@pytest.mark.parametrize(("kind", "names"), KINDS.items())
def test_channels_that_are_no_markers(kind, names):
    names = names.split()
    names += [name.replace("_", " ") for name in names]
    assert {name: channel_kind(name) for name in names} == dict.fromkeys(names, kind)


@pytest.mark.parametrize(
    ("detector", "kind"),
    [
        ("Time", "time"),
        ("FSC-A", "scatter"),
        ("Event_length", "other"),
        ("Center", "other"),
        ("Residual", "other"),
        ("Ir191Di", "dna"),
        ("BCKG190Di", "other"),
    ],
)
def test_detectors_that_measure_no_marker_whatever_they_are_called(detector, kind):
    assert channel_kind("something", detector) == kind


def channels(names, detectors=None, markers=None):
    var = pd.DataFrame(index=pd.Index(names, dtype=object))
    if detectors:
        var[DETECTOR] = detectors
    return channels_of(var, read_markers(markers or {}), "blood.fcs")


def test_channels_of_a_mass_cytometer():
    stained = {
        "Time": "",
        "Event_length": "",
        "Y89Di": "89Y_CD45",
        "Pd102Di": "102Pd",
        "Rh103Di": "103Rh_Viability",
        "I127Di": "127I",
        "Xe131Di": "131Xe_conta",
        "Ce140Di": "140Ce_EQ4_Beads",
        "Pr141Di": "141Pr_CD196",
        "Nd142Di": "142Nd",
        "Ir191Di": "191Ir_DNA1",
        "Pt195Di": "195Pt_CD57",
        "Pt198Di": "198Pt_Cisplatin",
        "Center": "",
        "BCKG190Di": "190BCKG",
    }
    names = [stain or detector for detector, stain in stained.items()]
    var = channels(names, list(stained))
    assert markers_of(var) == ["CD45", "CD196", "CD57"]
    assert list(var[CHANNEL]) == names
    assert list(var[DETECTOR]) == list(stained)
    kinds = dict(zip(stained, var[KIND], strict=True))
    assert [detector for detector, kind in kinds.items() if kind == MARKER] == [
        "Y89Di",
        "Pr141Di",
        "Pt195Di",
    ]
    assert (kinds["Rh103Di"], kinds["Ce140Di"], kinds["Ir191Di"]) == ("viability", "bead", "dna")
    assert kinds["Pt198Di"] == "viability"


def test_metals_are_all_there_is_to_go_by_where_no_antibody_is_named():
    var = channels(["Time", "La139Di", "Pr141Di", "Ir191Di"])
    assert markers_of(var) == ["La139Di", "Pr141Di"]


def test_of_area_height_and_width_the_area_is_the_marker():
    """Attune and CytoFLEX write a marker's name beside each of them."""
    names = ["FSC-A", "CD3", "CD3", "CD3", "CD19", "PE-H", "APC-H"]
    detectors = ["FSC-A", "FITC-A", "FITC-H", "FITC-W", "PE-A", "PE-H", "APC-H"]
    var = channels(names, detectors)
    assert markers_of(var) == ["CD3", "CD19", "APC-H"]
    assert list(var.index) == ["FSC-A", "CD3", "CD3_2", "CD3_3", "CD19", "PE-H", "APC-H"]
    var = channels(["Comp-BL1-A :: CD3", "BL1-H :: CD3", "Comp-BL2-A :: CD4"])
    assert markers_of(var) == ["CD3", "CD4"]
    told = channels(["CD3", "CD3"], ["FITC-A", "FITC-H"], {"FITC-H": "CD3 height"})
    assert markers_of(told) == ["CD3", "CD3 height"]


def test_what_the_table_says_stands_above_all():
    names = ["Time", "CD8a", "GFP", "Width", "DAPI", "142Nd"]
    var = channels(names, markers={"CD8a": "CD8", "GFP": None, "DAPI": "DNA content", "142Nd": "CD3"})
    assert markers_of(var) == ["CD8", "DNA content", "CD3"]
    assert list(var[KIND]) == ["time", "marker", "other", "other", "marker", "marker"]


@pytest.mark.parametrize(
    ("names", "detectors", "called", "dropped"),
    [
        (
            ["139La_CD45RA", "153Eu_CD45RA"],
            None,
            "'139La_CD45RA' and '153Eu_CD45RA' are both called CD45RA",
            "153Eu_CD45RA",
        ),
        (
            ["CD3", "CD3"],
            ["FITC-A", "PE-A"],
            r"'CD3' \(FITC-A\) and 'CD3' \(PE-A\) are both called CD3",
            "PE-A",
        ),
        (["CD45RA", "CD45_RA"], ["FITC-A", "PE-A"], "'CD45RA' and 'CD45_RA' are both called", "PE-A"),
        (["A :: CD3", "B :: CD3"], None, "'A :: CD3' and 'B :: CD3' are both called CD3", "B :: CD3"),
        (["CD3", "141Pr_CD3"], None, "'CD3' and '141Pr_CD3' are both called CD3", "141Pr_CD3"),
        (["141Pr_CD3", "CD3"], None, "'141Pr_CD3' and 'CD3' are both called CD3", "141Pr_CD3"),
        (["CD3", "CD3", "CD4"], None, r"'CD3' \(CD3\) and 'CD3' \(CD3\) are both called CD3", None),
        (["CD45RA", "cd45-ra"], None, "'CD45RA' and 'cd45-ra' are both called cd45-ra", None),
    ],
)
def test_two_channels_of_one_marker_and_the_way_out(names, detectors, called, dropped):
    remedy = rf".*or drop one there \('{dropped}': null\)" if dropped else "; rename one of them in the file"
    with pytest.raises(InputError, match=f"^blood.fcs: the channels {called}{remedy}"):
        channels(names, detectors)
    if dropped:  # the proposed entry works
        var = channels(names, detectors, {dropped: None})
        assert (var[KIND] == MARKER).sum() == len(names) - 1
        assert var.index.is_unique


def test_a_table_that_calls_two_channels_alike():
    with pytest.raises(InputError, match="'CD8' and 'CD8a' are both called CD8"):
        channels(["CD8", "CD8a"], markers={"CD8a": "CD8"})


def test_a_dropped_channel_leaves_its_name_to_the_marker():
    """In either order of the two: CD3_2 would be taken for CD32."""
    for drop, keep in (("FITC-A", 1), ("PE-A", 0)):
        var = channels(["CD3", "CD3", "CD32"], ["FITC-A", "PE-A", "APC-A"], {drop: None})
        assert markers_of(var) == ["CD3", "CD32"]
        assert list(var.index).index("CD3") == keep
        assert names_in_model(var, ["CD32", "CD3"])[2] == "CD32"
        assert names_in_model(var, ["CD32", "CD3"])[1 - keep] is None


def test_channels_that_stand_twice_and_are_no_markers():
    var = channels(["Time", "CD3", "Time", "Time_2"])
    assert list(var.index) == ["Time", "CD3", "Time_2", "Time_2_2"]


def test_channels_without_a_name():
    with pytest.raises(InputError, match=r"^blood\.fcs: channel 2, 4 of 4 has no name; name it, or export"):
        channels(["CD3", "", "CD4", "  "])


def test_a_file_without_markers():
    with pytest.raises(InputError, match=r"none of its channels is a marker's \(FSC-A, Time\)"):
        channels(["FSC-A", "Time"])
    with pytest.raises(InputError, match="none of its channels is a marker's"):
        channels(["CD3", "Time"], markers={"CD3": None})


def test_a_column_of_detectors_with_gaps():
    """A form that tables of genes of other programs have."""
    var = channels(["CD3", "CD4", "Time"], ["FITC-A", None, float("nan")])
    assert markers_of(var) == ["CD3", "CD4"]
