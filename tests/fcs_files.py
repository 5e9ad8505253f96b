"""Random FCS files of every kind that instruments write, with their content.

Written from the standard, byte by byte, without the package: the reader is compared with it.
"""

import struct
from typing import NamedTuple

import numpy as np

DELIMITERS = "/|\\*?+()[]{}^.,$#!%&~@;:-_=<>'\"`\t\n\f\r\x01\x1e "
PLAIN_DELIMITERS = "/|\\*\f"
MIXED_ORDERS = ((3, 4, 1, 2), (2, 1, 4, 3), (1, 3, 2, 4))


class FcsFile(NamedTuple):
    """A file's bytes, and its expected names and linear values (events × channels)."""

    stored: bytes
    detectors: list[str]
    markers: list[str]
    values: np.ndarray


class Drawn(NamedTuple):
    """How a channel is stored: I, F or D, bytes, range, decades and value at 0, gain."""

    kind: str
    width: int
    most: int
    scale: str
    gain: str


def random_fcs(seed: int, *, is_plain: bool = False, n_events: int = 7) -> FcsFile:
    """One file; a plain one is readable by all libraries."""
    rng = np.random.default_rng(seed)
    version = str(rng.choice(["2.0", "3.0", "3.1"] if is_plain else ["2.0", "3.0", "3.1", "3.2"]))
    delimiter = str(rng.choice(list(PLAIN_DELIMITERS if is_plain else DELIMITERS)))
    n = int(rng.integers(1, 6))
    order = draw_order(rng, is_plain)
    # Orders of four bytes do not define those of eight.
    kinds = ["I", "F"] if order in MIXED_ORDERS else ["I", "F", "D"]
    kind = str(rng.choice(kinds))
    channels = [draw_channel(rng, kinds if version == "3.2" else [kind], order, is_plain) for _ in range(n)]
    events = [[draw_number(rng, channel) for channel in channels] for _ in range(n_events)]
    data = b"".join(
        as_bytes(value, channel, order)
        for event in events
        for value, channel in zip(event, channels, strict=True)
    )
    detectors = [f"D{i}-A" for i in range(1, n + 1)]
    markers = [draw_marker(rng, i, delimiter, is_plain) for i in range(1, n + 1)]
    required, optional = keywords_of(channels, detectors, markers, kind, order, n_events)
    if not is_plain:
        optional += [(f"$COMMENT{i}", "") for i in range(rng.integers(0, 4))]
        optional += [("SPECIMEN", f"a{delimiter * 2}b"), ("$SYS", "")]
    stored = laid_out(rng, version, delimiter, required, optional, data, is_plain)
    values = [
        [linear(value, channel) for value, channel in zip(event, channels, strict=True)] for event in events
    ]
    return FcsFile(stored, detectors, [marker.strip() for marker in markers], np.array(values))


def draw_order(rng, is_plain):
    if not is_plain and rng.random() < 0.2:
        return MIXED_ORDERS[rng.integers(len(MIXED_ORDERS))]
    return (1, 2, 3, 4) if rng.random() < 0.5 else (4, 3, 2, 1)


def draw_channel(rng, kinds, order, is_plain):
    kind = str(rng.choice(kinds))
    widths = [4] if order in MIXED_ORDERS else [1, 2, 4] if is_plain else range(1, 9)
    width = {"F": 4, "D": 8}.get(kind) or int(rng.choice(list(widths)))
    most = int(rng.choice([256, 1000, 1024, 262144, 1 << 8 * width]))
    scale = str(rng.choice(["0,0", "4,1", "4.5,0.1", "4,0"])) if kind == "I" else "0,0"
    return Drawn(kind, width, min(most, 1 << 8 * width), scale, str(rng.choice(["", "1.0", "2.5"])))


def draw_number(rng, channel):
    if channel.kind == "I":
        return int.from_bytes(rng.bytes(channel.width), "big")
    return float(np.float32(rng.normal(0, 1000)))


def draw_marker(rng, i, delimiter, is_plain):
    if is_plain or delimiter in "$ ":
        return f"CD{i}"
    return str(
        rng.choice(["", f"CD{i}", f"B{delimiter}NK{i}", f"a{2 * delimiter}b{i}", f"{i}{delimiter}", "γδ"])
    )


