"""write_fcs: events, labels and latents of a query, one FCS file per sample."""

import anndata as ad
import cellferry.resources.budget
import flowio
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import write_fcs as script
from cellferry.errors import InputError
from cellferry.resources.budget import Budget
from merge_h5ad import merge_h5ad
from reading import read_all, read_header
from scipy import sparse
from simulate import write_cells
from write_fcs import write_fcs

N_EVENTS = 300
CHANNELS = {"CD3": "FITC-A", "CD19, human": "PE,A", "FSC-A": "FSC-A", "probability": "probability"}
CHANNELS |= {"x": "latent", "y": "latent"}
LABELS = ["T cell", "B/NK, naïve", "unknown", "T cells (all)", None]
CODES = {"unknown": 0, "B/NK, naïve": 1, "NK": 2, "T cell": 3, "T cells (all)": 4}
SAMPLES = ["H1", "donor 1/day 2", "donor 1_day 2", "γδ", "h1"]
"""Two give the same file name, and two more do if case is ignored."""


def make_query(folder, *, samples=SAMPLES, n_events=N_EVENTS, chunks=2):
    """Interleaved samples: a merged file that is a view, predictions, and mapped chunks of other lengths."""
    rng = np.random.default_rng(0)
    intensities = rng.normal(100, 200, (n_events, len(CHANNELS))).astype(np.float32)
    intensities[rng.random(intensities.shape) < 0.2] = 0
    names = np.array([f"event{n}" for n in range(n_events)], dtype=object)
    sample = np.array(samples, dtype=object)[rng.integers(0, len(samples), n_events)]
    var = pd.DataFrame({"kind": "marker", "channel": list(CHANNELS.values())}, index=list(CHANNELS))
    obs = pd.DataFrame({"sample": sample, "cell_type": "T cell"}, index=names)
    cells = ad.AnnData(sparse.csr_matrix(intensities), obs=obs, var=var)
    for chunk in range(chunks):
        first, last = (number * n_events // chunks for number in (chunk, chunk + 1))
        path = folder / "chunks" / f"{chunk}.h5ad"
        path.parent.mkdir(exist_ok=True)
        write_cells(path, cells[first:last].copy(), "blood", chunks=chunks)
    merged = str(folder / "merged.h5ad")
    merge_h5ad([str(folder / "chunks")], merged, materialize=False, budget=Budget(1000))

    label = np.array(LABELS, dtype=object)[rng.integers(0, len(LABELS), n_events)]
    best = np.array(["T cell", "NK", "B/NK, naïve"], dtype=object)[rng.integers(0, 3, n_events)]
    numbers = {name: rng.random(n_events).astype(np.float32) for name in ("probability", "ood_pvalue")}
    latents = {f"latent_{n}": rng.normal(size=n_events).astype(np.float32) for n in range(12)}
    table = {"cell": names, "label": label, "best_label": best, "distance": numbers["ood_pvalue"], **numbers}
    predictions = str(folder / "predictions.parquet")
    pq.write_table(pa.table(table), predictions, row_group_size=70)
    mapped = [str(folder / f"{chunk}.parquet") for chunk in range(3)]
    in_reverse = dict(reversed(latents.items()))
    for path, rows in zip(mapped, np.array_split(np.arange(n_events), [50, 50]), strict=True):
        columns = {"cell": names, "batch": sample, **in_reverse}
        pq.write_table(pa.table({name: values[rows] for name, values in columns.items()}), path)

    code = np.array([[CODES.get(name, 0) for name in column] for column in (label, best)], dtype=np.float32).T
    expected = np.column_stack([intensities, code, *numbers.values(), *latents.values()])
    files = {"merged": merged, "predictions": predictions, "mapped": mapped}
    return files, {name: expected[sample == name] for name in samples}


@pytest.fixture
def query(tmp_path):
    return make_query(tmp_path)


def write(files, tmp_path, *, budget=None, **changed):
    folder = tmp_path / "fcs"
    write_fcs(**files | changed, fcs=str(folder), query="blood", budget=budget or Budget(1000))
    return folder


def by_sample(folder):
    """Keywords and events of all files, by the name of their sample."""
    found = {}
    for path in folder.glob("*.fcs"):
        flow = flowio.FlowData(path)
        assert flow.text["fil"] == path.name
        found[flow.text["smno"]] = flow, np.reshape(flow.events, (-1, flow.channel_count))
    return found


def test_every_sample_has_a_file_with_all_its_numbers(query, tmp_path):
    files, expected = query
    folder = write(files, tmp_path)
    found = by_sample(folder)
    assert set(found) == set(expected)
    for sample, (flow, values) in found.items():
        np.testing.assert_array_equal(values, expected[sample])
        assert flow.pnn_labels == [
            "FITC-A", "PE.A", "FSC-A", "probability_input", "latent", "latent_12",
            "label_code", "best_label_code", "probability", "ood_pvalue", *(f"latent_{n}" for n in range(12)),
        ]  # fmt: skip
        assert flow.pns_labels[:7] == ["CD3", "CD19, human", "", "probability", "x", "y", ""]


def test_files_are_called_like_samples_and_none_hides_another(query, tmp_path, capsys):
    folder = write(query[0], tmp_path)
    names = sorted(path.name for path in folder.iterdir())
    assert len({name.casefold() for name in names}) == len(names) == 6
    assert {"labels.csv", "γδ.fcs", "donor_1_day_2.fcs", "donor_1_day_2_2.fcs"} < set(names)
    assert {"H1.fcs", "h1_2.fcs"} < set(names) or {"h1.fcs", "H1_2.fcs"} < set(names)
    assert f"γδ.fcs: {len(query[1]['γδ'])} events of sample γδ" in capsys.readouterr().out


def test_codes_are_explained(query, tmp_path):
    folder = write(query[0], tmp_path)
    table = pd.read_csv(folder / "labels.csv", encoding="utf-8")
    assert dict(zip(table["label"], table["code"], strict=True)) == CODES
    for flow, _ in by_sample(folder).values():
        assert {label: flow.text[f"cellferry_label_{code}"] for label, code in CODES.items()} == {
            label: label for label in CODES
        }
        assert (flow.text["p7r"], flow.text["p7d"]) == ("5", "Linear,0,5")


def test_our_own_reader_opens_the_files(query, tmp_path):
    """Added channels are not markers, so that a file can be a query again."""
    path = write(query[0], tmp_path) / "γδ.fcs"
    header = read_header(path, modality="cytometry")
    np.testing.assert_array_equal(read_all(header, tmp_path)[0], query[1]["γδ"])
    kinds = dict(zip(header.var["channel"], header.var["kind"], strict=True))
    assert {name for name, kind in kinds.items() if kind == "marker"} == {"CD3", "CD19, human", "x"}
    assert kinds["FSC-A"] == "scatter"
    added = {"label_code", "best_label_code", "probability", "ood_pvalue", "latent_0", "latent_11"}
    assert {kinds[name] for name in added} == {"other"}


@pytest.mark.parametrize("max_open", [1, 2])
def test_more_samples_than_may_be_open_at_once(query, tmp_path, monkeypatch, max_open):
    files, expected = query
    monkeypatch.setattr(script, "MAX_OPEN", max_open)
    for sample, (_, values) in by_sample(write(files, tmp_path)).items():
        np.testing.assert_array_equal(values, expected[sample])


def test_a_file_does_not_depend_on_the_memory(query, tmp_path, monkeypatch):
    first = {path.name: path.read_bytes() for path in write(query[0], tmp_path).iterdir()}
    sizes, append = [], script.FcsWriter.append

    def noted(writer, values):
        sizes.append(values.nbytes)
        append(writer, values)

    monkeypatch.setattr(script.FcsWriter, "append", noted)
    monkeypatch.setattr(cellferry.resources.budget, "MB", 76)  # blocks of 13 kB
    assert first == {path.name: path.read_bytes() for path in write(query[0], tmp_path).iterdir()}
    assert len(sizes) > 3 * len(SAMPLES)
    assert max(sizes) < 13_000 / 4


def test_a_query_of_one_sample(tmp_path):
    files, expected = make_query(tmp_path, samples=["all"], n_events=70)
    (flow, values), = by_sample(write(files, tmp_path)).values()  # fmt: skip
    assert flow.event_count == 70
    np.testing.assert_array_equal(values, expected["all"])


def reordered(path, folder):
    table = pq.read_table(path)
    rows = np.arange(len(table))
    rows[[3, 4]] = rows[[4, 3]]
    pq.write_table(table.take(rows), folder / "reordered.parquet")
    return str(folder / "reordered.parquet")


def test_predictions_of_other_cells_are_refused(query, tmp_path):
    files, _ = query
    with pytest.raises(RuntimeError, match=r"merged\.h5ad: cell 3 of 300 is not the one in the chunks"):
        write(files, tmp_path, predictions=reordered(files["predictions"], tmp_path))
    with pytest.raises(RuntimeError, match=r"cell 3 of 300 is not the one .* \('event4'\); delete"):
        write(files, tmp_path, mapped=[reordered(files["mapped"][0], tmp_path), *files["mapped"][1:]])
    with pytest.raises(RuntimeError, match="has 300 cells, but the chunks hold 50"):
        write(files, tmp_path, mapped=files["mapped"][:2])
    assert not (tmp_path / "fcs").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_merged_file_without_its_chunks_is_refused(query, tmp_path):
    (tmp_path / "chunks" / "1.h5ad").unlink()
    with pytest.raises(InputError, match=r"is a view over .*1\.h5ad, which is missing"):
        write(query[0], tmp_path)


def test_too_little_memory_is_told(query, tmp_path):
    with pytest.raises(InputError, match="this job cannot run below"):
        write(query[0], tmp_path, budget=Budget(300))
