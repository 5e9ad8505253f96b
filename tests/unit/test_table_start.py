"""The start of a table of any kind: comments, header, encoding and delimiter."""

import tarfile
import zipfile

import numpy as np
import pytest
from cellferry.config.headers import obs_columns
from cellferry.core.table_start import table_start
from cellferry.cytometry.marker_names import read_markers
from cellferry.cytometry.scaling_table import told_scaling
from cellferry.datasets.obs_table import ObsTable
from cellferry.errors import InputError
from cellferry.features.gene_ids import read_gene_table
from cellferry.formats.latents import open_latents
from cellferry.labels.tables import read_parents, read_renames

CELLS = ["a", "b", "c"]
LABELS = ["T cell", "zelle ä", None]


def obs(path):
    table = ObsTable(path, "datasets.q.obs")
    table.load(["label", "donor"])
    found = table.join(np.array(CELLS, dtype=object), ["label", "donor"])
    assert list(found["donor"]) == ["1", "2", "3"]
    assert obs_columns({"path": str(path), "obs": str(path)}) == ["label", "donor"]
    return list(found["label"])


def obs_by_order(path):
    table = ObsTable(path, "datasets.q.obs", by_order=True)
    table.load(["label"])
    assert table.n_rows == 3
    return list(table.lines(0, 3, ["label"])["label"])


def renames(path):
    found = read_renames(str(path))
    return [found["a"], found["b"], None if found["c"] == "NA" else found["c"]]


def parents(path):
    found = read_parents(str(path))
    return [found["a"], found["b"], None if found["c"] == "NA" else found["c"]]


def markers(path):
    found = read_markers(str(path)).markers
    return [found["a"], found["b"], None if found["c"] == "NA" else found["c"]]


