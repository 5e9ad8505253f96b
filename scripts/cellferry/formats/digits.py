"""Fast parsers of numbers in text, at several hundred MB/s.

Counts in tables and MatrixMarket files are simple: digits, rarely a decimal point or an exponent. The parsers
accept only these. They stop before a line with anything else (quotes around numbers, missing values, spaces,
letters, another length, sixteen digits or more); the caller then reads on with a complete library, which also
reports errors.
"""

from typing import NamedTuple

import numba
import numpy as np

TAB, NEWLINE, RETURN, SPACE, QUOTE = b'\t\n\r "'
PLUS, MINUS, POINT, ZERO, SMALL_E, LARGE_E = b"+-.0eE"

MAX_DIGITS = 15
"""This many digits fit into a float64; `POWERS` are exact too, so that only one rounding remains."""

POWERS = np.array([float(f"1e{exponent}") for exponent in range(23)])


class Rows(NamedTuple):
    """Lines of a table as sparse rows.

    Attributes
    ----------
    starts
        Position in the text of each line's first byte.
    indptr, indices, values
        The rows as CSR (int32, int32, float32).
    at
        Position after the last parsed line.
    n_lines
        Number of lines up to this position, including empty ones.
    """

    starts: np.ndarray
    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    at: int
    n_lines: int


