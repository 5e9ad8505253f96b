"""Text segments of FCS files: keywords, values, delimiters, and the offsets of other segments."""

from string import ascii_letters, digits

import flowio
import numpy as np
import pytest
from cellferry.errors import InputError
from cellferry.formats import Options, fcs
from cellferry.formats.fcs_text import by_name, doubles_delimiter, pairs_of
from fcs_files import random_fcs
from reading import read_all, read_header
from small_fcs import MARKERS, make_values, write_fcs

N_GENERATED = 150


def header_of(path):
    return fcs.header(path, Options(dataset="blood", modality="cytometry"))


def values_of(header, scratch):
    blocks = fcs.blocks(header, [], 10**4, scratch, 0, header.n_cells)
    return np.concatenate([block.counts.toarray() for block in blocks])


@pytest.mark.parametrize("seed", range(N_GENERATED))
def test_generated_files_are_read_as_they_were_written(tmp_path, seed):
    written = random_fcs(seed)
    path = tmp_path / "a.fcs"
    path.write_bytes(written.stored)
    header = header_of(path)
    assert list(header.var["detector"]) == written.detectors
    assert list(header.var["marker"]) == written.markers
    assert np.allclose(values_of(header, tmp_path), written.values, rtol=1e-6, atol=0)


@pytest.mark.parametrize("seed", range(40))
def test_plain_generated_files_are_read_as_flowio_reads_them(tmp_path, seed):
    written = random_fcs(seed, is_plain=True)
    path = tmp_path / "a.fcs"
    path.write_bytes(written.stored)
    header, flow = header_of(path), flowio.FlowData(path)
    assert list(header.var["detector"]) == flow.pnn_labels == written.detectors
    assert list(header.var["marker"]) == flow.pns_labels == written.markers
    found = values_of(header, tmp_path)
    assert np.allclose(found, written.values, rtol=1e-6, atol=0)
    assert np.allclose(found, flow.as_array(), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("segment", "pairs"),
    [
        ("/A/1/B/2/", {"A": "1", "B": "2"}),
        ("/$a/1/ b / 2 /", {"A": "1", "B": "2"}),
        ("/A/1/B/2", {"A": "1", "B": "2"}),
        ("/A/1/B/2/  ", {"A": "1", "B": "2"}),
        ("/A/1/B/2//", {"A": "1", "B": "2"}),
        ("/A/1/B/2/\x00\x10", {"A": "1", "B": "2"}),
        # Escaped within a value, at its end, and two times.
        ("/A/x//y/B/2/", {"A": "x/y", "B": "2"}),
        ("/A/x///B/2/", {"A": "x/", "B": "2"}),
        ("/A/x////y/B/2/", {"A": "x//y", "B": "2"}),
        ("/A/x/////B/2/", {"A": "x//", "B": "2"}),
        # Empty values: before a keyword, before another empty one, at the end.
        ("/A//B/2/", {"A": "", "B": "2"}),
        ("/A//B//C/3/", {"A": "", "B": "", "C": "3"}),
        ("/A/1/B//", {"A": "1", "B": ""}),
        ("/A/1/B/", {"A": "1", "B": ""}),
        ("/A/ /B/2/", {"A": "", "B": "2"}),
        # Both in one segment.
        ("/A//B/x//y/C//D/4/", {"A": "", "B": "x/y", "C": "", "D": "4"}),
        ("/A//B/x///C//D/4/", {"A": "", "B": "x/", "C": "", "D": "4"}),
        # An empty value does not replace another, nor does a keyword without `$` replace a standard one.
        ("/$A/1/$A//", {"A": "1"}),
        ("/$A/1/A/2/", {"A": "1"}),
        ("/A/2/$A//", {"A": "2"}),
        ("/$A/1/$A/2/", {"A": "2"}),
    ],
)
@pytest.mark.parametrize("delimiter", ["/", "|", "\\", "^", "]", "-", ".", "&"])
def test_keywords_and_values(segment, pairs, delimiter):
    segment = segment.replace("/", delimiter)
    assert doubles_delimiter(segment, "FCS3.1")
    assert by_name(pairs_of(segment, is_doubled=True)) == {
        name: value.replace("/", delimiter) for name, value in pairs.items()
    }


