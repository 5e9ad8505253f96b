"""Numbers and lines parsed from bytes like in Python, or left to the slow parser."""

import io
import random

import numpy as np
import pytest
from cellferry.core.text import whole_lines
from cellferry.formats.digits import line_starts, parse_entries, parse_rows

PLAIN = ["0", "7", "42", "-3", "-0", "007", "2.000", "0.5", ".5", "5.", "1e3", "1E+05", "2.5e-3", "16777217"]
PLAIN += ["4294967296", "99999999999", "123456789.25", "999999999999999", "1e22", "3e-22", "0.1", "3.14159"]
UNUSUAL = ["", " ", "NA", "nan", "inf", "+5", " 5", "5 ", "-", ".", "e5", "1e", "1e+", "--5", "1-2", "1.2.3"]
UNUSUAL += [
    "0x10",
    "1_000",
    '"5"',
    "5'",
    "1e23",
    "1e-30",
    "1234567890123456",
    "0.1234567890123456",
    "x",
    "1\r2",
]


def parse(text, n_columns, delimiter=",", max_rows=10**6):
    """Rows as lists of names and values, and the unread rest."""
    rows = parse_rows(text, 0, delimiter, n_columns, max_rows)
    dense = np.zeros((len(rows.starts), n_columns), dtype=np.float32)
    of_row = np.repeat(np.arange(len(rows.starts)), np.diff(rows.indptr))
    dense[of_row, rows.indices] = rows.values
    names = [text[start:].split(delimiter.encode())[0].decode().strip('"') for start in rows.starts]
    assert rows.n_lines == text[: rows.at].count(b"\n")
    return names, dense, text[rows.at :]


def as_python_reads(fields):
    return np.array([float(field) for field in fields], dtype=np.float32)


@pytest.mark.parametrize("text", PLAIN)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_number_is_what_python_reads(text, end):
    line = f"c1,{text},1,{text}{end}".encode()
    names, values, left = parse(line, 3)
    assert (names, left) == (["c1"], b"")
    assert np.array_equal(values[0], as_python_reads([text, "1", text]))
    values = parse_entries(f"2\t3 {text}{end}".encode(), 2, 3)[2]
    assert np.array_equal(values, as_python_reads([text]))


@pytest.mark.parametrize("text", UNUSUAL)
@pytest.mark.parametrize("column", [0, 1, 2])
def test_what_is_not_plain_is_left_to_others(text, column):
    fields = ["1", "2", "3"]
    fields[column] = text
    unusual = f"c2,{','.join(fields)}\n".encode()
    names, _, left = parse(b"c1,1,2,3\n" + unusual + b"c3,1,2,3\n", 3)
    assert (names, left) == (["c1"], unusual + b"c3,1,2,3\n")
    assert parse(unusual, 3)[2] == unusual
    if text.strip() == text and text:  # spaces between an entry's numbers are allowed
        assert parse_entries(f"1 1 1\n1 1 {text}\n".encode(), 9, 9) is None
        assert parse_entries(f"{text} 1 1\n".encode(), 9, 9) is None or text.isdigit()


def random_number(rng):
    kind = rng.randrange(10)
    if kind < 5:
        return str(rng.choice([0, 0, 0, 1, 2, 13]))
    if kind < 7:
        return str(rng.randrange(-(10 ** rng.randrange(1, 15)), 10 ** rng.randrange(1, 15)))
    if kind == 7:
        return f"{rng.uniform(-1000, 1000):.{rng.randrange(8)}f}"
    if kind == 8:
        return f"{rng.uniform(-1000, 1000):.{rng.randrange(8)}e}"
    return rng.choice(PLAIN)


