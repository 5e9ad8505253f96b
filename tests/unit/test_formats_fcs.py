"""FCS files: layouts, channels, compensation, wrong headers; values as flowio reads them."""

import gzip

import anndata as ad
import flowio
import numpy as np
import pytest
from cellferry import formats
from cellferry.errors import InputError
from reading import read_all, read_header
from small_fcs import CHANNELS, MARKERS, N_EVENTS, make_values, write_fcs


def as_flowio_reads(path, columns=MARKERS, preprocess=True):
    return flowio.FlowData(path).as_array(preprocess=preprocess)[:, columns].astype(np.float32)


@pytest.mark.parametrize("version", ["2.0", "3.0", "3.1"])
@pytest.mark.parametrize("order", ["1,2,3,4", "4,3,2,1"])
@pytest.mark.parametrize("type_", ["f4", "f8", "u1", "u2", "u4"])
@pytest.mark.parametrize("max_bytes", [500, 10**6])
def test_layouts_as_flowio_reads_them(tmp_path, version, order, type_, max_bytes):
    values = np.abs(make_values(high=250))
    path = write_fcs(tmp_path / "a.fcs", values, types=[type_] * 5, version=version, order=order)
    header = read_header(path)
    assert (header.format, header.values, header.storage, header.in_order) == (
        "fcs",
        "intensities",
        "dense",
        True,
    )
    found, names, obs, sizes = read_all(header, tmp_path, max_bytes, ["FSC-A", "Time"])
    assert np.array_equal(found, as_flowio_reads(path))
    assert np.array_equal(found, values.astype(type_)[:, MARKERS])
    assert np.array_equal(obs["Time"], values.astype(type_)[:, 4])
    assert list(names) == [f"event{n}" for n in range(1, N_EVENTS + 1)]
    assert all(size <= max_bytes for size in sizes)


def test_channels_are_told_apart(tmp_path):
    detectors = [
        "FSC-A",
        "ssc-h",
        "SSC-B-A",
        "FS Lin",
        "SS",
        "Time",
        "HDR-T",
        "Event_length",
        "Event #",
        "Width",
    ]
    detectors += ["Center", "file_number", "PE-A", "SSEA4", "Timd4", "Nd142Di", "CD64", "FSCN1"]
    header = read_header(
        write_fcs(
            tmp_path / "a.fcs", np.ones((3, len(detectors))), channels=[(name, "") for name in detectors]
        )
    )
    assert list(header.var.index) == ["PE-A", "SSEA4", "Timd4", "Nd142Di", "CD64", "FSCN1"]
    assert header.obs_columns == [name for name in detectors if name not in set(header.var.index)]
    assert header.remarks[0].startswith("channels that are not markers: FSC-A (scatter), ssc-h (scat")
    assert header.remarks[1] == "no channel has a marker name ($PnS); channels are named by detector ($PnN)"


def test_markers_names_stand_before_detectors(tmp_path):
    header = read_header(write_fcs(tmp_path / "a.fcs", make_values()))
    assert list(header.var.index) == ["CD3", "CD19", "APC-A"]
    assert header.var.to_dict("list") == {
        "detector": ["FITC-A", "PE-A", "APC-A"],
        "marker": ["CD3", "CD19", ""],
    }
    assert header.remarks == [
        "channels that are not markers: FSC-A (scatter), Time (time)",
        "channels without a marker name ($PnS) are named by detector: APC-A",
    ]


def test_all_channels_are_read_for_cytometry(tmp_path):
    """Labeled files contain all channels; those that are not markers can be obs columns too."""
    values = make_values()
    channels = [("FSC-A", ""), ("FITC-A", "CD3"), ("FITC-H", "CD3"), ("APC-A", "GFP"), ("Time", "")]
    path = write_fcs(tmp_path / "a.fcs", values, channels=channels)
    header = read_header(path, modality="cytometry", markers={"GFP": None})
    assert header.values == "intensities"
    found, _, obs, _ = read_all(header, tmp_path, 500, ["Time"])
    assert np.array_equal(found, values)
    assert list(header.var.index) == ["FSC-A", "CD3", "CD3_2", "GFP", "Time"]
    assert header.var.to_dict("list") == {
        "kind": ["scatter", "marker", "other", "other", "time"],
        "channel": ["FSC-A", "CD3", "CD3", "GFP", "Time"],
        "detector": ["FSC-A", "FITC-A", "FITC-H", "APC-A", "Time"],
    }
    assert np.array_equal(obs["Time"], values[:, 4])