@pytest.mark.parametrize(
    ("segment", "is_doubled", "pairs"),
    [
        ("$$$A$1$$$B$2$C$3$", True, {"A": "1", "B": "2", "C": "3"}),
        ("$$$A$1$$$B$$$$C$3$", True, {"A": "1", "B": "", "C": "3"}),
        ("$$$A$1$$x$$$B$2$", True, {"A": "1$x", "B": "2"}),
        ("$$A$1$$B$2$C$3$", False, {"A": "1", "B": "2", "C": "3"}),
        ("$$A$1$$B$$$C$3$", False, {"A": "1", "B": "", "C": "3"}),
    ],
)
def test_the_sign_of_the_standards_keywords_as_delimiter(segment, is_doubled, pairs):
    assert doubles_delimiter(segment, "FCS3.1") is is_doubled
    assert by_name(pairs_of(segment, is_doubled=is_doubled)) == pairs


@pytest.mark.parametrize("is_doubled", [True, False])
@pytest.mark.parametrize("first", ["", "$SPECIMEN$blood", "$SPECIMEN$"])
def test_files_with_that_delimiter(tmp_path, is_doubled, first):
    path = write_fcs(tmp_path / "a.fcs", make_values(), P2G="2")
    stored = path.read_bytes()
    text = stored[256:4096].rstrip().replace(b"/$", b"/$$" if is_doubled else b"/$").replace(b"/", b"$")
    text = first.encode() + text
    path.write_bytes(
        (stored[:18] + b"%8d" % (256 + len(text) - 1) + stored[26:256] + text).ljust(4096) + stored[4096:]
    )
    header = read_header(path)
    assert list(header.var.index) == ["CD3", "CD19", "APC-A"]
    expected = make_values()[:, MARKERS] / np.array([2, 1, 1], dtype=np.float32)
    assert np.array_equal(read_all(header, tmp_path)[0], expected)


@pytest.mark.parametrize(
    "delimiter", sorted(set(map(chr, range(1, 127))) - set(f"{ascii_letters}{digits},-"))
)
def test_any_delimiter(tmp_path, delimiter):
    """All delimiters of the standard, 1 to 126, except characters of the keywords."""
    path = write_fcs(tmp_path / "a.fcs", make_values())
    stored = path.read_bytes()
    path.write_bytes(stored[:256] + stored[256:4096].replace(b"/", delimiter.encode()) + stored[4096:])
    header = read_header(path)
    assert list(header.var.index) == ["CD3", "CD19", "APC-A"]
    assert np.array_equal(read_all(header, tmp_path)[0], make_values()[:, MARKERS])


@pytest.mark.parametrize("keyword", ["P2S", "P5S", "COMMENT", "P1G", "CYT", "SYS", "TIMESTEP", "BEGINSTEXT"])
@pytest.mark.parametrize("version", ["2.0", "3.0", "3.1", "3.2"])
def test_an_empty_value_takes_no_keyword_in(tmp_path, keyword, version):
    """With any following keyword: keywords are written in the order in which they are added."""
    values = np.random.default_rng(0).integers(0, 1024, size=(50, 5))
    scales = {"P2E": "4,1", "P2R": "1024", "P2G": "1"}
    expected = 10 ** (4 * values[:, 1] / 1024)
    for first in scales:
        rest = {name: value for name, value in scales.items() if name != first}
        keywords = {keyword: "", first: scales[first], **rest}
        removed = dict.fromkeys(keywords)
        path = write_fcs(tmp_path / "a.fcs", values, types=["u2"] * 5, version=version, **removed)
        segment = "".join(f"${name}/{value}/" for name, value in keywords.items()).encode()
        _put_in(path, segment)
        found = read_all(read_header(path), tmp_path)[0]
        assert np.allclose(found[:, 0], expected, rtol=1e-6)


def _put_in(path, segment):
    """Add keywords to a file's segment, which begins at 256."""
    stored = bytearray(path.read_bytes())
    end = int(stored[18:26]) + 1
    stored[end : end + len(segment)] = segment
    stored[18:26] = b"%8d" % (end + len(segment) - 1)
    path.write_bytes(bytes(stored))