def as_bytes(value, channel, order):
    if channel.kind == "I":
        little = value.to_bytes(channel.width, "little")
    else:
        little = struct.pack("<f" if channel.kind == "F" else "<d", value)
    if order in MIXED_ORDERS:
        return bytes(little[rank - 1] for rank in order)
    return little if order[0] == 1 else little[::-1]


def linear(value, channel):
    if channel.kind == "I":
        bits = 0
        while 1 << bits < channel.most:
            bits += 1
        value %= 1 << bits
    decades, at_zero = (float(part) for part in channel.scale.split(","))
    if decades:
        value = 10 ** (decades * value / channel.most) * (at_zero or 1)
    return value / float(channel.gain or 1)


def keywords_of(channels, detectors, markers, kind, order, n_events):
    required = [("$PAR", f"{len(channels)}"), ("$TOT", f"{n_events}"), ("$MODE", "L"), ("$DATATYPE", kind)]
    required += [("$BYTEORD", ",".join(map(str, order))), ("$NEXTDATA", "0")]
    optional = []
    for i, channel in enumerate(channels, start=1):
        required += [(f"$P{i}N", detectors[i - 1]), (f"$P{i}B", f"{8 * channel.width}")]
        required += [(f"$P{i}R", f"{channel.most}"), (f"$P{i}E", channel.scale)]
        if channel.kind != kind:
            required.append((f"$P{i}DATATYPE", channel.kind))
        optional += [(f"$P{i}S", markers[i - 1]), (f"$P{i}G", channel.gain)]
    return required, optional


def text_of(rng, delimiter, pairs, is_plain, doubles_dollar):
    """A TEXT segment. With the delimiter $, keywords double their own or do not."""

    def written(keyword, value):
        if not is_plain:
            keyword = keyword.lower() if rng.random() < 0.3 else keyword
            blank = " " if delimiter not in " $" and rng.random() < 0.2 else ""
            keyword, value = f"{blank}{keyword}{blank}", f"{blank}{value}{blank}"
        if delimiter == "$" and not doubles_dollar:
            return keyword, value
        return keyword.replace(delimiter, 2 * delimiter), value.replace(delimiter, 2 * delimiter)

    text = "".join(f"{part}{delimiter}" for pair in pairs for part in written(*pair))
    return f"{delimiter}{text}"


def laid_out(rng, version, delimiter, required, optional, data, is_plain):
    """The whole file: header with places, keywords and events."""
    if is_plain or delimiter == "$":
        optional = [(keyword, value) for keyword, value in optional if value and 2 * delimiter not in value]
    place = "header" if version == "2.0" else str(rng.choice(["both", "keywords", "blank header"]))
    place = "both" if is_plain and version != "2.0" else place
    is_off = not is_plain and rng.random() < 0.3
    comes_first = not is_plain and rng.random() < 0.3
    has_more = not is_plain and version != "2.0" and rng.random() < 0.4
    begin = 58 if comes_first else 4096
    end = begin + len(data) - 1 + is_off
    pairs = required if has_more else required + optional
    doubles_dollar = rng.random() < 0.5
    more = text_of(rng, delimiter, optional, is_plain, doubles_dollar).encode() if has_more else b""
    more_at = 16384
    if version != "2.0":
        pairs = [*pairs, ("$BEGINDATA", f"{begin:012}"), ("$ENDDATA", f"{end}")]
        pairs += [("$BEGINSTEXT", f"{more_at if more else 0}")]
        pairs += [("$ENDSTEXT", f"{more_at + len(more) - 1 if more else 0}")]
    pairs = [pairs[i] for i in rng.permutation(len(pairs))]
    text = text_of(rng, delimiter, [*pairs, ("LAST", "one")], is_plain, doubles_dollar)
    if not is_plain:
        text = str(rng.choice([text, text[:-1], text + "  "])) if delimiter not in " $" else text
    text = text.encode()
    text_at = 4096 if comes_first else 58
    told = {"keywords": f"{0:8}{0:8}", "blank header": " " * 16}.get(place, f"{begin:8}{end:8}")
    header = f"FCS{version}    {text_at:8}{text_at + len(text) - 1:8}{told}{0:8}{0:8}".encode()
    parts = (
        {0: header, text_at: text, begin: data, more_at: more}
        if more
        else {0: header, text_at: text, begin: data}
    )
    stored = b""
    for at in sorted(parts):
        stored = stored.ljust(at, b" ") + parts[at]
    return stored + b"00000000"