READERS = [obs, obs_by_order, renames, parents, markers]
TABLE = 'cell,label,donor\na,"T cell",1\nb,"zelle ä",2\nc,NA,3\n'
COMMENTS = {
    "none": "",
    "one": "# made by a program\n",
    "prose": "# made by a program, on a day, in 2020\n",
    "rhapsody": "####################\n## BD Rhapsody Version 1.9.1, 2\n#\n####################\n",
    "empty lines": "\n# x\n\n",
    "excel": '"# a, b",,\n#,,\n##,x,\n',
    "sep": "sep=,\n",
}


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("comment", COMMENTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_comments_and_encodings(tmp_path, read, comment, encoding, end):
    text = (COMMENTS[comment] + TABLE).replace("\n", end)
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    assert read(tmp_path / "a.csv") == LABELS


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("comment", ["none", "one", "rhapsody", "empty lines"])
@pytest.mark.parametrize("delimiter", ["\t", ",", ";", " ", "  "])
@pytest.mark.parametrize("is_short", [True, False])
def test_delimiters(tmp_path, read, comment, delimiter, is_short):
    """As in R's write.table and write.csv, with and without a name for the row names."""
    lines = [["label", "donor"] if is_short else ["cell", "label", "donor"]]
    lines += [["a", "T cell", "1"], ["b", "zelle ä", "2"], ["c", "NA", "3"]]
    text = "".join(delimiter.join(f'"{field}"' for field in line) + "\n" for line in lines)
    (tmp_path / "a.csv").write_text(COMMENTS[comment] + text, encoding="utf-8")
    assert read(tmp_path / "a.csv") == LABELS


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("in_header", [True, False])
def test_delimiters_at_the_ends_of_lines(tmp_path, read, in_header):
    first, *rest = TABLE.splitlines()
    lines = [first + "," * in_header, *(f"{line}," for line in rest)]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    assert read(tmp_path / "a.csv") == LABELS


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("encoding", ["latin1", "cp1252"])
def test_latin_1_is_refused(tmp_path, read, encoding):
    (tmp_path / "a.csv").write_bytes(TABLE.encode(encoding))
    with pytest.raises(InputError, match=r"a\.csv, line 3: 'zelle ä' is not UTF-8 .*`iconv -f latin1"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize("read", READERS)
def test_text_that_is_cut_off_in_a_letter(tmp_path, read):
    (tmp_path / "a.csv").write_bytes((TABLE + "ä").encode()[:-1])
    with pytest.raises(InputError, match=r"a\.csv: cannot be read, it is broken, incomplete"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("#cell\tlabel\na\tT\n", ["#cell", "label"]),
        ("#cell,label\n#1,T\n#2,B\n", ["#cell", "label"]),
        ("# cell\tlabel\na\tT\n", ["# cell", "label"]),
        ("# cell, label\na, T\n", ["# cell", " label"]),
        ("# x\n#cell,label\na,T\n", ["#cell", "label"]),
        ("#label\nB cell\nT cell\n", ["#label"]),
        ("#a,b\nx,1,2\n", ["", "#a", "b"]),
        ("# by a, b\ncell,label\na,T\n", ["cell", "label"]),
        ("#by\ncell,label\na,T\n", ["cell", "label"]),
        ("# x\nlabel\nB\n", ["label"]),
        ("cell,label\n#a,T\n#b,B\n", ["cell", "label"]),
        ("#cell,label\n", ["#cell", "label"]),
        ("sep=;\ncell;a,b\nx;1\n", ["cell", "a,b"]),
        ("label\nT; naive\n", ["label"]),
        ("cell type\nB cell\nT cell\n", ["cell type"]),
    ],
)
def test_headers_that_begin_as_comments(tmp_path, text, names):
    (tmp_path / "a.csv").write_text(text)
    assert table_start(tmp_path / "a.csv", blanks="quoted").names == names


@pytest.mark.parametrize("text", ["", "\n\n", "# x\n", "## x\n\n# y, z\n"])
def test_tables_without_a_header(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    assert table_start(tmp_path / "a.csv", blanks="quoted") is None
    with pytest.raises(InputError, match="the table is empty"):
        ObsTable(tmp_path / "a.csv", "datasets.q.obs")
    assert read_renames(str(tmp_path / "a.csv")) == {}


@pytest.mark.parametrize("text", ["cell|label\na|T\n", "cell\na\n", "cell label\na T cell\nb B\n"])
def test_annotation_that_is_not_split(tmp_path, text):
    (tmp_path / "obs.csv").write_text(text)
    with pytest.raises(InputError, match=r"obs\.csv \(datasets\.q\.obs\): has one column only, 'cell"):
        ObsTable(tmp_path / "obs.csv", "datasets.q.obs")


def test_blanks_without_quotes_in_annotation(tmp_path):
    (tmp_path / "a.txt").write_text("cell label donor\na T 1\nb B  2\nc NK 3\n")
    table = ObsTable(tmp_path / "a.txt", "datasets.q.obs")
    table.load(["label", "donor"])
    assert list(table.join(np.array(CELLS, dtype=object), ["label"])["label"]) == ["T", "B", "NK"]


@pytest.mark.parametrize("text", ["a b\nT cell\n", "T cell\nB cell\n"])
def test_labels_are_not_split_at_blanks(tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=r"line 1 of .*a\.csv has one column, and two are needed"):
        read_renames(str(tmp_path / "a.csv"))


def test_irregular_lines_are_told_by_their_number(tmp_path):
    (tmp_path / "obs.csv").write_text("# x\n\ncell,label\na,T\nb,B,1,2\n")
    with pytest.raises(InputError, match=r"obs\.csv .*in line 5, saw 4.*; correct the row"):
        ObsTable(tmp_path / "obs.csv", "datasets.q.obs").load(["label"])


LATENTS = "cell,latent_0,latent_1,label\na,1,2,x\nb,3,4,ä\n"


@pytest.mark.parametrize("comment", [key for key in COMMENTS if key != "excel"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("how", ["plain", "R", "blanks", "ends"])
def test_latents(tmp_path, comment, encoding, how):
    text = LATENTS
    if how == "R":
        text = text.removeprefix("cell,")
    if how == "blanks":
        text = text.removeprefix("cell,").replace(",", " ")
    if how == "ends":
        text = text.replace("\n", ",\n")
    if comment == "sep" and how == "blanks":
        return
    (tmp_path / "a.csv").write_bytes((COMMENTS[comment] + text).encode(encoding))
    table = open_latents(str(tmp_path / "a.csv"), None)
    assert "label" in table.columns
    (block,) = table.blocks(["label"])
    assert list(block.names) == ["a", "b"]
    assert list(block.obs["label"]) == ["x", "ä"]
    assert np.array_equal(block.latents, [[1, 2], [3, 4]])


def test_latents_in_latin_1_are_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes(LATENTS.encode("latin1"))
    with pytest.raises(InputError, match=r"line 3: 'ä' is not UTF-8"):
        list(open_latents(str(tmp_path / "a.csv"), None).blocks(["label"]))


@pytest.mark.parametrize("comment", COMMENTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("header", ["", "ensembl,symbol\n"])
def test_gene_maps(tmp_path, comment, encoding, header):
    text = f"{COMMENTS[comment]}{header}ENSG00000000003,TSPAN6\nENSG00000000005,TNMD\n"
    (tmp_path / "map.csv").write_bytes(text.encode(encoding))
    assert list(read_gene_table(tmp_path / "map.csv").to_ensembl) == ["TSPAN6", "TNMD"]


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", " ", "   "])
def test_delimiters_of_gene_maps(tmp_path, delimiter):
    lines = [delimiter.join(line) for line in (["ENSG00000000003", "TSPAN6"], ["ENSG00000000005", "TNMD"])]
    (tmp_path / "map.txt").write_text("\n".join(lines))
    assert list(read_gene_table(tmp_path / "map.txt").to_ensembl) == ["TSPAN6", "TNMD"]


@pytest.mark.parametrize("comment", COMMENTS)
@pytest.mark.parametrize("delimiter", [",", "\t", " "])
def test_scaling(tmp_path, comment, delimiter):
    if comment in ("sep", "excel") and delimiter != ",":
        return
    text = "marker,low,high\nCD3,1,2\nCD4,3,4\n".replace(",", delimiter)
    (tmp_path / "a.csv").write_text(COMMENTS[comment] + text)
    found, _ = told_scaling(
        str(tmp_path), str(tmp_path / "a.csv"), ["CD3", "CD4"], cofactor="auto", limits=(0, 1)
    )
    assert list(found.low) == [1, 3]
    assert list(found.high) == [2, 4]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xlsx", None, "is an Excel workbook; save the sheet as csv"),
        ("a.tar", None, "is a tar archive; unpack it (tar -xf a.tar)"),
        ("a.csv.zst", b"\x28\xb5\x2f\xfd" + bytes(30), "is a file packed with zstd; unpack it"),
        ("a.h5ad", b"\x89HDF\r\n\x1a\n" + bytes(30), "is an HDF5 file; name a table of text"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, name, content, said):
    path = tmp_path / name
    if name == "a.xlsx":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("xl/workbook.xml", "")
    elif name == "a.tar":
        (tmp_path / "a.csv").write_text("cell,label\n")
        with tarfile.open(path, "w") as archive:
            archive.add(tmp_path / "a.csv", "a.csv")
    else:
        path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        table_start(path, blanks="quoted")
    assert f"{path}: {said}" in str(raised.value)
