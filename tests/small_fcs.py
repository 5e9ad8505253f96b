"""Small FCS files of five channels, with any keyword set or left out."""

import numpy as np

N_EVENTS = 50
CHANNELS = [("FSC-A", ""), ("FITC-A", "CD3"), ("PE-A", "CD19"), ("APC-A", ""), ("Time", "")]
MARKERS = [1, 2, 3]


def make_values(seed=0, high=1000):
    return np.random.default_rng(seed).uniform(-5, high, size=(N_EVENTS, len(CHANNELS))).astype(np.float32)


def write_fcs(
    path, values, *, types=None, version="3.1", order="1,2,3,4", channels=CHANNELS, offsets=None, **keywords
):
    """Write one file; `types` are numpy's without byte order, `keywords` are added (None: left out)."""
    n = values.shape[1]
    types = types or ["f4"] * n
    letter = "<" if order.startswith("1") else ">"
    record = np.dtype([(str(i), f"{letter}{type_}") for i, type_ in enumerate(types)])
    data = np.zeros(len(values), dtype=record)
    for i in range(n):
        data[str(i)] = values[:, i]
    text = {
        "MODE": "L",
        "DATATYPE": {"f4": "F", "f8": "D"}.get(types[0], "I"),
        "BYTEORD": order,
        "PAR": str(n),
        "TOT": str(len(values)),
        "NEXTDATA": "0",
    }
    for i, (detector, marker) in enumerate(channels, start=1):
        text |= {
            f"P{i}N": detector,
            f"P{i}B": str(8 * int(types[i - 1][1:])),
            f"P{i}R": "262144",
            f"P{i}E": "0,0",
        }
        text |= {f"P{i}S": marker} if marker else {}
    begin, end = 4096, 4096 + data.nbytes - 1
    if version != "2.0":
        text |= {"BEGINDATA": str(begin), "ENDDATA": str(end)}
        text |= {"BEGINSTEXT": "0", "ENDSTEXT": "0", "BEGINANALYSIS": "0", "ENDANALYSIS": "0"}
    text = {key: value for key, value in (text | keywords).items() if value is not None}
    segment = "/" + "".join(f"{'' if key == 'SPILL' else '$'}{key}/{value}/" for key, value in text.items())
    segment = segment.encode()
    first, last = offsets or (begin, end)
    header = f"FCS{version}    {256:8}{256 + len(segment) - 1:8}{first:8}{last:8}{0:8}{0:8}"
    path.write_bytes((header.encode().ljust(256) + segment).ljust(begin) + data.tobytes())
    return path