def parse_rows(
    text: bytes, at: int, delimiter: str, n_columns: int, max_rows: int, n_skipped: int = 0
) -> Rows:
    """Parse lines of a table: a name, quoted or not, and `n_columns` (at least one) numbers.

    Parameters
    ----------
    text
        Whole lines with a line end after the last; empty lines are skipped.
    at
        Position of the first line to parse.
    delimiter, n_columns
        Delimiter of the fields, and numbers per line.
    max_rows
        Largest number of lines to parse.
    n_skipped
        Number of fields of any kind between the name and the numbers.

    Returns
    -------
    The lines up to `max_rows`, to the end of the text, or to a line with an unusual form. The last case
    applies if there are no rows and `at` is not the end of the text.
    """
    # A number and its delimiter take at least two bytes.
    max_rows = min(max_rows, (len(text) - at) // (2 * max(1, n_columns)) + 1)
    max_values = max(1, min(max_rows * n_columns, (len(text) - at) // 2 + n_columns))
    starts = np.empty(max_rows, dtype=np.int64)
    indptr = np.zeros(max_rows + 1, dtype=np.int32)
    indices = np.empty(max_values, dtype=np.int32)
    values = np.empty(max_values, dtype=np.float32)
    buffer = np.frombuffer(text, dtype=np.uint8)
    n_rows, at, n_lines = _parse_rows(
        buffer, at, ord(delimiter), n_columns, n_skipped, starts, indptr, indices, values
    )
    n_values = indptr[n_rows]
    return Rows(starts[:n_rows], indptr[: n_rows + 1], indices[:n_values], values[:n_values], at, n_lines)


def parse_entries(
    text: bytes, n_rows: int, n_columns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int] | None:
    """Parse lines of a row, a column (both from 1) and a number, separated by spaces or tabs.

    Parameters
    ----------
    text
        Whole lines with a line end after the last; empty lines are skipped.
    n_rows, n_columns
        Shape of the matrix.

    Returns
    -------
    Rows and columns from 0 (int32), values (float32), and the number of lines, including empty ones; None if
    a line has an unusual form or is outside the matrix.
    """
    most = len(text) // 6 + 1  # the shortest entry is `1 1 1`
    rows, columns = np.empty(most, dtype=np.int32), np.empty(most, dtype=np.int32)
    values = np.empty(most, dtype=np.float32)
    buffer = np.frombuffer(text, dtype=np.uint8)
    n_entries, n_lines = _parse_entries(buffer, n_rows, n_columns, rows, columns, values)
    return None if n_entries < 0 else (rows[:n_entries], columns[:n_entries], values[:n_entries], n_lines)


def line_starts(text: bytes) -> np.ndarray:
    """Positions of the first bytes of a text's lines, without empty lines (int64)."""
    buffer = np.frombuffer(text, dtype=np.uint8)
    starts = np.append(0, np.flatnonzero(buffer == NEWLINE) + 1)
    starts = starts[starts < len(buffer)]
    first = buffer[starts]
    second = buffer[np.minimum(starts + 1, len(buffer) - 1)]
    return starts[(first != NEWLINE) & ~((first == RETURN) & (second == NEWLINE))]


# No bounds checks below: each text ends with a line end, and nothing is read beyond it.


@numba.njit(cache=True)
def _byte(text, at):
    """A byte as a signed number; the unsigned position saves a check of its sign."""
    return np.int64(text[np.uint64(at)])


@numba.njit(cache=True)
def _parse_rows(text, at, delimiter, n_columns, n_skipped, starts, indptr, indices, values):
    """Fill the arrays; return the number of rows, the position after them and the number of lines."""
    n_rows = n_values = n_lines = 0
    while at < len(text) and n_rows < len(starts) and n_values + n_columns <= len(values):
        start = at
        if _byte(text, at) == NEWLINE or (_byte(text, at) == RETURN and _byte(text, at + 1) == NEWLINE):
            at += 1 if _byte(text, at) == NEWLINE else 2
            n_lines += 1
            continue
        for _ in range(1 + n_skipped):
            at = _behind_field(text, at, delimiter)
            if _byte(text, at) != delimiter:
                return n_rows, start, n_lines
            at += 1
        column, n = 0, n_values
        while True:
            digit = _byte(text, at) - ZERO
            if 0 <= digit <= 9 and _byte(text, at + 1) == delimiter:  # the most frequent form
                value, at = np.float64(digit), at + 1
            else:
                value, at = _number(text, at)
                if at < 0:
                    return n_rows, start, n_lines
            # Zeros are written and then overwritten: a branch that is hard to predict is slower.
            indices[np.uint64(n)] = column
            values[np.uint64(n)] = value
            n += value != 0
            column += 1
            if _byte(text, at) != delimiter or column == n_columns:
                break
            at += 1
        at += _byte(text, at) == RETURN
        if _byte(text, at) != NEWLINE or column != n_columns:
            return n_rows, start, n_lines
        at += 1
        n_lines += 1
        starts[n_rows] = start
        n_rows += 1
        n_values = n
        indptr[n_rows] = n
    return n_rows, at, n_lines


@numba.njit(cache=True)
def _behind_field(text, at, delimiter):
    """The position after a field, quoted or not."""
    if _byte(text, at) != QUOTE:
        while _byte(text, at) != delimiter and _byte(text, at) != NEWLINE:
            at += 1
        return at
    while _byte(text, at) == QUOTE:  # two quotes are one within the field
        at += 1
        while _byte(text, at) != QUOTE and _byte(text, at) != NEWLINE:
            at += 1
        at += _byte(text, at) == QUOTE
    return at


@numba.njit(cache=True)
def _parse_entries(text, max_row, max_column, rows, columns, values):
    """Fill the arrays; return the number of entries (-1 for a line of unusual form) and of lines."""
    at = n = n_lines = 0
    while at < len(text):
        row, behind_row = _integer(text, at)
        column, behind_column, digit = 0, at, -1
        if _byte(text, behind_row) == SPACE:
            column, behind_column = _integer(text, behind_row + 1)
            if _byte(text, behind_column) == SPACE:
                digit = _byte(text, behind_column + 1) - ZERO
        # The most frequent form: single spaces, a single digit.
        if 0 <= digit <= 9 and _byte(text, behind_column + 2) == NEWLINE:
            value, at = np.float64(digit), behind_column + 2
        else:
            at = _skip_blanks(text, at)
            if _byte(text, at) == NEWLINE or _byte(text, at) == RETURN:
                at += _byte(text, at) == RETURN
                if _byte(text, at) != NEWLINE:
                    return -1, n_lines
                at += 1
                n_lines += 1
                continue
            row, behind_row = _integer(text, at)
            at = _skip_blanks(text, behind_row)
            column, behind_column = _integer(text, at)
            is_separated = at > behind_row and _is_blank(text, behind_column)
            value, at = _number(text, _skip_blanks(text, behind_column))
            if at < 0 or not is_separated:
                return -1, n_lines
            at = _skip_blanks(text, at)
            at += _byte(text, at) == RETURN
            if _byte(text, at) != NEWLINE:
                return -1, n_lines
        if not (1 <= row <= max_row and 1 <= column <= max_column):
            return -1, n_lines
        rows[np.uint64(n)] = row - 1
        columns[np.uint64(n)] = column - 1
        values[np.uint64(n)] = value
        n += 1
        at += 1
        n_lines += 1
    return n, n_lines


@numba.njit(cache=True)
def _is_blank(text, at):
    return _byte(text, at) == SPACE or _byte(text, at) == TAB


@numba.njit(cache=True)
def _skip_blanks(text, at):
    while _is_blank(text, at):
        at += 1
    return at


@numba.njit(cache=True)
def _integer(text, at):
    """The digits from a position on (-1 if none or too many), and the position after them."""
    value, start = 0, at
    digit = _byte(text, at) - ZERO
    while 0 <= digit <= 9:
        value = 10 * value + digit
        at += 1
        digit = _byte(text, at) - ZERO
    return (value if 0 < at - start <= MAX_DIGITS else -1), at


@numba.njit(cache=True)
def _number(text, at):
    """The number at a position (float64), and the position after it, -1 for an unusual form."""
    is_negative = _byte(text, at) == MINUS
    at += is_negative
    mantissa, n_digits, exponent = 0, 0, 0
    digit = _byte(text, at) - ZERO
    while 0 <= digit <= 9:
        mantissa, n_digits = 10 * mantissa + digit, n_digits + 1
        at += 1
        digit = _byte(text, at) - ZERO
    if _byte(text, at) == POINT:
        at += 1
        digit = _byte(text, at) - ZERO
        while 0 <= digit <= 9:
            mantissa, n_digits, exponent = 10 * mantissa + digit, n_digits + 1, exponent - 1
            at += 1
            digit = _byte(text, at) - ZERO
    if n_digits == 0 or n_digits > MAX_DIGITS:
        return 0.0, -1
    if _byte(text, at) == SMALL_E or _byte(text, at) == LARGE_E:
        at += 1
        is_small = _byte(text, at) == MINUS
        at += is_small or _byte(text, at) == PLUS
        power, at = _integer(text, at)
        if power < 0:
            return 0.0, -1
        exponent += -power if is_small else power
    value = np.float64(mantissa)
    if exponent != 0:
        if abs(exponent) >= len(POWERS):
            return 0.0, -1
        value = value * POWERS[exponent] if exponent > 0 else value / POWERS[-exponent]
    return (-value if is_negative else value), at
