"""Input that `make compare` refuses, with remedies, and its memory."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cellferry.artifacts.latents import ROWS_PER_GROUP
from cellferry.commands.compare import pairs as pairs_module
from cellferry.commands.compare.__main__ import compare, main
from cellferry.errors import InputError
from test_compare import KNOWN, cell, write


@pytest.fixture
def runs(tmp_path):
    """Results of two runs with the same cells."""
    return write(tmp_path / "a", KNOWN), write(tmp_path / "b", KNOWN)


def refused(message, a, b, **more):
    with pytest.raises(InputError, match=message):
        compare(str(a), str(b), **more)


def test_missing_arguments_and_files(runs, tmp_path):
    a, b = runs
    refused("A= is missing; name a folder or a table", "", b)
    refused("B=nowhere: does not exist", a, "nowhere")
    (tmp_path / "empty").mkdir()
    refused(r"B=.*empty: contains no predictions/\*.parquet; finish that run", a, tmp_path / "empty")
    refused("OUTPUT=x.csv: does not end in .tsv", a, b, output="x.csv")


def test_folders_and_files_name_the_same(runs):
    a, b = runs
    pages = {
        compare(str(one), str(other))
        for one, other in (
            (a, b), (a.parent, b.parent), (a / "predictions", b / "predictions" / "kidney.parquet"),
        )
    }  # fmt: skip
    assert len(pages) == 1


def test_queries_are_chosen_by_name(runs, tmp_path):
    a, b = runs
    for run in "ab":
        write(tmp_path / run, KNOWN, query="test")
    # The reference's held-out cells are compared only if they are named.
    assert "kidney.parquet" in compare(str(a), str(b))
    assert "test.parquet" in compare(str(a), str(b), query="test")
    for run in "ab":
        write(tmp_path / run, KNOWN, query="lung")
    refused("A and B contain predictions of kidney, lung; name one, such as QUERY=kidney", a, b)
    assert "lung.parquet" in compare(str(a), str(b), query="lung")
    refused("A=.*: contains predictions of kidney, lung, test, not of blood", a, b, query="blood")


def test_another_query(tmp_path):
    a = write(tmp_path / "a", KNOWN)
    b = write(tmp_path / "b", [cell("other", "T")], query="lung")
    refused("A contains predictions of kidney, B of lung: no common query; name two files", a, b)
    one, other = a / "predictions/kidney.parquet", b / "predictions/lung.parquet"
    refused("have no cell in common: 'k1', 'k2', 'k3' are in A, 'other' in B", one, other)
    # Another name, but the same cells.
    write(tmp_path / "b", KNOWN, query="lung")
    assert "3 cells are in both" in compare(str(one), str(other))


@pytest.mark.parametrize("which", ["a", "b"])
@pytest.mark.parametrize("shuffled", [True, False])
def test_duplicate_names(tmp_path, which, shuffled):
    twice = [*KNOWN, cell("k2", "T")]
    other = twice[::-1] if shuffled else twice
    if shuffled and which == "b":
        other = [*KNOWN[::-1], cell("k4", "T")]
        twice, other = other, twice
    a, b = write(tmp_path / "a", twice), write(tmp_path / "b", other)
    table = "b" if shuffled and which == "b" else "a"
    refused(rf"{table}/results/predictions/kidney.parquet: duplicate cell name 'k2'", a, b)


def test_names_that_share_a_hash_are_no_duplicates(runs, monkeypatch):
    monkeypatch.setattr(pairs_module, "hashes_of", lambda names: np.zeros(len(names), np.uint64))
    assert "3 cells are in both" in compare(*map(str, runs))


def test_tables_of_something_else(runs):
    a, b = runs
    path = a / "predictions" / "kidney.parquet"
    pq.write_table(pa.table({"cell": ["x"], "label": ["T"]}), path)
    refused(r"kidney.parquet: has no column level; name a table that the workflow wrote", a, b)
    path.write_text("cell,label\n")
    refused(r"kidney.parquet: cannot be read as parquet \(", a, b)


def test_no_cells(tmp_path):
    schema = pq.read_schema(write(tmp_path / "a", KNOWN) / "predictions/kidney.parquet")
    path = tmp_path / "none.parquet"
    pq.write_table(schema.empty_table(), path)
    refused("none.parquet: contains no cells", path, path)


@pytest.mark.parametrize("shuffled", [True, False])
def test_a_table_that_is_damaged_within(tmp_path, shuffled):
    cells = [cell(f"cell {number}", "TB"[number % 2], p=number / 5000) for number in range(4000)]
    a = write(tmp_path / "a", cells, rows=1000)
    b = write(tmp_path / "b", cells[::-1] if shuffled else cells, rows=1000)
    path = b / "predictions/kidney.parquet"
    column = pq.read_metadata(path).row_group(2).column(5)
    content = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    refused("b/results/predictions/kidney.parquet: cannot be read as parquet", a, b)


def test_a_cell_without_a_label(runs):
    a, b = runs
    path = b / "predictions/kidney.parquet"
    table = pq.read_table(path)
    label = pa.array(["T", None, "B"], pa.string())
    pq.write_table(table.set_column(1, "label", label), path)
    refused("kidney.parquet: row 2 has no label", a, b)


def test_metadata_that_are_no_json(runs):
    a, b = runs
    path = b / "predictions/kidney.parquet"
    for text in ("{", "[1]"):
        pq.write_table(pq.read_table(path).replace_schema_metadata({"reference": text}), path)
        refused("kidney.parquet: its metadata `reference` is not a JSON object", a, b)


def test_no_room_for_the_parts_of_a_join(tmp_path, monkeypatch):
    a, b = write(tmp_path / "a", KNOWN), write(tmp_path / "b", KNOWN[::-1])

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pairs_module, "cut", full)
    refused(r"temporary files cannot be written \(.*No space left.*; set TMPDIR to a folder", a, b)


def test_an_output_that_cannot_be_written(runs, tmp_path, capsys):
    (tmp_path / "file").touch()
    given = ["--a", str(runs[0]), "--b", str(runs[1]), "--output", str(tmp_path / "file" / "o.tsv")]
    assert main(given) == 1
    assert "file" in capsys.readouterr().err


def test_an_error_is_one_line_and_an_exit_status(runs, capsys):
    assert main(["--a", "no\nwhere", "--b", str(runs[1])]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("make compare: A=no")
    assert "Traceback" not in said.err


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [True, False])
def test_memory_grows_by_few_bytes_a_cell(tmp_path, monkeypatch, shuffled):
    monkeypatch.setattr(pairs_module, "CELLS_PER_PART", 40_000)
    few = pq.read_table(write(tmp_path / "few", KNOWN) / "predictions/kidney.parquet")

    def peak(n_cells):
        """Peak bytes of Python and Arrow."""
        draw = np.random.default_rng(0)
        paths = []
        for key in "ab":
            many = few.take(draw.integers(0, len(few), n_cells))
            order = draw.permutation(n_cells) if shuffled else np.arange(n_cells)
            names = pa.array([f"a cell with a name of usual length {number}" for number in order.tolist()])
            paths.append(str(tmp_path / f"{key}.parquet"))
            pq.write_table(many.set_column(0, "cell", names), paths[-1], row_group_size=ROWS_PER_GROUP)
        del many, names, order
        usual = pa.default_memory_pool()
        pool = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(pool)
        tracemalloc.start()
        compare(*paths)
        python = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        pa.set_memory_pool(usual)
        return python + pool.max_memory()

    # Hashes of one table's names: eight bytes per cell, and as many during sorting.
    assert peak(400_000) - peak(200_000) < 200_000 * 30