def test_a_value_with_an_escaped_delimiter_beside_an_empty_one(tmp_path):
    channels = [("FSC-A", ""), ("FITC-A", "B//NK"), ("PE-A", "CD19"), ("APC-A", ""), ("Time", "")]
    path = write_fcs(tmp_path / "a.fcs", make_values(), channels=channels, CYT="", COMMENT="", P4S="")
    header = read_header(path)
    assert list(header.var.index) == ["B/NK", "CD19", "APC-A"]
    assert np.array_equal(read_all(header, tmp_path)[0], make_values()[:, MARKERS])


def test_delimiters_in_values_that_are_not_doubled(tmp_path):
    """Lost keywords are reported, required or not."""
    path = write_fcs(tmp_path / "a.fcs", make_values(), SRC="a/b", P2G="2", OP="c/d")
    with pytest.raises(
        InputError, match=r"a\.fcs: its keyword B has the value \$P2G, which is a keyword; a value"
    ):
        read_header(path)
    path = write_fcs(tmp_path / "a.fcs", make_values(), MODE="a/b")
    with pytest.raises(InputError, match=r"lacks the keyword \$BYTEORD, \$DATATYPE, \$PAR, \$TOT, which"):
        read_header(path)


@pytest.mark.parametrize("has_delimiter", [True, False])
def test_supplemental_keywords(tmp_path, has_delimiter):
    segment = b"/$P2S/CD4/$P4S/CD8/$P3G//$P4G/2/SPILL/2,PE-A,APC-A,1,0,0.5,1/$TOT/7/"
    segment = segment if has_delimiter else segment[1:]
    path = write_fcs(
        tmp_path / "a.fcs", make_values(), BEGINSTEXT="5096", ENDSTEXT=f"{5096 + len(segment) - 1}"
    )
    path.write_bytes(path.read_bytes() + segment)
    header = read_header(path)
    # Values of the first segment have precedence.
    assert list(header.var.index) == ["CD3", "CD19", "CD8"]
    assert "the file's spillover matrix is not applied (datasets.blood.compensate is false)" in header.remarks
    expected = make_values()[:, MARKERS] / np.array([1, 1, 2], dtype=np.float32)
    assert np.array_equal(read_all(header, tmp_path)[0], expected)


@pytest.mark.parametrize(("begin", "end"), [("5000", "5100"), ("9000", "9100"), ("4096", "4200")])
def test_supplemental_keywords_that_are_not_there(tmp_path, begin, end):
    path = write_fcs(tmp_path / "a.fcs", make_values(), BEGINSTEXT=begin, ENDSTEXT=end)
    header = read_header(path)
    assert header.remarks[-1] == "there are no supplemental keywords at their position ($BEGINSTEXT)"
    assert np.array_equal(read_all(header, tmp_path)[0], make_values()[:, MARKERS])


@pytest.mark.parametrize("places", [(" " * 8, " " * 8), ("0", "0"), ("", "-1"), ("00000000", "99999999")])
def test_places_that_the_header_leaves_out(tmp_path, places):
    path = write_fcs(tmp_path / "a.fcs", make_values())
    stored = bytearray(path.read_bytes())
    stored[26:42] = b"".join(place.rjust(8).encode() for place in places)
    path.write_bytes(bytes(stored))
    assert np.array_equal(read_all(read_header(path), tmp_path)[0], make_values()[:, MARKERS])


@pytest.mark.parametrize(
    "keywords", [{"BEGINDATA": None, "ENDDATA": None}, {"BEGINDATA": "0", "ENDDATA": ""}]
)
def test_places_that_the_keywords_leave_out(tmp_path, keywords):
    path = write_fcs(tmp_path / "a.fcs", make_values(), **keywords)
    assert np.array_equal(read_all(read_header(path), tmp_path)[0], make_values()[:, MARKERS])


