"""Panels: which channels are markers, by the names that instruments and programs give them."""

import pandas as pd
import pytest
from cellferry.cytometry.channels import channel_kind, channels_of
from cellferry.cytometry.marker_names import (
    CHANNEL,
    DETECTOR,
    KIND,
    MARKER,
    is_named_after_metal,
    marker_key,
    marker_name,
    read_markers,
)
from cellferry.cytometry.panels import check_backbone, check_share, joint_panels, markers_of, names_in_model
from cellferry.errors import InputError

NAMES = """
CD1a CD1c CD1d CD2 CD3 CD3e CD4 CD5 CD6 CD7 CD8 CD8a CD8b CD9 CD10 CD11a CD11b CD11c CD13 CD14 CD15 CD16
CD16/32 CD18 CD19 CD20 CD21 CD22 CD23 CD24 CD25 CD26 CD27 CD28 CD29 CD30 CD31 CD32 CD33 CD34 CD35 CD36 CD37
CD38 CD39 CD40 CD40L CD41 CD42b CD43 CD44 CD45 CD45RA CD45RB CD45RO CD47 CD48 CD49a CD49d CD49f CD52 CD54
CD55 CD56 CD57 CD58 CD59 CD61 CD62L CD62P CD63 CD64 CD66a/c/e CD66b CD68 CD69 CD70 CD71 CD72 CD73 CD79a
CD79b CD80 CD81 CD82 CD83 CD84 CD85j CD86 CD87 CD88 CD89 CD90 CD94 CD95 CD96 CD98 CD99 CD100 CD101 CD102
CD103 CD105 CD106 CD107a CD108 CD109 CD110 CD111 CD112 CD115 CD116 CD117 CD119 CD122 CD123 CD124 CD125 CD126
CD127 CD130 CD131 CD133 CD134 CD135 CD137 CD138 CD140a CD141 CD146 CD150 CD152 CD154 CD155 CD158a CD158b
CD158e CD159a CD159c CD160 CD161 CD162 CD163 CD169 CD172a CD178 CD180 CD181 CD183 CD184 CD185 CD191 CD192
CD193 CD194 CD195 CD196 CD197 CD198 CD200 CD203c CD206 CD209 CD223 CD226 CD229 CD235ab CD243 CD244 CD248
CD253 CD261 CD262 CD267 CD268 CD269 CD270 CD272 CD273 CD274 CD275 CD276 CD278 CD279 CD294 CD300e CD301 CD303
CD304 CD307d CD314 CD317 CD319 CD321 CD326 CD334 CD335 CD336 CD337 CD357 CD360 CD366 CD370 CD371 HLA-A2
HLA-ABC HLA-DQ HLA-DR HLA-E IgA IgD IgE IgG IgG4 IgM Igk IgL Kappa Lambda B220 I-A/I-E H-2Kb Qa2 TCRab TCRgd
TCRb TCRyd TCRVa7.2 TCR_Vd2 TCRVα24-Jα18 TCRγδ Va7.2 NK1/1 NK1.1 NKp30 NKp46 NKG2A NKG2C NKG2D KLRG1 Ly6C
Ly6G Ly-6A/E Sca-1 c-Kit F4/80 MerTK Siglec-1 Siglec-F SiglecH PDCA-1 PCA-1 PC-1 XCR1 CLEC9A CX3CR1 CRTH2
CCR2 CCR4 CCR5 CCR6 CCR7 CCR10 CXCR3 CXCR4 CXCR5 CXCR6 S1P1 PD-1 PD-L1 PD-L2 TIM-3 Tim4 TIMD4 LAG-3 TIGIT
CTLA-4 ICOS OX40 4-1BB GITR BTLA VISTA FAS FASL TRAIL BCMA TACI BAFF-R FcRL5 FcεRIa FceRI FLT3 Flt-3 EpCAM
E-Cadherin Vimentin Cytokeratin panCK Ki67 Ki-67 IdU BrdU PCNA CyclinB1 FoxP3 Foxp3 Helios T-bet Tbet GATA3
GATA-3 RORgt EOMES TOX TCF1 TCF-1 BCL2 Bcl-2 BCL-6 Bcl6 BLIMP-1 IRF4 IRF8 c-Myc p53 p21 pRb pStat1 pSTAT3
pSTAT5 pSTAT3_Y705 pp38_Y182 p-p38 pERK1/2 pAKT pS6 pNFkB pZAP70 pPLCg2 pSHP2 pCREB pMAPKAPK2 pSLP76 pBTK
IkBa cPARP cCaspase3 Caspase-3 H3K27me3 gH2AX Granzyme_B GranzymeB GzmB GrzK Perforin Granulysin TNFa TNF-α
IFNg IFN-γ IL-1b IL-2 IL-4 IL-6 IL-8 IL-10 IL-13 IL-17A IL-21 IL-22 IL12p40 MIP-1b GM-CSF TGFb1 LAP GARP
Arginase-1 iNOS MPO Lysozyme Lactoferrin Notch2 LDLR Galectin-9 CD3/CD19-dump Lin Lineage Dump Dextramer1
Tetramer_A2-NLV GFP tdTomato mCherry SSEA4 SSEA-1 FSCN1 TimD4 Timeless latent Beclin-1 BCL11B Clusterin
SSTR2 FSHR Cd163 Cd200 SSX1 SS18 LIVIN Eotaxin EQTN AFP AF4
"""
MARKERS = NAMES.split()

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
    """Antibodies stand on platinum, too, and BD calls the detector of BUV395 DAPI-A."""
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
    "outside_p",
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


