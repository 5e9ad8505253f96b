"""FCS files that flowio and the project's reader read back unchanged."""

import re

import flowio
import numpy as np
import pytest
from cellferry.cytometry.fcs_writer import Channel, FcsWriter, header, text_segment
from reading import read_all, read_header

CHANNELS = [Channel("FITC-A", "CD3"), Channel("PE-A", "CD19"), Channel("Time"), Channel("code", most=12)]


def make_values(n_events=50, n_channels=4):
    return np.random.default_rng(0).normal(20, 300, (n_events, n_channels)).astype(np.float32)


def write(path, values, channels=CHANNELS, *, at_once=50, **keywords):
    with FcsWriter(path, channels, keywords) as writer:
        for start in range(0, len(values), at_once):
            writer.append(values[start : start + at_once])
    return path


def as_flowio_reads(path):
    """All numbers as stored in the file."""
    flow = flowio.FlowData(path)
    return flow, np.reshape(flow.events, (-1, flow.channel_count)).astype(np.float32)


@pytest.mark.parametrize("at_once", [1, 7, 50])
def test_flowio_reads_what_was_written(tmp_path, at_once):
    values = make_values()
    flow, found = as_flowio_reads(write(tmp_path / "a.fcs", values, at_once=at_once))
    assert np.array_equal(found, values)
    assert (flow.version, flow.event_count, flow.data_type) == ("3.1", 50, "F")
    assert flow.pnn_labels == ["FITC-A", "PE-A", "Time", "code"]
    assert flow.pns_labels == ["CD3", "CD19", "", ""]


def test_our_own_reader_reads_what_was_written(tmp_path):
    channels = [Channel("FITC-A", "CD3"), Channel("PE-A", "CD19"), Channel("APC-A")]
    values = make_values(n_channels=3)
    found = read_header(write(tmp_path / "a.fcs", values, channels))
    assert list(found.var.index) == ["CD3", "CD19", "APC-A"]
    assert np.array_equal(read_all(found, tmp_path)[0], values)


def test_a_file_does_not_depend_on_the_blocks_it_was_written_in(tmp_path):
    files = [write(tmp_path / f"{n}.fcs", make_values(), at_once=n).read_bytes() for n in (1, 7, 50)]
    assert files[0] == files[1] == files[2]


def test_ranges_are_above_the_highest_values(tmp_path):
    values = np.array([[-5, 0.25, 262143, 3], [-7, 1e30, np.nan, 4], [-1, 7, 3.5, 5]], dtype=np.float32)
    flow, found = as_flowio_reads(write(tmp_path / "a.fcs", values, at_once=2))
    assert [flow.text[f"p{n}r"] for n in (1, 2, 3, 4)] == ["1", "1000000000000000", "262144", "12"]
    assert flow.text["p4d"] == "Linear,0,12"
    assert "p1d" not in flow.text
    assert np.array_equal(found, values, equal_nan=True)


NAMES = ["CD3/CD28", "TCR γδ", "CD45RA|RO", "a\\b*c", "HLA-DR (L243)", "a\fb", "x=1;y", "'CD4'", "50%", "7"]


def test_unusual_names(tmp_path):
    channels = [Channel(name, f"{name} €") for name in NAMES]
    values = make_values(n_channels=len(NAMES))
    flow, found = as_flowio_reads(write(tmp_path / "a.fcs", values, channels, LABEL_1=" B/NK, \f ", EMPTY=""))
    assert flow.pnn_labels == NAMES
    assert flow.pns_labels == [f"{name} €" for name in NAMES]
    assert flow.text["label_1"] == "B/NK,"
    assert "empty" not in flow.text
    assert np.array_equal(found, values)
    assert list(read_header(tmp_path / "a.fcs").var.index) == [f"{name} €" for name in NAMES]


@pytest.mark.parametrize("names", [["a", "b", "a"], ["a", "b,c"], ["a", ""], ["a", "\f"]])
def test_names_that_the_standard_does_not_allow(tmp_path, names):
    with pytest.raises(ValueError, match=r"a\.fcs: channels need unique names without commas"):
        FcsWriter(tmp_path / "a.fcs", [Channel(name) for name in names], {})
    assert list(tmp_path.iterdir()) == []


def write_blocks(path, blocks):
    with FcsWriter(path, CHANNELS, {}) as writer:
        for block in blocks:
            writer.append(block)


def test_a_file_appears_when_it_is_complete(tmp_path):
    with pytest.raises(ValueError, match="3 values of each event for 4 channels"):
        write_blocks(tmp_path / "a.fcs", [make_values(), make_values(n_channels=3)])
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_events_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs events"):
        write_blocks(tmp_path / "a.fcs", [make_values(n_events=0)])
    assert list(tmp_path.iterdir()) == []


def keywords_of(segment):
    words = segment.decode().strip("\f").split("\f")
    return dict(zip(words[::2], words[1::2], strict=True))


@pytest.mark.parametrize("end", [5_000, 99_999_999])
def test_places_that_the_header_has_room_for(end):
    line = header(4_000, (4_100, end))
    assert len(line) == 58
    assert re.fullmatch(rf"FCS3\.1 {{4}} {{6}}58 {{4}}4000 {{4}}4100 *{end} {{7}}0 {{7}}0", line.decode())


def test_places_beyond_a_hundred_megabytes_stand_among_the_keywords_alone():
    data = (4_100, 100_000_000)
    line = header(4_000, data).decode()
    fields = [int(line[start : start + 8]) for start in range(10, 58, 8)]
    assert fields == [58, 4_000, 0, 0, 0, 0]
    found = keywords_of(text_segment([Channel("a")], {}, n_events=24_998_975, ranges=[1], data=data))
    assert (found["$BEGINDATA"], found["$ENDDATA"]) == ("4100", "100000000")
    assert found["$TOT"] == "24998975"


def test_all_keywords_that_the_standard_asks_for():
    found = keywords_of(text_segment(CHANNELS, {}, n_events=1, ranges=[1, 1, 1, 12], data=(100, 115)))
    required = [f"{edge}{part}" for edge in ("BEGIN", "END") for part in ("ANALYSIS", "DATA", "STEXT")]
    required += ["BYTEORD", "DATATYPE", "MODE", "NEXTDATA", "PAR", "TOT"]
    required += [f"P{n}{letter}" for n in (1, 2, 3, 4) for letter in "BENR"]
    assert set(found) >= {f"${keyword}" for keyword in required}


def test_a_large_file_is_read_by_flowio(tmp_path):
    """A hole in the file replaces most of its events."""
    n_events = 25_000_000
    segment = text_segment([Channel("a")], {}, n_events=n_events, ranges=[1], data=(1_000, 100_000_999))
    path = tmp_path / "large.fcs"
    with open(path, "wb") as file:
        file.write(header(58 + len(segment) - 1, (1_000, 100_000_999)) + segment)
        file.truncate(100_001_000)
    flow = flowio.FlowData(path, only_text=True)
    assert (flow.event_count, flow.header["data_start"]) == (n_events, 0)
    assert read_header(path).n_cells == n_events