def test_markers_that_stand_twice_are_refused_for_cytometry(tmp_path):
    channels = [("FSC-A", ""), ("A", "CD3"), ("B", "CD3"), ("C", "CD4"), ("Time", "")]
    path = write_fcs(tmp_path / "a.fcs", make_values(), channels=channels)
    with pytest.raises(InputError, match=r"a\.fcs: the channels 'CD3' \(A\) and 'CD3' \(B\) .*\('B': null\)"):
        read_header(path, modality="cytometry")
    header = read_header(path, modality="cytometry", markers={"B": "CD3 of another clone"})
    assert list(header.var.index) == ["FSC-A", "CD3", "CD3 of another clone", "CD4", "Time"]


def test_markers_that_stand_twice(tmp_path):
    channels = [("FSC-A", ""), ("A", "CD3"), ("B", "CD3"), ("C", "CD3"), ("Time", "")]
    values = make_values()
    header = read_header(write_fcs(tmp_path / "a.fcs", values, channels=channels))
    assert list(header.var.index) == ["CD3"] * 3
    assert np.array_equal(read_all(header, tmp_path)[0], values[:, MARKERS])


@pytest.mark.parametrize("order", ["1,2,3,4", "4,3,2,1", "2,1", "1,2"])
def test_integers_of_several_widths_and_ranges(tmp_path, order):
    values = np.random.default_rng(0).integers(0, 256, size=(N_EVENTS, 5))
    values[:, 1:] = np.random.default_rng(1).integers(0, 65536, size=(N_EVENTS, 4))
    values[:, 2] *= 65535
    ranges = {"P1R": "256", "P2R": "1024", "P3R": "1000000", "P4R": "65536", "P5R": "1000"}
    path = write_fcs(tmp_path / "a.fcs", values, types=["u1", "u2", "u4", "u2", "u2"], order=order, **ranges)
    found, _, obs, _ = read_all(read_header(path), tmp_path, 500, ["Time", "FSC-A"])
    assert np.array_equal(found, as_flowio_reads(path))
    expected = values[:, MARKERS] & np.array([1023, 2**20 - 1, 65535])
    assert np.array_equal(found, expected.astype(np.float32))
    assert np.array_equal(obs["Time"], values[:, 4] & 1023)


@pytest.mark.parametrize(
    "ranges", [{}, {"P2R": "1024", "P3R": "1000", "P4R": "600", "P1R": "1024", "P5R": "1024"}]
)
def test_logarithmic_and_amplified_channels(tmp_path, ranges):
    values = np.random.default_rng(0).integers(0, 1024, size=(N_EVENTS, 5))
    keywords = {"P2E": "4,1", "P3E": "4.5,0", "P4G": "2.5", "P1G": "4", "P5G": "7", "TIMESTEP": "0.01"}
    path = write_fcs(tmp_path / "a.fcs", values, types=["u2"] * 5, version="3.0", **keywords | ranges)
    found, _, obs, _ = read_all(read_header(path), tmp_path, 10**6, ["Time", "FSC-A"])
    assert np.array_equal(found, as_flowio_reads(path))
    # Time has neither a gain, even if the file gives one, nor seconds.
    masked = values & (1023 if ranges else 65535)
    assert np.array_equal(obs["Time"], masked[:, 4])
    assert np.array_equal(obs["FSC-A"], masked[:, 0] / 4)


def test_what_flowio_writes(tmp_path):
    values = make_values()
    names = [name for name, _ in CHANNELS]
    with open(tmp_path / "a.fcs", "wb") as file:
        flowio.create_fcs(file, values.ravel(), names, opt_channel_names=[marker for _, marker in CHANNELS])
    header = read_header(tmp_path / "a.fcs")
    assert np.array_equal(read_all(header, tmp_path)[0], values[:, MARKERS])
    assert list(header.var.index) == ["CD3", "CD19", "APC-A"]


