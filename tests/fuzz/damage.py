"""Ways to damage a file: by its structure, and by its bytes. A generator makes all choices."""

import json

import h5py
import numpy as np

NUMBERS = [0, -1, 1, 3, 255, 2**31 - 1, 2**31, 2**32 - 1, 10**12, 2**63 - 1, -(2**31)]
TOKENS = [b"", b"-1", b"1_0", b"x", b"1e400", b"nan", b"\xff", b"\0", b'"', b"9" * 40, b"2.5", b"4294967295"]
STRANGE = [np.nan, np.inf, -np.inf, 0.5, 1e30, -3.5]


def damage(path, rng):
    """Damage a file or folder in one way; returns a description."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        file = files[rng.integers(len(files))]
        ways = [flip, cut, overwrite, lose]
        if file.suffix == ".json":
            ways = [change_json] * 3 + ways
        if file.suffix in (".mtx", ".tsv") or file.name in ("row_names", "col_names", "version"):
            ways = [change_text] * 3 + ways
    else:
        file = path
        ways = [flip, cut, overwrite]
        if h5py.is_hdf5(path):
            ways += [change_array] * 5 + [change_attribute, replace_part]
        if path.suffix == ".csv":
            ways += [change_text] * 3
    way = ways[rng.integers(len(ways))]
    return f"{file.name}: {way.__name__}: {way(file, rng)}"


def flip(path, rng):
    content = bytearray(path.read_bytes())
    if not content:
        return "nothing"
    at, bit = int(rng.integers(len(content))), int(rng.integers(8))
    content[at] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {at}"


def cut(path, rng):
    content = path.read_bytes()
    n = int(rng.integers(len(content) + 1))
    path.write_bytes(content[:n])
    return f"{n} of {len(content)} bytes are left"


def overwrite(path, rng):
    """Overwrite 4 or 8 bytes with a number, in either byte order."""
    content = bytearray(path.read_bytes())
    size, order = int(rng.choice([4, 8])), str(rng.choice(["little", "big"]))
    if len(content) < size:
        return "nothing"
    at, number = int(rng.integers(len(content) - size + 1)), NUMBERS[rng.integers(len(NUMBERS))]
    content[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, order)
    path.write_bytes(content)
    return f"{number} ({size} bytes, {order}) at byte {at}"


def lose(path, rng):
    path.unlink()
    return "removed"


def change_json(path, rng):
    """Change a number, a word or a key of metadata."""
    content = json.loads(path.read_text())
    places = list(_places(content))
    parent, key = places[rng.integers(len(places))]
    value = [*NUMBERS, "", "csc_matrix", None, [], {}, [10**12], [3], True, "int8", "<f8"][rng.integers(21)]
    before, parent[key] = parent[key], value
    path.write_text(json.dumps(content))
    return f"{key} was {str(before)[:40]} and is {value}"


def _places(content):
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


def change_text(path, rng):
    lines = path.read_bytes().split(b"\n")
    at = int(rng.integers(len(lines)))
    match rng.integers(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines[at] = TOKENS[rng.integers(len(TOKENS))]
        case _:
            mark = next((mark for mark in (b"\t", b",", b" ") if mark in lines[at]), b" ")
            fields = lines[at].split(mark)
            fields[rng.integers(len(fields))] = TOKENS[rng.integers(len(TOKENS))]
            lines[at] = mark.join(fields)
    path.write_bytes(b"\n".join(lines))
    return f"line {at + 1}"


def _elements(file, kind):
    found = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, kind) else None)
    return sorted(found)


def change_array(path, rng):
    """Change the values, length, shape or type of an array."""
    with h5py.File(path, "r+") as file:
        names = _elements(file, h5py.Dataset)
        name = names[rng.integers(len(names))]
        old = file[name]
        attributes, values = dict(old.attrs), np.asarray(old[()])
        changes = [
            shorten,
            lengthen,
            repeat,
            widen,
            to_float,
            to_text,
            to_scalar,
            set_one,
            set_one,
            set_one,
            swap,
        ]
        change = changes[rng.integers(len(changes))]
        try:
            new = change(values, rng)
            del file[name]
            file.create_dataset(name, data=new).attrs.update(attributes)
        except (TypeError, ValueError, OverflowError, IndexError):
            return "nothing"
    return f"{name}: {change.__name__}"


def shorten(values, rng):
    return values[: int(rng.integers(len(values)))]


def lengthen(values, rng):
    return np.concatenate([values, values[: 1 + int(rng.integers(3))]])


def repeat(values, rng):
    at = int(rng.integers(len(values)))
    return np.insert(values, at, values[at], axis=0)


def widen(values, rng):
    return np.stack([values, values], axis=1)


def to_float(values, rng):
    values = values.astype(float)
    values[rng.integers(len(values))] = STRANGE[rng.integers(len(STRANGE))]
    return values


def to_text(values, rng):
    return np.array([str(value).encode() for value in values.ravel().tolist()])


def to_scalar(values, rng):
    return values.ravel()[0]


def set_one(values, rng):
    values = values.copy()
    number = NUMBERS[rng.integers(len(NUMBERS))]
    values.reshape(-1)[rng.integers(values.size)] = number if values.dtype.kind != "O" else str(number)
    return values


def swap(values, rng):
    values = values.copy()
    first, second = rng.integers(len(values), size=2)
    values[[first, second]] = values[[second, first]]
    return values


CHANGES = [shorten, lengthen, repeat, widen, to_float, to_text, to_scalar, set_one, set_one, set_one, swap]


def change_attribute(path, rng):
    with h5py.File(path, "r+") as file:
        names = [name for name in ("/", *_elements(file, h5py.Group | h5py.Dataset)) if len(file[name].attrs)]
        if not names:
            return "nothing"
        item = file[names[rng.integers(len(names))]]
        key = sorted(item.attrs)[rng.integers(len(item.attrs))]
        values = [3, "", "csc_matrix", [10**12, 3], [-1, 5], h5py.Empty("f4"), ["a", "b"], 0.5]
        value = values[rng.integers(len(values))]
        item.attrs[key] = value
        return f"{item.name}@{key} is {value}"


def replace_part(path, rng):
    """Replace a group or array by another object."""
    with h5py.File(path, "r+") as file:
        names = _elements(file, h5py.Group | h5py.Dataset)
        name = names[rng.integers(len(names))]
        item = file[name]
        attributes = dict(item.attrs)
        shape = item.shape if isinstance(item, h5py.Dataset) and item.shape else (3,)
        del file[name]
        match rng.integers(7):
            case 0:
                what = "nothing"
            case 1:
                file[name], what = h5py.ExternalLink("other.h5", "/x"), "a link to a file"
            case 2:
                file[name], what = h5py.SoftLink(f"/{name}"), "a link to itself"
            case 3:
                layout = h5py.VirtualLayout(shape, "i4")
                layout[...] = h5py.VirtualSource("gone.h5", "x", shape=shape)
                file.create_virtual_dataset(name, layout).attrs.update(attributes)
                what = "a view of nothing"
            case 4:
                file.create_dataset(name, shape, "i4", chunks=tuple(min(n, 7) or 1 for n in shape))
                file[name].attrs.update(attributes)
                what = "an array that was never written"
            case 5:
                file.create_group(name)
                what = "a group"
            case _:
                file.create_dataset(name, (10**12,), "f4", chunks=(1000,)).attrs.update(attributes)
                what = "an array of 10^12 values"
        return f"{name} is {what}"