@pytest.mark.parametrize("seed", range(60))
def test_random_tables_as_python_reads_them(seed):
    rng = random.Random(seed)
    delimiter, end = rng.choice(",\t;"), rng.choice(["\n", "\r\n"])
    n_rows, n_columns = rng.randrange(1, 12), rng.randrange(1, 9)
    table = [[random_number(rng) for _ in range(n_columns)] for _ in range(n_rows)]
    names = [rng.choice([f"c{i}", f'"c{i}"', "", f"é {i}"]) for i in range(n_rows)]
    lines = [delimiter.join([name, *row]) for name, row in zip(names, table, strict=True)]
    lines = [line for pair in lines for line in ([pair, ""] if rng.random() < 0.2 else [pair])]
    text = (end.join(lines) + (end if rng.random() < 0.5 else "")).encode()
    # Text may be cut anywhere, and parsing may stop after any line.
    found_names, found, n_nonblank = [], [], 0
    for piece in whole_lines(io.BytesIO(text), rng.randrange(1, len(text) + 1)):
        assert piece.endswith(b"\n")
        n_nonblank += len(line_starts(piece))
        while piece:
            some, values, piece = parse(piece, n_columns, delimiter, rng.randrange(1, 4))
            found_names += some
            found.append(values)
    assert found_names == [name.strip('"') for name in names]
    assert n_nonblank == n_rows
    assert np.array_equal(np.concatenate(found), [as_python_reads(row) for row in table])


def test_zeros_are_left_out():
    rows = parse_rows(b"a,0,5,0.0\nb,-0,0e3,0\n", 0, ",", 3, 10)
    assert (rows.indptr.tolist(), rows.indices.tolist(), rows.values.tolist()) == ([0, 1, 1], [1], [5.0])


@pytest.mark.parametrize("line", ["c2,1", "c2,1,2,3", "c2", "", '"c2,1,2', "c2,1,2,", '"c2"x,1,2', "c2;1;2"])
def test_lines_of_another_shape_are_left_to_others(line):
    names, _, left = parse(f"c1,1,2\n{line}\nc3,3,4\n".encode(), 2)
    assert (names, left) == ((["c1", "c3"], b"") if line == "" else (["c1"], f"{line}\nc3,3,4\n".encode()))


def test_names_in_quotes_may_hold_the_delimiter():
    rows = parse_rows(b'"a,1",2\n"",3\n', 0, ",", 1, 10)
    assert (rows.starts.tolist(), rows.values.tolist()) == ([0, 8], [2, 3])


@pytest.mark.parametrize("seed", range(40))
def test_random_entries_as_python_reads_them(seed):
    rng = random.Random(seed)
    shape = rng.choice([(30, 40), (40_000, 10**6)])
    entries, lines = [], []
    for _ in range(rng.randrange(1, 30)):
        entries.append((rng.randint(1, shape[0]), rng.randint(1, shape[1]), random_number(rng)))
        blank = rng.choice([" ", " ", "\t", "  "])
        line = blank.join(map(str, entries[-1]))
        lines.append(rng.choice([line, line, f" {line}", f"{line} ", f"{line}\r"]))
        lines += [""] * (rng.random() < 0.1)
    text = ("\n".join(lines) + "\n").encode()
    rows, columns, values, n_lines = parse_entries(text, *shape)
    assert n_lines == len(lines)
    assert np.array_equal(rows + 1, [row for row, _, _ in entries])
    assert np.array_equal(columns + 1, [column for _, column, _ in entries])
    assert np.array_equal(values, as_python_reads([value for _, _, value in entries]))


@pytest.mark.parametrize(
    "line",
    [
        "1 1",
        "1 1 1 1",
        "0 1 1",
        "1 0 1",
        "4 1 1",
        "1 5 1",
        "-1 1 1",
        "1 -1 1",
        "1.0 1 1",
        "11",
        "a b c",
        "% x",
    ],
)
def test_entries_that_are_none_are_left_to_others(line):
    assert parse_entries(b"1 1 1\n" + line.encode() + b"\n1 2 1\n", 3, 4) is None
    assert parse_entries(line.encode() + b"\n", 3, 4) is None


def test_no_text():
    assert parse_entries(b"", 3, 4)[3] == 0
    assert len(parse_rows(b"", 0, ",", 3, 5).starts) == 0
    assert len(line_starts(b"")) == 0


def test_line_starts_leave_out_empty_lines():
    assert line_starts(b"\na\n\r\n\nb,1\r\n \n\r\n").tolist() == [1, 6, 11]