@pytest.mark.parametrize("bounds", [(0, 50), (0, 7), (13, 37), (49, 50), (20, 20)])
def test_any_range_of_events(tmp_path, bounds):
    values = make_values()
    header = read_header(write_fcs(tmp_path / "a.fcs", values))
    found = list(formats.blocks(header, ["Time"], 1000, tmp_path, *bounds))
    expected = values[slice(*bounds)]
    assert sum(map(len, found)) == len(expected)
    if len(expected):
        assert np.array_equal(
            np.concatenate([block.counts.toarray() for block in found]), expected[:, MARKERS]
        )
        assert np.array_equal(np.concatenate([block.obs["Time"] for block in found]), expected[:, 4])
        assert found[0].names[0] == f"event{bounds[0] + 1}"


SPILL = "3,PE-A,FITC-A,APC-A,1,0.2,0,0.1,1,0.05,0,0.3,1"


@pytest.mark.parametrize("keyword", ["SPILLOVER", "SPILL", "COMP"])
@pytest.mark.parametrize("max_bytes", [500, 10**6])
def test_compensation(tmp_path, keyword, max_bytes):
    true = make_values()
    matrix = np.array([[1, 0.2, 0], [0.1, 1, 0.05], [0, 0.3, 1]])
    measured = true.copy()
    measured[:, [2, 1, 3]] = true[:, [2, 1, 3]] @ matrix
    path = write_fcs(tmp_path / "a.fcs", measured, **{keyword: SPILL})
    as_it_is = read_header(path)
    assert np.array_equal(read_all(as_it_is, tmp_path, max_bytes)[0], measured[:, MARKERS])
    assert (
        "the file's spillover matrix is not applied (datasets.blood.compensate is false)" in as_it_is.remarks
    )
    header = read_header(path, compensate=True)
    assert "spillover between 3 detectors is undone" in header.remarks
    found, _, obs, _ = read_all(header, tmp_path, max_bytes, ["FSC-A"])
    assert np.allclose(found, true[:, MARKERS], rtol=1e-5, atol=1e-3)
    assert np.array_equal(obs["FSC-A"], true[:, 0])


