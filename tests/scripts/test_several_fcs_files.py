"""Datasets of several FCS files: channels matched by marker, and labels by order for each file."""

import numpy as np
import pandas as pd
import pytest
from cellferry.errors import InputError
from chunked import convert, counts
from simulate import PANEL, simulate_events, write_samples

pytestmark = pytest.mark.filterwarnings("ignore:Variable names are not unique")


def write_plate(folder, name, panel, *, seed, n_events=150):
    """One FCS file with its labels beside it."""
    events = simulate_events(n_events, panel=panel, batches=(name,), seed=seed)
    write_samples(folder, events)
    return events


def convert_events(folder, **config):
    settings = {"modality": "cytometry", "markers": {}, "jobs": 2} | config
    return convert(str(folder / "*.fcs"), folder / "chunks", **settings)


SPELLED = ("CD_19", "141Pr_cd3", "CD56(Nd142)Di", "CD99", "CD8", "HLADR", "CD-45RA", "cd14", "CD11c", "CD16")
"""As in PANEL, but for CD4."""


def test_channels_are_matched_by_marker(tmp_path, capsys):
    """Order and spelling have no influence; channels that a file lacks are left out, with a message."""
    a = write_plate(tmp_path, "a", PANEL, seed=0)
    b = write_plate(tmp_path, "b", SPELLED, seed=1, n_events=130)
    chunks = convert_events(tmp_path, batch="sample", keep_obs=["Time"])
    common = ["Time", *(marker for marker in PANEL if marker != "CD4"), "DNA1"]
    assert list(chunks[0].var_names) == common
    assert list(chunks[0].var["channel"]) == common
    found = counts(chunks)
    assert np.array_equal(found[:150], a[:, common].X.toarray())
    in_b = [SPELLED[1], SPELLED[0], SPELLED[2], *SPELLED[4:]]
    in_b = [b.var_names[1 + SPELLED.index(name)] for name in in_b]
    assert np.array_equal(found[150:], b[:, ["Time", *in_b, "DNA1"]].X.toarray())
    obs = pd.concat([chunk.obs.astype({"batch": str}) for chunk in chunks])
    assert list(obs["batch"]) == ["blood/a"] * 150 + ["blood/b"] * 130
    assert np.array_equal(obs["Time"].to_numpy(np.float32), found[:, 0])
    said = capsys.readouterr().out
    assert (
        "warning: datasets.blood.path: markers that not all of its 2 files have are left out: "
        "CD4 (in a.fcs), CD99 (in b.fcs); if one has another name in some files, add it to" in said
    )
    assert "the files have 12 to 12 channels; the 11 common ones are used" in said


def test_a_marker_that_is_called_otherwise_in_one_file(tmp_path, capsys):
    write_plate(tmp_path, "a", PANEL, seed=0)
    b = write_plate(tmp_path, "b", SPELLED, seed=1)
    chunks = convert_events(tmp_path, markers={"CD99": "CD4"})
    assert list(chunks[0].var_names) == ["Time", *PANEL, "DNA1"]
    assert np.array_equal(counts(chunks)[150:, 4], b[:, "CD99"].X.toarray().ravel())
    assert "left out" not in capsys.readouterr().out


def test_files_of_other_markers_are_refused(tmp_path):
    """Time and DNA are common to all."""
    write_plate(tmp_path, "a", PANEL, seed=0)
    write_plate(tmp_path, "b", ("CD3", "X1", "X2", "X3"), seed=1)
    with pytest.raises(
        InputError,
        match=r"b\.fcs: has 1 markers in common with the files before it in datasets\.blood\.path; the first "
        r"has 10, such as CD3, CD19, CD56, …, and it has 4, such as CD3, X1, X2, …; if some of these "
        r"have other names, add them to cytometry\.markers; else make it a dataset of its own",
    ):
        convert_events(tmp_path)


def test_a_dropped_channel_is_not_taken_for_a_marker_of_its_name(tmp_path):
    """In one file it comes before the marker, in the other after it."""
    table = pd.DataFrame({"FITC-A :: CD3": [0.5, 3], "PE-A :: CD3": [1.5, 4], "CD4": [2.5, 5]})
    table.to_csv(tmp_path / "a.csv", index=False)
    table.iloc[:, [1, 0, 2]].to_csv(tmp_path / "b.csv", index=False)
    chunks = convert(
        str(tmp_path / "*.csv"),
        tmp_path / "chunks",
        modality="cytometry",
        markers={"PE-A :: CD3": None},
        transformed=True,
    )
    assert list(chunks[0].var_names) == ["CD3", "PE-A :: CD3", "CD4"]
    assert list(chunks[0].var["kind"]) == ["marker", "other", "marker"]
    assert np.array_equal(counts(chunks), np.vstack([table, table]))


@pytest.mark.parametrize("cut", [10, 3000])
def test_one_truncated_file_among_several_is_named(tmp_path, cut):
    for seed, name in enumerate("abc"):
        write_plate(tmp_path, name, PANEL, seed=seed)
    path = tmp_path / "b.fcs"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match=r"b\.fcs: is \d+ bytes long, but its events end at byte \d+"):
        convert_events(tmp_path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"b\.fcs: its keywords cannot be read.*copy or export it again"):
        convert_events(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"b\.fcs: the file is empty; copy or download it again"):
        convert_events(tmp_path)


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_file_can_have_its_labels_by_order(tmp_path, jobs):
    events = [write_plate(tmp_path, name, PANEL, seed=seed) for seed, name in enumerate("ab")]
    expected = [label for some in events for label in some.obs["cell_type"]]
    by_order = {"label": "population", "obs_by": "order", "chunks": 7, "jobs": jobs}
    chunks = convert_events(tmp_path, obs=[str(tmp_path / f"{name}.csv") for name in "ab"], **by_order)
    assert [label for chunk in chunks for label in chunk.obs["label"]] == expected
    (tmp_path / "all.tsv").write_text("n\tpopulation\n" + "".join(f"1\t{label}\n" for label in expected))
    chunks = convert(
        str(tmp_path / "*.fcs"),
        tmp_path / "again",
        obs=tmp_path / "all.tsv",
        modality="cytometry",
        markers={},
        **by_order,
    )
    assert [label for chunk in chunks for label in chunk.obs["label"]] == expected


def test_labels_by_order_that_do_not_fit(tmp_path):
    for seed, name in enumerate("ab"):
        write_plate(tmp_path, name, PANEL, seed=seed)
    tables = {
        "obs": [str(tmp_path / f"{name}.csv") for name in "ab"],
        "label": "population",
        "obs_by": "order",
    }
    path = tmp_path / "b.csv"
    lines = path.read_text().splitlines()
    for some in (lines[:-2], [*lines, "B cell"]):
        path.write_text("\n".join(some) + "\n")
        with pytest.raises(
            InputError,
            match=rf"b\.csv \(datasets\.blood\.obs\): has {len(some) - 1} lines after its header, but "
            r".*b\.fcs has 150 cells; datasets\.blood\.obs_by is `order`, which needs a header and one line",
        ):
            convert_events(tmp_path, **tables)
    with pytest.raises(InputError, match=r"b\.csv .*: has 151 lines .* 300 cells; datasets\.blood\.obs_by"):
        convert_events(tmp_path, **tables | {"obs": str(path)})