@pytest.mark.parametrize("header", ["abcdefgh", "     1.5", "    5e3 "])
def test_headers_without_numbers(tmp_path, header):
    path = write_fcs(tmp_path / "a.fcs", make_values())
    stored = bytearray(path.read_bytes())
    stored[26:34] = header.encode()
    path.write_bytes(bytes(stored))
    with pytest.raises(
        InputError, match=rf"a\.fcs: its keywords cannot be read.*'{header.strip()}' as a position"
    ):
        read_header(path)


@pytest.mark.parametrize("nextdata", ["5096", "100000", "0", ""])
def test_no_other_dataset(tmp_path, nextdata):
    """Some software writes the end of the file as the position of the next dataset."""
    header = read_header(write_fcs(tmp_path / "a.fcs", make_values(), NEXTDATA=nextdata))
    assert not any("datasets" in remark for remark in header.remarks)


def test_keywords_without_their_sign_and_in_any_case(tmp_path):
    path = write_fcs(tmp_path / "a.fcs", make_values(), P2G="2")
    stored = path.read_bytes()
    text = stored[256:4096].replace(b"/$", b"/").replace(b"P2G", b"p2g").replace(b"TOT/50", b"tOt/ 50 ")
    start = bytearray(stored[:256])
    start[18:26] = b"%8d" % (256 + len(text.rstrip()) - 1)
    path.write_bytes(bytes(start) + text.rstrip().ljust(3840) + stored[4096:])
    header = read_header(path)
    expected = make_values()[:, MARKERS] / np.array([2, 1, 1], dtype=np.float32)
    assert np.array_equal(read_all(header, tmp_path)[0], expected)


def test_floats_that_are_logarithmic(tmp_path):
    """Read as in FlowCal and flowio; FCS 3.1 forbids it, and flowCore leaves them unchanged."""
    values = np.abs(make_values(high=250))
    header = read_header(write_fcs(tmp_path / "a.fcs", values, version="3.0", P2E="4,1", P2R="1024"))
    assert any(remark.endswith("although FCS 3.1 forbids it: FITC-A") for remark in header.remarks)
    assert np.allclose(
        read_all(header, tmp_path)[0][:, 0], 10 ** (4 * values[:, 1].astype(float) / 1024), rtol=1e-5
    )


def test_types_of_channels_differ(tmp_path):
    types = ["u2", "f4", "f8", "u4", "f4"]
    values = np.abs(make_values(high=250))
    keywords = {"DATATYPE": "F", "P1DATATYPE": "I", "P3DATATYPE": "d", "P4DATATYPE": " I ", "P4R": "256"}
    path = write_fcs(tmp_path / "a.fcs", values, types=types, version="3.2", **keywords)
    header = read_header(path)
    assert header.dtype == "integer and float32 and float64"
    expected = [
        values[:, i].astype(type_).astype(np.float32) for i, type_ in zip(MARKERS, types[1:4], strict=True)
    ]
    assert np.array_equal(read_all(header, tmp_path)[0], np.column_stack(expected))
    with pytest.raises(InputError, match=r"\$P2DATATYPE is 'A', but only I, F and D are read"):
        read_header(write_fcs(path, values, types=types, version="3.2", **keywords, P2DATATYPE="A"))


@pytest.mark.parametrize("order", ["3,4,1,2", " 3, 4, 1, 2 ", "2,1,4,3"])
@pytest.mark.parametrize("type_", ["u4", "f4"])
def test_mixed_byte_order(tmp_path, order, type_):
    values = np.abs(make_values(high=250)).astype(type_)
    path = write_fcs(tmp_path / "a.fcs", values, types=[type_] * 5, BYTEORD=order)
    stored = path.read_bytes()
    little = np.frombuffer(stored[4096:], dtype=np.uint8).reshape(-1, 4)
    path.write_bytes(stored[:4096] + little[:, [int(rank) - 1 for rank in order.split(",")]].tobytes())
    assert np.array_equal(read_all(read_header(path), tmp_path)[0], values[:, MARKERS].astype(np.float32))


def test_mixed_byte_order_of_other_widths(tmp_path):
    path = write_fcs(tmp_path / "a.fcs", make_values(), types=["f8"] * 5, BYTEORD="3,4,1,2")
    with pytest.raises(InputError, match=r"\$BYTEORD is '3,4,1,2', which is not an order of 8 bytes"):
        read_header(path)