@pytest.mark.parametrize(
    ("spill", "message"),
    [
        (
            None,
            r"datasets\.blood\.compensate is true, but the file has no spillover matrix .*set the key to",
        ),
        (" ", r"has no spillover matrix"),
        ("2,PE-A,FITC-A,1,0.2,0.1", r"SPILLOVER is not a number n, followed by n detectors and their matrix"),
        ("x", r"SPILLOVER is not a number n"),
        ("2,PE-A,Cy5-A,1,0,0,1", r"names detectors that the file does not have \(Cy5-A; it has .*PE-A"),
        ("2,PE-A,FITC-A,1,1,1,1", r"is not an invertible matrix of numbers \(Singular"),
        ("2,PE-A,FITC-A,1,a,1,1", r"is not an invertible matrix of numbers"),
    ],
)
def test_compensation_that_is_not_possible(tmp_path, spill, message):
    path = write_fcs(tmp_path / "a.fcs", make_values(), SPILLOVER=spill)
    read_header(path)
    with pytest.raises(InputError, match=message):
        read_header(path, compensate=True)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (
            {"TOT": "51"},
            r"51 events \(\$TOT\) of 20 bytes are 1020 bytes, which do not fit .*\(bytes 4096 to 5095\)",
        ),
        ({"TOT": "0"}, r"holds no events"),
        ({"TOT": None}, r"lacks the keyword \$TOT, which FCS requires"),
        ({"TOT": "many"}, r"its keyword \$TOT is 'many', which is not a whole number"),
        ({"PAR": "6"}, r"lacks the keyword \$P6N, \$P6B, \$P6E, \$P6R, which FCS requires"),
        ({"PAR": "0"}, r"\$PAR is 0 channels, but 5 are named"),
        ({"PAR": "4"}, r"\$PAR is 4 channels, but 5 are named"),
        ({"BYTEORD": "1,2,4"}, r"\$BYTEORD is '1,2,4', which is not an order of 4 bytes"),
        ({"BYTEORD": "2,1,3"}, r"\$BYTEORD is '2,1,3', which is not an order of 4 bytes"),
        ({"BYTEORD": None}, r"lacks the keyword \$BYTEORD"),
        ({"DATATYPE": "A"}, r"\$DATATYPE is 'A', but only I, F and D are read; export it as"),
        ({"DATATYPE": None}, r"lacks the keyword \$DATATYPE"),
        ({"DATATYPE": "D"}, r"50 events \(\$TOT\) of 40 bytes are 2000 bytes, which do not fit"),
        (
            {"DATATYPE": "I", "P2B": "10"},
            r"contains integers of '10' bits \(\$P2B\), but only 8, 16, 24, … 64 are read",
        ),
        ({"MODE": "C"}, r"contains histograms \(\$MODE is C\)"),
        ({"ENDDATA": "9999999"}, r"is 5096 bytes long, but its events end at byte 9999999"),
        (
            {"BEGINDATA": "4097", "ENDDATA": "5096"},
            r".* which do not fit their place \(bytes 4097 to 5096 or 4096 ",
        ),
        ({"BEGINDATA": "4000", "offsets": (4001, 4990)}, r".* which do not fit their place"),
        ({"BEGINDATA": "x"}, r"its keyword \$BEGINDATA is 'x', which is not a whole number"),
        ({"P2E": "4"}, r"its keyword \$P2E is '4', which is not 2 numbers separated by commas"),
        ({"P2E": "four,1"}, r"its keyword \$P2E is 'four,1', which is not a number"),
        ({"P2E": "nan,1"}, r"its keyword \$P2E is 'nan,1', which is not a number"),
        ({"P2E": "4,1", "P2R": "0"}, r"channel FITC-A is logarithmic but its \$P2R is 0"),
        ({"P2E": "4,1", "P2R": "high"}, r"its keyword \$P2R is 'high', which is not a number"),
        ({"P2G": "high"}, r"its keyword \$P2G is 'high', which is not a number"),
    ],
)
def test_headers_that_lie(tmp_path, keywords, message):
    path = write_fcs(tmp_path / "a.fcs", make_values(), **keywords)
    with pytest.raises(InputError, match=rf"a\.fcs: {message}"):
        read_header(path)


@pytest.mark.parametrize("version", ["2.0", "3.0", "3.1", "3.2"])
@pytest.mark.parametrize("keyword", ["BYTEORD", "DATATYPE", "PAR", "TOT", "P3N", "P1B", "P5E", "P2R"])
@pytest.mark.parametrize("value", [None, "", " "])
def test_keywords_that_the_standard_requires(tmp_path, version, keyword, value):
    path = write_fcs(tmp_path / "a.fcs", make_values(), version=version, **{keyword: value})
    if version == "2.0" and keyword in ("TOT", "P5E"):
        header = read_header(path)
        assert np.array_equal(read_all(header, tmp_path)[0], make_values()[:, MARKERS])
        assert ("channels without $PnE are taken as linear: Time" in header.remarks) == (keyword == "P5E")
    else:
        with pytest.raises(InputError, match=rf"(lacks|has no value for) the keyword \${keyword}, which FCS"):
            read_header(path)


@pytest.mark.parametrize("version", ["2.0", "3.1"])
def test_an_end_that_is_one_byte_too_far(tmp_path, version):
    path = write_fcs(tmp_path / "a.fcs", make_values(), version=version, offsets=(4096, 5096), ENDDATA="5096")
    path.write_bytes(path.read_bytes() + b"\0")
    assert np.array_equal(read_all(read_header(path), tmp_path)[0], make_values()[:, MARKERS])


def test_a_large_file_has_its_offsets_in_the_keywords_only(tmp_path):
    path = write_fcs(tmp_path / "a.fcs", make_values(), offsets=(0, 0))
    assert np.array_equal(read_all(read_header(path), tmp_path)[0], make_values()[:, MARKERS])


@pytest.mark.parametrize("left", [3, 40, 300, 600, 4095, 4096, 5000, 5095])
def test_files_that_are_cut_off(tmp_path, left):
    path = write_fcs(tmp_path / "a.fcs", make_values())
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(InputError, match=r"a\.fcs: (is of version|its keywords|is \d+ bytes long)"):
        read_header(path)