# --- the table of the configuration ---------------------------------------------------------------------


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
        ({"CD8a": "CD8", "cd8-a": "CD8b"}, "'cd8-a' stands for 'CD8b' and for 'CD8'; leave one of them"),
        ({"GFP": None, "gfp": "GFP"}, "'gfp' stands for 'GFP' and for no marker; leave one of them"),
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


# --- the channels of a file -----------------------------------------------------------------------------


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
    if dropped:  # what is proposed helps
        var = channels(names, detectors, {dropped: None})
        assert (var[KIND] == MARKER).sum() == len(names) - 1
        assert var.index.is_unique


def test_a_table_that_calls_two_channels_alike():
    with pytest.raises(InputError, match="'CD8' and 'CD8a' are both called CD8"):
        channels(["CD8", "CD8a"], markers={"CD8a": "CD8"})


def test_a_dropped_channel_leaves_its_name_to_the_marker():
    """Whichever of them comes first: CD3_2 would be taken for CD32."""
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
    """As tables of genes of other programs have it."""
    var = channels(["CD3", "CD4", "Time"], ["FITC-A", None, float("nan")])
    assert markers_of(var) == ["CD3", "CD4"]


# --- panels of several datasets -------------------------------------------------------------------------


def test_panels_of_two_references_and_a_query():
    panels = joint_panels(
        {
            "atlas": ["CD3", "CD45RA", "CD8", "CD19"],
            "second": ["cd3", "CD45_RA", "CD8", "CD56"],
            "patients": ["139La_CD45RA", "CD3", "CD19", "CD14"],
        },
        ["atlas", "second"],
    )
    assert panels.markers == ["CD3", "CD45RA", "CD8", "CD19", "CD56"]
    assert panels.backbone == ["CD3", "CD45RA"]
    assert panels.names["second"] == ["CD3", "CD45RA", "CD8", "CD56"]
    assert panels.names["patients"] == ["CD45RA", "CD3", "CD19", "CD14"]
    check_backbone(panels, ["atlas", "second"], 0.5)
    with pytest.raises(InputError, match=r"only 2 of the references' 4 markers are in all datasets"):
        check_backbone(panels, ["atlas", "second"], 0.6)


FORTY = [f"CD{number}" for number in range(1, 41)]


def test_three_of_forty_markers():
    panels = joint_panels({"atlas": FORTY, "patients": ["CD1", "CD2", "CD3", "Foo"]}, ["atlas"])
    with pytest.raises(InputError) as raised:
        check_backbone(panels, ["atlas"], 0.3)
    said = str(raised.value)
    assert "only 3 of the references' 40 markers are in all datasets (atlas 40, patients 4 markers)" in said
    assert "genes.min_common is 0.3. 'patients' lacks CD4, CD5" in said
    assert (
        "and has CD1, CD2, CD3, Foo: if some of these are called otherwise, say so in cytometry.markers"
        in said
    )
    with pytest.raises(InputError) as raised:
        check_share("patients", ["cd1", "CD-2", "CD3", "Foo"], FORTY, 0.3)
    said = str(raised.value)
    assert said.startswith(
        "datasets.patients: has 3 of the 40 markers that the model sees, and genes.min_comm"
    )
    assert "it lacks CD4, CD5" in said
    assert ", … and has cd1, CD-2, CD3, Foo" in said
    check_share("patients", ["cd1", "CD-2", "CD3"], FORTY, 3 / 40)
    with pytest.raises(InputError, match="has 0 of the 40 markers"):
        check_share("patients", ["Foo"], FORTY, 0.0)


def test_one_marker_is_no_backbone():
    panels = joint_panels({"atlas": ["CD3", "CD4"], "second": ["CD3", "CD8"]}, ["atlas", "second"])
    with pytest.raises(InputError, match="only 1 of the references' 2 markers"):
        check_backbone(panels, ["atlas", "second"], 0.0)