def test_file_that_is_cut_off_after_its_header_was_read(tmp_path):
    path = write_fcs(tmp_path / "a.fcs", make_values())
    header = read_header(path)
    path.write_bytes(path.read_bytes()[:4500])
    with pytest.raises(InputError, match=r"a\.fcs: ends after 20 of its 50 events; it is incomplete"):
        read_all(header, tmp_path)


def test_other_versions_and_packed_files(tmp_path):
    path = write_fcs(tmp_path / "a.fcs", make_values())
    path.write_bytes(path.read_bytes().replace(b"FCS3.1", b"FCS1.0"))
    with pytest.raises(
        InputError, match=r"is of version 'FCS1\.0', but only FCS2\.0, FCS3\.0, FCS3\.1, FCS3\.2 are read"
    ):
        read_header(path)
    packed = tmp_path / "b.fcs.gz"
    packed.write_bytes(gzip.compress(write_fcs(path, make_values()).read_bytes()))
    with pytest.raises(InputError, match=r"b\.fcs\.gz: is an FCS file packed with gzip; unpack it \(gunzip"):
        read_header(packed)


def test_no_marker_and_other_keys(tmp_path):
    path = write_fcs(tmp_path / "a.fcs", np.ones((3, 2)), channels=[("FSC-A", ""), ("Time", "")])
    with pytest.raises(InputError, match=r"none of its channels \(FSC-A, Time\) is a marker;"):
        read_header(path)
    with pytest.raises(InputError, match=r"datasets\.blood\.counts is 'raw', .*remove the key"):
        read_header(write_fcs(path, make_values()), counts="raw")


def test_first_of_several_datasets(tmp_path):
    path = write_fcs(tmp_path / "a.fcs", make_values(), NEXTDATA="5096")
    path.write_bytes(path.read_bytes() + path.read_bytes())
    header = read_header(path)
    assert "the file contains several datasets ($NEXTDATA); the first one is read" in header.remarks
    assert np.array_equal(read_all(header, tmp_path)[0], make_values()[:, MARKERS])


def test_real_file_as_flowio_reads_it(test_data, tmp_path):
    path = test_data / "formats/fcs/ff.fcs"
    flow = flowio.FlowData(path)
    header = read_header(path)
    found, _, obs, _ = read_all(header, tmp_path, 10**6, ["Time", "SSC-W"])
    labels = {n - 1: channel["pnn"] for n, channel in flow.channels.items()}
    # AmCyan-A is a viability stain ($PnS is l/d).
    markers = [i for i in range(18) if not labels[i].startswith(("FSC", "SSC", "Time", "AmCyan"))]
    assert np.array_equal(found, as_flowio_reads(path, markers))
    assert list(header.var["detector"]) == [labels[i] for i in markers]
    assert np.array_equal(obs["Time"], flow.as_array(preprocess=False)[:, 0])
    n, *fields = flow.text["spill"].split(",")
    names, matrix = fields[: int(n)], np.array(fields[int(n) :], dtype=float).reshape(int(n), int(n))
    whole = read_header(path, compensate=True, modality="cytometry")
    positions = [list(whole.var["detector"]).index(name) for name in names]
    expected = np.linalg.solve(matrix.T, as_flowio_reads(path, positions).T.astype(float)).T
    compensated = read_all(whole, tmp_path, 10**6)[0]
    assert np.allclose(compensated[:, positions], expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("sample", "h5ad"), [("H1", "ref_H1_dense.h5ad"), ("H2", "query_H2_dense.h5ad")])
def test_real_mass_cytometry_file(test_data, tmp_path, sample, h5ad):
    folder = test_data / "levine32_cytof"
    header = read_header(folder / f"Levine_{sample}.fcs")
    others = ["Time", "Cell_length", "DNA1", "DNA2", "Viability", "file_number", "event_number"]
    assert header.obs_columns == others
    found, _, obs, _ = read_all(header, tmp_path, 50_000, others)
    assert np.array_equal(found, as_flowio_reads(header.path, range(4, 36)))
    same_cells = ad.read_h5ad(folder / h5ad)
    assert np.array_equal(found, same_cells[:, list(header.var.index)].X)
    for column in others:
        assert np.array_equal(obs[column], same_cells[:, column].X.ravel())
